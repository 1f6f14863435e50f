//! Files of several sensors, whole and with holes.

use super::*;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const SILENCE: u64 = 15 * MINUTE;
const A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xa);
const B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xb);

const fn at(minutes: u64) -> Timestamp {
    Timestamp(minutes * MINUTE)
}

/// A file with a frame at each of these minutes, that shows a server.
fn file(path: &str, minutes: impl IntoIterator<Item = u64>, server: Ipv6Addr) -> Seen {
    let mut sight = Sight::default();
    for minute in minutes {
        sight.frame(at(minute), SILENCE);
    }
    sight.server(server);
    Seen { path: path.into(), kind: "pcap ETHERNET".to_owned(), damaged: None, dropped: Vec::new(), sight }
}

/// The holes of server A between two minutes, in minutes.
fn holes(files: &[Seen], from: u64, to: u64) -> Vec<(u64, u64)> {
    let sources = sources(files);
    let mut all = Cover::default();
    cover(&mut all, files, &sources, SILENCE);
    for (file, name) in files.iter().zip(&sources.names) {
        file.sight.servers.iter().for_each(|&server| all.watches(name, server));
    }
    all.holes(A, at(from), at(to)).iter().map(|hole| (hole.from.0 / MINUTE, hole.to.0 / MINUTE)).collect()
}

fn minutes(from: u64, to: u64) -> impl Iterator<Item = u64> {
    (from..=to).step_by(10)
}

#[test]
fn a_silence_is_a_hole_and_so_is_what_comes_before_and_after() {
    let one = [file("/x/a", [0, 10, 20, 36, 46], A)];
    assert_eq!(holes(&one, 0, 46), [(20, 36)]);
    assert_eq!(holes(&one, 0, 60), [(20, 36), (46, 60)]);
    // Frames out of order are no leap, and a leap back opens no hole where something was seen.
    assert_eq!(holes(&[file("/x/a", [30, 20, 40, 0, 10, 50], A)], 0, 50), []);
    assert_eq!(holes(&[], 0, 50), [(0, 50)]);
    assert_eq!(holes(&[file("/x/a", minutes(0, 50), B)], 0, 50), [(0, 50)]);
}

#[test]
fn rotated_files_go_on_where_others_end() {
    let mut rotated = [file("/x/2", minutes(60, 110), A), file("/x/1", minutes(0, 50), A)];
    assert_eq!(holes(&rotated, 0, 110), []);
    // The next file shows the server no more, but others that were there before.
    rotated[0].sight.servers = HashSet::from([B]);
    rotated[1].sight.servers.insert(B);
    assert_eq!(holes(&rotated, 0, 110), []);
    assert_eq!(sources(&rotated).names, ["2 files of /x"; 2]);
    // One is missing between.
    let missing = [file("/x/1", minutes(0, 50), A), file("/x/3", minutes(120, 170), A)];
    assert_eq!(holes(&missing, 0, 170), [(50, 120)]);
    // An empty one does not matter.
    let empty = [file("/x/1", minutes(0, 50), A), file("/x/2", [], A), file("/x/3", minutes(60, 90), A)];
    assert_eq!(holes(&empty, 0, 90), []);
}

#[test]
fn no_file_fills_the_holes_of_what_may_be_another_sensor() {
    let early = || file("/x/1", minutes(0, 50), A);
    for (other, reason) in [
        (file("/y/2", minutes(60, 110), A), ""),
        (Seen { kind: "dnstap".to_owned(), ..file("/x/2", minutes(60, 110), A) }, "/x/2 is dnstap"),
        (file("/x/2", minutes(40, 110), A), "overlap in time"),
        (file("/x/2", minutes(60, 110), B), "shows no server"),
    ] {
        let files = [early(), other];
        let Sources { names, notes } = sources(&files);
        assert_ne!(names[0], names[1]);
        assert!(
            notes.iter().all(|note| note.contains(reason)) && notes.is_empty() == reason.is_empty(),
            "{notes:?}"
        );
        assert!(holes(&files, 0, 110).contains(&(50, 110)), "{reason}");
    }
}

/// Which sources files of these runs are of.
fn of_runs(files: &[(&str, Seen)]) -> (Vec<String>, Vec<String>) {
    let (runs, files): (Vec<&str>, Vec<Seen>) = files.iter().cloned().unzip();
    let Sources { names, notes } = sources_of_runs(&files, &runs);
    (names, notes)
}

#[test]
fn a_capture_may_be_read_file_by_file_in_several_runs() {
    let rotated = [("b", file("/x/2", minutes(60, 110), A)), ("a", file("/x/1", minutes(0, 50), A))];
    let (names, notes) = of_runs(&rotated);
    assert_eq!((names, notes.len()), (vec!["2 files of /x".to_owned(); 2], 0));
}

#[test]
fn what_two_runs_have_under_one_path_is_never_one_source() {
    for path in ["-", "/x/1", "1"] {
        // Even where one begins when the other has ended.
        let taps = [("a", file(path, minutes(0, 50), A)), ("b", file(path, minutes(60, 110), A))];
        let (names, notes) = of_runs(&taps);
        assert!(names[0].ends_with(" of run a") && names[1].ends_with(" of run b"), "{names:?}");
        assert!(notes[0].contains("of run a and of run b are not the same file"), "{notes:?}");
        // The other files of the folder may be of either.
        if path == "/x/1" {
            let more = [&taps[..], &[("c", file("/x/2", minutes(120, 150), A))]].concat();
            let (names, _) = of_runs(&more);
            assert_eq!(names, ["/x/1 of run a", "/x/1 of run b", "/x/2"]);
        }
    }
}

#[test]
fn what_a_run_claims_that_was_cut_off_is_no_sight_and_stands_in_the_way_of_another() {
    let claims = |path: &str, from, to| {
        let mut cut = file(path, [], A);
        cut.sight.claim(Some((at(from), at(to))));
        cut
    };
    let after = [file("/x/1", minutes(0, 50), A), claims("/x/2", 60, 80), file("/x/3", minutes(90, 120), A)];
    assert_eq!(holes(&after, 0, 120), [(50, 90)]);
    assert_eq!(sources(&after).names, ["3 files of /x"; 3]);
    // What was seen beside it may be another tap's.
    let beside = [file("/x/1", minutes(0, 120), A), claims("/x/2", 60, 80)];
    assert!(holes(&beside, 0, 120).contains(&(0, 120)));
}

#[test]
fn damage_is_a_hole_until_another_file_goes_on() {
    let damaged =
        |path, from, to| Seen { damaged: Some("cut".to_owned()), ..file(path, minutes(from, to), A) };
    // The last second before it may lack what was written late.
    assert_eq!(holes(&[damaged("/x/1", 0, 50)], 0, 50), [(49, 50)]);
    assert_eq!(holes(&[damaged("/x/1", 0, 50), file("/x/2", minutes(60, 90), A)], 0, 90), [(49, 60)]);
    let nothing = Seen { damaged: Some("cut".to_owned()), ..file("/x/1", [], A) };
    assert_eq!(holes(&[nothing, file("/x/2", minutes(0, 50), A)], 0, 50), [(0, 50)]);
}

#[test]
fn what_cannot_be_looked_into_is_a_hole() {
    let mut file = file("/x/1", minutes(0, 90), A);
    for minute in [10, 11, 12, 40] {
        file.sight.lost(at(minute), "cut");
    }
    assert_eq!(holes(&[file], 0, 90), [(10, 12), (40, 40)]);
}

#[test]
fn times_that_leap_about_need_bounded_memory_and_fill_no_hole() {
    let mut sight = Sight::default();
    for step in 0..100_000_u64 {
        sight.frame(at(step * 100 % 7_777_777), SILENCE);
        sight.lost(at(step * 100 % 7_777_777), "cut");
    }
    assert!(sight.spans.len() <= MAX_SPANS && sight.lost.len() <= MAX_SPANS);
    assert!(sight.spans.iter().all(|&(from, to)| to.0 - from.0 <= SILENCE));
}
