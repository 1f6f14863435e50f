//! What can be asked: the zones' names, the records at their apex, and what only scanners ask.

use hickory_proto::rr::{Name, RecordType};

use crate::parameters::Parameters;

/// What the answer to a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Records of the type.
    Records(u8),
    /// An alias, and the address of its target in the zone.
    Alias,
    /// The name is there and the type is not.
    NoData,
    /// The name is not there.
    NxDomain,
    /// The zone's NS set.
    NameServers,
    /// The zone's SOA record.
    Soa,
    /// The zone's keys.
    Keys,
    /// REFUSED: a zone transfer, or a zone that is not there.
    Refused,
}

/// A question, and what an authoritative server knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub zone: usize,
    pub name: Name,
    pub qtype: RecordType,
    pub outcome: Outcome,
    pub ttl: u32,
}

/// The negative TTL of all zones (RFC 2308).
pub(crate) const NEGATIVE_TTL: u32 = 300;

/// The name of the zone that stays at the old provider.
pub(crate) const BACKGROUND_ZONE: &str = "staying.example.";

/// All questions. Resolvers ask the first ones; those of a zone stand together.
pub(crate) struct Questions {
    pub all: Vec<Question>,
    pub zones: Vec<ZoneQuestions>,
    /// How many of the first ones a resolver's cache has places for.
    pub cacheable: usize,
}

/// Where a zone's questions stand.
#[derive(Clone, Debug)]
pub(crate) struct ZoneQuestions {
    pub origin: Name,
    pub first: usize,
    /// Sums of the weights of the questions that clients ask, which stand first.
    pub popularity: Vec<f64>,
    pub ns: usize,
    pub soa: usize,
    pub keys: usize,
    /// The first one that only scanners ask, and how many there are.
    pub scanned: (usize, usize),
}

const TTLS: [u32; 6] = [300, 300, 3_600, 60, 86_400, 900];
const LABELS: [&str; 12] =
    ["www", "mail", "api", "cdn", "login", "static", "img", "vpn", "shop", "blog", "ns-check", "app"];
const SCANNED: [&str; 15] = [
    "admin", "test", "dev", "staging", "ftp", "git", "db", "backup", "intranet", "owa", "remote", "jenkins",
    "smtp", "portal", "old",
];
const SCANNED_TYPES: [RecordType; 7] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::NS,
    RecordType::ANY,
    RecordType::AXFR,
];

impl Questions {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let mut questions = Self { all: Vec::new(), zones: Vec::new(), cacheable: 0 };
        let origins = parameters.zones.iter().map(|zone| (zone.origin.as_str(), zone.names));
        for (zone, (origin, names)) in origins.chain([(BACKGROUND_ZONE, 8)]).enumerate() {
            questions.add_zone(zone, origin, names.max(1));
        }
        questions.cacheable = questions.all.len();
        for zone in 0..questions.zones.len() {
            questions.add_scanned(zone);
        }
        questions
    }

    /// The question that a client asks about a zone, by a number from 0 to below 1.
    pub(crate) fn by_popularity(&self, zone: usize, unit: f64) -> usize {
        let zone = &self.zones[zone];
        let all = zone.popularity.last().copied().unwrap_or_default();
        let at = zone.popularity.partition_point(|sum| *sum <= unit * all);
        zone.first + at.min(zone.popularity.len() - 1)
    }

    fn add_zone(&mut self, zone: usize, origin: &str, names: usize) {
        let origin = name(origin);
        let first = self.all.len();
        let mut popularity = Vec::new();
        let mut sum = 0.0;
        let mut put = |name: Name, qtype, outcome, ttl, weight: f64| {
            sum += weight;
            popularity.push(sum);
            self.all.push(Question { zone, name, qtype, outcome, ttl });
        };
        put(origin.clone(), RecordType::MX, Outcome::Records(1), 3_600, 0.2);
        for rank in 0..names {
            let label = LABELS.get(rank).map_or_else(|| format!("host{rank}"), |label| (*label).to_owned());
            let owner = below(&label, &origin);
            let weight = 1.0 / (rank + 1) as f64;
            let ttl = TTLS[rank % TTLS.len()];
            let outcome = match rank % 10 {
                4 => Outcome::Alias,
                9 => Outcome::NxDomain,
                _ => Outcome::Records(1 + (rank % 3) as u8),
            };
            put(owner.clone(), RecordType::A, outcome, ttl, weight);
            let outcome = match outcome {
                Outcome::Records(count) if rank % 2 == 0 => Outcome::Records(count),
                Outcome::NxDomain => Outcome::NxDomain,
                Outcome::Alias => Outcome::Alias,
                _ => Outcome::NoData,
            };
            put(owner, RecordType::AAAA, outcome, ttl, weight / 3.0);
        }
        put(below("_dmarc", &origin), RecordType::TXT, Outcome::Records(1), 3_600, 0.1);
        let ns = self.all.len();
        let apex = [
            (RecordType::NS, Outcome::NameServers),
            (RecordType::SOA, Outcome::Soa),
            (RecordType::DNSKEY, Outcome::Keys),
        ];
        for (qtype, outcome) in apex {
            self.all.push(Question { zone, name: origin.clone(), qtype, outcome, ttl: 3_600 });
        }
        let (soa, keys) = (ns + 1, ns + 2);
        self.zones.push(ZoneQuestions { origin, first, popularity, ns, soa, keys, scanned: (0, 0) });
    }

    fn add_scanned(&mut self, zone: usize) {
        let first = self.all.len();
        let origin = self.zones[zone].origin.clone();
        for label in SCANNED {
            for qtype in SCANNED_TYPES {
                let outcome = if qtype == RecordType::AXFR { Outcome::Refused } else { Outcome::NxDomain };
                let name = below(label, &origin);
                self.all.push(Question { zone, name, qtype, outcome, ttl: NEGATIVE_TTL });
            }
        }
        self.zones[zone].scanned = (first, self.all.len() - first);
    }
}

/// A name that is made here; one that does not fit becomes the root.
pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap_or_else(|_| Name::root())
}

fn below(label: &str, origin: &Name) -> Name {
    name(&format!("{label}.{origin}"))
}
