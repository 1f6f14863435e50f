//! ClickHouse away, killed, restarted, or refusing: nobody notices but the spool, and no row is lost or doubled.

use std::fs;

use crate::message::{SECOND, now, pairs};
use crate::place::{Place, until};
use crate::rows::Rows;
use crate::sender::Sender;
use crate::support::{Server, Setup, WRITER, skipped};

/// So many transactions of an interval that is over, whose rows are made at once.
fn ask(sender: &mut Sender, count: u64) {
    sender.send(pairs("ns1", now() - 20 * SECOND, count));
}

/// Waits until there are rows of traffic in the spool.
fn wait_for_rows(place: &Place) {
    until("rows in the spool", || {
        place.segments().iter().any(|path| path.to_string_lossy().contains("traffic"))
    });
}

#[test]
fn away_at_first_and_killed_again_and_again() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("ill");
    server.kill();
    let place = Place::new(Some(&url));
    let mut run = place.start();
    let mut sender = place.sender();
    ask(&mut sender, 100);
    wait_for_rows(&place);
    run.said("Connection refused");
    server.restart();
    let delivered = |server: &Server, count: u64| {
        let rows = Rows { server, database: "ill" };
        until("rows", || rows.number_so_far("SELECT sum(answered) FROM traffic") == count);
    };
    delivered(&server, 100);
    for round in 1..=3 {
        if round < 3 {
            server.kill();
        } else {
            server.signal("STOP");
            server.kill();
        }
        ask(&mut sender, 100);
        run.counted(200 * (round + 1));
        wait_for_rows(&place);
        server.restart();
        delivered(&server, 100 * (round + 1));
    }
    until("an empty spool", || place.segments().is_empty());
    sender.finish();
    let log = run.stop();
    assert_eq!(place.segments(), Vec::<std::path::PathBuf>::new(), "{log}");
    let rows = Rows { server: &server, database: "ill" };
    assert_eq!(rows.account("1"), [400, 400, 400, 0, 0, 0, 0, 0]);
    assert_eq!(rows.number("SELECT sum(frames) FROM coverage WHERE server = ''"), 800);
    assert_eq!(rows.query("SELECT state, frames FROM sensor_run FINAL"), "finished\t800");
    let rollups = rows.query("SELECT sum(answered) FROM traffic_hour");
    assert_eq!(rollups, "400");
}

#[test]
fn a_wrong_password() {
    if skipped() {
        return;
    }
    let server = Server::with(Setup { users: true, tcp: false });
    let url = server.url("refused").replace("http://", &format!("http://{}@", WRITER.0));
    let mut place = Place::new(Some(&url));
    place.configure("[process]\nstop_timeout = '1s'\n");
    let secret = place.folder.path().join("secret");
    fs::write(&secret, "not the password\n").unwrap();
    place.with(&["--clickhouse-password-file", secret.to_str().unwrap()]);
    let mut run = place.start();
    let mut sender = place.sender();
    ask(&mut sender, 100);
    wait_for_rows(&place);
    run.said("check user, password and grants");
    assert_eq!(run.get("/healthz").0, 200, "it watches on");
    assert_eq!(run.metrics().sum("lowtide_clickhouse_failing", &[]), 1);
    ask(&mut sender, 50);
    run.counted(300);
    sender.finish();
    let log = run.stop();
    assert!(!log.contains("not the password") && log.contains("segments wait in"), "{log}");
    let output = place.ship(&server.url_as(WRITER, "refused"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = Rows { server: &server, database: "refused" };
    assert_eq!(rows.account("1"), [150, 150, 150, 0, 0, 0, 0, 0]);
}
