//! What servers serve that can lead a resolver to an old server: NS sets, addresses of name servers, DS sets; from every
//! section of every answer about a watched zone.
//!
//! Records are read with hickory-proto. Servers say the same again and again, so a message is read only when what it carries of these
//! has not been seen lately (`scan`): of all others times and TTLs are all that is new.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::Ipv6Addr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use lowtide_proto::{Facts, Message as Seen, NameBuf, Role, Timestamp};

use super::plan::SECOND;
use super::rows::RrsetRow;
use super::scan::Scan;
use super::ttls::Ttls;

/// What messages carry is remembered of so many; past it all is forgotten and read anew.
const MAX_KNOWN: usize = 16_384;

/// RRsets that are kept, of all servers and zones. What an operator serves is a handful.
const MAX_RRSETS: usize = 16_384;

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
    fn new(time: Timestamp, ttl: u32) -> Self {
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

    fn add(&mut self, time: Timestamp, ttl: u32) {
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

/// The records of an RRset in a message: their texts, and which they are of those that lead to a server.
type Records = (Vec<String>, Vec<u32>);

/// No row.
const NONE: u32 = u32::MAX;

/// What was served in one interval.
#[derive(Debug)]
struct Open {
    number: u64,
    role: Role,
    rrset: u32,
    served: Served,
}

/// All that watched servers served of one watched zone.
#[derive(Debug)]
pub struct Rrsets {
    zone: NameBuf,
    scan: Scan,
    keys: HashMap<RrsetKey, u32, RandomState>,
    served: Vec<(RrsetKey, Served)>,
    /// By what messages carry: the RRset of each record that leads to a server, with the record's number, by RRset.
    known: HashMap<u64, Box<[(u32, u32)]>, RandomState>,
    /// The last response of each server that could not be read, if there was one.
    unread: Vec<(Ipv6Addr, Timestamp)>,
    /// As `served`: with which TTLs.
    ttls: Vec<Ttls>,
    /// RRsets beyond the bound, in responses.
    pub left_out: u64,
    /// Nanoseconds of an interval, when rows are made.
    width: Option<u64>,
    open: Vec<Open>,
    /// By RRset, its row last counted in.
    recent: Vec<u32>,
    /// The others, by interval.
    rows: HashMap<(u64, Role, u32), u32, RandomState>,
}

impl Rrsets {
    /// Nothing served yet of a zone; `servers` are those whose addresses matter. With `width`, the nanoseconds of an interval, rows are
    /// made.
    pub fn new(zone: NameBuf, servers: impl IntoIterator<Item = Ipv6Addr>, width: Option<u64>) -> Self {
        Self {
            zone,
            scan: Scan::new(servers, RandomState::default().hash_one(0)),
            keys: HashMap::default(),
            served: Vec::new(),
            ttls: Vec::new(),
            known: HashMap::default(),
            unread: Vec::new(),
            left_out: 0,
            width,
            open: Vec::new(),
            recent: Vec::new(),
            rows: HashMap::default(),
        }
    }

    /// Reads a response of a watched server about a name in the zone; whether it could be read to its end.
    #[inline]
    pub fn observe(&mut self, server: Ipv6Addr, role: Role, time: Timestamp, message: &Seen<'_>) -> bool {
        // Of most responses the decoder knows that none of their records leads to a server.
        let is_whole = message.malformed.is_none() && !message.facts.contains(Facts::CUT);
        let is_told = is_whole && message.servers & self.scan.bits == 0;
        let is_read = is_told || self.look(server, role, time, message.octets);
        if !is_read {
            self.lose(server, time);
        }
        is_read
    }

    #[cold]
    fn lose(&mut self, server: Ipv6Addr, time: Timestamp) {
        match self.unread.iter_mut().find(|(of, _)| *of == server) {
            Some((_, last)) => *last = time.max(*last),
            None => self.unread.push((server, time)),
        }
    }

    #[inline(never)]
    fn look(&mut self, server: Ipv6Addr, role: Role, time: Timestamp, octets: &[u8]) -> bool {
        match self.scan.look(server, self.zone.wire(), octets) {
            Some(_) if self.scan.ttls.is_empty() => true,
            Some(number) => self.served(number, server, role, time, octets),
            None => false,
        }
    }

    fn served(&mut self, number: u64, server: Ipv6Addr, role: Role, time: Timestamp, octets: &[u8]) -> bool {
        let found = match self.known.get(&number) {
            Some(found) => found,
            None => {
                let Some(found) = self.read(server, time, octets) else { return false };
                if self.known.len() >= MAX_KNOWN {
                    self.known.clear();
                }
                self.known.entry(number).or_insert(found)
            }
        };
        let (scan, all_ttls, open, rows) = (&self.scan, &mut self.ttls, &mut self.open, &mut self.rows);
        let (served, recent) = (&mut self.served, &mut self.recent);
        let mut is_whole = true;
        for records in found.chunk_by(|one, other| one.0 == other.0) {
            let Some(&(rrset, _)) = records.first() else { continue };
            let ttls = records.iter().filter_map(|&(_, at)| scan.ttls.get(at as usize));
            // RFC 2181 §5.2: where TTLs of an RRset differ, the lowest holds.
            let ttl = ttls.copied().min().unwrap_or_default();
            let Some((_, all)) = served.get_mut(rrset as usize) else {
                is_whole = false;
                continue;
            };
            all.add(time, ttl);
            if let Some(ttls) = all_ttls.get_mut(rrset as usize) {
                ttls.add(time, ttl);
            }
            let Some(width) = self.width else { continue };
            let Some(recent) = recent.get_mut(rrset as usize) else { continue };
            let is_row = |row: &Open| {
                let is_in = time.0.wrapping_sub(row.number.saturating_mul(width)) < width;
                row.rrset == rrset && row.role == role && is_in
            };
            if !open.get(*recent as usize).is_some_and(is_row) {
                let number = time.0 / width;
                *recent = *rows.entry((number, role, rrset)).or_insert_with(|| {
                    open.push(Open { number, role, rrset, served: Served::new(time, ttl) });
                    (open.len() - 1) as u32
                });
            }
            if let Some(row) = open.get_mut(*recent as usize) {
                row.served.add(time, ttl);
            }
        }
        is_whole
    }

    /// All RRsets, in order of appearance.
    pub fn iter(&self) -> impl Iterator<Item = &(RrsetKey, Served)> {
        self.served.iter()
    }

    /// With which TTLs each was served, in the same order.
    pub fn ttls(&self) -> impl Iterator<Item = (&RrsetKey, &Ttls)> {
        self.served.iter().map(|(key, _)| key).zip(&self.ttls)
    }

    /// Servers with responses that could not be read to their end, as where the snap length cut them, and the last time of that.
    pub fn unread(&self) -> impl Iterator<Item = (Ipv6Addr, Timestamp)> {
        self.unread.iter().copied()
    }

    /// Rows that wait to be handed out.
    pub const fn rows(&self) -> usize {
        self.open.len()
    }

    /// Whether no more RRset can be kept.
    pub const fn is_full(&self) -> bool {
        self.served.len() >= MAX_RRSETS
    }

    /// Forgets what was served; what is served from now on is as new. There must be no row that waits.
    pub fn forget(&mut self) {
        if self.open.is_empty() {
            self.keys.clear();
            self.served.clear();
            self.known.clear();
            self.recent.clear();
            self.ttls.clear();
        }
    }

    /// Hands out the rows of intervals that began before `moment`, in no order; `zone` is the zone's name.
    pub fn close(&mut self, moment: Timestamp, zone: &Arc<str>) -> Vec<RrsetRow> {
        let Some(width) = self.width else { return Vec::new() };
        let start = |row: &Open| Timestamp(row.number.saturating_mul(width));
        let (closed, open) = std::mem::take(&mut self.open).into_iter().partition(|row| start(row) < moment);
        self.open = open;
        self.rows.clear();
        self.recent.iter_mut().for_each(|recent| *recent = NONE);
        for (at, row) in self.open.iter().enumerate() {
            self.rows.insert((row.number, row.role, row.rrset), at as u32);
        }
        let row = |row: Open| {
            let (rrset, _) = self.served.get(row.rrset as usize)?;
            let (start, zone, rrset) = (start(&row), Arc::clone(zone), rrset.clone());
            Some(RrsetRow { start, role: row.role, zone, rrset, served: row.served })
        };
        let closed: Vec<Open> = closed;
        closed.into_iter().filter_map(row).collect()
    }

    #[cold]
    fn read(&mut self, server: Ipv6Addr, time: Timestamp, octets: &[u8]) -> Option<Box<[(u32, u32)]>> {
        let message = Message::from_vec(octets).ok()?;
        let sections = [
            (Section::Answer, &message.answers),
            (Section::Authority, &message.authorities),
            (Section::Additional, &message.additionals),
        ];
        let mut found: BTreeMap<(Section, String, RecordType), Records> = BTreeMap::new();
        let mut number = 0_u32;
        for (section, records) in sections {
            for record in records {
                let Some((owner, text)) = self.leading(record) else { continue };
                let (rdata, numbers) = found.entry((section, owner, record.record_type())).or_default();
                rdata.push(text);
                numbers.push(number);
                number += 1;
            }
        }
        // Both must have seen the same records, or their TTLs would be those of others.
        if number as usize != self.scan.ttls.len() {
            return None;
        }
        let mut rrsets = Vec::new();
        for ((section, owner, rrtype), (mut rdata, numbers)) in found {
            rdata.sort_unstable();
            rdata.dedup();
            let key = RrsetKey { server, owner, rrtype: rrtype.to_string(), section, rdata };
            let at = match self.keys.get(&key) {
                Some(&at) => at,
                None if self.is_full() => {
                    self.left_out += 1;
                    NONE
                }
                None => {
                    let ttls = numbers.iter().filter_map(|&at| self.scan.ttls.get(at as usize));
                    let ttl = ttls.copied().min().unwrap_or_default();
                    let at = self.served.len() as u32;
                    self.keys.insert(key.clone(), at);
                    self.served.push((key, Served::new(time, ttl)));
                    self.recent.push(NONE);
                    self.ttls.push(Ttls::new(time, ttl));
                    at
                }
            };
            rrsets.extend(numbers.into_iter().map(|number| (at, number)));
        }
        rrsets.sort_unstable();
        Some(rrsets.into())
    }

    /// Owner and data of a record that can lead to a server: the zone's NS and DS, addresses of watched servers.
    fn leading(&self, record: &Record) -> Option<(String, String)> {
        let owner = record.name.to_lowercase().to_ascii();
        let is_apex = || NameBuf::parse(&owner).is_ok_and(|name| name.as_name().is_same(self.zone.as_name()));
        let text = match (&record.data, record.record_type()) {
            (RData::NS(name), _) if is_apex() => name.0.to_lowercase().to_ascii(),
            (data, RecordType::DS) if is_apex() => data.to_string(),
            (RData::A(address), _) if self.scan.is_server(address.0.into()) => address.0.to_string(),
            (RData::AAAA(address), _) if self.scan.is_server(address.0.into()) => address.0.to_string(),
            _ => return None,
        };
        Some((owner, text))
    }
}

#[cfg(test)]
mod tests;
