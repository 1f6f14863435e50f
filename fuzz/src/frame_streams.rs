//! Any octets as what a connection sends.

use lowtide_proto::frame_streams::{
    Control, DNSTAP_CONTENT_TYPE, MAX_FRAME, Piece, Receiver, Step, StreamError, piece, put_control, put_data,
};

/// What a receiver made of a connection.
#[derive(Debug, PartialEq)]
struct Reading<'a> {
    steps: Vec<Step<'a>>,
    /// Octets of the steps.
    consumed: usize,
    error: Option<StreamError>,
}

/// A connection gives the same however it is cut into reads; its steps come in their order; its frames are all of its
/// octets, and written again they are read again.
pub fn holds(octets: &[u8]) {
    let whole = read(octets, |_| octets.len());
    // Reads of one octet and of others; each asks again for the frame at hand, so that long ones cost.
    for count in [1, 2, 5, 64, 1_000] {
        let step = count.max(octets.len() / 2_000);
        assert_eq!(read(octets, |at| step + at % 3), whole);
    }
    check_order(&whole);
    check_octets(octets, &whole);
    let written = write(&whole.steps);
    let again = read(&written, |_| written.len());
    assert_eq!((&again.steps, again.error), (&whole.steps, None));
}

/// Reads with so many octets more each time as `more` says for those that are there.
fn read(octets: &[u8], more: impl Fn(usize) -> usize) -> Reading<'_> {
    let mut receiver = Receiver::new(MAX_FRAME);
    let mut reading = Reading { steps: Vec::new(), consumed: 0, error: None };
    let mut there = 0;
    loop {
        let front = &octets[reading.consumed..there];
        match receiver.step(front) {
            Ok((Step::Incomplete(needed), len)) => {
                assert_eq!(len, 0);
                assert!(needed > front.len() && needed <= 4 + MAX_FRAME, "{needed} for {}", front.len());
                if there == octets.len() {
                    return reading;
                }
                there = (there + more(there)).min(octets.len());
            }
            Ok((step, len)) => {
                assert!(len > 0 && len <= front.len());
                reading.consumed += len;
                reading.steps.push(step);
            }
            Err(error) => {
                reading.error = Some(error);
                return reading;
            }
        }
    }
}

/// READY once or not, START, data, STOP.
fn check_order(reading: &Reading<'_>) {
    let steps = match &reading.steps[..] {
        [Step::Ready, steps @ ..] => steps,
        steps => steps,
    };
    let is_bidirectional = steps.len() < reading.steps.len();
    let Some((first, rest)) = steps.split_first() else { return };
    assert_eq!(*first, Step::Start);
    let data = match rest {
        [data @ .., Step::Stop { finish }] => {
            assert_eq!(*finish, is_bidirectional);
            data
        }
        data => data,
    };
    assert!(data.iter().all(|step| matches!(step, Step::Data(payload) if !payload.is_empty())));
}

/// What is left is an incomplete frame, or what the error is about.
fn check_octets(octets: &[u8], reading: &Reading<'_>) {
    let rest = &octets[reading.consumed..];
    match (reading.error, piece(rest, MAX_FRAME)) {
        (None, Ok(Piece::Incomplete(_))) => {}
        (Some(StreamError::Cut(error)), Err(found)) => assert_eq!(error, found),
        (Some(StreamError::NotStarted), Ok(Piece::Data(_))) => {}
        (Some(StreamError::Unexpected(control)), Ok(Piece::Control(frame, _))) => {
            assert_eq!(frame.control, control);
        }
        (Some(StreamError::ContentType), Ok(Piece::Control(frame, _))) => {
            assert!(frame.content_types().all(|name| name != DNSTAP_CONTENT_TYPE));
        }
        other => panic!("{other:?}"),
    }
}

fn write(steps: &[Step<'_>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for step in steps {
        match step {
            Step::Data(payload) => put_data(&mut octets, payload),
            Step::Ready => put_control(&mut octets, Control::Ready, &[b"other", DNSTAP_CONTENT_TYPE]),
            Step::Start => put_control(&mut octets, Control::Start, &[DNSTAP_CONTENT_TYPE]),
            Step::Stop { .. } => put_control(&mut octets, Control::Stop, &[]),
            Step::Incomplete(_) => unreachable!("not kept"),
        }
    }
    octets
}
