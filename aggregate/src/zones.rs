//! Which zone a name belongs to.
//!
//! The longest configured zone; else the longest zone learnt from the owner of an SOA or NS record in an authoritative
//! answer; else the registrable domain by the public suffix list. A learnt zone that is itself a public suffix (`com.`,
//! the root) takes in only the names whose own answers named it: else one answer of a root server would make the
//! whole name space one zone.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use lowtide_proto::Name;

/// Learnt zones at most: an answer can be forged, and name any zone.
const MAX_LEARNT: usize = 65_536;

/// How a zone is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KnownBy {
    /// The operator named it.
    Configured,
    /// An authoritative answer named it.
    Learnt,
    /// It is the registrable domain.
    PublicSuffix,
}

impl KnownBy {
    /// The word used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            KnownBy::Configured => "configured",
            KnownBy::Learnt => "learnt",
            KnownBy::PublicSuffix => "public-suffix",
        }
    }
}

/// The zones that are known.
#[derive(Clone, Debug, Default)]
pub struct ZoneMap {
    configured: ZoneSet,
    learnt: ZoneSet,
    /// The zone last learnt: the next answer most likely names it again.
    last: Vec<u8>,
}

impl ZoneMap {
    /// With the operator's zones, as lower-cased wire names.
    pub fn new(configured: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut map = Self::default();
        configured.into_iter().for_each(|zone| map.configured.insert(&zone));
        map
    }

    /// Puts other zones in the place of the operator's; what was learnt stays.
    pub fn configure<'a>(&mut self, zones: impl IntoIterator<Item = &'a [u8]>) {
        self.configured = ZoneSet::default();
        zones.into_iter().for_each(|zone| self.configured.insert(zone));
    }

    /// Learns the zone that an answer about `name` named; the zone, if it is new.
    pub fn learn<'a>(&mut self, name: Name<'a>, zone_labels: u8) -> Option<Name<'a>> {
        let zone = name.suffix(usize::from(zone_labels));
        if self.last == zone.0 {
            return None;
        }
        self.last.clear();
        self.last.extend_from_slice(zone.0);
        let room = self.learnt.zones.len() < MAX_LEARNT && !self.learnt.zones.contains(zone.0);
        let is_new = room && registrable_labels(zone).is_some();
        if is_new {
            self.learnt.insert(zone.0);
        }
        is_new.then_some(zone)
    }

    /// The zone of a name whose own answers named the one of `own_labels` labels, if any did.
    pub fn zone_of<'a>(&self, name: Name<'a>, own_labels: Option<u8>) -> (Name<'a>, KnownBy) {
        if let Some(zone) = self.configured.longest(name) {
            return (zone, KnownBy::Configured);
        }
        if let Some(zone) = self.learnt.longest(name) {
            return (zone, KnownBy::Learnt);
        }
        match own_labels {
            Some(labels) => (name.suffix(usize::from(labels)), KnownBy::Learnt),
            None => (name.suffix(registrable_labels(name).unwrap_or(0)), KnownBy::PublicSuffix),
        }
    }
}

/// Names of zones.
#[derive(Clone, Debug, Default)]
struct ZoneSet {
    zones: HashSet<Vec<u8>, RandomState>,
    /// Octets of the longest: a suffix longer than that need not be looked up.
    longest: usize,
}

impl ZoneSet {
    fn insert(&mut self, zone: &[u8]) {
        self.longest = self.longest.max(zone.len());
        self.zones.insert(zone.to_vec());
    }

    /// The longest suffix of `name` that is a zone.
    fn longest<'a>(&self, name: Name<'a>) -> Option<Name<'a>> {
        let mut suffix = name.0;
        loop {
            if suffix.len() <= self.longest && self.zones.contains(suffix) {
                return Some(Name(suffix));
            }
            let (&len, rest) = suffix.split_first()?;
            suffix = rest.get(usize::from(len)..).filter(|_| len > 0)?;
        }
    }
}

/// How many labels the registrable domain of `name` has; `None` when it is a public suffix or the root.
fn registrable_labels(name: Name<'_>) -> Option<usize> {
    let mut text = Vec::with_capacity(name.0.len());
    for label in name.labels() {
        if !text.is_empty() {
            text.push(b'.');
        }
        // A dot inside a label must not look like the end of one.
        text.extend(label.iter().map(|&octet| if octet == b'.' { b'_' } else { octet }));
    }
    let domain = psl::domain(&text)?;
    Some(domain.as_bytes().iter().filter(|&&octet| octet == b'.').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowtide_proto::NameBuf;

    fn zone(zones: &ZoneMap, name: &str, own: Option<u8>) -> (String, KnownBy) {
        let name = NameBuf::parse(name).unwrap();
        let (zone, known_by) = zones.zone_of(name.as_name(), own);
        (zone.to_string(), known_by)
    }

    #[test]
    fn configured_then_learnt_then_registrable() {
        let wire = |text: &str| NameBuf::parse(text).unwrap().wire().to_vec();
        let mut zones = ZoneMap::new([wire("corp.example"), wire("dev.corp.example")]);
        for (name, labels) in [("x.y.org", 2), ("a.b.z.org", 3), ("q.com", 1), ("w", 0)] {
            zones.learn(NameBuf::parse(name).unwrap().as_name(), labels);
        }
        let is = |zone: &str, known_by| (zone.to_string(), known_by);
        assert_eq!(zone(&zones, "a.dev.corp.example", None), is("dev.corp.example.", KnownBy::Configured));
        assert_eq!(zone(&zones, "dev2.corp.example", Some(3)), is("corp.example.", KnownBy::Configured));
        assert_eq!(zone(&zones, "k.y.org", None), is("y.org.", KnownBy::Learnt));
        assert_eq!(zone(&zones, "c.b.z.org", None), is("b.z.org.", KnownBy::Learnt));
        assert_eq!(zone(&zones, "www.shop.co.uk", None), is("shop.co.uk.", KnownBy::PublicSuffix));
        assert_eq!(zone(&zones, "a.b.com", None), is("b.com.", KnownBy::PublicSuffix));
        assert_eq!(zone(&zones, "gone.com", Some(1)), is("com.", KnownBy::Learnt));
        assert_eq!(zone(&zones, "com", None), is(".", KnownBy::PublicSuffix));
        assert_eq!(zone(&zones, ".", None), is(".", KnownBy::PublicSuffix));
        assert_eq!(zone(&zones, r"evil\.com.b.com", None), is("b.com.", KnownBy::PublicSuffix));
    }
}
