//! Signals: stopped and continued, told to end, told to read the configuration again, killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::message::{Asked, SECOND, now, pairs};
use crate::place::{Place, pause, until};
use crate::rows::Rows;
use crate::sender::{Sender, stream_of};
use crate::support::{Server, skipped};

#[test]
fn stopped_for_a_while_and_continued() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("stopped")));
    let mut run = place.start();
    let mut sender = place.sender();
    // A server that asks nobody: it sends at its own pace, or waits for the socket.
    let done = Arc::new(AtomicBool::new(false));
    let sending = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let mut sent: BTreeMap<u64, u64> = BTreeMap::new();
            while !done.load(Ordering::Acquire) {
                let time = now();
                *sent.entry(time / SECOND).or_default() += 10;
                sender.send(pairs("ns1", time, 10));
                pause(Duration::from_millis(10));
            }
            sender.finish();
            sent
        })
    };
    run.shows("traffic", |metrics| metrics.sum("lowtide_frames_total", &[]) > 500);
    let (began, stopped) = (now(), Instant::now());
    run.process.signal(Signal::SIGSTOP);
    pause(Duration::from_millis(5_600));
    run.process.signal(Signal::SIGCONT);
    let stopped = u64::try_from(stopped.elapsed().as_millis()).unwrap();
    run.said("the process stood still for");
    pause(Duration::from_millis(500));
    done.store(true, Ordering::Release);
    let sent = sending.join().unwrap();
    let total: u64 = sent.values().sum();
    run.counted(2 * total);
    run.stop();

    let rows = Rows { server: &server, database: "stopped" };
    assert_eq!(rows.account("1"), [total, total, total, 0, 0, 0, 0, 0]);
    let stored =
        rows.query_rows("SELECT toUnixTimestamp(interval), sum(answered) FROM traffic GROUP BY interval");
    let stored: BTreeMap<u64, u64> =
        stored.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect();
    assert_eq!(stored, sent, "each in its own interval");
    let stalled = rows.number("SELECT sum(lost['stalled_ms']) FROM coverage WHERE source LIKE '% ns1'");
    assert!(stalled + 100 >= stopped && stalled < stopped + 3_500, "{stalled} of {stopped} ms");
    // Each second in which it stood still is unknown.
    let unknown = rows.number(&format!(
        "SELECT count() FROM (SELECT interval FROM coverage WHERE source LIKE '% ns1' AND server = ''
           AND toUnixTimestamp(interval) > {} AND toUnixTimestamp(interval) <= {}
         GROUP BY interval HAVING max(unknown) = 1)",
        began / SECOND,
        began / SECOND + 5
    ));
    assert_eq!(unknown, 5);
}

#[test]
fn told_to_end_under_load() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("load")));
    let mut run = place.start();
    let mut sender = place.sender();
    let second = now() / SECOND - 20;
    let sending = thread::spawn(move || {
        let frames = stream_of(pairs("ns1", second * SECOND, 200));
        let mut sent = 0_u64;
        // Until nobody takes them any more.
        while sender.stream.write_all(&frames).is_ok() {
            sent += 400;
        }
        sent
    });
    run.shows("traffic", |metrics| metrics.sum("lowtide_frames_total", &[]) > 5_000);
    let begin = Instant::now();
    let log = run.stop();
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    let sent = sending.join().unwrap();
    let frames: u64 =
        log.split_once("accounts balance: ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!((5_000..=sent + 400).contains(&frames), "{frames} of {sent}");
    let rows = Rows { server: &server, database: "load" };
    assert_eq!(rows.number("SELECT sum(frames) FROM coverage WHERE server = ''"), frames);
    assert_eq!(rows.number("SELECT sum(queries) + sum(responses) FROM traffic"), frames);
    let run_row =
        rows.query("SELECT state, frames, queries + responses, finished IS NOT NULL FROM sensor_run FINAL");
    // A sender that never rests is faster than the count; what was discarded is told, in its own time. The rest is what the socket
    // still held at the end.
    let discarded = rows.lost("queue_full");
    let read = frames + discarded;
    assert!(read <= sent + 400 && read + 8_000 > sent, "{frames} + {discarded} of {sent}");
    let intervals = rows.query(
        "SELECT DISTINCT toUnixTimestamp(interval) FROM coverage WHERE lost['queue_full'] > 0 OR frames > 0",
    );
    assert_eq!(intervals, second.to_string());
    assert_eq!(run_row, format!("finished\t{frames}\t{frames}\t1"));
}

#[test]
fn told_to_end_twice_while_clickhouse_hangs() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let mut place = Place::new(Some(&server.url("twice")));
    place.configure("[process]\nstop_timeout = '5m'\n");
    let mut run = place.start();
    let mut sender = place.sender();
    sender.send(pairs("ns1", now() - 20 * SECOND, 100));
    sender.finish();
    let rows = Rows { server: &server, database: "twice" };
    until("the first rows", || rows.number_so_far("SELECT sum(answered) FROM traffic") == 100);
    server.signal("STOP");
    let mut sender = place.sender();
    sender.send(pairs("ns1", now() - 20 * SECOND, 50));
    sender.finish();
    run.counted(300);
    run.process.signal(Signal::SIGTERM);
    run.said_times("accounts balance", 3);
    pause(Duration::from_secs(1));
    assert!(run.process.poll().is_none(), "it waits for ClickHouse: {}", run.log());
    let begin = Instant::now();
    run.process.signal(Signal::SIGTERM);
    assert_eq!(run.end().code(), Some(1));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(run.log().contains("told to end twice"), "{}", run.log());
    server.signal("CONT");
    let output = place.ship(&server.url("twice"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rows.account("1"), [150, 150, 150, 0, 0, 0, 0, 0]);
}

#[test]
fn told_to_read_the_configuration_again() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let mut place = Place::new(Some(&server.url("again")));
    place.configure("[sensor]\nzones = ['a.test']\n");
    let mut run = place.start();
    let mut sender = place.sender();
    let mut ask = |name: &str| {
        sender.send(Asked::at("ns1", now() - 20 * SECOND, 1).named(name).pair());
    };
    ask("www.first.b.test");
    run.counted(2);
    let rows = Rows { server: &server, database: "again" };
    let zone = |name: &str| {
        let sql = format!("SELECT DISTINCT zone FROM traffic WHERE qname = '{name}.'");
        until("its row", || rows.try_query(&sql).is_ok_and(|zone| !zone.is_empty()));
        rows.query(&sql)
    };
    assert_eq!(zone("www.first.b.test"), "b.test.");

    place.configure("[sensor]\nzones = ['second.b.test']\n[limits]\noutstanding = 1024\n");
    run.process.signal(Signal::SIGHUP);
    run.said("was read again: 1 zones");
    ask("www.second.b.test");
    run.counted(4);
    assert_eq!(zone("www.second.b.test"), "second.b.test.");
    assert_eq!(zone("www.first.b.test"), "b.test.", "what was counted stays");

    // A file that is wrong changes nothing, and is said with its line.
    place.configure("[sensor]\nzones = ['b.test']\nintervall = '5s'\n");
    run.process.signal(Signal::SIGHUP);
    run.said("nothing was changed");
    assert!(run.log().contains("3:1"), "{}", run.log());
    fs::remove_file(place.configuration()).unwrap();
    run.process.signal(Signal::SIGHUP);
    run.said_times("nothing was changed", 2);
    ask("www.third.second.b.test");
    run.counted(6);
    assert_eq!(zone("www.third.second.b.test"), "second.b.test.");

    // The new bound holds: the oldest are given up, and counted as that.
    let time = now();
    sender.send((0..3_000).map(|id| Asked::at("ns1", time, id).query()));
    run.counted(3_006);
    run.shows("evictions", |metrics| {
        metrics.sum("lowtide_transactions_total", &[("outcome", "pending")]) == 3_000 - 1_024
    });
    assert!(run.metrics().sum("lowtide_outstanding_messages", &[]) <= 1_024);
    drop(sender);
    run.stop();
    let account = rows.account("1");
    assert_eq!((account[0], account[2], account[3] + account[4]), (3_003, 3, 3_000));
    assert!(account[4] >= 3_000 - 1_024);
}

#[test]
fn killed_and_started_again() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("killed");
    let place = Place::new(Some(&url));
    let mut run = place.start();
    let (mut first, mut second) = (place.sender(), place.sender());
    first.send(pairs("first", now() - 20 * SECOND, 100));
    second.send(pairs("second", now() - 20 * SECOND, 100));
    let rows_of = |server: &Server, sql: &str| Rows { server, database: "killed" }.number_so_far(sql);
    until("the first rows", || rows_of(&server, "SELECT sum(answered) FROM traffic") == 200);
    // What is closed from now on waits in the spool.
    server.kill();
    first.send(pairs("first", now() - 20 * SECOND, 50));
    run.counted(500);
    until("rows in the spool", || {
        place.segments().iter().any(|path| path.to_string_lossy().contains("traffic"))
    });
    let lives = place.spool().join("alive.json");
    let alive = || fs::read_to_string(&lives).unwrap();
    until("a sign of life that names both", || alive().contains("first") && alive().contains("second"));
    // These are of an interval that is not over, and go with the process.
    second.send(pairs("second", now(), 30));
    run.counted(560);
    run.kill();
    let killed = now();
    drop((first, second));
    pause(Duration::from_millis(1_500));

    server.restart();
    let mut run = place.start();
    let started = now();
    let mut first: Sender = place.sender();
    first.send(pairs("first", now() - 20 * SECOND, 10));
    run.counted(20);
    pause(Duration::from_millis(1_500));
    first.finish();
    run.stop();
    let rows = Rows { server: &server, database: "killed" };
    assert_eq!(rows.account("1"), [260, 260, 260, 0, 0, 0, 0, 0]);
    // Nobody watched from the last rows that were kept until the start.
    let gap = (started - killed) / 1_000_000;
    for name in ["first", "second"] {
        let lost = |reason: &str| {
            rows.number(&format!("SELECT sum(lost['{reason}']) FROM coverage WHERE source LIKE '% {name}'"))
        };
        let (not_running, unrecorded) = (lost("not_running_ms"), lost("unrecorded_ms"));
        assert!(not_running + 50 >= gap, "{name}: {not_running} of {gap} ms");
        assert!(not_running < gap + 6_000, "{name}: {not_running} of {gap} ms");
        // Of what was seen before, nothing is left: timeout, lateness and four seconds at least.
        assert!(unrecorded > 0 && unrecorded < 15_000, "{name}: {unrecorded}");
        // From the interval in which it was killed to the start all is unknown, and before, what has no heartbeats.
        let known = rows.number(&format!(
            "SELECT count() FROM (SELECT interval FROM coverage WHERE source LIKE '% {name}' AND server = ''
               AND toUnixTimestamp(interval) BETWEEN {} AND {} GROUP BY interval HAVING max(unknown) = 0)",
            killed / SECOND,
            started / SECOND - 1,
        ));
        assert_eq!(known, 0, "{name}");
    }
    let gone = rows.number("SELECT sum(lost['disconnected_ms']) FROM coverage WHERE source LIKE '% second'");
    assert!(gone >= 1_400, "who has not come back is missed: {gone} ms");
}

#[test]
fn told_to_end_while_clickhouse_is_away() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("away");
    server.kill();
    let mut place = Place::new(Some(&url));
    place.configure("[process]\nstop_timeout = '2s'\n");
    let mut run = place.start();
    let mut sender = place.sender();
    sender.send(pairs("ns1", now(), 100));
    sender.finish();
    run.counted(200);
    let begin = Instant::now();
    let log = run.stop();
    assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
    assert!(log.contains("segments wait in") && log.contains("lowtide ship"), "{log}");
    server.restart();
    for _ in 0..2 {
        let output = place.ship(&url);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows = Rows { server: &server, database: "away" };
        assert_eq!(rows.account("1"), [100, 100, 100, 0, 0, 0, 0, 0]);
        assert_eq!(rows.query("SELECT state FROM sensor_run FINAL"), "finished");
    }
}
