//! ClickHouse's Native format: a block of columns, as its HTTP interface takes it (protocol revision 0).
//!
//! <https://clickhouse.com/docs/interfaces/formats/Native>. Written by hand, because no crate gives the bytes of a block
//! away, and bytes are what a segment keeps. The server converts a column whose type is narrower than its table's,
//! so numbers are sent in as few octets as the largest needs.

mod dictionary;
mod map;

use std::net::Ipv6Addr;

pub use dictionary::{Constant, Dictionary};
pub use map::{Map, MapKey, Shown, Word};

/// A column's values of one block.
pub trait Column {
    /// Its type, as ClickHouse writes it.
    fn kind(&self) -> String;
    /// Appends its values in Native form.
    fn write(&self, out: &mut Vec<u8>);
    /// Forgets its values and keeps the memory.
    fn clear(&mut self);
}

/// A block of `rows` rows, in Native form.
pub fn block(rows: usize, columns: &[(&str, &dyn Column)], out: &mut Vec<u8>) {
    varint(columns.len() as u64, out);
    varint(rows as u64, out);
    for (name, column) in columns {
        string(name.as_bytes(), out);
        string(column.kind().as_bytes(), out);
        column.write(out);
    }
}

#[inline]
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn string(text: &[u8], out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text);
}

/// Unsigned numbers, of any `UInt` type.
#[derive(Debug, Default)]
pub struct Numbers {
    values: Vec<u64>,
    all: u64,
}

impl Numbers {
    /// Appends a number.
    #[inline]
    pub fn push(&mut self, value: u64) {
        self.values.push(value);
        self.all |= value;
    }

    const fn octets(&self) -> usize {
        match self.all {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        }
    }
}

impl Column for Numbers {
    fn kind(&self) -> String {
        format!("UInt{}", self.octets() * 8)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.values.len() * self.octets());
        match self.octets() {
            1 => out.extend(self.values.iter().map(|&value| value as u8)),
            2 => out.extend(self.values.iter().flat_map(|&value| (value as u16).to_le_bytes())),
            4 => out.extend(self.values.iter().flat_map(|&value| (value as u32).to_le_bytes())),
            _ => out.extend(self.values.iter().flat_map(|&value| value.to_le_bytes())),
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.all = 0;
    }
}

/// Numbers of which some are not known: `Nullable(UInt..)`.
#[derive(Debug, Default)]
pub struct NullableNumbers {
    nulls: Vec<u8>,
    values: Numbers,
}

impl NullableNumbers {
    /// Appends a number, or that there is none.
    #[inline]
    pub fn push(&mut self, value: Option<u64>) {
        self.nulls.push(u8::from(value.is_none()));
        self.values.push(value.unwrap_or_default());
    }
}

impl Column for NullableNumbers {
    fn kind(&self) -> String {
        format!("Nullable({})", self.values.kind())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nulls);
        self.values.write(out);
    }

    fn clear(&mut self) {
        self.nulls.clear();
        self.values.clear();
    }
}

/// Floating-point numbers: `Float64`.
#[derive(Debug, Default)]
pub struct Floats(Vec<u8>);

impl Floats {
    /// Appends a number.
    pub fn push(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

impl Column for Floats {
    fn kind(&self) -> String {
        "Float64".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Moments in nanoseconds since 1970 of which some are not known: `Nullable(DateTime64(9))`, which ends in the year 2262.
#[derive(Debug, Default)]
pub struct Moments {
    nulls: Vec<u8>,
    values: Vec<u8>,
}

impl Moments {
    /// Appends a moment, or that there is none; none is also one that the type cannot hold.
    pub fn push(&mut self, nanos: Option<u64>) {
        let value = nanos.and_then(|nanos| i64::try_from(nanos).ok());
        self.nulls.push(u8::from(value.is_none()));
        self.values.extend_from_slice(&value.unwrap_or_default().to_le_bytes());
    }
}

impl Column for Moments {
    fn kind(&self) -> String {
        "Nullable(DateTime64(9, 'UTC'))".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nulls);
        out.extend_from_slice(&self.values);
    }

    fn clear(&mut self) {
        self.nulls.clear();
        self.values.clear();
    }
}

/// Moments in nanoseconds since 1970, all of them known: `DateTime64(9)`; what is later than the year 2262 is its end.
#[derive(Debug, Default)]
pub struct Times(Vec<u8>);

impl Times {
    /// Appends a moment.
    #[inline]
    pub fn push(&mut self, nanos: u64) {
        self.0.extend_from_slice(&i64::try_from(nanos).unwrap_or(i64::MAX).to_le_bytes());
    }
}

impl Column for Times {
    fn kind(&self) -> String {
        "DateTime64(9, 'UTC')".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Addresses: `IPv6`.
#[derive(Debug, Default)]
pub struct Addresses(Vec<u8>);

impl Addresses {
    /// Appends an address; IPv4 as `::ffff:a.b.c.d`.
    #[inline]
    pub fn push(&mut self, address: Ipv6Addr) {
        self.0.extend_from_slice(&address.octets());
    }
}

impl Column for Addresses {
    fn kind(&self) -> String {
        "IPv6".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Moments in seconds since 1970: `DateTime`, which ends in the year 2106.
#[derive(Debug, Default)]
pub struct Seconds(Vec<u8>);

impl Seconds {
    /// Appends a moment.
    #[inline]
    pub fn push(&mut self, seconds: u32) {
        self.0.extend_from_slice(&seconds.to_le_bytes());
    }
}

impl Column for Seconds {
    fn kind(&self) -> String {
        "DateTime('UTC')".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Texts: `String`.
#[derive(Debug, Default)]
pub struct Texts(Vec<u8>);

impl Texts {
    /// Appends a text.
    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        string(text, &mut self.0);
    }
}

impl Column for Texts {
    fn kind(&self) -> String {
        "String".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Lists of texts: `Array(String)`.
#[derive(Debug, Default)]
pub struct Lists {
    offsets: Vec<u8>,
    texts: Vec<u8>,
    len: u64,
}

impl Lists {
    /// Appends a row.
    pub fn push<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        for text in texts {
            string(text.as_bytes(), &mut self.texts);
            self.len += 1;
        }
        self.offsets.extend_from_slice(&self.len.to_le_bytes());
    }
}

impl Column for Lists {
    fn kind(&self) -> String {
        "Array(String)".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offsets);
        out.extend_from_slice(&self.texts);
    }

    fn clear(&mut self) {
        self.offsets.clear();
        self.texts.clear();
        self.len = 0;
    }
}
