//! The stretch of a message from the first NS record in its authority section to the last one there, by which the same is known again
//! without a look at each record.
//!
//! Most of what a server says of itself is octet for octet what it said before, also behind other answers about other names: its names
//! are spelt out, or point into the stretch itself, or to the zone's name at the end of the question.

use std::hash::{BuildHasher, Hasher};
use std::net::Ipv6Addr;

use foldhash::quality::RandomState;
use lowtide_proto::Message;

use super::{Found, MAX_STEPS, NS, behind_labels, behind_name, pointer, target};

/// The stretch, and what else its meaning depends on when it stands alone.
#[derive(Debug)]
pub(in super::super) struct Stretch<'a> {
    octets: &'a [u8],
    begin: usize,
    end: usize,
    /// Behind the question's name.
    question: usize,
    /// How many entries each section has, as it stands: with [`Self::place`] it says which sections the records are of.
    counts: u64,
    /// How many records of the section stand before it, where it begins, and where the zone's name does.
    place: u64,
    /// Its records.
    records: &'a [u8],
}

impl<'a> Stretch<'a> {
    /// The stretch of a message about a name in a zone; `None` where the question's name does not stand in it as it is.
    #[inline]
    pub(in super::super) fn of(zone: &[u8], message: &Message<'a>) -> Option<Self> {
        let Message { octets, delegation, .. } = message;
        let question = 12 + message.qname.0.len();
        let (begin, end) = (delegation.begin as usize, delegation.end as usize);
        let [_, _, _, _, counts @ ..] = octets.first_chunk::<12>()?;
        // A name has 255 octets at most, a section 2^16 - 1 records, a message less than 2^24 octets (a dnstap frame has 2^18).
        let apex = question.wrapping_sub(zone.len()) as u64;
        delegation.is_plain.then_some(Self {
            octets,
            begin,
            end,
            question,
            counts: u64::from_le_bytes(*counts),
            place: u64::from(delegation.begin) << 40 ^ u64::from(delegation.before) << 16 ^ apex,
            records: octets.get(begin..end)?,
        })
    }

    /// The number of what it says as a part of a message of `server`, TTLs and all, if it stands alone.
    #[inline]
    pub(in super::super) fn number(&self, server: Ipv6Addr, seed: &RandomState) -> u64 {
        let mut hasher = seed.build_hasher();
        hasher.write_u128(server.to_bits());
        hasher.write_u64(self.counts);
        hasher.write_u64(self.place);
        hasher.write(self.records);
        hasher.finish()
    }

    /// Whether all names of its NS records are in it or end in the zone's name in the question, so that in every other message
    /// where it stands at the same place the same octets say the same.
    pub(in super::super) fn stands_alone(&self, zone: &[u8]) -> bool {
        self.walk(zone).unwrap_or(false)
    }

    fn walk(&self, zone: &[u8]) -> Option<bool> {
        let found = Found::new(self.octets, zone, self.question, 0);
        let mut at = self.begin;
        while at < self.end {
            let fixed = behind_name(self.octets, at)?;
            let &[t0, t1, _, _, _, _, _, _, l0, l1] = self.octets.get(fixed..)?.first_chunk::<10>()?;
            let (rrtype, data) = (u16::from_be_bytes([t0, t1]), fixed + 10);
            if rrtype == NS && !(self.has(&found, at)? && self.has(&found, data)?) {
                return Some(false);
            }
            at = data + usize::from(u16::from_be_bytes([l0, l1]));
        }
        Some(at == self.end)
    }

    /// Whether the name at `at` is in the stretch, or ends in the zone's name.
    fn has(&self, found: &Found<'_>, mut at: usize) -> Option<bool> {
        for _ in 0..MAX_STEPS {
            let labels = behind_labels(self.octets, at)?;
            if self.octets.get(labels) == Some(&0) {
                return Some(labels < self.end);
            }
            let back = target(pointer(self.octets, labels)?, at)?;
            if labels + 2 > self.end {
                return Some(false);
            }
            if found.suffix(back).is_some() {
                return Some(true);
            }
            if back < self.begin {
                return Some(false);
            }
            at = back;
        }
        Some(false)
    }
}
