//! What was served: RRsets with their times and TTLs, in all and by interval.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use lowtide_proto::{Role, Timestamp};

use super::plan::SECOND;
use super::rows::RrsetRow;
use super::ttls::Ttls;

/// RRsets that are kept, of all servers and zones. What an operator serves is a handful.
const MAX_RRSETS: usize = 16_384;

/// No RRset, or no row.
pub(super) const NONE: u32 = u32::MAX;

/// TTLs above a week are not believed: resolvers do not either (RFC 8767 §4).
pub const MAX_TTL: u32 = 7 * 86_400;

/// Where in a message an RRset stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The answer section.
    Answer,
    /// The authority section.
    Authority,
    /// The additional section.
    Additional,
}

impl Section {
    /// The word in rows and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Section::Answer => "answer",
            Section::Authority => "authority",
            Section::Additional => "additional",
        }
    }
}

/// Which RRset of which content, served by whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RrsetKey {
    /// The server that gave it.
    pub server: Ipv6Addr,
    /// The owner name, lower case, final dot.
    pub owner: String,
    /// The record type.
    pub rrtype: String,
    /// The section.
    pub section: Section,
    /// The records in presentation form, sorted.
    pub rdata: Vec<String>,
}

/// When and with which TTL it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The lowest TTL, seconds.
    pub ttl_min: u32,
    /// The highest.
    pub ttl_max: u32,
    /// Until when a compliant cache may hold it: the latest of time served + TTL then.
    pub horizon: Timestamp,
    /// The last time that it was served with a higher TTL than the lowest of the latest answers; `None` = never.
    pub higher_until: Option<Timestamp>,
    /// Responses that carried it.
    pub answers: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// The TTL of the last.
    pub ttl: u32,
}

impl Served {
    pub(super) fn new(time: Timestamp, ttl: u32) -> Self {
        Self {
            ttl_min: ttl,
            ttl_max: ttl,
            horizon: horizon(time, ttl),
            higher_until: None,
            answers: 0,
            first: time,
            last: time,
            ttl,
        }
    }

    /// Adds what was counted of the same RRset apart from this, earlier or later.
    pub fn merge(&mut self, other: &Self) {
        let (earlier, later) = if other.last >= self.last { (&*self, other) } else { (other, &*self) };
        let lowered = (later.ttl < earlier.ttl).then_some(earlier.last);
        *self = Self {
            ttl_min: self.ttl_min.min(other.ttl_min),
            ttl_max: self.ttl_max.max(other.ttl_max),
            horizon: self.horizon.max(other.horizon),
            higher_until: self.higher_until.max(other.higher_until).max(lowered),
            answers: self.answers + other.answers,
            first: self.first.min(other.first),
            last: later.last,
            ttl: later.ttl,
        };
    }

    pub(super) fn add(&mut self, time: Timestamp, ttl: u32) {
        if time >= self.last && ttl < self.ttl {
            self.higher_until = Some(self.last);
        }
        self.answers += 1;
        self.ttl_min = self.ttl_min.min(ttl);
        self.ttl_max = self.ttl_max.max(ttl);
        self.horizon = self.horizon.max(horizon(time, ttl));
        self.first = self.first.min(time);
        if time >= self.last {
            self.last = time;
            self.ttl = ttl;
        }
    }
}

fn horizon(time: Timestamp, ttl: u32) -> Timestamp {
    Timestamp(time.0.saturating_add(u64::from(ttl) * SECOND))
}

/// What was served in one interval.
#[derive(Debug)]
struct Open {
    number: u64,
    role: Role,
    rrset: u32,
    served: Served,
}

/// One RRset.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) key: RrsetKey,
    /// Over the whole run.
    pub(super) served: Served,
    /// With which TTLs.
    pub(super) ttls: Ttls,
    /// Its row last counted in.
    recent: u32,
}

/// RRsets by number, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct AllKept {
    all: Vec<Kept>,
    /// Nanoseconds of an interval, when rows are made.
    width: Option<u64>,
    open: Vec<Open>,
    /// The rows that are not the ones last counted in.
    rows: HashMap<(u64, Role, u32), u32, RandomState>,
}

impl AllKept {
    /// None yet.
    pub(super) fn new(width: Option<u64>) -> Self {
        Self { width, ..Self::default() }
    }

    /// A new one, which was not counted yet; `None` when there is no room for it.
    pub(super) fn add(&mut self, key: RrsetKey, time: Timestamp, ttl: u32) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let served = Served::new(time, ttl);
        self.all.push(Kept { key, served, ttls: Ttls::new(time, ttl), recent: NONE });
        u32::try_from(self.all.len() - 1).ok()
    }

    /// RRsets by number were served with these TTLs in seconds; whether all are known.
    #[inline]
    pub(super) fn serve(&mut self, rrsets: &[(u32, u32)], role: Role, time: Timestamp) -> bool {
        let mut is_whole = true;
        for &(rrset, ttl) in rrsets {
            let Some(kept) = self.all.get_mut(rrset as usize) else {
                is_whole = false;
                continue;
            };
            kept.served.add(time, ttl);
            kept.ttls.add(time, ttl);
            let Some(width) = self.width else { continue };
            let is_row = |row: &Open| {
                let is_in = time.0.wrapping_sub(row.number.saturating_mul(width)) < width;
                row.rrset == rrset && row.role == role && is_in
            };
            if !self.open.get(kept.recent as usize).is_some_and(is_row) {
                let number = time.0 / width;
                kept.recent = *self.rows.entry((number, role, rrset)).or_insert_with(|| {
                    self.open.push(Open { number, role, rrset, served: Served::new(time, ttl) });
                    (self.open.len() - 1) as u32
                });
            }
            if let Some(row) = self.open.get_mut(kept.recent as usize) {
                row.served.add(time, ttl);
            }
        }
        is_whole
    }

    /// All, in order of appearance.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.all.iter()
    }

    /// Rows that wait to be handed out.
    pub(super) const fn rows(&self) -> usize {
        self.open.len()
    }

    /// Whether no more can be kept.
    pub(super) const fn is_full(&self) -> bool {
        self.all.len() >= MAX_RRSETS
    }

    /// Forgets all, unless a row waits; whether it did.
    pub(super) fn forget(&mut self) -> bool {
        let is_idle = self.open.is_empty();
        if is_idle {
            self.all.clear();
        }
        is_idle
    }

    /// Hands out the rows of intervals that began before `moment`, in no order; `zone` is the zone's name.
    pub(super) fn close(&mut self, moment: Timestamp, zone: &Arc<str>) -> Vec<RrsetRow> {
        let Some(width) = self.width else { return Vec::new() };
        let start = |row: &Open| Timestamp(row.number.saturating_mul(width));
        let (closed, open): (Vec<Open>, _) =
            std::mem::take(&mut self.open).into_iter().partition(|row| start(row) < moment);
        self.open = open;
        self.rows.clear();
        self.all.iter_mut().for_each(|kept| kept.recent = NONE);
        for (at, row) in self.open.iter().enumerate() {
            self.rows.insert((row.number, row.role, row.rrset), at as u32);
        }
        let row = |row: Open| {
            let rrset = self.all.get(row.rrset as usize)?.key.clone();
            let (start, zone) = (start(&row), Arc::clone(zone));
            Some(RrsetRow { start, role: row.role, zone, rrset, served: row.served })
        };
        closed.into_iter().filter_map(row).collect()
    }
}
