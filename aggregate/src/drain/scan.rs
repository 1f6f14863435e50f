//! A first look at a response: which of its records can lead to a server, and whether the same were seen before.
//!
//! Servers say the same again and again, about ever other names. So records are not parsed here: they are found, and their
//! content is folded into one number, by which it is known again. Nothing is copied and nothing is kept.

mod stretch;

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use lowtide_proto::{Name, server_bit};

use super::served::MAX_TTL;
pub(super) use stretch::Stretch;

const A: u16 = 1;
const NS: u16 = 2;
const AAAA: u16 = 28;
const DS: u16 = 43;

/// By bits, the types of records that can lead to a server.
const LEADING: u64 = 1 << A | 1 << NS | 1 << AAAA | 1 << DS;

/// The class of the Internet.
const IN: [u8; 2] = [0, 1];

/// What is in the place of a label's length behind the last one: no label is so long. The root; a pointer to labels that follow; a pointer to
/// the zone's name, or past so many of its labels.
const ROOT: u8 = 0;
const ELSEWHERE: u8 = 0x80;
const ZONE: u8 = 0x81;

/// Labels of a name at most (RFC 1035 §3.1), and so pointers too that lead from one to the next.
const MAX_STEPS: usize = 256;

/// Mixes well enough for a number that is only compared: the halves of a product.
#[derive(Clone, Copy)]
struct Digest(u64);

impl Digest {
    #[inline]
    fn add(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(23) ^ 0xd6e8_feb8_6659_fd93;
    }

    /// Labels with their lengths, letters lower-cased, and `mark` in the place of the next one's length.
    #[inline]
    fn add_labels(&mut self, labels: &[u8], mark: u8) {
        // Lengths of labels are no letters.
        let (words, rest) = labels.as_chunks();
        words.iter().for_each(|word| self.add(lowercase(u64::from_le_bytes(*word))));
        self.add(lowercase(few(rest)) | u64::from(mark) << (8 * rest.len()));
    }

    #[inline]
    fn add_octets(&mut self, octets: &[u8]) {
        self.add(octets.len() as u64);
        let (words, rest) = octets.as_chunks();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        self.add(few(rest));
    }
}

/// Less than eight octets as a number, by two loads that overlap.
#[inline]
fn few(octets: &[u8]) -> u64 {
    let shift = |count: usize| 8 * octets.len().saturating_sub(count);
    if let (Some(first), Some(last)) = (octets.first_chunk(), octets.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << shift(4);
    }
    if let (Some(first), Some(last)) = (octets.first_chunk(), octets.last_chunk()) {
        return u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << shift(2);
    }
    octets.first().map_or(0, |&octet| u64::from(octet))
}

/// Eight octets, letters lower-cased.
const fn lowercase(octets: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = octets & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let above_z = low + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a ^ above_z) & !octets & (0x80 * ONES);
    octets | (upper >> 2)
}

/// Finds the records of a response that can lead to a server.
#[derive(Debug)]
pub(super) struct Scan {
    /// The servers' addresses by family, sorted. They are few.
    v4: Vec<u32>,
    v6: Vec<u128>,
    seed: u64,
    /// The bits of their addresses, as in [`lowtide_proto::Message::servers`].
    pub bits: u64,
    /// The TTLs of the records found in the last message, in order.
    pub ttls: Vec<u32>,
}

impl Scan {
    /// Looks for addresses of these servers, beside NS and DS sets; `seed` keeps numbers from being foreseen.
    pub(super) fn new(servers: impl IntoIterator<Item = Ipv6Addr>, seed: u64) -> Self {
        let (mut v4, mut v6, mut bits) = (Vec::new(), Vec::new(), 0);
        for server in servers {
            bits |= server_bit(&server.octets());
            match server.to_ipv4_mapped() {
                Some(server) => v4.push(server.to_bits()),
                None => v6.push(server.to_bits()),
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        Self { v4, v6, seed, bits, ttls: Vec::new() }
    }

    /// Whether an address is one of a server.
    #[inline]
    pub(super) fn is_server(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => has(&self.v4, address.to_bits()),
            IpAddr::V6(address) => has(&self.v6, address.to_bits()),
        }
    }

    /// The number of what a response of `server` carries that can lead to a server, TTLs apart; [`Self::ttls`] has these. `None` when
    /// it cannot be read to its end. `zone` is the zone's name, lower case.
    #[inline]
    pub(super) fn look(&mut self, server: Ipv6Addr, zone: &[u8], octets: &[u8]) -> Option<u64> {
        self.ttls.clear();
        let [_, _, _, _, q0, q1, a0, a1, n0, n1, r0, r1] = *octets.first_chunk::<12>()?;
        let count = |high, low| u32::from(u16::from_be_bytes([high, low]));
        let (mut at, mut question) = (12, 12);
        for number in 0..count(q0, q1) {
            at = behind_name(octets, at)?;
            if number == 0 {
                question = at;
            }
            at += 4;
        }
        let authority = count(a0, a1);
        let additional = authority + count(n0, n1);
        let mut found = Found::new(octets, zone, question, self.seed);
        for record in 0..additional + count(r0, r1) {
            let owner = at;
            // Nearly every owner is a pointer or the root.
            let fixed = match *octets.get(at)? {
                192.. => at + 2,
                0 => at + 1,
                _ => behind_name(octets, at)?,
            };
            let &[t0, t1, c0, c1, ref ttl @ .., l0, l1] = octets.get(fixed..)?.first_chunk::<10>()?;
            let data = fixed + 10;
            at = data + usize::from(u16::from_be_bytes([l0, l1]));
            let rrtype = u16::from_be_bytes([t0, t1]);
            // All others are passed over by one look.
            if rrtype < 64 && LEADING >> rrtype & 1 == 1 && [c0, c1] == IN {
                let section = u64::from(record >= authority) + u64::from(record >= additional);
                if self.leads(&mut found, section, rrtype, owner, data..at)? {
                    self.ttls.push(u32::from_be_bytes(*ttl).min(MAX_TTL));
                }
            }
        }
        if at > octets.len() {
            return None;
        }
        if !self.ttls.is_empty() {
            let bits = server.to_bits();
            found.digest.add(bits as u64);
            found.digest.add((bits >> 64) as u64);
        }
        Some(found.digest.0)
    }

    /// Whether a record can lead to a server; it is folded then. `None` where it cannot be read.
    fn leads(
        &self,
        found: &mut Found<'_>,
        section: u64,
        rrtype: u16,
        owner: usize,
        data: Range<usize>,
    ) -> Option<bool> {
        let begin = data.start;
        let data = found.octets.get(data)?;
        let leads = match rrtype {
            A => <[u8; 4]>::try_from(data).is_ok_and(|v4| has(&self.v4, u32::from_be_bytes(v4))),
            AAAA => <[u8; 16]>::try_from(data).is_ok_and(|v6| has(&self.v6, u128::from_be_bytes(v6))),
            _ => !data.is_empty() && found.is_zone(owner),
        };
        if leads {
            found.digest.add((1 + section) << 8 | u64::from(rrtype));
            match rrtype {
                NS => found.fold(begin)?,
                DS => found.digest.add_octets(data),
                _ => {
                    found.digest.add_octets(data);
                    found.fold(owner)?;
                }
            }
        }
        Some(leads)
    }
}

/// Whether sorted numbers have this one.
#[inline]
fn has<T: Ord + Copy>(numbers: &[T], number: T) -> bool {
    // Of so few, looking at all is quicker.
    if numbers.len() <= 8 { numbers.contains(&number) } else { numbers.binary_search(&number).is_ok() }
}

/// What is found in one response.
struct Found<'a> {
    octets: &'a [u8],
    zone: &'a [u8],
    digest: Digest,
    /// Where the zone's name begins at the end of the first question: most servers point there for it, and for the names that it is in.
    /// Beyond all pointers where the question does not end in it.
    apex: usize,
}

impl<'a> Found<'a> {
    /// Nothing yet in a message whose first question's name ends before `question`.
    #[inline]
    fn new(octets: &'a [u8], zone: &'a [u8], question: usize, seed: u64) -> Self {
        let begin = question.checked_sub(zone.len()).filter(|&begin| begin >= 12);
        let is_zone = |name: &[u8]| Name(name).is_same(Name(zone)) || name.eq_ignore_ascii_case(zone);
        let apex = begin.filter(|&begin| octets.get(begin..question).is_some_and(is_zone));
        Self { octets, zone, digest: Digest(seed), apex: apex.unwrap_or(usize::MAX) }
    }

    /// Whether the name at `at` is the zone's.
    #[inline]
    fn is_zone(&self, at: usize) -> bool {
        pointer(self.octets, at).is_some_and(|to| usize::from(to & 0x3fff) == self.apex)
            || is_name(self.octets, at, self.zone)
    }

    /// A mark for a name that begins at `at`, if the zone's name ends in it: from there on every message says the same. It has to begin at
    /// a label: what is read from the midst of one may go on behind the zone's name.
    #[inline]
    fn suffix(&self, at: usize) -> Option<u8> {
        let target = at.checked_sub(self.apex)?;
        let (mut label, mut mark) = (0, ZONE);
        while label < target {
            label += 1 + usize::from(*self.zone.get(label)?);
            mark = mark.checked_add(1)?;
        }
        (label == target && target < self.zone.len()).then_some(mark)
    }

    /// Folds the name at `at`, or as much of it as stands before the zone's or a name that this is in.
    #[inline]
    fn fold(&mut self, mut at: usize) -> Option<()> {
        let octets = self.octets;
        for _ in 0..MAX_STEPS {
            let end = behind_labels(octets, at)?;
            let labels = octets.get(at..end)?;
            if octets.get(end) == Some(&0) {
                self.digest.add_labels(labels, ROOT);
                return Some(());
            }
            let target = target(pointer(octets, end)?, at)?;
            let suffix = self.suffix(target);
            self.digest.add_labels(labels, suffix.unwrap_or(ELSEWHERE));
            if suffix.is_some() {
                return Some(());
            }
            at = target;
        }
        None
    }
}

/// The pointer at `at`, if there is one.
#[inline]
fn pointer(octets: &[u8], at: usize) -> Option<u16> {
    let pointer = u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]);
    (pointer >= 0xc000).then_some(pointer)
}

/// Where a pointer leads: strictly back.
#[inline]
fn target(pointer: u16, bound: usize) -> Option<usize> {
    let target = usize::from(pointer & 0x3fff);
    (target < bound).then_some(target)
}

/// The first octet behind the labels of the name at `at`: the root's, or those of a pointer.
#[inline]
fn behind_labels(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *octets.get(at)? {
            len @ 1..=63 => at += 1 + usize::from(len),
            0 | 192.. => return Some(at),
            _ => return None,
        }
    }
}

/// The first octet behind the name at `at`.
#[inline]
fn behind_name(octets: &[u8], at: usize) -> Option<usize> {
    let end = behind_labels(octets, at)?;
    Some(end + if octets.get(end) == Some(&0) { 1 } else { 2 })
}

/// Whether the name at `at` is `name`, which is lower case.
fn is_name(octets: &[u8], mut at: usize, name: &[u8]) -> bool {
    let (mut rest, mut bound) = (name, at);
    for _ in 0..MAX_STEPS {
        match octets.get(at) {
            Some(0) => return rest == [0],
            Some(&len @ 1..=63) => {
                let label = octets.get(at..at + 1 + usize::from(len)).unwrap_or_default();
                match rest.split_at_checked(label.len()) {
                    Some((expected, behind)) if !label.is_empty() && label.eq_ignore_ascii_case(expected) => {
                        rest = behind;
                    }
                    _ => return false,
                }
                at += label.len();
            }
            _ => match pointer(octets, at).and_then(|pointer| target(pointer, bound)) {
                Some(back) => (at, bound) = (back, back),
                None => return false,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests;
