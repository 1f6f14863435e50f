//! `lowtide clickhouse`: a server that starts, answers, keeps its data, and stops when told.

#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use support::{READER, Server, Setup, WRITER, lowtide_clickhouse, skipped};

/// Runs `lowtide clickhouse` where it must fail: exit code 1, nothing on standard output, and one line, which it returns.
#[track_caller]
fn failure(path: &Path, args: &[&str]) -> String {
    failed(&lowtide_clickhouse(path).args(args).output().unwrap())
}

#[track_caller]
fn failed(output: &Output) -> String {
    let err = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.len() < 400, "{err}");
    err
}

/// A statement that takes half a second for each of so many rows.
fn slow(rows: u32) -> String {
    format!(
        "SELECT sum(sleepEachRow(0.5)) FROM numbers({rows}) \
         SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
    )
}

/// Waits until a statement that contains these words runs.
fn wait_for(server: &Server, words: &str) {
    let begin = Instant::now();
    let count = format!(
        "SELECT count() FROM system.processes WHERE query ILIKE '%{words}%' AND query_id != queryID()"
    );
    while server.query(&count) == "0" {
        assert!(begin.elapsed() < Duration::from_secs(10), "'{words}' does not run");
    }
}

#[test]
fn it_says_where_it_answers() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let version = server.query("SELECT version()");
    let (url, path) =
        (format!("http://127.0.0.1:{}/", server.http_port()), fs::canonicalize(server.path()).unwrap());
    assert_eq!(server.ready, format!("ClickHouse {version} ready: {url} (data in {})\n", path.display()));
    assert_eq!(server.stderr(), "");
    assert_eq!(
        server.query_rows("SELECT 1, 'a' UNION ALL SELECT 2, 'b' ORDER BY 1"),
        [["1", "a"], ["2", "b"]]
    );
    assert_eq!(server.try_query("SELECT nonsense").unwrap_err().code, Some(47));
}

#[test]
fn data_survives_every_way_to_stop() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    server.query("CREATE DATABASE d");
    server.query("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a");
    server.query("CREATE FUNCTION twice AS (x) -> 2 * x");
    let (url, mut expected) = (server.url("d"), 0);
    for signal in ["KILL", "TERM", "INT", "HUP"] {
        server.insert("INSERT INTO d.t FORMAT TSV", b"1\n2\n").unwrap();
        expected += 2;
        let (status, took) = server.stop(signal);
        assert_eq!(status.code(), if signal == "KILL" { None } else { Some(0) }, "{signal}: {status}");
        assert!(took < Duration::from_secs(2), "{signal}: {took:?}");
        server.restart();
        assert_eq!(
            server.query("SELECT count(), sum(twice(a)) FROM d.t"),
            format!("{expected}\t{}", expected * 3)
        );
        assert_eq!(server.url("d"), url);
    }
}

#[test]
fn one_directory_and_one_port_are_for_one_server() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let err = failure(&server.path(), &["--http-port", "0"]);
    assert!(
        err.contains("in use by another ClickHouse") && err.contains(server.path().to_str().unwrap()),
        "{err}"
    );

    let directory = tempfile::tempdir().unwrap();
    let err = failure(directory.path(), &["--http-port", &server.http_port().to_string()]);
    assert!(
        err.contains(&format!("127.0.0.1:{}", server.http_port())) && err.contains("--http-port"),
        "{err}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let err = failure(directory.path(), &["--http-port", "0", "--tcp-port", &taken]);
    assert!(err.contains(&taken) && err.contains("--tcp-port"), "{err}");
    assert_eq!(server.query("SELECT 1"), "1");
}

#[test]
fn a_missing_library_is_told_how_to_get() {
    let directory = tempfile::tempdir().unwrap();
    let named = failure(directory.path(), &["--http-port", "0", "--library", "/nowhere/libchdb.so"]);
    assert!(named.contains("/nowhere/libchdb.so") && named.contains("scripts/libchdb.sh"), "{named}");

    let mut command = lowtide_clickhouse(directory.path());
    let looked_for = command
        .args(["--http-port", "0"])
        .env_remove("LOWTIDE_LIBCHDB")
        .env("XDG_DATA_HOME", directory.path());
    let err = failed(&looked_for.output().unwrap());
    assert!(err.contains(directory.path().join("lowtide/libchdb.so").to_str().unwrap()), "{err}");
    assert!(err.contains("scripts/libchdb.sh"), "{err}");

    let other = directory.path().join("other.so");
    fs::write(&other, "no library").unwrap();
    let err = failure(directory.path(), &["--http-port", "0", "--library", other.to_str().unwrap()]);
    assert!(err.contains("cannot use libchdb") && err.contains("other.so"), "{err}");
}

#[test]
fn a_directory_or_configuration_that_cannot_be_used_is_named() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "<clickhouse><open>").unwrap();
    let err = failure(&file.join("below"), &["--http-port", "0"]);
    assert!(err.contains("below"), "{err}");
    let err = failure(directory.path(), &["--http-port", "0", "--config-file", file.to_str().unwrap()]);
    assert!(err.contains("file"), "{err}");
    let err = failure(directory.path(), &["--http-port", "0", "--config-file", "no-such.xml"]);
    assert!(err.contains("no-such.xml"), "{err}");
    let bad = directory.path().join("bad.xml");
    fs::write(&bad, "<clickhouse><users_config>no-such-users.xml</users_config></clickhouse>").unwrap();
    let err = failure(directory.path(), &["--http-port", "0", "--config-file", bad.to_str().unwrap()]);
    assert!(err.contains("no-such-users.xml"), "{err}");
}

#[test]
fn users_are_those_of_the_configuration() {
    if skipped() {
        return;
    }
    let mut server = Server::with(Setup { users: true, ..Setup::default() });
    assert_eq!(server.try_query_as(WRITER, "SELECT currentUser()").unwrap(), "writer");
    server.try_query_as(WRITER, "CREATE DATABASE d").unwrap();
    server.try_query_as(WRITER, "CREATE TABLE d.t (a UInt8) ENGINE = MergeTree ORDER BY a").unwrap();
    let wrong = server.try_query_as((WRITER.0, "wrong"), "SELECT 1").unwrap_err();
    assert_eq!(wrong.code, Some(516), "{wrong:?}");
    assert_eq!(server.try_query_as(READER, "SELECT count() FROM d.t").unwrap(), "0");
    let refused = server.try_query_as(READER, "INSERT INTO d.t VALUES (1)").unwrap_err();
    assert_eq!(refused.code, Some(164), "{refused:?}");
    assert_eq!(server.stop("TERM").0.code(), Some(0));
    server.restart();
    assert_eq!(server.try_query_as(READER, "SELECT count() FROM d.t").unwrap(), "0");
}

#[test]
fn the_native_protocol_answers_a_hello() {
    if skipped() {
        return;
    }
    let server = Server::with(Setup { tcp: true, ..Setup::default() });
    let mut stream = TcpStream::connect(("127.0.0.1", server.tcp_port().unwrap())).unwrap();
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // Hello: packet 0, client, version 1.1, protocol 54058 as LEB128, database, user, password.
    let hello = [
        &[0],
        &string("test")[..],
        &[1, 1, 0xaa, 0xa6, 3],
        &string("default"),
        &string("default"),
        &string(""),
    ];
    stream.write_all(&hello.concat()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\0\nClickHouse");
}

#[test]
fn it_stops_although_a_query_runs_and_lets_an_insert_end() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    server.query("CREATE DATABASE d");
    server.query("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let insert = format!("INSERT INTO d.t {}", slow(3));
    let (port, query) = (server.http_port(), slow(120));
    thread::scope(|scope| {
        let query = scope.spawn(|| support::Request::new(port, &query).send());
        let insert = scope.spawn(|| support::Request::new(port, &insert).send());
        wait_for(&server, "numbers(120)");
        wait_for(&server, "INSERT INTO d.t SELECT");
        let (status, took) = server.stop("TERM");
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(query.join().unwrap().unwrap_err().code, Some(394), "a query is cancelled");
        assert_eq!(insert.join().unwrap().unwrap(), "", "an insert is acknowledged");
    });
    server.restart();
    assert_eq!(server.query("SELECT count() FROM d.t"), "1");
}

#[test]
fn it_does_not_wait_for_ever() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    server.query("CREATE DATABASE d");
    server.query("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let insert = format!("INSERT INTO d.t {}", slow(120));
    let port = server.http_port();
    thread::scope(|scope| {
        let insert = scope.spawn(|| support::Request::new(port, &insert).send());
        wait_for(&server, "INSERT INTO d.t SELECT");
        let (status, took) = server.stop("TERM");
        assert_eq!(status.code(), Some(0));
        assert!(took > Duration::from_secs(3) && took < Duration::from_secs(5), "{took:?}");
        assert!(server.stderr().ends_with("must be sent again: 1\n"), "{}", server.stderr());
        assert!(insert.join().unwrap().is_err());
    });
    server.restart();
    assert_eq!(server.query("SELECT count() FROM d.t"), "0");
}

/// clickhouse-local ends its process when a connection fails, unless it believes that it is on a terminal.
#[test]
fn clients_that_go_away_do_no_harm() {
    if skipped() {
        return;
    }
    let server = Server::with(Setup { tcp: true, ..Setup::default() });
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc";
    let unread =
        b"POST /?query=SELECT+*+FROM+numbers(10000000) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let ping = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..20 {
        for port in [server.http_port(), server.tcp_port().unwrap()] {
            for sent in [&chunked[..], unread, ping, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""] {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                stream.write_all(sent).unwrap();
                // What is closed with something unread in it is reset.
                let _ = stream.peek(&mut [0]);
            }
        }
    }
    assert_eq!(server.query("SELECT 1"), "1");
    assert_eq!(server.stderr(), "");
}

#[test]
fn a_million_rows_go_in() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    database.query("CREATE TABLE t (a UInt64, b LowCardinality(String)) ENGINE = MergeTree ORDER BY a");
    let rows: String = (0..1_000_000).map(|row| format!("{row}\tname {}\n", row % 1000)).collect();
    let insert = format!("INSERT INTO {}.t FORMAT TSV", database.name);
    database.server().insert(&insert, rows.as_bytes()).unwrap();
    assert_eq!(
        database.query_rows("SELECT count(), sum(a), uniqExact(b) FROM t"),
        [["1000000", "499999500000", "1000"]]
    );
}

#[test]
fn tests_share_a_server_and_nothing_else() {
    if skipped() {
        return;
    }
    let (one, other) = (Server::shared(), Server::shared());
    assert_eq!(one.server().pid(), other.server().pid());
    one.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    assert_eq!(other.try_query("SELECT * FROM t").unwrap_err().code, Some(60));
    assert!(other.url().ends_with(&other.name));
}

#[test]
fn a_signal_before_it_is_ready_ends_it_too() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = lowtide_clickhouse(directory.path()).args(["--http-port", "0"]).spawn().unwrap();
    let (sender, ended) = channel();
    let pid = child.id();
    thread::spawn(move || sender.send(child.wait().unwrap()));
    // The earlier ones may come before it watches for them, and end it in the ordinary way.
    let status = loop {
        let _ =
            std::process::Command::new("sh").args(["-c", &format!("kill -TERM {pid} 2>/dev/null")]).status();
        if let Ok(status) = ended.recv_timeout(Duration::from_millis(50)) {
            break status;
        }
    };
    assert!(matches!(status.code(), Some(0) | None), "{status}");
}

#[test]
fn what_is_asked_of_a_stopped_server_fails() {
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let stream = TcpStream::connect(("127.0.0.1", server.http_port())).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    server.kill();
    assert_eq!(server.try_query("SELECT 1").unwrap_err().status, 0);
}
