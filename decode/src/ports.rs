//! The ports on which DNS is looked for.

/// A set of ports; 53 is in it from the start.
#[derive(Clone)]
pub struct Ports {
    /// One bit a port.
    bits: Box<[u64; 1024]>,
}

impl Ports {
    /// Port 53 and those of `more`.
    pub fn new(more: &[u16]) -> Self {
        let mut bits = Box::new([0; 1024]);
        for port in more.iter().chain(&[53]) {
            if let Some(word) = bits.get_mut(usize::from(port >> 6)) {
                *word |= 1 << (port & 63);
            }
        }
        Self { bits }
    }

    /// Whether `port` is a DNS port.
    #[inline]
    pub fn contains(&self, port: u16) -> bool {
        self.bits.get(usize::from(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 == 1)
    }

    /// Whether one of two ports is a DNS port. Port 53 is tried on both before anything is looked up.
    #[inline]
    pub fn either(&self, one: u16, other: u16) -> bool {
        one == 53 || other == 53 || self.contains(one) || self.contains(other)
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::new(&[])
    }
}
