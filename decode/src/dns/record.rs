//! Walks the records of a message, section by section.

use lowtide_proto::{Class, Cursor, Malformed, Qtype};

use super::{Header, name};

/// Where in the message a record stands (RFC 1035 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The answer section; of an UPDATE, the prerequisites (RFC 2136 §2).
    Answer,
    /// The authority section; of an UPDATE, the updates.
    Authority,
    /// The additional section.
    Additional,
}

/// One resource record (RFC 1035 §4.1.3), borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The section it stands in.
    pub section: Section,
    /// Offset of its owner name in the message; read it with [`super::read_name`].
    pub owner: usize,
    /// Whether the owner is the root, uncompressed.
    pub owner_is_root: bool,
    /// Its type.
    pub rtype: Qtype,
    /// Its class.
    pub class: Class,
    /// Its time to live, as it stands; RFC 2181 §8 reads values above 2^31 − 1 as 0.
    pub ttl: u32,
    /// Its data. Names in it may point into the message.
    pub rdata: &'a [u8],
}

/// A fallible walk over the records; it ends at the first bad one.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    octets: &'a [u8],
    cursor: Cursor<'a>,
    /// Records left in answer, authority and additional.
    left: [u16; 3],
}

impl<'a> Records<'a> {
    /// A walk over the records of the message `octets`, with `cursor` behind its question section.
    #[inline]
    pub fn new(octets: &'a [u8], cursor: Cursor<'a>, header: &Header) -> Self {
        Self { octets, cursor, left: [header.answers, header.authorities, header.additionals] }
    }

    /// The octets not yet walked.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.cursor.rest()
    }

    /// How many octets of the message were walked.
    #[inline]
    pub(super) fn walked(&self) -> usize {
        self.octets.len() - self.cursor.len()
    }

    /// The next record; an error ends the walk.
    fn next_record(&mut self) -> Option<Result<Record<'a>, Malformed>> {
        let section = match &mut self.left {
            [0, 0, 0] => return None,
            [0, 0, left] => {
                *left -= 1;
                Section::Additional
            }
            [0, left, _] => {
                *left -= 1;
                Section::Authority
            }
            [left, _, _] => {
                *left -= 1;
                Section::Answer
            }
        };
        let record = self.take_record(section);
        if record.is_err() {
            self.left = [0; 3];
        }
        Some(record)
    }

    /// Takes the record that comes next, which stands in `section`.
    #[inline(always)]
    pub(super) fn take_record(&mut self, section: Section) -> Result<Record<'a>, Malformed> {
        let owner = self.walked();
        let mut compressed = self.cursor;
        let (owner_is_root, fixed) = match compressed.take_array::<12>() {
            // Most owners are a pointer: then all but the data has a fixed length.
            Ok([high, low, fixed @ ..]) if high >= 0xc0 => {
                if usize::from(u16::from_be_bytes([high & 0x3f, low])) >= owner {
                    return Err(Malformed::Pointer);
                }
                self.cursor = compressed;
                (false, fixed)
            }
            Ok([0, fixed @ .., _]) => {
                // The root: an OPT record's owner.
                self.cursor.skip(1 + fixed.len()).map_err(|_| Malformed::RecordShort)?;
                (true, fixed)
            }
            _ => {
                if self.cursor.is_empty() {
                    return Err(Malformed::RecordShort);
                }
                name::skip_name(self.octets, &mut self.cursor)?;
                let fixed = self.cursor.take_array::<10>().map_err(|_| Malformed::RecordShort)?;
                (self.octets.get(owner) == Some(&0), fixed)
            }
        };
        let [t0, t1, c0, c1, l0, l1, l2, l3, d0, d1] = fixed;
        let rdata = self
            .cursor
            .take(usize::from(u16::from_be_bytes([d0, d1])))
            .map_err(|_| Malformed::RdataOverrun)?;
        Ok(Record {
            section,
            owner,
            owner_is_root,
            rtype: Qtype(u16::from_be_bytes([t0, t1])),
            class: Class(u16::from_be_bytes([c0, c1])),
            ttl: u32::from_be_bytes([l0, l1, l2, l3]),
            rdata,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
    }
}
