//! Reproducible accidents.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when that is 0.
    pub const fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.bits() % end as u64) as usize }
    }

    /// A range inside `0..len`, short ones more often than long ones.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = (len - start) >> self.below(6);
        start..start + self.below(most + 1)
    }

    /// `octets` with one to four things gone wrong; `other` gives the octets that get in.
    pub fn mutate(&mut self, octets: &[u8], other: &[u8]) -> Vec<u8> {
        let mut octets = octets.to_vec();
        for _ in 0..=self.below(4) {
            self.mutate_once(&mut octets, other);
        }
        octets
    }

    fn mutate_once(&mut self, octets: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(octets.len());
        match self.below(10) {
            0 | 1 => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet ^= 1 << self.below(8);
                }
            }
            2 => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = [0, 1, 0x3f, 0x7f, 0x80, 0xc0, 0xff, self.bits() as u8][self.below(8)];
                }
            }
            // Lengths and counts: none, one, too many, as many as there are.
            3 | 4 => {
                let left = octets.len() - at;
                let value = [0, 1, u64::MAX, left as u64, self.bits()][self.below(5)];
                let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
                let (new, width): (&[u8], _) = match self.below(4) {
                    0 => (&big[6..], 2),
                    1 => (&big[4..], 4),
                    2 => (&little[..2], 2),
                    _ => (&little[..4], 4),
                };
                let width = left.min(width);
                octets[at..at + width].copy_from_slice(&new[..width]);
            }
            5 => octets.truncate(at),
            6 => {
                octets.drain(self.range(octets.len()));
            }
            7 => {
                let again = octets[self.range(octets.len())].to_vec();
                octets.splice(at..at, again);
            }
            8 => {
                let foreign = &other[self.range(other.len())];
                octets.splice(self.range(octets.len()), foreign.iter().copied());
            }
            _ => {
                octets.truncate(at);
                octets.extend(&other[self.below(other.len())..]);
            }
        }
    }
}
