//! What holds of every observation, whatever it was read from.

use std::collections::BTreeMap;

use lowtide_decode::Sink;
use lowtide_proto::{Class, Facts, Malformed, Name, Observation, Opcode, Qtype, Role, Transport};

/// Checks observations and counts them.
#[derive(Debug, Default)]
pub struct Observed {
    /// Observations by role and transport.
    pub counts: BTreeMap<(Role, Transport), u64>,
    /// What the last one said.
    pub last: Option<Seen>,
}

/// Some of what an observation says, without its borrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub time: lowtide_proto::Timestamp,
    /// Who asks.
    pub client: lowtide_proto::Endpoint,
    /// Who is asked.
    pub server: lowtide_proto::Endpoint,
    /// QR.
    pub is_response: bool,
    /// Octets on the wire.
    pub size: u32,
}

impl Observed {
    /// All observations.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Sink for Observed {
    fn observe(&mut self, observation: &Observation<'_>) {
        check(observation);
        *self.counts.entry((observation.role, observation.transport)).or_default() += 1;
        self.last = Some(Seen {
            time: observation.time,
            client: observation.client,
            server: observation.server,
            is_response: observation.message.is_response,
            size: observation.message.size,
        });
    }
}

fn check(observation: &Observation<'_>) {
    if observation.role == Role::Wire {
        assert!(matches!(observation.transport, Transport::Udp | Transport::Tcp));
        assert_eq!(observation.own_latency, None);
    } else {
        assert!(!observation.message.facts.contains(Facts::CUT), "dnstap has whole messages");
    }
    check_message(observation.message);
}

/// What holds of every message.
pub fn check_message(message: &lowtide_proto::Message<'_>) {
    let facts = message.facts;
    let Name(qname) = message.qname;
    if !qname.is_empty() {
        check_name(qname);
    }
    assert!(facts.bits() & !Facts::all().bits() == 0, "bits without a meaning: {facts:?}");
    assert!(!facts.contains(Facts::NO_QUESTION | Facts::MANY_QUESTIONS));
    if facts.contains(Facts::QUESTION) {
        assert!(!qname.is_empty() && !facts.contains(Facts::NO_QUESTION));
    } else {
        assert_eq!((message.qtype, message.qclass), (Qtype(0), Class(0)));
    }
    assert!(qname.is_empty() || !facts.contains(Facts::NO_QUESTION));
    assert!(message.opcode.0 < 16 && message.rcode.0 < 4096);
    if !facts.contains(Facts::EDNS) {
        assert!(!facts.intersects(Facts::DNSSEC_OK | Facts::CLIENT_SUBNET | Facts::COOKIE));
        assert_eq!(message.udp_payload_size, 0);
        assert!(message.rcode.0 < 16);
    }
    // dnstap's word on the direction counts more than the QR bit, by which NODATA and referrals are told.
    let turned = message.malformed == Some(Malformed::Direction);
    if facts.intersects(Facts::NODATA | Facts::REFERRAL) {
        assert!(message.is_response || turned);
        assert!(message.opcode == Opcode::QUERY && message.rcode.0 == 0 && facts.contains(Facts::QUESTION));
        assert!(!facts.contains(Facts::NODATA | Facts::REFERRAL));
        assert!(!facts.contains(Facts::TRUNCATED));
    }
    if let Some(labels) = message.zone_labels {
        assert!(usize::from(labels) <= message.qname.label_count());
        assert!(facts.contains(Facts::AUTHORITATIVE));
    }
    if facts.contains(Facts::CUT) {
        assert!(matches!(message.malformed, None | Some(Malformed::Direction)));
    }
    if facts.contains(Facts::TRAILING_OCTETS) {
        assert!(matches!(message.malformed, None | Some(Malformed::Direction)));
    }
    assert!(message.size >= 12);
}

/// A name in wire form: labels of 1 to 63 octets, the root, nothing behind it, 255 octets at most, lower case.
fn check_name(wire: &[u8]) {
    assert!(wire.len() <= 255);
    let mut rest = wire;
    let mut labels = 0;
    while let Some((&length, tail)) = rest.split_first() {
        assert!(length < 64);
        if length == 0 {
            assert!(tail.is_empty(), "octets behind the root: {wire:02x?}");
            break;
        }
        labels += 1;
        let (label, tail) = tail.split_at(usize::from(length));
        assert!(!label.iter().any(u8::is_ascii_uppercase), "{wire:02x?}");
        assert!(!tail.is_empty(), "no root: {wire:02x?}");
        rest = tail;
    }
    let name = Name(wire);
    assert_eq!(name.label_count(), labels);
    let text = name.to_string();
    let parsed = lowtide_proto::NameBuf::parse(&text).expect("presentation form is a name");
    assert_eq!(parsed.wire(), wire, "{text}");
}
