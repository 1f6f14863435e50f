//! Columns of texts of which few are different.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Column, string};

/// Texts of which few are different: `LowCardinality(String)`. Each is written once, and known by a key.
#[derive(Debug)]
pub struct Dictionary<K> {
    numbers: HashMap<K, u32, RandomState>,
    /// The key pushed last, with its number: most often the next is the same.
    last: Option<(K, u32)>,
    texts: Vec<u8>,
    rows: Vec<u32>,
}

impl<K> Default for Dictionary<K> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), last: None, texts: Vec::new(), rows: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Dictionary<K> {
    /// Appends the text of `key`; `text` is asked for it when the key is new.
    #[inline]
    pub fn push(&mut self, key: K, text: impl FnOnce() -> String) {
        if let Some((last, number)) = self.last
            && last == key
        {
            self.rows.push(number);
            return;
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(key).or_insert_with(|| {
            string(text().as_bytes(), &mut self.texts);
            next
        });
        self.last = Some((key, number));
        self.rows.push(number);
    }
}

impl<K> Column for Dictionary<K> {
    fn kind(&self) -> String {
        "LowCardinality(String)".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        low_cardinality(self.numbers.len(), &self.texts, self.rows.len(), out, |width, out| match width {
            0 => out.extend(self.rows.iter().map(|&number| number as u8)),
            1 => out.extend(self.rows.iter().flat_map(|&number| (number as u16).to_le_bytes())),
            _ => out.extend(self.rows.iter().flat_map(|&number| number.to_le_bytes())),
        });
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.last = None;
        self.texts.clear();
        self.rows.clear();
    }
}

/// One text in every row: `LowCardinality(String)`.
#[derive(Debug)]
pub struct Constant {
    text: String,
    rows: usize,
}

impl Constant {
    /// A column of `text`.
    pub const fn new(text: String) -> Self {
        Self { text, rows: 0 }
    }

    /// Appends a row.
    #[inline]
    pub const fn push(&mut self) {
        self.rows += 1;
    }
}

impl Column for Constant {
    fn kind(&self) -> String {
        "LowCardinality(String)".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        string(self.text.as_bytes(), &mut text);
        low_cardinality(1, &text, self.rows, out, |_, out| out.resize(out.len() + self.rows, 0));
    }

    fn clear(&mut self) {
        self.rows = 0;
    }
}

/// A `LowCardinality` column: a version, then its dictionary and one number a row, of 2^`width` octets each.
fn low_cardinality(
    keys: usize,
    texts: &[u8],
    rows: usize,
    out: &mut Vec<u8>,
    numbers: impl FnOnce(u64, &mut Vec<u8>),
) {
    const SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS: u64 = 1;
    const HAS_ADDITIONAL_KEYS: u64 = 1 << 9;
    const NEED_UPDATE_DICTIONARY: u64 = 1 << 10;
    out.extend_from_slice(&SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS.to_le_bytes());
    if rows == 0 {
        return;
    }
    let width = match keys {
        0..=0x100 => 0,
        0x101..=0x1_0000 => 1,
        _ => 2,
    };
    out.extend_from_slice(&(HAS_ADDITIONAL_KEYS | NEED_UPDATE_DICTIONARY | width).to_le_bytes());
    out.extend_from_slice(&(keys as u64).to_le_bytes());
    out.extend_from_slice(texts);
    out.extend_from_slice(&(rows as u64).to_le_bytes());
    numbers(width, out);
}
