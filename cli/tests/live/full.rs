//! A disk or a spool that is full: the run goes on, and what is dropped is counted to the last query.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use crate::message::{Asked, SECOND, now, pairs};
use crate::place::{Place, Run, until};
use crate::rows::Rows;
use crate::support::{Server, skipped};

/// What is in rows and what the sensor says that it dropped are together what was sent; how much was dropped.
fn adds_up(rows: &Rows<'_>, sent: u64) -> u64 {
    let dropped = |table: &str, reason: &str| {
        rows.number(&format!(
            "SELECT sum({table}['spool_dropped_{reason}']) FROM {}",
            match table {
                "lost" => "coverage",
                _ => "sensor_run FINAL",
            }
        ))
    };
    for what in ["queries", "responses"] {
        assert_eq!(rows.traffic(what) + dropped("lost", what), sent, "{what} in coverage");
        assert_eq!(rows.traffic(what) + dropped("dropped", what), sent, "{what} in sensor_run");
    }
    dropped("lost", "queries")
}

#[test]
fn a_disk_without_room() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("disk")));
    fs::create_dir(place.spool()).unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]).arg(place.spool()).status().is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "lowtide-test"]) {
        let _ = std::io::stderr().write_all(b"NOT RUN: a full disk needs the right to mount a tmpfs\n");
        return;
    }
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disk_without_room(&server, &place)));
    until("the disk is free", || mount(&["umount"]));
    outcome.unwrap();
}

fn disk_without_room(server: &Server, place: &Place) {
    let mut run = place.start();
    let mut sender = place.sender();
    let rows = Rows { server, database: "disk" };
    let delivered =
        |count| until("rows", || rows.number_so_far("SELECT sum(answered) FROM traffic") == count);
    sender.send(pairs("ns1", now() - 20 * SECOND, 100));
    delivered(100);

    // What is delivered makes room, which is filled again.
    let filler = place.spool().join("filler");
    let mut file = File::options().create(true).append(true).open(&filler).unwrap();
    let mut fill = move || while file.write_all(&[0; 4_096]).is_ok() {};
    until("the disk is full", || {
        fill();
        run.log().contains("cannot write to spool")
    });
    for part in 1..=3 {
        sender.send(pairs("ns1", now() - 20 * SECOND, 50));
        run.shows("drops", |metrics| {
            fill();
            metrics.sum("lowtide_dropped_total", &QUERIES) == part * 50
        });
    }
    assert_eq!(run.get("/healthz").0, 200, "it watches on");
    drop(fill);
    fs::remove_file(&filler).unwrap();
    run.said("can be written again");
    sender.send(pairs("ns1", now() - 20 * SECOND, 10));
    delivered(110);
    assert_eq!(dropped(&run), 150);
    sender.finish();
    let log = run.stop();
    assert_eq!(adds_up(&rows, 260), 150, "{log}");
}

const QUERIES: [(&str, &str); 1] = [("reason", "spool_dropped_queries")];

fn dropped(run: &Run) -> u64 {
    run.metrics().sum("lowtide_dropped_total", &QUERIES)
}

/// Queries for names that no compression makes short.
fn names(count: u64) -> Vec<Vec<u8>> {
    let time = now() - 20 * SECOND;
    let name =
        || std::iter::repeat_with(fastrand::alphanumeric).take(60).collect::<String>() + ".example.com";
    (0..count)
        .flat_map(|at| {
            let id = u16::try_from(at % 65_536).unwrap();
            Asked::at("ns1", time, id).named(&name()).pair()
        })
        .collect()
}

fn full(policy: &str) {
    const ROUNDS: u64 = 7;
    const EACH: u64 = 6_000;
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("full");
    server.kill();
    let mut place = Place::new(Some(&url));
    place.configure(&format!(
        "[spool]\nmax_size = '1MiB'\nwhen_full = '{policy}'\n[process]\nstop_timeout = '1s'\n"
    ));
    let mut run = place.start();
    let mut sender = place.sender();
    for round in 1..=ROUNDS {
        sender.send(names(EACH));
        run.counted(2 * EACH * round);
    }
    run.said("the spool is full");
    run.shows("drops", |metrics| metrics.sum("lowtide_dropped_total", &QUERIES) > 0);
    sender.finish();
    let log = run.stop();
    server.restart();
    let output = place.ship(&url);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = Rows { server: &server, database: "full" };
    let dropped = adds_up(&rows, ROUNDS * EACH);
    assert!((EACH / 2..ROUNDS * EACH).contains(&dropped), "{dropped}\n{log}");

    // With room again, rows come through.
    let mut run = place.start();
    let mut sender = place.sender();
    sender.send(pairs("ns1", now() - 20 * SECOND, 10));
    sender.finish();
    run.counted(20);
    run.stop();
    assert_eq!(rows.traffic("queries"), ROUNDS * EACH - dropped + 10);
}

#[test]
fn a_spool_that_drops_what_is_oldest() {
    full("drop-oldest");
}

#[test]
fn a_spool_that_drops_what_is_newest() {
    full("drop-newest");
}
