//! Many senders, good and bad: the others' counts stay exact, and what each showed stays its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE};

use crate::message::{Asked, SECOND, now, pairs};
use crate::place::{Place, pause, until};
use crate::rows::Rows;
use crate::sender::{Sender, control, stream_of};
use crate::support::{Server, skipped};

/// One that sends nonsense in every way there is; how many frames of its were frames.
fn misbehave(place: &Place) -> u64 {
    let garbage = [&[0xff; 40][..], b"no protobuf", &[0x0b; 5_000], b"\x72\x80"];
    let mut sender = place.sender();
    sender.send(garbage);
    // A length that no frame may have.
    sender.write(&u32::MAX.to_be_bytes());
    assert_eq!(sender.stream.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    // The end in the middle of a frame, behind a whole one.
    let mut sender = place.sender();
    sender.send(["garbage"]);
    sender.write(&stream_of([[7; 100]])[..50]);
    drop(sender);
    // Something else than dnstap, and something else than Frame Streams.
    for octets in [control(Control::Start, &[b"protobuf:other"]), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = UnixStream::connect(place.socket()).unwrap();
        stream.write_all(&octets).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    }
    garbage.len() as u64 + 1
}

#[test]
fn eight_good_ones_and_a_hostile_one() {
    const EACH: u64 = 400;
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("many")));
    let mut run = place.start();
    let time = now() - 20 * SECOND;
    let mut senders: Vec<_> = (0..8).map(|_| place.sender()).collect();
    let mut malformed = 0;
    for part in 0..EACH / 100 {
        for (number, sender) in senders.iter_mut().enumerate() {
            let from = time + part * 100_000;
            sender.send(pairs(&format!("server {number}"), from, 100));
        }
        malformed += misbehave(&place);
    }
    senders.into_iter().for_each(Sender::finish);
    let frames = 8 * EACH * 2 + malformed;
    run.counted(frames);
    let metrics = run.metrics();
    let fate = |fate| metrics.sum("lowtide_frames_total", &[("fate", fate)]);
    assert_eq!((fate("dnstap_message"), fate("malformed")), (8 * EACH * 2, malformed));
    assert_eq!(metrics.sum("lowtide_malformed_frames_total", &[]), malformed);
    assert_eq!(metrics.sum("lowtide_source_frames_total", &[]), frames);
    for (reason, count) in [("frame-length", 8), ("cut", 4), ("content-type", 4), ("stop", 8)] {
        let closed = metrics.sum("lowtide_dnstap_closed_total", &[("reason", reason)]);
        assert_eq!(closed, count, "{reason}");
    }
    run.stop();

    let rows = Rows { server: &server, database: "many" };
    let all = 8 * EACH;
    assert_eq!(rows.account("1"), [all, all, all, 0, 0, 0, 0, 0]);
    let sources = rows.query(
        "SELECT source, sum(frames), sum(messages) FROM coverage WHERE server = '' GROUP BY source ORDER BY source",
    );
    let socket = format!("unix:{}", place.socket().display());
    let expected: Vec<_> = std::iter::once(format!("{socket}\t{malformed}\t0"))
        .chain((0..8).map(|number| format!("{socket} server {number}\t{}\t{}", EACH * 2, EACH * 2)))
        .collect();
    assert_eq!(sources.lines().collect::<Vec<_>>(), expected);
    assert_eq!(rows.number("SELECT frames FROM sensor_run FINAL"), frames);
}

#[test]
fn a_backlog_of_an_hour_beside_live_traffic() {
    if skipped() {
        return;
    }
    let server = Server::start();
    // An hour of seconds: more intervals than may be open at a time.
    let mut place = Place::new(Some(&server.url("backlog")));
    place.with(&["--query-timeout", "30s"]);
    let mut run = place.start();
    let hour = (now() / SECOND - 3_600) * SECOND;
    let (mut late, mut live) = (place.sender(), place.sender());
    let mut lives = Vec::new();
    // A query whose response comes when the socket was silent for longer than queries may wait, but for no time of their own.
    let waits = Asked::at("late", hour, 7).named("waits.example.com");
    late.send([waits.query()]);
    pause(Duration::from_millis(2_500));
    late.send([waits.response(Duration::from_millis(900))]);
    for minute in 0..60_u64 {
        let backlog = |second| Asked::at("late", hour + (minute * 60 + second) * SECOND + 1_000, 8).pair();
        late.send((0..60).flat_map(backlog));
        let now = now();
        let asked = Asked::at("live", now, u16::try_from(minute).unwrap());
        live.send([asked.query()]);
        lives.push((now / SECOND, asked));
    }
    live.send(lives.iter().map(|(_, asked)| asked.response(Duration::from_secs(1))));
    late.finish();
    live.finish();
    run.stop();

    let rows = Rows { server: &server, database: "backlog" };
    assert_eq!(rows.account("1"), [3_661, 3_661, 3_661, 0, 0, 0, 0, 0]);
    let old = format!("toUnixTimestamp(interval) < {}", hour / SECOND + 3_600);
    let per_second = rows.query(&format!(
        "SELECT toUnixTimestamp(interval) - {}, sum(answered) FROM traffic WHERE {old} GROUP BY interval ORDER BY interval",
        hour / SECOND
    ));
    let expected: Vec<_> = (0..3_600).map(|at| format!("{at}\t{}", 1 + u8::from(at == 0))).collect();
    assert_eq!(per_second.lines().collect::<Vec<_>>(), expected);
    let live_seconds = rows.query(&format!(
        "SELECT toUnixTimestamp(interval), sum(answered) FROM traffic WHERE NOT {old} GROUP BY interval ORDER BY interval"
    ));
    let mut expected: Vec<(u64, u64)> = Vec::new();
    for (second, _) in lives {
        match expected.last_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => expected.push((second, 1)),
        }
    }
    let expected: Vec<_> = expected.into_iter().map(|(second, count)| format!("{second}\t{count}")).collect();
    assert_eq!(live_seconds.lines().collect::<Vec<_>>(), expected);
    assert_eq!(rows.lost("clock_steps"), 0);
}

#[test]
fn one_that_makes_up_its_times() {
    const COUNT: u64 = 600_000;
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("made_up")));
    let mut run = place.start();
    let mut sender = place.sender();
    sender.send(pairs("bad", now(), 1_000));
    run.counted(2_000);
    let before = run.memory("VmRSS");
    let (now, year) = (now(), 365 * 86_400 * SECOND);
    for _ in 0..COUNT / 1_000 {
        // Most of them could be, and are of a second of their own each.
        let time = |at: u64| {
            if !at.is_multiple_of(10) {
                now - fastrand::u64(..20 * year)
            } else {
                fastrand::u64(now + year..)
            }
        };
        sender.send((0..1_000).map(|at| Asked::at("bad", time(at), 1).hollow()));
    }
    sender.finish();
    run.counted(2_000 + COUNT);
    let after = run.memory("VmRSS");
    assert!(after < before + (96 << 10), "{before} KiB became {after} KiB");
    let discarded = run.metrics().sum("lowtide_dnstap_frames_discarded_total", &[]);
    assert_eq!(discarded, 0);
    run.stop();
    let rows = Rows { server: &server, database: "made_up" };
    assert_eq!(rows.number("SELECT sum(frames) FROM coverage WHERE server = ''"), 2_000 + COUNT);
    let now = now / SECOND;
    let of = |condition: &str| {
        rows.number(&format!("SELECT sum(frames) FROM coverage WHERE server = '' AND {condition}"))
    };
    assert_eq!(of(&format!("toUnixTimestamp(interval) > {}", now + 3_600)), 0);
}

/// What coverage says of a source: heartbeats, milliseconds lost and whether more may be, of each interval.
fn story(rows: &Rows<'_>, source: &str) -> Vec<(u64, u64, u64)> {
    let told = rows.query_rows(&format!(
        "SELECT sum(heartbeats), arraySum(mapValues(sumMap(lost))), max(unknown) FROM coverage
         WHERE source LIKE '%{source}' AND server = '' GROUP BY interval ORDER BY interval"
    ));
    told.iter()
        .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2].parse().unwrap()))
        .collect()
}

#[test]
fn one_goes_and_comes_back() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("back")));
    let mut run = place.start();
    let rows = Rows { server: &server, database: "back" };
    let (mut stays, mut goes) = (place.sender(), place.sender());
    let greet = |sender: &mut Sender, identity| sender.send(Asked::at(identity, now(), 1).pair());
    greet(&mut stays, "stays");
    greet(&mut goes, "goes");
    run.counted(4);
    let up = |name: &str| {
        let source = format!("unix:{} {name}", place.socket().display());
        run.metrics().sum("lowtide_source_up", &[("source", &source)])
    };
    assert_eq!((up("stays"), up("goes")), (1, 1));
    // Once for a while, and once for less time than there is between two looks.
    let mut gone = Duration::ZERO;
    for time in [Duration::from_millis(2_600), Duration::from_millis(150)] {
        pause(Duration::from_millis(1_100));
        let began = Instant::now();
        goes.finish();
        if time > Duration::from_secs(2) {
            until("it is down", || up("goes") == 0);
            assert_eq!(up("stays"), 1);
        }
        pause(time.saturating_sub(began.elapsed()));
        goes = place.sender();
        gone += began.elapsed();
        greet(&mut goes, "goes");
    }
    pause(Duration::from_millis(1_100));
    run.stop();
    drop((goes, stays));

    let (goes, stays) = (story(&rows, " goes"), story(&rows, " stays"));
    let lost = |story: &[(u64, u64, u64)]| story.iter().map(|&(_, lost, _)| lost).sum::<u64>();
    let told = rows.number("SELECT sum(lost['disconnected_ms']) FROM coverage WHERE source LIKE '% goes'");
    assert_eq!(told, lost(&goes), "nothing else was lost");
    let gone = u64::try_from(gone.as_millis()).unwrap();
    assert!(told >= gone - 50 && told < gone + 50, "{told} of {gone} ms: {goes:?}");
    assert!(goes.iter().all(|&(_, lost, unknown)| (lost > 0) == (unknown == 1)), "{goes:?}");
    assert_eq!(lost(&stays), 0, "{stays:?}");
    // It came in the middle of its first interval, and the run ended in the middle of the last.
    let whole = &stays[1..stays.len() - 1];
    assert!(whole.iter().all(|&(heartbeats, ..)| heartbeats > 0), "{stays:?}");
    assert!(stays.iter().all(|&(.., unknown)| unknown == 0), "{stays:?}");
    assert!(goes.iter().any(|&(_, lost, _)| lost >= 1_000), "{goes:?}");
}

#[test]
fn one_whose_times_leap_about() {
    const COUNT: u64 = 15_000;
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("leaps")));
    let mut run = place.start();
    let time = now() - 20 * SECOND;
    let (mut good, mut bad) = (place.sender(), place.sender());
    // Each frame is of another second: more intervals than may be open, again and again.
    let leap = |at: u64| Asked::at("bad", time - at * 7_919 % 86_400 * SECOND, 1).query();
    for part in 0..COUNT / 1_000 {
        bad.send((0..1_000).map(|at| leap(part * 1_000 + at)));
        good.send(pairs("good", time + part * 1_000_000, 200));
    }
    good.finish();
    bad.finish();
    let good = COUNT / 1_000 * 200;
    run.counted(COUNT + 2 * good);
    let metrics = run.metrics();
    assert_eq!(metrics.sum("lowtide_dnstap_frames_discarded_total", &[]), 0);
    run.stop();
    let rows = Rows { server: &server, database: "leaps" };
    assert_eq!(rows.traffic("queries"), COUNT + good);
    assert_eq!(rows.traffic("answered"), good);
    // It must not be able to make the disk busy with segments of a few rows.
    let inserts = rows.number("SELECT count() FROM (SELECT DISTINCT _part FROM traffic)");
    assert!(inserts < 40, "{inserts} parts");
}

#[test]
fn one_of_two_connections_is_gone_inside_a_frame() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("inside")));
    let mut run = place.start();
    // Two threads of a server that has one name.
    let (mut stays, mut breaks) = (place.sender(), place.sender());
    stays.send(pairs("ns1", now(), 1));
    breaks.send(pairs("ns1", now(), 1));
    breaks.write(&stream_of([[7; 100]])[..50]);
    run.counted(4);
    drop(breaks);
    run.said("gone inside a frame");
    run.stop();
    drop(stays);
    let rows = Rows { server: &server, database: "inside" };
    let story = story(&rows, " ns1");
    let missed: Vec<_> =
        story.iter().filter(|&&(.., unknown)| unknown == 1).map(|&(_, lost, _)| lost).collect();
    assert_eq!(missed, [1], "{story:?}");
    assert_eq!(rows.lost("connections_ended"), 1);
}

#[test]
fn one_of_two_without_a_name_leaves() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("nameless")));
    let mut run = place.start();
    // They are of one user, and nothing else tells them apart. A third has a name, by which it is missed.
    let (mut stays, mut goes, mut named) = (place.sender(), place.sender(), place.sender());
    stays.send(pairs("", now(), 1));
    goes.send(pairs("", now(), 1));
    named.send(pairs("named", now(), 1));
    run.counted(6);
    goes.finish();
    named.finish();
    run.said_times("has gone: the sender stopped", 2);
    pause(Duration::from_millis(2_100));
    run.stop();
    drop(stays);
    let rows = Rows { server: &server, database: "nameless" };
    let source = rows
        .query("SELECT DISTINCT source FROM coverage WHERE frames > 0 ORDER BY source")
        .replace("named", "");
    let socket = format!("unix:{}", place.socket().display());
    let user = nix::unistd::getuid();
    assert_eq!(source, format!("{socket} \n{socket} uid {user}"));
    let story = story(&rows, &format!(" uid {user}"));
    let missed: Vec<_> =
        story.iter().filter(|&&(.., unknown)| unknown == 1).map(|&(_, lost, _)| lost).collect();
    assert_eq!(missed, [1], "{story:?}");
    assert_eq!(rows.lost("connections_ended"), 1, "not of the socket: who has a name is missed by it");
}

#[test]
fn silent_and_slow_ones_by_the_thousand() {
    const COUNT: u64 = 20_000;
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("crowd")));
    let mut run = place.start();
    let time = now() - 20 * SECOND;
    let mut good = place.sender();
    good.send(pairs("good", time, 1_000));
    run.counted(2_000);
    let before = run.memory("VmRSS");

    let silent: Vec<_> = (0..1_000).map(|_| UnixStream::connect(place.socket()).unwrap()).collect();
    // Frames that are announced as large and come an octet at a time.
    let mut slow: Vec<_> = (0..20).map(|_| place.sender()).collect();
    slow.iter_mut().for_each(|sender| sender.write(&200_000_u32.to_be_bytes()));
    for part in 0..COUNT / 1_000 {
        good.send(pairs("good", time + (part + 1) * 1_000_000, 1_000));
        for _ in 0..100 {
            drop(UnixStream::connect(place.socket()).unwrap());
        }
        slow.iter_mut().for_each(|sender| sender.write(&[0]));
    }
    let begin = Instant::now();
    good.finish();
    assert!(begin.elapsed() < Duration::from_secs(10), "FINISH took {:?}", begin.elapsed());
    run.counted(2_000 + 2 * COUNT);
    run.shows("all connections", |metrics| {
        metrics.sum("lowtide_dnstap_connections_total", &[]) == 1_000 + 2_000 + 20 + 1
    });
    let metrics = run.metrics();
    assert_eq!(metrics.sum("lowtide_dnstap_connections_refused_total", &[]), 0);
    assert_eq!(metrics.sum("lowtide_dnstap_frames_discarded_total", &[]), 0);
    let after = run.memory("VmRSS");
    assert!(after < before + (32 << 10), "{before} KiB became {after} KiB");
    drop((silent, slow));
    run.stop();
    let rows = Rows { server: &server, database: "crowd" };
    let all = 1_000 + COUNT;
    assert_eq!(rows.account("1"), [all, all, all, 0, 0, 0, 0, 0]);
}

#[test]
fn one_that_says_nothing_of_itself_and_one_that_says_start_alone() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("plain")));
    let mut run = place.start();
    // Unidirectional, as PowerDNS and files do it: START at once, and no STOP.
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.write_all(&control(Control::Start, &[DNSTAP_CONTENT_TYPE])).unwrap();
    stream.write_all(&stream_of(pairs("", now(), 10))).unwrap();
    drop(stream);
    run.counted(20);
    run.stop();
    let rows = Rows { server: &server, database: "plain" };
    assert_eq!(rows.traffic("answered"), 10);
    let source = rows.query("SELECT DISTINCT source FROM coverage WHERE frames > 0");
    assert_eq!(source, format!("unix:{} uid {}", place.socket().display(), nix::unistd::getuid()));
}

#[test]
fn one_for_whom_there_is_no_room() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let mut place = Place::new(Some(&server.url("room")));
    place.arguments.retain(|argument| argument != "--dnstap" && !argument.starts_with("unix:"));
    place.configure(&format!("[[dnstap]]\nlisten = 'unix:{}'\nmax_senders = 2\n", place.socket().display()));
    let mut run = place.start();
    let mut senders = [place.sender(), place.sender()];
    for (sender, name) in senders.iter_mut().zip(["a", "b"]) {
        sender.send(pairs(name, now(), 1));
    }
    run.counted(4);
    let mut refused = UnixStream::connect(place.socket()).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    run.said("1 connections were turned away");
    senders.into_iter().for_each(Sender::finish);
    run.said_times("has gone", 2);
    // Two that say nothing, and one for which the first of them gives way.
    let mut silent = UnixStream::connect(place.socket()).unwrap();
    let _other = UnixStream::connect(place.socket()).unwrap();
    let last = place.sender();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    run.said_times("1 connections were turned away", 2);
    drop(last);
    run.stop();
    let rows = Rows { server: &server, database: "room" };
    assert_eq!(rows.lost("senders_refused"), 2);
    let socket = format!("unix:{}", place.socket().display());
    let known = rows.number(&format!(
        "SELECT countIf(lost['senders_refused'] > 0 AND NOT unknown) FROM coverage WHERE source = '{socket}'"
    ));
    assert_eq!(known, 0, "who was not let in may have had something to say");
}
