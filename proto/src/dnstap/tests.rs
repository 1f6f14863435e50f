use prost::Message as _;

use super::{Dnstap, DnstapFrame, EnvelopeError, Layout, Message, Policy, View};
use crate::Timestamp;

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(4) > 0 { Some(make(self)) } else { None }
    }

    /// Small, large and extreme numbers alike.
    fn number(&mut self) -> u64 {
        let shift = self.below(64);
        self.next() >> shift
    }

    fn octets(&mut self, most: u64) -> Vec<u8> {
        let len = self.below(most + 1);
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn random_dnstap(random: &mut Random) -> Dnstap {
    Dnstap {
        identity: random.maybe(|r| r.octets(20)),
        version: random.maybe(|r| r.octets(200)),
        extra: random.maybe(|r| r.octets(5)),
        message: random.maybe(random_message),
        r#type: random.number() as i32,
    }
}

fn random_message(random: &mut Random) -> Message {
    Message {
        r#type: if random.below(8) == 0 { random.number() as i32 } else { random.below(16) as i32 },
        socket_family: random.maybe(|r| r.below(4) as i32),
        socket_protocol: random.maybe(|r| r.number() as i32),
        query_address: random.maybe(|r| r.octets(16)),
        response_address: random.maybe(|r| r.octets(16)),
        query_port: random.maybe(|r| r.number() as u32),
        response_port: random.maybe(|r| r.number() as u32),
        query_time_sec: random.maybe(Random::number),
        query_time_nsec: random.maybe(|r| r.number() as u32),
        query_message: random.maybe(|r| r.octets(300)),
        query_zone: random.maybe(|r| r.octets(30)),
        response_time_sec: random.maybe(Random::number),
        response_time_nsec: random.maybe(|r| r.number() as u32),
        response_message: random.maybe(|r| r.octets(3000)),
        policy: random.maybe(|r| Policy {
            r#type: r.maybe(|r| "p".repeat(r.below(9) as usize)),
            rule: r.maybe(|r| r.octets(9)),
            action: r.maybe(|r| r.number() as i32),
            r#match: None,
            value: r.maybe(|r| r.octets(9)),
        }),
    }
}

/// What prost says stands in the message is what the view must show.
#[track_caller]
fn assert_same(view: &View<'_>, expected: &Dnstap) {
    assert_eq!(view.payload_type.unwrap_or_default(), expected.r#type);
    assert_eq!(view.identity, expected.identity.as_deref());
    assert_eq!(view.version, expected.version.as_deref());
    assert_eq!(view.has_extra, expected.extra.is_some());
    assert_eq!(view.has_message, expected.message.is_some());
    let message = expected.message.clone().unwrap_or_default();
    assert_eq!(view.message_type.unwrap_or_default(), message.r#type);
    assert_eq!(view.socket_family, message.socket_family);
    assert_eq!(view.socket_protocol, message.socket_protocol);
    assert_eq!(view.query_address, message.query_address.as_deref());
    assert_eq!(view.response_address, message.response_address.as_deref());
    assert_eq!(view.query_port, message.query_port);
    assert_eq!(view.response_port, message.response_port);
    assert_eq!(view.query_message, message.query_message.as_deref());
    assert_eq!(view.response_message, message.response_message.as_deref());
    assert_eq!(view.query_zone, message.query_zone.as_deref());
    assert_eq!(view.has_policy, message.policy.is_some());
    let time = |seconds: Option<u64>, nanos: Option<u32>| {
        let nanos = u128::from(seconds?) * 1_000_000_000 + u128::from(nanos.unwrap_or(0));
        Some(Timestamp(u64::try_from(nanos).unwrap_or(u64::MAX)))
    };
    assert_eq!(view.query_time, time(message.query_time_sec, message.query_time_nsec));
    assert_eq!(view.response_time, time(message.response_time_sec, message.response_time_nsec));
}

#[test]
fn shows_what_prost_wrote() {
    let mut random = Random(0x5eed);
    for _ in 0..3_000 {
        let dnstap = random_dnstap(&mut random);
        let octets = dnstap.encode_to_vec();
        assert_same(&View::parse(&octets).unwrap(), &dnstap);
    }
}

#[test]
fn reads_whatever_prost_reads() {
    let mut random = Random(0xbad_5eed);
    let mut accepted = 0;
    for _ in 0..30_000 {
        let mut octets = random_dnstap(&mut random).encode_to_vec();
        for _ in 0..random.below(4) {
            let at = random.below(octets.len() as u64) as usize;
            match random.below(3) {
                0 => octets[at] = random.next() as u8,
                1 => octets.truncate(at.max(1)),
                _ => octets.insert(at, random.next() as u8),
            }
        }
        // The other direction does not hold: prost also looks into policies and limits the depth of groups.
        let view = View::parse(&octets);
        if let Ok(dnstap) = Dnstap::decode(octets.as_slice()) {
            accepted += 1;
            assert_same(&view.unwrap(), &dnstap);
        }
    }
    assert!(accepted > 3_000, "{accepted} of the mutated messages were still messages");
}

#[test]
fn survives_noise() {
    let mut random = Random(0x0dd);
    for _ in 0..50_000 {
        let octets = random.octets(40);
        let view = View::parse(&octets);
        if let Ok(dnstap) = Dnstap::decode(octets.as_slice()) {
            assert_same(&view.unwrap(), &dnstap);
        }
    }
}

#[test]
fn the_last_of_a_repeated_field_counts_and_messages_merge() {
    let first = Dnstap {
        identity: Some(b"a".to_vec()),
        message: Some(Message { r#type: 1, query_port: Some(53), ..Message::default() }),
        r#type: 1,
        ..Dnstap::default()
    };
    let second = Dnstap {
        identity: Some(b"b".to_vec()),
        message: Some(Message { r#type: 2, response_port: Some(5353), ..Message::default() }),
        r#type: 1,
        ..Dnstap::default()
    };
    let octets = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let view = View::parse(&octets).unwrap();
    assert_same(&view, &Dnstap::decode(octets.as_slice()).unwrap());
    assert_eq!((view.query_port, view.response_port, view.identity), (Some(53), Some(5353), Some(&b"b"[..])));
}

#[test]
fn unknown_fields_are_passed_over() {
    let known = Dnstap { r#type: 1, identity: Some(b"ns1".to_vec()), ..Dnstap::default() };
    // Field 100: a varint, 8 octets, a string, a group with a field and a group in it, 4 octets.
    let unknown = [
        &[0xa0, 0x06, 0x96, 0x01][..],
        &[0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xa2, 0x06, 2, b'h', b'i'],
        &[0xa3, 0x06, 0x08, 0x05, 0xab, 0x06, 0xac, 0x06, 0xa4, 0x06],
        &[0xa5, 0x06, 1, 2, 3, 4],
    ];
    let octets = [&unknown.concat()[..], &known.encode_to_vec()].concat();
    assert_same(&View::parse(&octets).unwrap(), &known);
}

#[test]
fn a_hundred_thousand_nested_groups() {
    let open = [0xa3, 0x06].repeat(100_000);
    assert_eq!(View::parse(&open), Err(EnvelopeError::Group));
    let mut balanced = open.clone();
    balanced.extend([0xa4, 0x06].repeat(100_000));
    assert!(View::parse(&balanced).is_ok());
    let inside = Dnstap { message: Some(Message::default()), ..Dnstap::default() };
    let mut octets = inside.encode_to_vec();
    octets.extend(balanced);
    assert!(View::parse(&octets).unwrap().has_message);
}

#[test]
fn each_error() {
    for (octets, expected) in [
        (&[0x0a][..], EnvelopeError::Short),
        (&[0x0a, 5, 1, 2], EnvelopeError::Short),
        (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], EnvelopeError::Short),
        (&[0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], EnvelopeError::Varint),
        (&[0x00, 0x01], EnvelopeError::FieldNumber),
        (&[0x82, 0x80, 0x80, 0x80, 0x10, 0x00], EnvelopeError::FieldNumber),
        (&[0x08, 0x01], EnvelopeError::WireType),
        (&[0xa6, 0x06], EnvelopeError::WireType),
        (&[0xa4, 0x06], EnvelopeError::Group),
        // A field of the message may not run past the message, even where the frame has more octets.
        (&[0x72, 2, 0x22, 4, 1, 2, 3, 4], EnvelopeError::Short),
    ] {
        assert_eq!(View::parse(octets), Err(expected), "{octets:02x?}");
        assert!(Dnstap::decode(octets).is_err(), "{octets:02x?}");
    }
}

#[test]
fn the_time_is_that_of_the_event() {
    let frame =
        |message: Message| Dnstap { r#type: 1, message: Some(message), ..Dnstap::default() }.encode_to_vec();
    let both = |r#type| Message {
        r#type,
        query_time_sec: Some(10),
        query_time_nsec: Some(1),
        response_time_sec: Some(11),
        response_time_nsec: None,
        ..Message::default()
    };
    let before = Timestamp::new(9, 9);
    let time = |octets: &[u8]| DnstapFrame::parse(octets, before).time;
    assert_eq!(time(&frame(both(5))), Timestamp::new(10, 1));
    assert_eq!(time(&frame(both(6))), Timestamp::new(11, 0));
    let only_query = Message { response_time_sec: None, ..both(6) };
    assert_eq!(time(&frame(only_query)), Timestamp::new(10, 1));
    let neither = Message { query_time_sec: None, response_time_sec: None, ..both(6) };
    assert_eq!(time(&frame(neither)), before);
    assert_eq!(time(&[0xff]), before);
    // More nanoseconds than a second has, and more seconds than the range: no panic, and still a time.
    let overflown = Message { query_time_sec: Some(u64::MAX), query_time_nsec: Some(u32::MAX), ..both(5) };
    assert_eq!(time(&frame(overflown)), Timestamp(u64::MAX));
}

#[test]
fn a_layout_shown_over_other_octets_does_not_panic() {
    let octets = Dnstap { identity: Some(vec![1; 30]), ..Dnstap::default() }.encode_to_vec();
    let mut layout = Layout::default();
    layout.read(&octets).unwrap();
    assert_eq!(layout.view(&[]).identity, None);
}
