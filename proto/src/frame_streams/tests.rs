use super::{
    Control, CutError, DNSTAP_CONTENT_TYPE, MAX_FRAME, Piece, Receiver, Step, StreamError, piece,
    put_control, put_data,
};

/// A control frame spelt out, so that the writer is tested too.
fn control(kind: u32, content_types: &[&[u8]]) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    for name in content_types {
        body.extend(1_u32.to_be_bytes());
        body.extend((name.len() as u32).to_be_bytes());
        body.extend(*name);
    }
    [&[0; 4][..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

fn data(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}

const OURS: &[u8] = DNSTAP_CONTENT_TYPE;

/// What a receiver makes of octets that are there at once: a word for each step, and the error.
fn steps(octets: &[u8]) -> (Vec<String>, Option<StreamError>) {
    let mut receiver = Receiver::new(1_000);
    let mut steps = Vec::new();
    let mut rest = octets;
    loop {
        match receiver.step(rest) {
            Ok((Step::Incomplete(needed), consumed)) => {
                assert_eq!(consumed, 0);
                assert!(needed > rest.len());
                if !rest.is_empty() {
                    steps.push(format!("{} of {needed}", rest.len()));
                }
                return (steps, None);
            }
            Ok((step, consumed)) => {
                steps.push(match step {
                    Step::Data(payload) => String::from_utf8_lossy(payload).into_owned(),
                    other => format!("{other:?}"),
                });
                rest = &rest[consumed..];
            }
            Err(error) => return (steps, Some(error)),
        }
    }
}

#[track_caller]
fn check(octets: &[Vec<u8>], expected: &[&str], error: Option<StreamError>) {
    let (steps, found) = steps(&octets.concat());
    assert_eq!(
        (&steps[..], found),
        (&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..], error)
    );
}

#[test]
fn both_kinds_of_stream() {
    let (ready, start, stop) = (control(4, &[b"other", OURS]), control(2, &[OURS]), control(3, &[]));
    check(
        &[ready, start.clone(), data(b"one"), data(b"two"), stop.clone()],
        &["Ready", "Start", "one", "two", "Stop { finish: true }"],
        None,
    );
    check(&[start.clone(), data(b"one"), stop], &["Start", "one", "Stop { finish: false }"], None);
    check(&[start, data(b"one"), vec![0, 0]], &["Start", "one", "2 of 4"], None);
    // READY and START may leave the content type out.
    check(&[control(4, &[]), control(2, &[]), data(b"x")], &["Ready", "Start", "x"], None);
}

#[test]
fn what_is_no_stream_of_dnstap() {
    let start = || control(2, &[OURS]);
    let ready = || control(4, &[OURS]);
    let stop = || control(3, &[]);
    let unexpected = |control| Some(StreamError::Unexpected(control));
    check(&[data(b"x")], &[], Some(StreamError::NotStarted));
    check(&[ready(), data(b"x")], &["Ready"], Some(StreamError::NotStarted));
    check(
        &[start(), stop(), data(b"x")],
        &["Start", "Stop { finish: false }"],
        Some(StreamError::NotStarted),
    );
    check(&[control(4, &[b"other"])], &[], Some(StreamError::ContentType));
    check(&[control(2, &[b"other"])], &[], Some(StreamError::ContentType));
    check(&[ready(), control(2, &[b"other"])], &["Ready"], Some(StreamError::ContentType));
    check(&[ready(), ready()], &["Ready"], unexpected(Control::Ready));
    check(&[start(), ready()], &["Start"], unexpected(Control::Ready));
    check(&[start(), start()], &["Start"], unexpected(Control::Start));
    check(&[stop()], &[], unexpected(Control::Stop));
    check(&[ready(), stop()], &["Ready"], unexpected(Control::Stop));
    check(&[control(1, &[OURS])], &[], unexpected(Control::Accept));
    check(&[start(), control(5, &[])], &["Start"], unexpected(Control::Finish));
    check(&[start(), control(77, &[])], &["Start"], Some(CutError::ControlType(77).into()));
    check(&[start(), vec![0, 0, 0, 0, 0, 0, 0, 3]], &["Start"], Some(CutError::ControlFrame.into()));
    check(&[start(), vec![0, 0, 0, 0, 0, 0, 2, 1]], &["Start"], Some(CutError::ControlFrame.into()));
    check(&[vec![0xff; 4]], &[], Some(CutError::FrameLength(u32::MAX).into()));
    check(&[start(), data(&[b'x'; 1_001])], &["Start"], Some(CutError::FrameLength(1_001).into()));
    check(&[b"GET / HTTP/1.1\r\n".to_vec()], &[], Some(CutError::FrameLength(0x4745_5420).into()));
}

/// A receiver that gets one octet at a time is told how many more to wait for, never more than the frame has.
#[test]
fn cuts_whatever_has_come() {
    let start = control(2, &[OURS]);
    let stream = [start.clone(), data(b"abc")].concat();
    for len in 0..start.len() {
        match piece(&stream[..len], MAX_FRAME) {
            Ok(Piece::Incomplete(needed)) => {
                assert!(needed > len && needed <= start.len(), "{len}: {needed}");
            }
            other => panic!("{other:?}"),
        }
    }
    match piece(&stream, MAX_FRAME) {
        Ok(Piece::Control(frame, len)) => {
            assert_eq!(len, start.len());
            assert_eq!(frame.content_types().collect::<Vec<_>>(), [OURS]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(piece(&stream[start.len()..], 3), Ok(Piece::Data(b"abc")));
    assert_eq!(piece(&stream[start.len()..], 2), Err(CutError::FrameLength(3)));
}

#[test]
fn writes_frames() {
    let mut written = Vec::new();
    put_control(&mut written, Control::Ready, &[b"other", OURS]);
    put_control(&mut written, Control::Stop, &[]);
    put_data(&mut written, b"abc");
    put_data(&mut written, b"");
    assert_eq!(written, [control(4, &[b"other", OURS]), control(3, &[]), data(b"abc")].concat());
}

/// ACCEPT names what READY named; FINISH names nothing.
#[test]
fn answers() {
    for content_types in [&[OURS][..], &[]] {
        let mut receiver = Receiver::new(MAX_FRAME);
        receiver.step(&control(4, content_types)).unwrap();
        assert!(receiver.is_bidirectional() && !receiver.has_started());
        let mut answers = Vec::new();
        receiver.put_accept(&mut answers);
        receiver.put_finish(&mut answers);
        assert_eq!(answers, [control(1, content_types), control(5, &[])].concat());
    }
}
