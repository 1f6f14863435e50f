//! Hours in which nothing happens, and what a run shows of itself meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use crate::message::{Asked, SECOND, now, pairs};
use crate::place::{Place, until};
use crate::rows::Rows;
use crate::support::{Server, skipped};

#[test]
fn one_query_and_then_silence() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("quiet")));
    let mut run = place.start();
    let mut sender = place.sender();
    let begin = Instant::now();
    sender.send([Asked::at("ns1", now(), 1).query()]);
    let rows = Rows { server: &server, database: "quiet" };
    let sum = "SELECT sum(queries) FROM traffic";
    until("its row", || rows.number_so_far(sum) == 1);
    let took = begin.elapsed();
    // Interval, timeout, lateness and four seconds; what is beyond is for a busy machine.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(run.process.poll().is_none(), "{}", run.log());
    assert_eq!(rows.account("1"), [1, 0, 0, 1, 0, 0, 0, 0]);
    // Silence is watched, and told interval by interval.
    let beats = "SELECT count() FROM (SELECT interval FROM coverage WHERE source LIKE '% ns1' AND server = ''
                 GROUP BY interval HAVING sum(heartbeats) > 0 AND sum(frames) = 0)";
    until("heartbeats without traffic", || rows.number_so_far(beats) >= 2);
    drop(sender);
    run.stop();
    assert_eq!(rows.account("1"), [1, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn what_it_shows_of_itself() {
    let place = Place::new(None);
    let mut run = place.start();
    let socket = format!("unix:{}", place.socket().display());
    let source = format!("{socket} ns1");
    let up = |name: &str| run.metrics().sum("lowtide_source_up", &[("source", name)]);
    assert_eq!(up(&socket), 0);
    let mut sender = place.sender();
    until("it is up", || up(&socket) == 1);
    sender.send(pairs("ns1", now() - 20 * SECOND, 50));
    sender.send(["nonsense"]);
    run.counted(101);
    assert_eq!(up(&source), 1);
    let (status, health) = run.get("/healthz");
    assert_eq!((status, health.trim_end()), (200, "ok: 2 of 2 sources up"));
    let metrics = run.metrics();
    assert_eq!(metrics.sum("lowtide_source_frames_total", &[]), 101);
    assert_eq!(metrics.sum("lowtide_dnstap_frames_read_total", &[]), 101);
    assert_eq!(metrics.sum("lowtide_transactions_total", &[("outcome", "answered"), ("role", "auth")]), 50);
    assert_eq!(metrics.sum("lowtide_responses_total", &[("rcode", "NOERROR")]), 50);
    assert_eq!(metrics.sum("lowtide_messages_total", &[("direction", "query")]), 50);
    run.shows("rows in the spool", |metrics| metrics.sum("lowtide_spool_segments", &[]) >= 2);
    sender.finish();
    until("it is down", || up(&source) == 0 && up(&socket) == 0);
    let (status, health) = run.get("/healthz");
    assert_eq!((status, health.trim_end()), (200, "ok: 0 of 2 sources up"));
    assert_eq!(run.get("/nothing").0, 404);
    let log = run.stop();
    assert!(log.contains("segments wait in"), "{log}");
}

#[test]
fn who_is_missed_after_a_pause() {
    const DAY: u64 = 86_400 * SECOND;
    if skipped() {
        return;
    }
    let server = Server::start();
    let place = Place::new(Some(&server.url("pause")));
    place.start().stop();
    // A run before knew two senders that had gone, one of them long ago.
    let (socket, now) = (format!("unix:{}", place.socket().display()), now());
    let alive = format!(
        r#"{{"sensor":"live","last":{last},"recorded":{last},"sources":["{socket}","{socket} lately","{socket} long ago"],
            "away":{{"{socket} lately":{},"{socket} long ago":{}}}}}"#,
        now - 6 * DAY,
        now - 8 * DAY,
        last = now - 60 * SECOND,
    );
    fs::write(place.spool().join("alive.json"), alive).unwrap();
    let mut run = place.start();
    let left = || fs::read_to_string(place.spool().join("alive.json")).unwrap();
    until("its own sign of life", || left().contains("lately") && !left().contains("long ago"));
    run.stop();
    let rows = Rows { server: &server, database: "pause" };
    let missed = rows.query(
        "SELECT source FROM coverage GROUP BY source HAVING sum(lost['not_running_ms']) >= 60000 ORDER BY source",
    );
    assert_eq!(missed, format!("{socket}\n{socket} lately"));
    // Since when it has been away, the next run knows as well.
    assert!(left().contains(&format!("\"{socket} lately\":{}", now - 6 * DAY)), "{}", left());
}
