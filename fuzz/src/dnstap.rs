//! Any octets as a dnstap frame, with prost as the oracle.

use lowtide_decode::{Decoder, Fate, Ports};
use lowtide_proto::dnstap::{Dnstap, DnstapFrame, EnvelopeError, Layout, View};
use lowtide_proto::{Role, Timestamp};
use prost::Message as _;

use crate::frames::limits;
use crate::input::START;
use crate::observed::Observed;

/// What prost accepts the view reads, and shows the same; the decoder gives the frame one fate.
///
/// The other direction does not hold: prost looks into policies, limits how deep groups nest, and wants each closed by
/// its own number.
pub fn holds(octets: &[u8]) {
    let view = View::parse(octets);
    let mut layout = Layout::default();
    assert_eq!(layout.read(octets).map(|()| layout.view(octets)), view);
    if let Ok(oracle) = Dnstap::decode(octets) {
        assert_same(&view.expect("what prost reads"), &oracle);
        let written = oracle.encode_to_vec();
        assert_same(&View::parse(&written).expect("what prost wrote"), &oracle);
    }
    check_fate(octets, view);
}

fn check_fate(octets: &[u8], view: Result<View<'_>, EnvelopeError>) {
    let mut decoder = Decoder::new(Ports::default(), limits());
    let mut observed = Observed::default();
    let frame = DnstapFrame::parse(octets, START);
    assert_eq!(frame.time, view.ok().and_then(|view| view.time()).unwrap_or(START));
    decoder.dnstap(&frame, &mut observed);
    decoder.finish(&mut observed);
    let fates: Vec<_> = decoder.counts().fates().filter(|&(_, count)| count > 0).collect();
    let defects: u64 = decoder.counts().defects().map(|(_, count)| count).sum();
    let expected = match view {
        Err(_) => Fate::Malformed,
        Ok(View {
            payload_type: Some(1),
            message_type: Some(number @ 1..=14),
            query_message,
            response_message,
            ..
        }) => match if number % 2 == 0 { response_message } else { query_message } {
            None => Fate::DnstapOther,
            Some(message) if message.len() < 12 => Fate::Malformed,
            Some(_) => Fate::DnstapMessage,
        },
        Ok(_) => Fate::DnstapOther,
    };
    assert_eq!(fates, [(expected, 1)]);
    assert_eq!(defects, u64::from(expected == Fate::Malformed));
    assert_eq!(observed.total(), u64::from(expected == Fate::DnstapMessage));
    assert!(observed.counts.keys().all(|(role, _)| *role != Role::Wire));
    if let (Some(seen), Ok(view)) = (observed.last, view) {
        assert_eq!(seen.time, frame.time);
        assert_eq!(Some(seen.is_response), view.is_response());
        let port = |port: Option<u32>| port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        // Of resolvers, responses name other ports than queries.
        let query_port = view.query_port.filter(|_| !matches!(view.message_type, Some(3 | 4 | 7 | 8)));
        assert_eq!(seen.client.port, port(query_port));
        assert_eq!(seen.server.port, port(view.response_port));
    }
}

/// What prost says stands in the message is what the view shows.
fn assert_same(view: &View<'_>, expected: &Dnstap) {
    let message = expected.message.clone().unwrap_or_default();
    // prost has 0 for a required field that is missing.
    assert_eq!(view.payload_type.unwrap_or_default(), expected.r#type);
    assert_eq!(view.message_type.unwrap_or_default(), message.r#type);
    assert_eq!(view.identity, expected.identity.as_deref());
    assert_eq!(view.version, expected.version.as_deref());
    assert_eq!(view.has_extra, expected.extra.is_some());
    assert_eq!(view.has_message, expected.message.is_some());
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
    assert_eq!(view.query_time, time(message.query_time_sec, message.query_time_nsec));
    assert_eq!(view.response_time, time(message.response_time_sec, message.response_time_nsec));
}

/// Missing nanoseconds are 0, missing seconds are no time; what is too late for 64 bits is the last moment.
fn time(seconds: Option<u64>, nanos: Option<u32>) -> Option<Timestamp> {
    let nanos = u128::from(seconds?) * 1_000_000_000 + u128::from(nanos.unwrap_or_default());
    Some(Timestamp(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
