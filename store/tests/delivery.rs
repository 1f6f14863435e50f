//! Delivery and its bad weather: what servers and networks do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lowtide_store::deliver::{Delivery, DeliveryOptions, GiveUp, Outcome, ship, start_with};
use lowtide_store::server::{Connection, ErrorKind, Server, ServerError};
use lowtide_store::spool::{Put, Spool, SpoolOptions, WhenFull};
use support::proxy::{Proxy, Seen, Weather};
use support::{Heard, connection, deliver, filled, header, open, options, put, segments, start};

/// Gives up at once, or after half a second without an acknowledgement.
fn impatient() -> DeliveryOptions {
    let give_up = GiveUp { after: Some(Duration::from_millis(500)), on_permanent_errors: true };
    DeliveryOptions { give_up, ..options() }
}

/// Each token was done at least once, and always with the same octets.
fn check(inserts: &[Seen], expected: usize) {
    let mut by_token: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for seen in inserts {
        by_token.entry(seen.token().unwrap()).or_default().push(seen);
    }
    assert_eq!(by_token.len(), expected);
    for (token, attempts) in by_token {
        assert!(attempts.iter().any(|seen| seen.done), "{token} was never taken");
        assert!(attempts.iter().all(|seen| seen.body == attempts[0].body), "{token}: other octets");
    }
}

fn delivered_through(weather: &[Weather]) -> (Outcome, Heard) {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 8, 20_000);
    let server = Proxy::start(None);
    server.next(weather.iter().copied());
    let heard = Heard::default();
    let outcome = deliver(&spool, &server.url(), DeliveryOptions { report: heard.report(), ..options() });
    assert!(outcome.is_complete(), "{outcome}");
    assert_eq!((outcome.segments, outcome.rows), (8, 80));
    assert!(segments(dir.path()).is_empty());
    check(&server.inserts(), 8);
    (outcome, heard)
}

#[test]
fn an_insert_says_what_and_how() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 1, 200_000);
    let octets = spool.backlog().octets;
    let server = Proxy::start(None);
    let url = format!("http://ann:pass%20word@{}/dns%20data", server.address());
    let outcome = deliver(&spool, &url, options());
    assert_eq!((outcome.segments, outcome.octets, outcome.retries), (1, octets, 0));
    let seen = &server.inserts()[0];
    let line = seen.head.lines().next().unwrap();
    for part in [
        "POST /?",
        "async_insert=0",
        "insert_deduplicate=1",
        "deduplicate_insert=enable",
        "deduplicate_blocks_in_dependent_materialized_views=1",
        "wait_end_of_query=1",
        "database=dns+data",
        "insert_deduplication_token=sensor+1%2Frun%252F1%2Ftraffic%2F0",
        "query=INSERT+INTO+traffic+%28interval%2Cqname%2Cqueries%29+FORMAT+Native",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(seen.header("content-encoding"), Some("zstd"));
    assert_eq!(seen.header("content-length"), Some(&*seen.body.len().to_string()));
    assert_eq!(zstd::stream::decode_all(&seen.body[..]).unwrap(), support::noise(0, 200_000));
    // Only headers carry who asks.
    assert_eq!(seen.header("x-clickhouse-user"), Some("ann"));
    assert_eq!(seen.header("x-clickhouse-key"), Some("pass word"));
    assert!(!line.contains("ann") && !line.contains("pass"));
}

#[test]
fn what_is_no_acknowledgement_is_tried_again() {
    for weather in [
        Weather::Garbage,
        Weather::NotHttp,
        Weather::Status(404),
        Weather::Status(503),
        Weather::Exception(500, 252),
        Weather::Exception(500, 241),
        Weather::Exception(500, 243),
        Weather::Exception(500, 242),
        Weather::Exception(403, 516),
        Weather::Exception(404, 60),
        Weather::ExceptionInBody(252),
        Weather::NoRows,
        Weather::CutRequest,
        Weather::CutReply,
        Weather::LoseReply,
    ] {
        let (outcome, _) = delivered_through(&[weather]);
        assert_eq!(outcome.retries, 1, "{weather:?}");
        let (outcome, _) = delivered_through(&[weather; 6]);
        assert!((4..=6).contains(&outcome.retries), "{weather:?}: {}", outcome.retries);
    }
}

#[test]
fn a_server_that_hangs_is_left_after_the_time_limit() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 3, 1000);
    let server = Proxy::start(None);
    server.set(Weather::Hangs);
    let heard = Heard::default();
    let delivery = start(&spool, &server.url(), DeliveryOptions { report: heard.report(), ..options() });
    support::wait_until("timed out", || heard.count("no answer and no progress for 0.5 s") == 1);
    server.set(Weather::Fair);
    let outcome = delivery.finish();
    assert!(outcome.is_complete());
    assert_eq!(heard.count("answers again"), 1, "{:?}", heard.all());
}

#[test]
fn a_slow_line_is_not_a_dead_one() {
    let dir = tempfile::tempdir().unwrap();
    // Several times as long on its way as is waited; what the sockets' buffers hold is not.
    let spool = filled(dir.path(), 1, 24 << 20);
    let server = Proxy::start(None);
    server.next([Weather::Slow(Duration::from_millis(5))]);
    let mut at = connection(&server.url());
    at.request_timeout = Duration::from_millis(900);
    let began = Instant::now();
    let delivery = Delivery::start(Arc::clone(&spool), Server::new(at).unwrap(), options(), None).unwrap();
    let outcome = delivery.finish();
    assert_eq!((outcome.segments, outcome.retries), (1, 0), "{outcome}");
    assert!(began.elapsed() > Duration::from_millis(1800));
}

#[test]
fn everything_at_once() {
    let storm = [
        Weather::LoseReply,
        Weather::Exception(500, 252),
        Weather::CutRequest,
        Weather::Garbage,
        Weather::CutReply,
        Weather::Status(502),
        Weather::Hangs,
        Weather::NoRows,
        Weather::LoseReply,
        Weather::ExceptionInBody(243),
    ];
    delivered_through(&storm);
}

#[test]
fn a_condition_is_told_when_it_starts_and_when_it_ends() {
    let (_, heard) = delivered_through(&[Weather::Exception(500, 252); 12]);
    let all = heard.all();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].contains("Code: 252") && all[0].contains("merges"), "{all:?}");
    assert!(all[1].contains("answers again after"), "{all:?}");
}

/// An address at which nothing listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_server_that_is_down_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 5, 1000);
    let address = nowhere();
    let heard = Heard::default();
    let delivery =
        start(&spool, &format!("http://{address}"), DeliveryOptions { report: heard.report(), ..options() });
    support::wait_until("refused", || delivery.progress().retries() > 5);
    assert!(delivery.progress().is_failing());
    let text = heard.all().join("\n");
    assert!(text.contains("refused") && text.contains(&address.to_string()), "{text}");
    assert_eq!(segments(dir.path()).len(), 5);
    let outcome = delivery.finish_within(Some(Duration::from_millis(50)));
    assert_eq!((outcome.undelivered.segments, outcome.undelivered.rows), (5, 50));
    assert!(!outcome.gave_up && !outcome.is_complete());
    // Its directory is free as soon as the outcome is known.
    drop(spool);
    let server = Proxy::start(None);
    assert!(deliver(&Arc::new(open(dir.path())), &server.url(), options()).is_complete());
}

#[test]
fn gives_up_when_nothing_is_acknowledged_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 2, 1000);
    let began = Instant::now();
    let outcome = deliver(&spool, &format!("http://{}", nowhere()), impatient());
    assert!(outcome.gave_up && began.elapsed() >= Duration::from_millis(500));
    assert_eq!(outcome.undelivered.segments, 2);
    assert_eq!(outcome.last_error.as_ref().unwrap().kind(), ErrorKind::Unreachable);
    let text = outcome.to_string();
    assert!(text.contains("not delivered: 20 rows in 2 segments") && text.contains("refused"), "{text}");
}

#[test]
fn gives_up_at_once_when_somebody_has_to_act() {
    for (weather, kind) in [
        (Weather::Exception(403, 516), ErrorKind::Access),
        (Weather::Exception(500, 497), ErrorKind::Access),
        (Weather::Exception(404, 81), ErrorKind::NoDatabase),
        (Weather::Exception(500, 164), ErrorKind::ReadOnly),
        (Weather::Garbage, ErrorKind::NotClickHouse),
        (Weather::Status(404), ErrorKind::NotClickHouse),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let spool = filled(dir.path(), 6, 1000);
        let server = Proxy::start(None);
        server.set(weather);
        let began = Instant::now();
        let outcome = deliver(&spool, &server.url(), impatient());
        assert!(began.elapsed() < Duration::from_millis(400), "{weather:?}");
        assert!(outcome.gave_up);
        assert_eq!(outcome.undelivered.segments, 6);
        assert_eq!(outcome.last_error.unwrap().kind(), kind);
    }
}

#[test]
fn a_segment_that_is_refused_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 6, 1000);
    let server = Proxy::start(None);
    server.next([Weather::Exception(500, 16)]);
    let heard = Heard::default();
    let outcome = deliver(&spool, &server.url(), DeliveryOptions { report: heard.report(), ..impatient() });
    assert_eq!((outcome.segments, outcome.undelivered.segments), (5, 1));
    assert!(outcome.gave_up);
    assert_eq!(heard.count("was refused"), 1, "{:?}", heard.all());
    assert_eq!(segments(dir.path()).len(), 1);
}

#[test]
fn a_table_that_refuses_all_is_not_stormed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 40, 100);
    let server = Proxy::start(None);
    server.set(Weather::Exception(404, 60));
    // The question for the settings is answered first.
    let delivery = start(&spool, &server.url(), options());
    let outcome = delivery.finish_within(Some(Duration::from_millis(300)));
    assert_eq!(outcome.segments, 0);
    // A storm would be thousands.
    assert!(outcome.retries < 100, "{}", outcome.retries);
}

#[test]
fn the_schema_is_checked_before_the_first_segment() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 2, 1000);
    let server = Proxy::start(None);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let check = start_with(move |server: Server| {
        let call = count.fetch_add(1, Ordering::Relaxed);
        async move {
            server.query("SELECT version FROM schema_version", &[]).await?;
            match call {
                0..3 => Err(ServerError::new(ErrorKind::Overloaded, server.url(), "not yet")),
                _ => Ok(()),
            }
        }
    });
    let at = Server::new(connection(&server.url())).unwrap();
    let outcome = Delivery::start(Arc::clone(&spool), at, options(), Some(check)).unwrap().finish();
    assert!(outcome.is_complete());
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert!(server.seen()[..4].iter().all(|seen| seen.token().is_none()));

    assert_eq!(put(&spool, 9, 100), Put::Stored);
    let check = start_with(|server: Server| async move {
        Err(ServerError::new(ErrorKind::Schema, server.url(), "schema version 9, this lowtide knows up to 1"))
    });
    let at = Server::new(connection(&server.url())).unwrap();
    let outcome = Delivery::start(Arc::clone(&spool), at, impatient(), Some(check)).unwrap().finish();
    assert!(outcome.gave_up);
    assert_eq!(outcome.undelivered.segments, 1);
    assert!(outcome.to_string().contains("schema version 9"), "{outcome}");
}

#[test]
fn a_check_that_never_ends_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 1, 100);
    let check = start_with(|_| std::future::pending());
    let at = Server::new(connection("http://localhost:1")).unwrap();
    let outcome = Delivery::start(spool, at, impatient(), Some(check)).unwrap().finish();
    assert!(outcome.gave_up);
    assert_eq!(outcome.last_error.unwrap().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_segment_that_the_server_may_have_is_not_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let bounds =
        SpoolOptions { max_octets: 9000, when_full: WhenFull::DropOldest, ..SpoolOptions::default() };
    let spool = Arc::new(Spool::open(dir.path(), bounds).unwrap());
    let server = Proxy::start(None);
    server.set(Weather::LoseReply);
    let options = DeliveryOptions {
        in_flight: 2,
        longest_pause: Duration::from_millis(300),
        report: heard.report(),
        ..options()
    };
    let delivery = start(&spool, &server.url(), options);
    // The settings are asked first; that must work for an insert to be tried.
    server.set(Weather::Fair);
    server.next([Weather::LoseReply; 8]);
    assert_eq!(put(&spool, 0, 1000), Put::Stored);
    assert_eq!(put(&spool, 1, 1000), Put::Stored);
    support::wait_until("lost", || server.inserts().len() >= 2);
    for sequence in 2..30 {
        assert_eq!(put(&spool, sequence, 1000), Put::Stored);
    }
    let outcome = delivery.finish();
    let taken: std::collections::BTreeSet<_> =
        server.inserts().iter().map(|seen| seen.token().unwrap().to_owned()).collect();
    let dropped = outcome.losses.dropped();
    assert!(dropped.segments > 0);
    assert_eq!(outcome.rows + dropped.rows, 300, "{outcome}");
    // What the server has is exactly what was not counted as dropped.
    assert_eq!(taken.len() as u64 * 10, outcome.rows, "{outcome}");
}

#[test]
fn a_long_backlog_goes_with_several_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 100, 1000);
    let server = Proxy::start(None);
    let mut told = 0;
    drop(spool);
    let outcome = ship(dir.path(), connection(&server.url()), options(), None, |progress, all| {
        assert_eq!(all.segments, 100);
        assert!(progress.in_flight() <= 4);
        told += 1;
    })
    .unwrap();
    assert_eq!((outcome.segments, outcome.rows, outcome.is_complete()), (100, 1000, true));
    assert!(told >= 1);
    check(&server.inserts(), 100);
}

#[test]
fn ship_says_why_it_cannot_begin() {
    let dir = tempfile::tempdir().unwrap();
    let at = || connection("http://localhost:1");
    let missing = dir.path().join("missing");
    let error = ship(&missing, at(), options(), None, |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!missing.exists());
    let _owner = open(dir.path());
    let error = ship(dir.path(), at(), options(), None, |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("in use by another lowtide"), "{error}");
}

#[test]
fn stops_when_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 3, 1000);
    let server = Proxy::start(None);
    server.set(Weather::Hangs);
    let mut slow = connection(&server.url());
    slow.request_timeout = Duration::from_secs(60);
    let delivery = Delivery::start(Arc::clone(&spool), Server::new(slow).unwrap(), options(), None).unwrap();
    let stopper = delivery.stopper();
    server.wait_for(1);
    std::thread::spawn(move || stopper.stop());
    let began = Instant::now();
    let outcome = delivery.finish();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(outcome.undelivered.segments, 3);
}

fn ask(at: Connection, sql: &str) -> Result<Vec<u8>, ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Ok(Server::new(at)?.query(sql, &[("max_threads", "1")]).await?.to_vec()) })
}

#[test]
fn queries_are_bounded_and_checked() {
    let server = Proxy::start(None);
    assert_eq!(ask(connection(&server.url()), "SELECT 1").unwrap(), b"1\n");
    let seen = &server.seen()[0];
    assert_eq!(seen.body, b"SELECT 1");
    assert!(seen.head.contains("max_threads=1") && seen.head.contains("wait_end_of_query=1"));
    let small = Connection { max_answer: 1, ..connection(&server.url()) };
    assert_eq!(ask(small, "SELECT 1").unwrap_err().kind(), ErrorKind::TooLarge);
    for (weather, kind) in [
        (Weather::Garbage, ErrorKind::NotClickHouse),
        (Weather::NotHttp, ErrorKind::NotClickHouse),
        (Weather::Status(502), ErrorKind::Gateway),
        (Weather::Exception(403, 516), ErrorKind::Access),
        (Weather::Exception(500, 241), ErrorKind::NoMemory),
        (Weather::LoseReply, ErrorKind::Interrupted),
        (Weather::Hangs, ErrorKind::TimedOut),
    ] {
        server.set(weather);
        let error = ask(connection(&server.url()), "SELECT 1").unwrap_err();
        assert_eq!(error.kind(), kind, "{weather:?}: {error}");
        assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    }
}

#[test]
fn no_error_shows_the_password() {
    const SECRET: &str = "hunter2-%C3%A9";
    let server = Proxy::start(None);
    let url = |scheme: &str, address: SocketAddr| format!("{scheme}://ann:{SECRET}@{address}/d");
    let mut texts = vec![format!("{:?}", Server::new(connection(&url("http", server.address()))).unwrap())];
    let mut fail = |at: Connection| {
        texts.push(format!("{at:?} {}", at.url));
        let error = ask(at, "SELECT 1").unwrap_err();
        texts.push(format!("{error} {error:?}"));
    };
    for weather in [
        Weather::Garbage,
        Weather::NotHttp,
        Weather::Closes,
        Weather::LoseReply,
        Weather::Hangs,
        Weather::Exception(403, 516),
        Weather::Status(500),
    ] {
        server.set(weather);
        fail(connection(&url("http", server.address())));
    }
    fail(connection(&url("http", nowhere())));
    fail(connection(&url("https", server.address())));
    let mut own = connection(&url("https", server.address()));
    own.tls.authorities = Some(Path::new("/nonexistent").to_owned());
    fail(own);
    let newline = "http://h".parse::<lowtide_store::server::ServerUrl>().unwrap();
    let newline = newline.with_password(lowtide_store::server::Password::new("hunter2\n".to_owned()));
    fail(Connection::new(newline));
    assert!(texts.len() > 15);
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(server.seen().iter().all(|seen| !seen.head.lines().next().unwrap().contains("hunter2")));
    assert!(server.seen().iter().any(|seen| seen.header("x-clickhouse-key") == Some("hunter2-é")));
}

#[test]
fn a_hostile_segment_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 1, 100));
    let path = dir.path().join(header(0).file_name());
    let whole = std::fs::read(&path).unwrap();
    // A header of the same length, and a checksum that is right for it.
    for (good, bad) in
        [("\"traffic\"", "\"users  \""), ("\"qname\"", "\"a) --\""), ("\"rows\":10", "\"rows\":0 ")]
    {
        let at = whole.windows(good.len()).position(|window| window == good.as_bytes()).unwrap();
        let mut forged = whole.clone();
        forged[at..at + bad.len()].copy_from_slice(bad.as_bytes());
        let sum_at = forged.len() - 8;
        let sum = xxhash_rust::xxh3::xxh3_64(&forged[..sum_at]);
        forged[sum_at..].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, forged).unwrap();
        let server = Proxy::start(None);
        let outcome = deliver(&Arc::new(open(dir.path())), &server.url(), options());
        assert_eq!((outcome.segments, outcome.losses.quarantined().segments), (0, 1), "{bad}");
        assert!(server.seen().is_empty());
    }
}
