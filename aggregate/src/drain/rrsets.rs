//! What servers serve that can lead a resolver to an old server: NS sets, addresses of name servers, DS sets; from every
//! section of every answer about a watched zone.
//!
//! Records are read with hickory-proto. Servers say the same again and again, so a message is read only when its octets, its id
//! apart, have not been seen lately: of all others the time is all that is new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::Ipv6Addr;

use foldhash::fast::RandomState;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use lowtide_proto::{Name, NameBuf, Timestamp};

use super::plan::SECOND;
use super::ttls::Ttls;

/// Messages whose octets are remembered; past it all are forgotten and read anew.
const MAX_KNOWN: usize = 65_536;

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

/// All that watched servers served of watched zones.
#[derive(Debug, Default)]
pub struct Rrsets {
    servers: HashSet<Ipv6Addr, RandomState>,
    keys: HashMap<RrsetKey, usize, RandomState>,
    served: Vec<(RrsetKey, Served)>,
    /// As `served`: with which TTLs.
    ttls: Vec<Ttls>,
    hasher: RandomState,
    /// Messages by the hash of server and octets behind the id: the RRsets in them with their TTLs; `None` where they cannot be read.
    known: HashMap<u64, Option<Vec<(usize, u32)>>, RandomState>,
    /// By server, the last response that could not be read; `None` where all could.
    unread: BTreeMap<Ipv6Addr, Option<Timestamp>>,
    /// RRsets beyond the bound, in responses.
    pub left_out: u64,
}

impl Rrsets {
    /// Nothing served yet; `servers` are those whose addresses matter.
    pub fn new(servers: impl IntoIterator<Item = Ipv6Addr>) -> Self {
        Self { servers: servers.into_iter().collect(), ..Self::default() }
    }

    /// Reads a response of a watched server about a name in `zone`.
    pub fn observe(&mut self, server: Ipv6Addr, zone: Name<'_>, time: Timestamp, octets: &[u8]) {
        let Some(behind_id) = octets.get(2..) else { return };
        let hash = self.hasher.hash_one((server, behind_id));
        if !self.known.contains_key(&hash) {
            let rrsets = self.read(server, zone, time, octets);
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(hash, rrsets);
        }
        let unread = self.unread.entry(server).or_default();
        let Some(Some(rrsets)) = self.known.get(&hash) else {
            *unread = (*unread).max(Some(time));
            return;
        };
        for &(at, ttl) in rrsets {
            if let Some((_, served)) = self.served.get_mut(at) {
                served.add(time, ttl);
            }
            if let Some(ttls) = self.ttls.get_mut(at) {
                ttls.add(time, ttl);
            }
        }
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
        self.unread.iter().filter_map(|(&server, &time)| Some((server, time?)))
    }

    /// Whether any response of a server was seen.
    pub fn has_answer_of(&self, server: Ipv6Addr) -> bool {
        self.unread.contains_key(&server)
    }

    #[cold]
    fn read(
        &mut self,
        server: Ipv6Addr,
        zone: Name<'_>,
        time: Timestamp,
        octets: &[u8],
    ) -> Option<Vec<(usize, u32)>> {
        let message = Message::from_vec(octets).ok()?;
        let sections = [
            (Section::Answer, &message.answers),
            (Section::Authority, &message.authorities),
            (Section::Additional, &message.additionals),
        ];
        let mut found: BTreeMap<(Section, String, RecordType), (Vec<String>, u32)> = BTreeMap::new();
        for (section, records) in sections {
            for record in records {
                let Some((owner, text)) = self.leading(record, zone) else { continue };
                let (rdata, ttl) = found
                    .entry((section, owner, record.record_type()))
                    .or_insert_with(|| (Vec::new(), MAX_TTL));
                rdata.push(text);
                // RFC 2181 §5.2: where TTLs of an RRset differ, the lowest holds.
                *ttl = (*ttl).min(record.ttl);
            }
        }
        let mut rrsets = Vec::new();
        for ((section, owner, rrtype), (mut rdata, ttl)) in found {
            rdata.sort_unstable();
            rdata.dedup();
            let key = RrsetKey { server, owner, rrtype: rrtype.to_string(), section, rdata };
            let at = match self.keys.get(&key) {
                Some(&at) => at,
                None if self.served.len() >= MAX_RRSETS => {
                    self.left_out += 1;
                    continue;
                }
                None => {
                    let at = self.served.len();
                    self.keys.insert(key.clone(), at);
                    self.served.push((key, Served::new(time, ttl)));
                    self.ttls.push(Ttls::new(time, ttl));
                    at
                }
            };
            rrsets.push((at, ttl));
        }
        Some(rrsets)
    }

    /// Owner and data of a record that can lead to a server: the zone's NS and DS, addresses of watched servers.
    fn leading(&self, record: &Record, zone: Name<'_>) -> Option<(String, String)> {
        let owner = record.name.to_lowercase().to_ascii();
        let is_apex = || NameBuf::parse(&owner).is_ok_and(|name| name.as_name().is_same(zone));
        let text = match (&record.data, record.record_type()) {
            (RData::NS(name), _) if is_apex() => name.0.to_lowercase().to_ascii(),
            (data, RecordType::DS) if is_apex() => data.to_string(),
            (RData::A(address), _) if self.servers.contains(&address.0.to_ipv6_mapped()) => {
                address.0.to_string()
            }
            (RData::AAAA(address), _) if self.servers.contains(&address.0) => address.0.to_string(),
            _ => return None,
        };
        Some((owner, text))
    }
}
