//! The one cursor that parses everything: link, IP, DNS, protobuf and Frame Streams headers.
//!
//! No index arithmetic leaves it: a parser takes what it needs, and what is not there is a [`Short`].

/// Fewer octets were left than a field needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Octets that the field needs.
    pub needed: usize,
    /// Octets that were left.
    pub had: usize,
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} octets needed, {} left", self.needed, self.had)
    }
}

impl std::error::Error for Short {}

/// Reads forward through borrowed octets.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the first octet of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The octets not yet taken.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many octets are left.
    #[inline]
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `n` octets.
    ///
    /// # Errors
    /// [`Short`] when fewer are left; the cursor then stays where it was.
    #[inline]
    pub const fn take(&mut self, n: usize) -> Result<&'a [u8], Short> {
        match self.rest.split_at_checked(n) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(Short { needed: n, had: self.rest.len() }),
        }
    }

    /// Takes the next `N` octets as an array.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    #[inline]
    pub const fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(Short { needed: N, had: self.rest.len() }),
        }
    }

    /// Passes over the next `n` octets.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    #[inline]
    pub const fn skip(&mut self, n: usize) -> Result<(), Short> {
        match self.take(n) {
            Ok(_) => Ok(()),
            Err(short) => Err(short),
        }
    }

    /// A cursor over the next `n` octets alone, which are taken from this one.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    #[inline]
    pub const fn sub(&mut self, n: usize) -> Result<Cursor<'a>, Short> {
        match self.take(n) {
            Ok(head) => Ok(Cursor { rest: head }),
            Err(short) => Err(short),
        }
    }

    /// The next octet.
    ///
    /// # Errors
    /// [`Short`] at the end.
    #[inline]
    pub const fn u8(&mut self) -> Result<u8, Short> {
        match self.take_array::<1>() {
            Ok([octet]) => Ok(octet),
            Err(short) => Err(short),
        }
    }

    /// A 16-bit integer in network order.
    ///
    /// # Errors
    /// [`Short`] when fewer than 2 octets are left.
    #[inline]
    pub const fn u16_be(&mut self) -> Result<u16, Short> {
        match self.take_array() {
            Ok(octets) => Ok(u16::from_be_bytes(octets)),
            Err(short) => Err(short),
        }
    }

    /// A 32-bit integer in network order.
    ///
    /// # Errors
    /// [`Short`] when fewer than 4 octets are left.
    #[inline]
    pub const fn u32_be(&mut self) -> Result<u32, Short> {
        match self.take_array() {
            Ok(octets) => Ok(u32::from_be_bytes(octets)),
            Err(short) => Err(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_forward_and_stays_put_when_short() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5]);
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u16_be(), Ok(0x0203));
        assert_eq!(cursor.u32_be(), Err(Short { needed: 4, had: 2 }));
        assert_eq!(cursor.take(2), Ok(&[4, 5][..]));
        assert!(cursor.is_empty());
        assert_eq!(cursor.sub(1).map(|sub| sub.len()), Err(Short { needed: 1, had: 0 }));
    }
}
