//! A hash of addresses alone: one multiplication where a hash of octets takes three.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// Hashes addresses with a key that is drawn anew for each table.
#[derive(Clone, Debug)]
pub struct AddressHash(u64, u64);

impl Default for AddressHash {
    fn default() -> Self {
        let random = RandomState::default();
        Self(random.hash_one(0), random.hash_one(1))
    }
}

impl BuildHasher for AddressHash {
    type Hasher = AddressHasher;

    #[inline]
    fn build_hasher(&self) -> AddressHasher {
        AddressHasher { key: (self.0, self.1), hash: 0 }
    }
}

/// The hash of one address.
#[derive(Debug)]
pub struct AddressHasher {
    key: (u64, u64),
    hash: u64,
}

impl Hasher for AddressHasher {
    #[inline]
    fn write(&mut self, octets: &[u8]) {
        for octets in octets.chunks(16) {
            let (first, last) = (octets.first_chunk(), octets.last_chunk());
            let half = |half: Option<&[u8; 8]>| half.map_or(0, |half| u64::from_ne_bytes(*half));
            let (first, last) = (half(first) ^ self.key.0 ^ self.hash, half(last) ^ self.key.1);
            let product = u128::from(first) * u128::from(last);
            self.hash = product as u64 ^ (product >> 64) as u64;
        }
    }

    /// How many octets an address has is always the same.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn addresses_of_networks_are_spread() {
        let hash = AddressHash::default();
        let v4 = (0..65_536_u32).map(|host| Ipv4Addr::from_bits(0xc000_0000 | host).to_ipv6_mapped());
        let v6 = (0..65_536_u128).map(|net| Ipv6Addr::from_bits(0x2001_0db8 << 96 | net << 64 | 1));
        for addresses in [v4.collect::<Vec<_>>(), v6.collect()] {
            let hashes: Vec<u64> = addresses.iter().map(|address| hash.hash_one(address)).collect();
            assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), addresses.len());
            // What a table looks at: the lowest bits for the place, the highest for a first look.
            let places = hashes.iter().map(|hash| hash & 0xffff).collect::<HashSet<_>>().len();
            let looks = hashes.iter().map(|hash| hash >> 57).collect::<HashSet<_>>().len();
            // By chance, 1 - 1/e of the places are taken, or 41,427.
            assert!(places > 38_000 && looks == 128, "{places} {looks}");
        }
    }
}
