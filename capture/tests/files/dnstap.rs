use std::io::Cursor;

use lowtide_capture::{CaptureFile, DamageReason, Format, OpenErrorKind, Record};
use lowtide_proto::dnstap::{Dnstap, EnvelopeError, Message};
use prost::Message as _;

use crate::craft::{assert_damaged, control, data, read, read_whole, start, stop};

const OURS: &[u8] = b"protobuf:dnstap.Dnstap";

fn message(r#type: i32, query: Option<u64>, response: Option<u64>) -> Vec<u8> {
    let message = Message {
        r#type,
        query_time_sec: query,
        response_time_sec: response,
        query_message: Some(b"q".to_vec()),
        ..Message::default()
    };
    Dnstap { r#type: 1, message: Some(message), ..Dnstap::default() }.encode_to_vec()
}

#[test]
fn frames_and_their_times() {
    let file = [
        start(),
        data(&message(6, Some(10), Some(12))),
        data(&message(6, Some(11), None)),
        data(&message(5, Some(9), Some(20))),
        data(&message(5, None, None)),
        data(&[0xff]),
        stop(),
    ]
    .concat();
    let (frames, damage, summary) = read(file);
    assert_eq!((damage, summary.format, summary.link_types.len()), (None, Format::Dnstap, 0));
    let seconds: Vec<_> = frames.iter().map(|frame| frame.nanos / 1_000_000_000).collect();
    assert_eq!(seconds, [12, 11, 9, 9, 9]);
    assert_eq!(summary.first.map(|time| time.0), Some(9_000_000_000));
    assert_eq!(summary.last.map(|time| time.0), Some(12_000_000_000));
    assert_eq!(frames[4].octets, [0xff]);
}

#[test]
fn the_view_comes_with_the_frame() {
    let file = [start(), data(&message(5, Some(1), None)), data(&[0xff])].concat();
    let mut capture = CaptureFile::from_reader(Cursor::new(file)).unwrap();
    match capture.next().unwrap() {
        Some(Record::Dnstap(frame)) => {
            let view = frame.view.unwrap();
            assert_eq!((view.message_type, view.query_message), (Some(5), Some(&b"q"[..])));
        }
        other => panic!("{other:?}"),
    }
    match capture.next().unwrap() {
        Some(Record::Dnstap(frame)) => assert_eq!(frame.view, Err(EnvelopeError::Short)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_stop_is_no_damage_and_streams_may_be_joined() {
    let one = [start(), data(&message(5, Some(1), None))].concat();
    assert_eq!(read_whole(one.clone()).len(), 1);
    assert_eq!(read_whole([one.clone(), stop(), one.clone(), stop()].concat()).len(), 2);
    assert_eq!(read_whole([start(), stop()].concat()).len(), 0);
    // START may leave the content type out.
    assert_eq!(read_whole([control(2, &[]), data(b"x")].concat()).len(), 1);
}

#[test]
fn both_sides_of_a_socket() {
    let file = [
        control(4, &[b"other", OURS]),
        control(1, &[OURS]),
        start(),
        data(&message(5, Some(1), None)),
        stop(),
        control(5, &[]),
    ]
    .concat();
    assert_eq!(read_whole(file).len(), 1);
}

#[test]
fn hostile_frames() {
    let whole = [start(), data(b"abc")].concat();
    let at = whole.len();
    let damaged = |next: Vec<u8>, reason| assert_damaged([whole.clone(), next].concat(), 1, at, reason);
    damaged(vec![0xff, 0xff, 0xff, 0xff, 1], DamageReason::FrameLength(u32::MAX));
    damaged(data(&vec![0; 262_145]), DamageReason::FrameLength(262_145));
    damaged(vec![0, 0, 0, 9, 1, 2], DamageReason::Cut);
    damaged(vec![0, 0], DamageReason::Cut);
    damaged(vec![0, 0, 0, 0, 0, 0, 0, 8, 0], DamageReason::Cut);
    damaged(vec![0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2], DamageReason::ControlFrame);
    damaged(vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], DamageReason::ControlFrame);
    damaged(control(6, &[]), DamageReason::ControlType(6));
    damaged(control(2, &[b"protobuf:other"]), DamageReason::ContentType);
    damaged(control(2, &[&[b'x'; 257]]), DamageReason::ControlFrame);
    let mut cut_field = control(2, &[OURS]);
    cut_field[19] = 200;
    damaged(cut_field, DamageReason::ControlFrame);
    assert_eq!(read_whole([start(), data(&vec![7; 262_144])].concat())[0].octets.len(), 262_144);
    assert_damaged(
        [whole.clone(), stop(), data(b"x")].concat(),
        1,
        at + stop().len(),
        DamageReason::NotStarted,
    );
}

#[test]
fn other_streams_are_refused_by_name() {
    match CaptureFile::from_reader(Cursor::new(control(2, &[b"protobuf:other.Thing"]))) {
        Err(OpenErrorKind::ContentType(name)) => assert_eq!(name, "protobuf:other.Thing"),
        _ => panic!("not dnstap"),
    }
    assert!(matches!(
        CaptureFile::from_reader(Cursor::new(vec![0; 4_096])),
        Err(OpenErrorKind::UnknownFormat(_))
    ));
}
