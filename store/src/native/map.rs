//! Columns of maps.

use std::io::Write;
use std::net::Ipv6Addr;

use super::{Column, Numbers, string};

/// A key of a [`Map`].
pub trait MapKey {
    /// Its type, as ClickHouse writes it.
    const KIND: &'static str;
    /// Appends it in Native form.
    fn write(&self, out: &mut Vec<u8>);
}

impl MapKey for u16 {
    const KIND: &'static str = "UInt16";

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

impl MapKey for Ipv6Addr {
    const KIND: &'static str = "IPv6";

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.octets());
    }
}

/// A text as it is.
#[derive(Clone, Copy, Debug)]
pub struct Word(pub &'static str);

impl MapKey for Word {
    const KIND: &'static str = "String";

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        string(self.0.as_bytes(), out);
    }
}

/// A text that is made when it is written.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T>(pub T);

impl<T: std::fmt::Display> MapKey for Shown<T> {
    const KIND: &'static str = "String";

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        // Names of codes are short: one octet holds their length.
        let start = out.len();
        out.push(0);
        let _ = write!(out, "{}", self.0);
        let len = out.len() - start - 1;
        debug_assert!(len < 0x80);
        if let Some(place) = out.get_mut(start) {
            *place = len as u8;
        }
    }
}

/// Counts by key: `Map(K, UInt..)`.
#[derive(Debug)]
pub struct Map<K> {
    offsets: Vec<u8>,
    keys: Vec<u8>,
    values: Numbers,
    kind: std::marker::PhantomData<K>,
}

impl<K> Default for Map<K> {
    fn default() -> Self {
        Self {
            offsets: Vec::new(),
            keys: Vec::new(),
            values: Numbers::default(),
            kind: std::marker::PhantomData,
        }
    }
}

impl<K: MapKey> Map<K> {
    /// Appends a row.
    #[inline]
    pub fn push(&mut self, entries: impl IntoIterator<Item = (K, u64)>) {
        for (key, value) in entries {
            key.write(&mut self.keys);
            self.values.push(value);
        }
        self.offsets.extend_from_slice(&(self.values.values.len() as u64).to_le_bytes());
    }
}

impl<K: MapKey> Column for Map<K> {
    fn kind(&self) -> String {
        format!("Map({}, {})", K::KIND, self.values.kind())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offsets);
        out.extend_from_slice(&self.keys);
        self.values.write(out);
    }

    fn clear(&mut self) {
        self.offsets.clear();
        self.keys.clear();
        self.values.clear();
    }
}
