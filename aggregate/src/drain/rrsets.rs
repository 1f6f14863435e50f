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
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use lowtide_proto::{Facts, Message as Seen, NameBuf, Role, Timestamp};

use super::rows::RrsetRow;
use super::scan::{Scan, Stretch};
use super::served::{AllKept, NONE};
use super::ttls::Ttls;

pub use super::served::{MAX_TTL, RrsetKey, Section, Served};

/// What messages carry is remembered of so many; past it all is forgotten and read anew.
const MAX_KNOWN: usize = 16_384;

/// The records of an RRset in a message: their texts, and which they are of those that lead to a server.
type Records = (Vec<String>, Vec<u32>);

/// All that watched servers served of one watched zone.
#[derive(Debug)]
pub struct Rrsets {
    zone: NameBuf,
    scan: Scan,
    keys: HashMap<RrsetKey, u32, RandomState>,
    kept: AllKept,
    /// By what messages carry: the RRset of each record that leads to a server, with the record's number, by RRset.
    known: HashMap<u64, Box<[(u32, u32)]>, RandomState>,
    /// By what stands from the first to the last NS record in messages' authority sections: the RRsets with their TTLs.
    stretches: HashMap<u64, Box<[(u32, u32)]>, RandomState>,
    seed: foldhash::quality::RandomState,
    /// The RRsets of the message that was read last, with their TTLs.
    found: Vec<(u32, u32)>,
    /// The last response of each server that could not be read, if there was one.
    unread: Vec<(Ipv6Addr, Timestamp)>,
}

impl Rrsets {
    /// Nothing served yet of a zone; `servers` are those whose addresses matter. With `width`, the nanoseconds of an interval, rows are
    /// made.
    pub fn new(zone: NameBuf, servers: impl IntoIterator<Item = Ipv6Addr>, width: Option<u64>) -> Self {
        Self {
            zone,
            scan: Scan::new(servers, RandomState::default().hash_one(0)),
            keys: HashMap::default(),
            kept: AllKept::new(width),
            known: HashMap::default(),
            stretches: HashMap::default(),
            seed: foldhash::quality::RandomState::default(),
            found: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Reads a response of a watched server about a name in the zone; whether it could be read to its end.
    #[inline(never)]
    pub fn observe(&mut self, server: Ipv6Addr, role: Role, time: Timestamp, message: &Seen<'_>) -> bool {
        let is_told = message.malformed.is_none() && !message.facts.contains(Facts::CUT);
        let is_read = if !is_told || message.servers & self.scan.bits != 0 {
            self.look(server, role, time, message.octets)
        } else {
            message.delegation.end == 0 || self.look_at_stretch(server, role, time, message)
        };
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

    /// The same of a message in which only NS records in the authority section may lead to a server.
    #[inline]
    fn look_at_stretch(&mut self, server: Ipv6Addr, role: Role, time: Timestamp, message: &Seen<'_>) -> bool {
        let stretch = Stretch::of(self.zone.wire(), message);
        let number = stretch.as_ref().map(|stretch| stretch.number(server, &self.seed));
        if let Some(found) = number.and_then(|number| self.stretches.get(&number)) {
            return self.kept.serve(found, role, time);
        }
        let is_read = self.look(server, role, time, message.octets);
        let stands_alone = || stretch.is_some_and(|stretch| stretch.stands_alone(self.zone.wire()));
        if let Some(number) = number.filter(|_| is_read && stands_alone()) {
            if self.stretches.len() >= MAX_KNOWN {
                self.stretches.clear();
            }
            self.stretches.insert(number, self.found.as_slice().into());
        }
        is_read
    }

    #[inline(never)]
    fn look(&mut self, server: Ipv6Addr, role: Role, time: Timestamp, octets: &[u8]) -> bool {
        self.found.clear();
        match self.scan.look(server, self.zone.wire(), octets) {
            Some(_) if self.scan.ttls.is_empty() => true,
            Some(number) => self.served(number, server, role, time, octets),
            None => false,
        }
    }

    fn served(&mut self, number: u64, server: Ipv6Addr, role: Role, time: Timestamp, octets: &[u8]) -> bool {
        let known = match self.known.get(&number) {
            Some(known) => known,
            None => {
                let Some(known) = self.read(server, time, octets) else { return false };
                if self.known.len() >= MAX_KNOWN {
                    self.known.clear();
                }
                self.known.entry(number).or_insert(known)
            }
        };
        for records in known.chunk_by(|one, other| one.0 == other.0) {
            let Some(&(rrset, _)) = records.first() else { continue };
            let ttls = records.iter().filter_map(|&(_, at)| self.scan.ttls.get(at as usize));
            // RFC 2181 §5.2: where TTLs of an RRset differ, the lowest holds.
            self.found.push((rrset, ttls.copied().min().unwrap_or_default()));
        }
        self.kept.serve(&self.found, role, time)
    }

    /// All RRsets, in order of appearance.
    pub fn iter(&self) -> impl Iterator<Item = (&RrsetKey, &Served)> {
        self.kept.iter().map(|kept| (&kept.key, &kept.served))
    }

    /// With which TTLs each was served, in the same order.
    pub fn ttls(&self) -> impl Iterator<Item = (&RrsetKey, &Ttls)> {
        self.kept.iter().map(|kept| (&kept.key, &kept.ttls))
    }

    /// Servers with responses that could not be read to their end, as where the snap length cut them, and the last time of that.
    pub fn unread(&self) -> impl Iterator<Item = (Ipv6Addr, Timestamp)> {
        self.unread.iter().copied()
    }

    /// Rows that wait to be handed out.
    pub const fn rows(&self) -> usize {
        self.kept.rows()
    }

    /// Whether no more RRset can be kept.
    pub const fn is_full(&self) -> bool {
        self.kept.is_full()
    }

    /// Forgets what was served; what is served from now on is as new. There must be no row that waits.
    pub fn forget(&mut self) {
        if self.kept.forget() {
            self.keys.clear();
            self.known.clear();
            self.stretches.clear();
        }
    }

    /// Hands out the rows of intervals that began before `moment`, in no order; `zone` is the zone's name.
    pub fn close(&mut self, moment: Timestamp, zone: &Arc<str>) -> Vec<RrsetRow> {
        self.kept.close(moment, zone)
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
                None => {
                    let ttls = numbers.iter().filter_map(|&at| self.scan.ttls.get(at as usize));
                    let ttl = ttls.copied().min().unwrap_or_default();
                    match self.kept.add(key.clone(), time, ttl) {
                        Some(at) => {
                            self.keys.insert(key, at);
                            at
                        }
                        // A response that could not be read to its end, by that.
                        None => NONE,
                    }
                }
            };
            rrsets.extend(numbers.into_iter().map(|number| (at, number)));
        }
        rrsets.sort_unstable();
        Some(rrsets.into())
    }

    /// Owner and data of a record that can lead to a server: the zone's NS and DS, addresses of watched servers.
    fn leading(&self, record: &Record) -> Option<(String, String)> {
        if record.dns_class != DNSClass::IN {
            return None;
        }
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
