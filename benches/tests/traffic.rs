//! The traffic that is made up is what it says, by the account of other readers.
#![expect(clippy::unwrap_used, reason = "a test may state its expectations by failing")]

use std::io::Cursor;

use etherparse::{SlicedPacket, TransportSlice};
use hickory_proto::op::{Message, MessageType};
use lowtide_aggregate::{Event, EventSink, Exchange, Outcome};
use lowtide_benches::pipeline::{self, Matching};
use lowtide_benches::traffic::{Made, Traffic};
use lowtide_capture::{CaptureFile, Record};
use lowtide_decode::Fate;

fn made() -> (Made, Vec<u8>) {
    let mut octets = Vec::new();
    let made = Traffic { queries: 20_000, names: 3000, rate: 5000 }.write(&mut octets).unwrap();
    (made, octets)
}

#[test]
fn other_readers_read_every_datagram() {
    let (made, octets) = made();
    let mut file = CaptureFile::from_reader(Cursor::new(octets)).unwrap();
    let (mut frames, mut queries, mut responses, mut segments, mut fragments) = (0, 0, 0, 0, 0);
    while let Some(record) = file.next().unwrap() {
        let Record::Packet(packet) = record else { panic!("{record:?}") };
        frames += 1;
        let sliced = SlicedPacket::from_ethernet(packet.data).unwrap();
        match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => {
                let message = Message::from_vec(udp.payload()).unwrap();
                assert_eq!(message.queries.len(), 1);
                match message.metadata.message_type {
                    MessageType::Query => queries += 1,
                    MessageType::Response => responses += 1,
                }
            }
            Some(TransportSlice::Tcp(_)) => segments += 1,
            // Of a fragmented datagram there is no more to see than that it is one.
            None => fragments += u64::from(sliced.is_ip_payload_fragmented()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(frames, made.frames);
    assert_eq!(queries + responses + segments + fragments, frames);
    assert!(segments > frames / 20 && segments < frames / 5, "{segments} segments of {frames} frames");
    assert!(fragments > 0 && fragments < frames / 100, "{fragments} fragments");
    assert!(queries > made.queries * 9 / 10 && responses > made.responses * 9 / 10);
}

#[derive(Default)]
struct Events(Vec<Outcome>);

impl EventSink for Events {
    fn event(&mut self, event: &Event, _: &Exchange, _: &[u8]) {
        self.0.push(event.outcome);
    }
}

#[test]
fn every_message_is_found_and_paired() {
    let (made, octets) = made();
    let mut file = CaptureFile::from_reader(Cursor::new(octets)).unwrap();
    let mut decoder = pipeline::decoder();
    let mut sink = Matching::new(Events::default());
    let last = pipeline::decode(&mut file, 0, &mut decoder, &mut sink).unwrap();
    decoder.finish(&mut sink);
    sink.finish(last);

    let messages = sink.messages();
    assert_eq!((messages.queries, messages.responses), (made.queries, made.responses));
    assert_eq!(messages.malformed.iter().sum::<u64>(), 0);
    for (fate, count) in decoder.counts().fates() {
        let expected = matches!(fate, Fate::UdpMessage | Fate::TcpSegment | Fate::IpFragment);
        assert_eq!(count > 0, expected, "{fate:?}: {count}");
    }
    let count = |outcomes: &[Outcome]| {
        sink.events.0.iter().filter(|outcome| outcomes.contains(outcome)).count() as u64
    };
    assert_eq!(count(&[Outcome::Orphan, Outcome::Evicted]), 0);
    assert_eq!(count(&[Outcome::Unanswered, Outcome::Pending]), made.unanswered);
    assert_eq!(count(&[Outcome::Answered, Outcome::Duplicate]), made.responses);
    assert!(count(&[Outcome::Duplicate]) > 0);
}
