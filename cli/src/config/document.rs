//! A TOML document that is read key by key.
//!
//! Not by serde: a deserializer stops at its first error and knows no key path, while an operator wants to hear everything that is
//! wrong, and where. Each section is asked for its keys; what was asked for is known, and what stands in the document besides is
//! not, so that the keys are listed nowhere twice.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::place::{Fault, Given, Place, Position};

/// Characters of a wrong value that are repeated.
const SHOWN: usize = 60;

/// A document while it is read.
pub struct Document<'i> {
    file: Arc<str>,
    text: &'i str,
    root: DeTable<'i>,
    known: BTreeSet<(&'static str, &'static str)>,
    unknown: Vec<Unknown>,
    faults: Vec<Fault>,
}

/// A key that may be unknown: whether it is, is plain when all sections have been asked.
struct Unknown {
    place: Place,
    section: &'static str,
    key: String,
}

/// One section's table; absent sections are asked as well, so that their keys become known.
pub struct Section<'d, 'i> {
    document: &'d mut Document<'i>,
    name: &'static str,
    index: Option<usize>,
    /// Where it begins, when it is there.
    place: Option<Place>,
    table: DeTable<'i>,
}

impl<'i> Document<'i> {
    /// Reads the syntax.
    ///
    /// # Errors
    /// The first error of it: what comes after is guesswork.
    pub fn parse(file: Arc<str>, text: &'i str) -> Result<Self, Fault> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self {
                file,
                text,
                root: root.into_inner(),
                known: BTreeSet::new(),
                unknown: Vec::new(),
                faults: Vec::new(),
            }),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                Err(Fault {
                    place: Place::Position(file, position(text, start)),
                    text: format!("not TOML: {}", error.message()),
                })
            }
        }
    }

    /// Reads a section that there is once.
    pub fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 'i>) -> T) -> T {
        let table = match self.root.remove(name) {
            None => DeTable::new(),
            Some(found) => {
                let span = found.span();
                match found.into_inner() {
                    DeValue::Table(table) => table,
                    other => {
                        self.fault(&span, name.to_owned(), format!("write it as a section, [{name}]"));
                        // What an [[array]] of it holds is not looked at: which one would count?
                        drop(other);
                        DeTable::new()
                    }
                }
            }
        };
        self.read(name, None, None, table, read)
    }

    /// Reads a section that there may be several of, each with the place of its heading.
    pub fn sections<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Section<'_, 'i>) -> T,
    ) -> Vec<(Place, T)> {
        let found = self.root.remove(name);
        // An empty one, so that the keys are known where there is none.
        self.read(name, None, None, DeTable::new(), &read);
        let Some(found) = found else { return Vec::new() };
        let span = found.span();
        let DeValue::Array(array) = found.into_inner() else {
            let text = format!("there may be several of it: write [[{name}]]");
            self.fault(&span, name.to_owned(), text);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, element) in array.into_iter().enumerate() {
            let span = element.span();
            let path = format!("{name}[{index}]");
            match element.into_inner() {
                DeValue::Table(table) => {
                    let place = self.place(&span, path);
                    let value = self.read(name, Some(index), Some(place.clone()), table, &read);
                    all.push((place, value));
                }
                _ => self.fault(&span, path, format!("write it as a section, [[{name}]]")),
            }
        }
        all
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        index: Option<usize>,
        place: Option<Place>,
        table: DeTable<'i>,
        read: impl FnOnce(&mut Section<'_, 'i>) -> T,
    ) -> T {
        let mut section = Section { document: self, name, index, place, table };
        let value = read(&mut section);
        let rest = std::mem::take(&mut section.table);
        for (key, _) in rest {
            let span = key.span();
            let key = key.into_inner().into_owned();
            let place = self.place(&span, path(name, index, &key));
            self.unknown.push(Unknown { place, section: name, key });
        }
        value
    }

    /// What was wrong in it, and the keys that it could have had as `section.key`, when all sections have been read.
    pub fn finish(mut self) -> (Vec<Fault>, BTreeSet<(&'static str, &'static str)>) {
        let sections: BTreeSet<&'static str> = self.known.iter().map(|&(section, _)| section).collect();
        for (key, value) in std::mem::take(&mut self.root) {
            let span = key.span();
            let key = key.into_inner().into_owned();
            let is_section = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
            let text = if let Some(&(section, _)) = self.known.iter().find(|(_, known)| *known == key) {
                format!("there is no such key here; did you mean {section}.{key}?")
            } else if let Some(name) = nearest(&key, sections.iter().copied()) {
                format!("there is no such section; did you mean {name}?")
            } else {
                let what = if is_section { "section" } else { "key" };
                let all: Vec<&str> = sections.iter().copied().collect();
                format!("there is no such {what}; the sections are {}", all.join(", "))
            };
            self.fault(&span, key, text);
        }
        for Unknown { place, section, key } in std::mem::take(&mut self.unknown) {
            let keys: Vec<&str> =
                self.known.iter().filter(|(name, _)| *name == section).map(|&(_, key)| key).collect();
            let elsewhere = self.known.iter().find(|(_, known)| *known == key);
            let text = if let Some(near) = nearest(&key, keys.iter().copied()) {
                format!("there is no such key; did you mean {near}?")
            } else if let Some((other, _)) = elsewhere {
                format!("there is no such key here; did you mean {other}.{key}?")
            } else {
                format!("there is no such key; the keys of {section} are {}", keys.join(", "))
            };
            self.faults.push(Fault { place, text });
        }
        (self.faults, self.known)
    }

    fn place(&self, span: &Range<usize>, key: String) -> Place {
        Place::Key(Arc::clone(&self.file), position(self.text, span.start), key)
    }

    fn fault(&mut self, span: &Range<usize>, key: String, text: String) {
        let place = self.place(span, key);
        self.faults.push(Fault { place, text });
    }
}

impl<'i> Section<'_, 'i> {
    /// Says that a key is missing, if it is.
    pub fn require(&mut self, key: &'static str, what: &str) {
        if let Some(place) = &self.place
            && !self.table.contains_key(key)
        {
            let text = format!("{key} is missing: {what}");
            self.document.faults.push(Fault { place: place.clone(), text });
        }
    }

    /// A text that means something.
    pub fn text<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<Given<T>> {
        let found = self.take(key)?;
        self.read_text(&found, path(self.name, self.index, key), example, read, true)
    }

    /// The same, of which nothing is repeated when it is wrong.
    pub fn secret<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<Given<T>> {
        let found = self.take(key)?;
        self.read_text(&found, path(self.name, self.index, key), example, read, false)
    }

    /// A list of such texts.
    pub fn texts<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<Given<Vec<Given<T>>>> {
        self.list(key, &format!("[{example}]"), |section, element, path| {
            section.read_text(element, path, example, read, true)
        })
    }

    /// A whole number.
    pub fn number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Given<T>> {
        let found = self.take(key)?;
        self.read_number(&found, path(self.name, self.index, key), &range)
    }

    /// A list of whole numbers.
    pub fn numbers<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Given<Vec<Given<T>>>> {
        let example = format!("[{}, {}]", range.start(), range.end());
        self.list(key, &example, |section, element, path| section.read_number(element, path, &range))
    }

    /// Yes or no.
    pub fn flag(&mut self, key: &'static str) -> Option<Given<bool>> {
        let found = self.take(key)?;
        let path = path(self.name, self.index, key);
        match found.get_ref() {
            DeValue::Boolean(value) => {
                Some(Given { value: *value, place: self.document.place(&found.span(), path) })
            }
            other => self.wrong_kind(&found, path, "true or false", other),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.document.known.insert((self.name, key));
        self.table.remove(key)
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&mut Self, &Spanned<DeValue<'i>>, String) -> Option<Given<T>>,
    ) -> Option<Given<Vec<Given<T>>>> {
        let found = self.take(key)?;
        let list = path(self.name, self.index, key);
        let DeValue::Array(array) = found.get_ref() else {
            return self.wrong_kind(&found, list, &format!("a list such as {example}"), found.get_ref());
        };
        let value = array
            .iter()
            .enumerate()
            .filter_map(|(index, element)| read(self, element, format!("{list}[{index}]")))
            .collect();
        Some(Given { value, place: self.document.place(&found.span(), list) })
    }

    fn read_text<T>(
        &mut self,
        found: &Spanned<DeValue<'i>>,
        path: String,
        example: &str,
        read: fn(&str) -> Result<T, String>,
        repeat: bool,
    ) -> Option<Given<T>> {
        let DeValue::String(text) = found.get_ref() else {
            return self.wrong_kind(found, path, &format!("a text such as {example}"), found.get_ref());
        };
        let place = self.document.place(&found.span(), path);
        match read(text) {
            Ok(value) => Some(Given { value, place }),
            Err(reason) => {
                let text = if repeat { format!("'{}': {reason}", shown(text)) } else { reason };
                self.document.faults.push(Fault { place, text });
                None
            }
        }
    }

    fn read_number<T: TryFrom<u64>>(
        &mut self,
        found: &Spanned<DeValue<'i>>,
        path: String,
        range: &RangeInclusive<u64>,
    ) -> Option<Given<T>> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = found.get_ref() else {
            return self.wrong_kind(found, path, &allowed, found.get_ref());
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let place = self.document.place(&found.span(), path);
        match number.filter(|number| range.contains(number)).map(T::try_from) {
            Some(Ok(value)) => Some(Given { value, place }),
            _ => {
                let text = format!("{}: must be {allowed}", shown(&integer.to_string()));
                self.document.faults.push(Fault { place, text });
                None
            }
        }
    }

    fn wrong_kind<T>(
        &mut self,
        found: &Spanned<DeValue<'i>>,
        path: String,
        wanted: &str,
        is: &DeValue<'i>,
    ) -> Option<T> {
        let kind = match is {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        self.document.fault(&found.span(), path, format!("must be {wanted}, not {kind}"));
        None
    }
}

fn path(section: &str, index: Option<usize>, key: &str) -> String {
    match index {
        None => format!("{section}.{key}"),
        Some(index) => format!("{section}[{index}].{key}"),
    }
}

fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// Line and column of an offset.
fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let in_line = before.get(line_start..).unwrap_or_default();
    Position { line: before.matches('\n').count() + 1, column: in_line.chars().count() + 1 }
}
