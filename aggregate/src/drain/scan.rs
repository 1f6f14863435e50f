//! A first look at a response: which of its records can lead to a server, and whether the same were seen before.
//!
//! Servers say the same again and again, about ever other names. So records are not parsed here: they are found, and their
//! content is folded into one number, by which it is known again. Nothing is copied and nothing is kept.

use std::net::{IpAddr, Ipv6Addr};

use super::rrsets::MAX_TTL;

const A: u16 = 1;
const NS: u16 = 2;
const AAAA: u16 = 28;
const DS: u16 = 43;

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

    /// The octets from `at` on, so many, letters lower-cased: a label with its length, which has no letters. `None` where they are not there.
    #[inline]
    fn add_lowercase(&mut self, octets: &[u8], mut at: usize, mut count: usize) -> Option<()> {
        while count > 0 {
            self.add(lowercase(eight(octets, at, count.min(8))?));
            at += 8;
            count = count.saturating_sub(8);
        }
        Some(())
    }

    #[inline]
    fn add_octets(&mut self, octets: &[u8]) {
        self.add(octets.len() as u64);
        for at in (0..octets.len()).step_by(8) {
            self.add(eight(octets, at, (octets.len() - at).min(8)).unwrap_or_default());
        }
    }
}

/// Up to eight octets as a number. They are read together wherever it can be: a load of what was just stored in pieces has to wait for it.
#[inline]
fn eight(octets: &[u8], at: usize, count: usize) -> Option<u64> {
    let mask = u64::MAX >> (64 - 8 * count.clamp(1, 8));
    if let Some(eight) = octets.get(at..).and_then(<[u8]>::first_chunk) {
        return Some(u64::from_le_bytes(*eight) & mask);
    }
    let rest = octets.get(at..at + count)?;
    Some(rest.iter().rev().fold(0, |number, &octet| number << 8 | u64::from(octet)))
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
    /// The TTLs of the records found in the last message, in order.
    pub ttls: Vec<u32>,
}

impl Scan {
    /// Looks for addresses of these servers, beside NS and DS sets; `seed` keeps numbers from being foreseen.
    pub(super) fn new(servers: impl IntoIterator<Item = Ipv6Addr>, seed: u64) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for server in servers {
            match server.to_ipv4_mapped() {
                Some(server) => v4.push(server.to_bits()),
                None => v6.push(server.to_bits()),
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        Self { v4, v6, seed, ttls: Vec::new() }
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
        let mut at = 12;
        for _ in 0..count(q0, q1) {
            at = behind_name(octets, at)? + 4;
        }
        let authority = count(a0, a1);
        let additional = authority + count(n0, n1);
        let mut digest = Digest(self.seed);
        let mut apex = Apex::default();
        for record in 0..additional + count(r0, r1) {
            let owner = at;
            // Nearly every owner is a pointer, so that it and what is fixed can be read at once.
            let fixed = match octets.get(at..).and_then(<[u8]>::first_chunk::<12>) {
                Some([192..=255, _, fixed @ ..]) => {
                    at += 12;
                    fixed
                }
                _ => {
                    let behind = behind_name(octets, at)?;
                    at = behind + 10;
                    octets.get(behind..)?.first_chunk()?
                }
            };
            let [t0, t1, _, _, ttl @ .., l0, l1] = *fixed;
            let (rrtype, begin) = (u16::from_be_bytes([t0, t1]), at);
            at += usize::from(u16::from_be_bytes([l0, l1]));
            let data = octets.get(begin..at)?;
            let leads = match rrtype {
                NS | DS => !data.is_empty() && apex.is(octets, owner, zone),
                A => <[u8; 4]>::try_from(data).is_ok_and(|v4| has(&self.v4, u32::from_be_bytes(v4))),
                AAAA => <[u8; 16]>::try_from(data).is_ok_and(|v6| has(&self.v6, u128::from_be_bytes(v6))),
                _ => false,
            };
            if !leads {
                continue;
            }
            let section = u64::from(record >= authority) + u64::from(record >= additional);
            // No label of six octets reaches these bits, see below.
            let mark = ((1 + section) << 8 | u64::from(rrtype)) << 48;
            let label = (rrtype == NS).then(|| apex.label(octets, begin, data.len())).flatten();
            digest.add(mark | label.unwrap_or_default());
            match rrtype {
                NS if label.is_some() => {}
                NS => apex.fold(&mut digest, octets, begin)?,
                DS => digest.add_octets(data),
                _ => {
                    digest.add_octets(data);
                    apex.fold(&mut digest, octets, owner)?;
                }
            }
            self.ttls.push(u32::from_be_bytes(ttl).min(MAX_TTL));
        }
        if !self.ttls.is_empty() {
            let bits = server.to_bits();
            digest.add(bits as u64);
            digest.add((bits >> 64) as u64);
        }
        Some(digest.0)
    }
}

/// Whether sorted numbers have this one.
#[inline]
fn has<T: Ord + Copy>(numbers: &[T], number: T) -> bool {
    // Of so few, looking at all is quicker.
    if numbers.len() <= 8 { numbers.contains(&number) } else { numbers.binary_search(&number).is_ok() }
}

/// The pointer by which a message names the zone: most servers name it but once.
#[derive(Default)]
struct Apex {
    /// The pointer's two octets; 0 = none known, which is no pointer.
    known: u16,
}

impl Apex {
    /// Whether the name at `at` is the zone's.
    #[inline]
    fn is(&mut self, octets: &[u8], at: usize, zone: &[u8]) -> bool {
        let pointer = pointer(octets, at);
        pointer.is_some_and(|pointer| pointer == self.known) || self.learn(octets, at, zone, pointer)
    }

    fn learn(&mut self, octets: &[u8], at: usize, zone: &[u8], pointer: Option<u16>) -> bool {
        let is_zone = is_name(octets, at, zone);
        if let Some(pointer) = pointer.filter(|_| is_zone) {
            self.known = pointer;
        }
        is_zone
    }

    /// The label in lower case, if the `length` octets at `at` are one label of up to five octets, and the zone's pointer: so most
    /// servers' names are written.
    #[inline]
    fn label(&self, octets: &[u8], at: usize, length: usize) -> Option<u64> {
        let eight = u64::from_le_bytes(*octets.get(at..)?.first_chunk()?);
        let len = eight & 0xff;
        if !(1..=5).contains(&len) || length as u64 != len + 3 {
            return None;
        }
        let bits = 8 * (len + 1);
        let pointer = ((eight >> bits) as u16).swap_bytes();
        (pointer == self.known).then_some(lowercase(eight & ((1 << bits) - 1)))
    }

    /// Folds the name at `at`, or as much of it as stands before the zone's.
    #[inline]
    fn fold(&self, digest: &mut Digest, octets: &[u8], mut at: usize) -> Option<()> {
        let mut bound = at;
        for _ in 0..MAX_STEPS {
            let len = *octets.get(at)?;
            match len {
                0 => {
                    digest.add(0);
                    return Some(());
                }
                1..=63 => {
                    digest.add_lowercase(octets, at, 1 + usize::from(len))?;
                    at += 1 + usize::from(len);
                }
                _ => {
                    let pointer = pointer(octets, at)?;
                    if pointer == self.known {
                        digest.add(u64::MAX);
                        return Some(());
                    }
                    at = target(pointer, bound)?;
                    bound = at;
                }
            }
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

/// The first octet behind the name at `at`.
#[inline]
fn behind_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
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
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Owner, type, TTL and data.
    type Wire<'a> = (&'a [u8], u16, u32, &'a [u8]);

    /// A response about `name` in example.net with these records, as they are.
    fn response(name: &[u8], sections: [&[Wire<'_>]; 3]) -> Vec<u8> {
        let mut octets = vec![0, 7, 0x84, 0, 0, 1];
        sections.iter().for_each(|records| octets.extend((records.len() as u16).to_be_bytes()));
        octets.extend(name);
        octets.extend([0, 1, 0, 1]);
        for (owner, rrtype, ttl, data) in sections.into_iter().flatten() {
            octets.extend(*owner);
            octets.extend(rrtype.to_be_bytes());
            octets.extend([0, 1]);
            octets.extend(ttl.to_be_bytes());
            octets.extend((data.len() as u16).to_be_bytes());
            octets.extend(*data);
        }
        octets
    }

    const ZONE: &[u8] = b"\x07example\x03net\0";
    const SERVER: Ipv6Addr = Ipv6Addr::LOCALHOST;

    fn scan() -> Scan {
        Scan::new([Ipv4Addr::new(192, 0, 2, 53).to_ipv6_mapped(), SERVER], 99)
    }

    #[test]
    fn letters_are_lower_cased_and_nothing_else() {
        for octet in 0..=255_u8 {
            let all = lowercase(u64::from_le_bytes([octet; 8]));
            assert_eq!(all, u64::from_le_bytes([octet.to_ascii_lowercase(); 8]));
        }
    }

    #[test]
    fn the_same_about_other_names_has_the_same_number() {
        let mut scan = scan();
        let mut look = |octets: &[u8]| (scan.look(SERVER, ZONE, octets).unwrap(), scan.ttls.clone());
        // The zone is at octet 16 of the first message and at 20 of the second.
        let of = |name: &[u8], zone: u8, host: &[u8], ttl: u32| {
            let data = [host, &[0xc0, zone]].concat();
            response(
                name,
                [&[], &[(&[0xc0, zone], NS, ttl, &data)], &[(&[0xc0, 12], A, 5, &[192, 0, 2, 54])]],
            )
        };
        let first = look(&of(b"\x03www\x07example\x03net\0", 16, b"\x03ns1", 300));
        assert_eq!(first.1, [300], "an address of nobody leads nowhere");
        assert_eq!(look(&of(b"\x07a-b-c-d\x07eXample\x03nEt\0", 20, b"\x03Ns1", 299)), (first.0, vec![299]));
        assert_ne!(look(&of(b"\x03www\x07example\x03net\0", 16, b"\x03ns2", 300)).0, first.0);
        assert_ne!(look(&of(b"\x03www\x07example\x03net\0", 16, b"\x03ns1\x01x", 300)).0, first.0);
        // Of a name below the zone, no NS set leads.
        assert_eq!(look(&of(b"\x03www\x07example\x03net\0", 12, b"\x03ns1", 300)).1, [0_u32; 0]);
    }

    #[test]
    fn addresses_of_servers_are_found_in_every_section() {
        let mut scan = scan();
        let address: Wire<'_> = (&[0xc0, 12], A, u32::MAX, &[192, 0, 2, 53]);
        let six: Wire<'_> = (&[0xc0, 12], AAAA, 7, &SERVER.octets());
        let name = b"\x03ns1\x07example\x03net\0";
        let mut numbers = Vec::new();
        for sections in
            [[&[address][..], &[], &[]], [&[], &[address], &[]], [&[], &[], &[address]], [&[six], &[], &[]]]
        {
            numbers.push(scan.look(SERVER, ZONE, &response(name, sections)).unwrap());
            assert_eq!(scan.ttls, [if sections[0] == [six] { 7 } else { MAX_TTL }]);
        }
        numbers
            .push(scan.look(Ipv6Addr::UNSPECIFIED, ZONE, &response(name, [&[address], &[], &[]])).unwrap());
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 5, "section, type, content and server tell them apart");
    }

    #[test]
    fn what_is_cut_or_leads_in_circles_is_not_read() {
        let name = b"\x03www\x07example\x03net\0";
        let circle = response(name, [&[], &[(&[0xc0, 16], NS, 1, b"\x01a\xc0\x2d")], &[]]);
        assert_eq!(circle[0x2d..0x2f], [1, b'a'], "the pointer leads to its own name");
        assert_eq!(scan().look(SERVER, ZONE, &circle), None);
        let whole = response(name, [&[], &[(&[0xc0, 16], NS, 1, b"\x01a\xc0\x10"), (&[0], 41, 0, &[])], &[]]);
        assert!(scan().look(SERVER, ZONE, &whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(scan().look(SERVER, ZONE, &whole[..end]), None, "{end}");
        }
    }
}
