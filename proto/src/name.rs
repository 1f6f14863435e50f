//! Domain names: uncompressed wire form, lower-cased for keys, presentation form for people.

use std::fmt;

/// The longest wire form of a name, in octets (RFC 1035 §3.1).
pub const MAX_NAME: usize = 255;

/// A name's uncompressed wire form, length octets and root included, borrowed.
///
/// The bytes may be any: a walk over labels stops at the first that does not fit. Printing it gives presentation
/// form with a final dot: `\.`, `\\` and `\DDD` escapes (RFC 1035 §5.1, RFC 4343 §2.1). The empty slice stands for
/// "no name" and prints as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(pub &'a [u8]);

impl<'a> Name<'a> {
    /// The root: a single zero octet.
    pub const ROOT: Name<'static> = Name(&[0]);

    /// The labels from left to right, without the root.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            if len == 0 {
                return None;
            }
            let (label, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Some(label)
        })
    }

    /// Whether two names have the same octets. It compares words in place, where `==` calls into the C library: names are
    /// short, and are compared for every message.
    #[inline]
    pub fn is_same(self, other: Name<'_>) -> bool {
        let (words, rest) = self.0.as_chunks::<8>();
        let (other_words, other_rest) = other.0.as_chunks::<8>();
        self.0.len() == other.0.len()
            && words.iter().zip(other_words).all(|(one, other)| one == other)
            && rest.iter().zip(other_rest).all(|(one, other)| one == other)
    }

    /// How many labels there are, the root not counted.
    pub fn label_count(self) -> usize {
        self.labels().count()
    }

    /// The name made of the rightmost `count` labels and the root; the whole name when it has no more than that.
    pub fn suffix(self, count: usize) -> Name<'a> {
        let skip = self.label_count().saturating_sub(count);
        let octets: usize = self.labels().take(skip).map(|label| label.len() + 1).sum();
        Name(self.0.get(octets..).unwrap_or_default())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if self.0 == [0] {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        f.write_char('\\')?;
                        f.write_char(octet as char)?;
                    }
                    0x21..=0x7e => f.write_char(octet as char)?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

/// A name that owns its octets without a heap allocation.
#[derive(Clone, Copy)]
pub struct NameBuf {
    /// One more than the longest name, so that whole blocks can be lower-cased.
    octets: [u8; MAX_NAME + 1],
    len: u8,
}

/// Octets that are copied and lower-cased together. A question's name is followed by its type and class and most often by
/// an OPT record, 15 octets in all, so that blocks of 16 can nearly always be read whole.
const BLOCK: usize = 16;

impl NameBuf {
    /// No name.
    pub const fn new() -> Self {
        Self { octets: [0; MAX_NAME + 1], len: 0 }
    }

    /// Forgets what it holds.
    #[inline]
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends the first `len` octets of `wire`, letters lower-cased (RFC 4343 §3; length octets are below 64 and stay
    /// as they are). False, and unchanged, when the name would be longer than 255 octets or `wire` is shorter.
    ///
    /// What stands behind the `len` octets is not part of the name, but lets whole blocks be copied.
    #[inline]
    pub fn push_lowercase(&mut self, wire: &[u8], len: usize) -> bool {
        let start = usize::from(self.len);
        let end = start + len;
        if end > MAX_NAME || wire.len() < len {
            return false;
        }
        // A copy of exact length and a second pass over it would be slower than both together: the copy's stores are of other
        // sizes than the second pass's loads.
        let blocks = len.div_ceil(BLOCK);
        match wire.get(..blocks * BLOCK) {
            Some(wire) if start == 0 => {
                let from = wire.as_chunks::<BLOCK>().0;
                for (into, from) in self.octets.as_chunks_mut::<BLOCK>().0.iter_mut().zip(from) {
                    *into = from.map(|octet| octet.to_ascii_lowercase());
                }
            }
            _ => {
                let into = self.octets.get_mut(start..end).unwrap_or_default();
                for (into, from) in into.iter_mut().zip(wire) {
                    *into = from.to_ascii_lowercase();
                }
            }
        }
        self.len = end as u8;
        true
    }

    /// The wire form.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The name, borrowed.
    #[inline]
    pub fn as_name(&self) -> Name<'_> {
        Name(self.wire())
    }

    /// Reads presentation form, with or without the final dot, lower-cased.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut name = Self::new();
        let mut label: Vec<u8> = Vec::with_capacity(63);
        let mut octets = text.bytes();
        let mut finish = |label: &mut Vec<u8>| {
            match u8::try_from(label.len()) {
                Ok(1..=63) => {}
                Ok(0) => return Err("empty label"),
                _ => return Err("label longer than 63 octets"),
            }
            if !(name.push_lowercase(&[label.len() as u8], 1) && name.push_lowercase(label, label.len())) {
                return Err("name longer than 255 octets");
            }
            label.clear();
            Ok(())
        };
        if text != "." && !text.is_empty() {
            while let Some(octet) = octets.next() {
                match octet {
                    b'.' => finish(&mut label)?,
                    b'\\' => match octets.next() {
                        Some(first @ b'0'..=b'9') => {
                            let digits = [Some(first), octets.next(), octets.next()];
                            let mut value = 0u16;
                            for digit in digits {
                                match digit {
                                    Some(digit @ b'0'..=b'9') => value = value * 10 + u16::from(digit - b'0'),
                                    _ => return Err("escape of fewer than three digits"),
                                }
                            }
                            label.push(u8::try_from(value).map_err(|_| "escape above 255")?);
                        }
                        Some(other) => label.push(other),
                        None => return Err("ends in a backslash"),
                    },
                    other => label.push(other),
                }
            }
            if !label.is_empty() {
                finish(&mut label)?;
            }
        }
        if !name.push_lowercase(&[0], 1) {
            return Err("name longer than 255 octets");
        }
        Ok(name)
    }
}

impl Default for NameBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameBuf({})", self.as_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        NameBuf::parse(text).unwrap().as_name().to_string()
    }

    #[test]
    fn presentation_form_round_trips() {
        assert_eq!(printed("WWW.Example.NET"), "www.example.net.");
        assert_eq!(printed("."), ".");
        assert_eq!(printed(r"a\.b\032c\\.d."), r"a\.b\032c\\.d.");
        assert_eq!(printed(r"\000\255.x"), r"\000\255.x.");
        assert_eq!(printed(r"a\\."), r"a\\.");
        assert_eq!(printed(r"a\."), r"a\..");
    }

    #[test]
    fn texts_that_are_no_names_are_refused() {
        assert_eq!(NameBuf::parse("a..b").unwrap_err(), "empty label");
        assert_eq!(NameBuf::parse(&"x".repeat(64)).unwrap_err(), "label longer than 63 octets");
        assert_eq!(NameBuf::parse(&"x.".repeat(128)).unwrap_err(), "name longer than 255 octets");
        assert!(NameBuf::parse(&"x.".repeat(127)).is_ok());
    }

    #[test]
    fn names_of_any_length_are_compared_whole() {
        let octets: Vec<u8> = (0..255).collect();
        for len in 0..octets.len() {
            let mut other = octets[..len].to_vec();
            assert!(Name(&octets[..len]).is_same(Name(&other)));
            assert!(!Name(&octets[..len]).is_same(Name(&octets[..len + 1])));
            if let Some(last) = other.last_mut() {
                *last ^= 1;
                assert!(!Name(&octets[..len]).is_same(Name(&other)));
            }
        }
    }

    #[test]
    fn suffixes_count_labels_from_the_right() {
        let name = NameBuf::parse("a.b.example.org").unwrap();
        assert_eq!(name.as_name().suffix(2).to_string(), "example.org.");
        assert_eq!(name.as_name().suffix(0), Name::ROOT);
        assert_eq!(name.as_name().suffix(9), name.as_name());
    }
}
