//! Rows in ClickHouse are neither lost nor doubled, whatever happens to the server, to lowtide, or to the files between.
//!
//! Each test replays a recording into a real ClickHouse, with something going wrong on the way, and then compares the
//! sums of all counters there with what the report of the same replay says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

#[path = "../../store/tests/support/proxy.rs"]
mod proxy;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use proxy::{Proxy, Weather};
use serde_json::Value;
use support::Server;

/// Many small segments, so that there is something to interrupt.
const SEGMENTS: [&str; 4] = ["--interval", "1s", "--segment-rows", "8"];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

fn capture() -> PathBuf {
    testdata("migration.pcapng.zst")
}

/// `lowtide replay` of the capture into `url`.
fn replay(url: &str, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    let segments = if extra.contains(&"--segment-rows") { &SEGMENTS[..2] } else { &SEGMENTS[..] };
    command.args(["replay", "--json", "--sensor", "test", "--clickhouse", url]).args(segments).args(extra);
    command.arg(capture()).env_remove("LOWTIDE_CLICKHOUSE_PASSWORD").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ship(url: &str, dir: &Path, extra: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    run(command.args(["ship", "--clickhouse", url]).args(extra).arg(dir))
}

/// What the report of the same replay says, without ClickHouse.
fn truth() -> Sums {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    let output = run(command.args(["replay", "--json", "--interval", "1s"]).arg(capture()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let mut sums = vec![number(&report["messages"]["queries"]), number(&report["messages"]["responses"])];
    for name in
        ["answered", "unanswered", "pending", "retransmissions", "duplicate_responses", "orphan_responses"]
    {
        sums.push(number(&report["transactions"][name]));
    }
    sums.push(number(&report["nodata"]));
    sums.push(number(&report["truncated_responses"]));
    sums.push(number(&report["latency_us"]["count"]));
    sums.push(number(&report["inputs"][0]["frames"]));
    Sums(sums)
}

#[derive(Debug, PartialEq, Eq)]
struct Sums(Vec<u64>);

/// The same figures as ClickHouse has them.
fn stored(server: &Server, database: &str) -> Sums {
    stored_in(server, database, "traffic")
}

fn stored_in(server: &Server, database: &str, table: &str) -> Sums {
    let sql = format!(
        "SELECT sum(queries), sum(responses), sum(answered), sum(unanswered), sum(pending), sum(retransmissions), \
         sum(duplicate_responses), sum(orphan_responses), sum(nodata), sum(truncated_responses), \
         arraySum(mapValues(sumMap(latency))), (SELECT sum(frames) FROM {database}.coverage) FROM {database}.{table}"
    );
    Sums(server.query(&sql).split_whitespace().map(|field| field.parse().unwrap()).collect())
}

/// In the table and in every rollup.
fn assert_stored(server: &Server, database: &str) {
    let truth = truth();
    let rollups = server.query(&format!(
        "SELECT name FROM system.tables WHERE database = '{database}' AND name LIKE 'traffic%' ORDER BY name"
    ));
    let tables: Vec<&str> = rollups.lines().collect();
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables {
        assert_eq!(stored_in(server, database, table), truth, "{database}.{table}");
    }
}

fn number(server: &Server, sql: &str) -> u64 {
    server.query(sql).trim().parse().unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    paths.sort();
    paths
}

/// Waits until something holds, for half a minute at most.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn finished(mut child: Child) -> bool {
    child.wait().unwrap().success()
}

#[test]
fn a_server_that_is_killed_ten_times_has_every_row_once() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    assert!(run(&mut lowtide_schema(&server.url("killed"))).status.success());
    let proxy = Proxy::start(Some(server.address()));
    proxy.set(Weather::Slow(Duration::from_millis(10)));
    let url = format!("{}/killed", proxy.url());
    let mut child = replay(&url, &["--run", "r", "--in-flight", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for kill in 1..=10 {
        let sent = proxy.inserts().len();
        wait_until("inserts go on", || proxy.inserts().len() > sent + 2);
        assert!(child.try_wait().unwrap().is_none(), "the replay must still run at kill {kill}");
        server.kill();
        server.restart();
        proxy.set_upstream(Some(server.address()));
    }
    proxy.set(Weather::Fair);
    assert!(finished(child));
    assert_stored(&server, "killed");
}

fn lowtide_schema(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    command.args(["schema", "--apply", "--clickhouse", url]);
    command
}

#[test]
fn lowtide_killed_at_any_moment_goes_on_where_it_was() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let url = server.url("resumed");
    assert!(run(&mut lowtide_schema(&url)).status.success());
    let proxy = Proxy::start(Some(server.address()));
    proxy.set(Weather::Slow(Duration::from_millis(2)));
    let slow = format!("{}/resumed", proxy.url());
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().to_str().unwrap();
    let mut killed = 0;
    for attempt in 0..12u64 {
        let mut child = replay(&slow, &["--run", "r", "--spool", spool])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::park_timeout(Duration::from_millis(20 + attempt * 37));
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed >= 6, "{killed} of 12 were killed on the way");
    proxy.set(Weather::Fair);
    let output = run(&mut replay(&url, &["--run", "r", "--spool", spool]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_stored(&server, "resumed");
    assert_eq!(segments(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(server.query("SELECT state FROM resumed.sensor_run FINAL").trim(), "finished");

    // It is all there: once more sends nothing, and other options need another name.
    let output = run(&mut replay(&url, &["--run", "r", "--spool", spool]));
    assert!(output.status.success() && stderr(&output).contains("nothing was sent"), "{}", stderr(&output));
    let output = run(&mut replay(&url, &["--run", "r", "--query-timeout", "2s"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another --run"), "{}", stderr(&output));
    assert_stored(&server, "resumed");
}

#[test]
fn every_weather_between_lowtide_and_the_server() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let proxy = Proxy::start(Some(server.address()));
    let weathers = [
        Weather::LoseReply,
        Weather::CutReply,
        Weather::CutRequest,
        Weather::Closes,
        Weather::Garbage,
        Weather::NotHttp,
        Weather::Status(502),
        Weather::Exception(500, 252),
        Weather::Exception(500, 243),
        Weather::Exception(500, 242),
        Weather::Exception(500, 241),
        Weather::ExceptionInBody(252),
        Weather::NoRows,
    ];
    for (number, weather) in weathers.into_iter().enumerate() {
        let database = format!("weather{number}");
        let url = format!("{}/{database}", proxy.url());
        // First once alone, then three times in a row.
        proxy.next([Weather::Fair, weather, Weather::Fair, weather, weather, weather]);
        let output = run(&mut replay(&url, &["--give-up", "60s", "--segment-rows", "60"]));
        assert!(output.status.success(), "{weather:?}: {}", stderr(&output));
        assert_stored(&server, &database);
    }
}

#[test]
fn a_server_that_is_down_at_first_gets_everything_later() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("late");
    server.kill();
    let child = replay(&url, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::park_timeout(Duration::from_secs(1));
    server.restart();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_stored(&server, "late");
}

#[test]
fn a_server_that_stays_down_leaves_a_spool_that_is_shipped_from_elsewhere() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("shipped");
    server.kill();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let output = run(&mut replay(&url, &["--give-up", "1s", "--spool", spool.to_str().unwrap()]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lowtide ship --clickhouse"), "{}", stderr(&output));
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "the report is printed all the same");

    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for path in segments(&spool) {
        fs::copy(&path, elsewhere.join(path.file_name().unwrap())).unwrap();
    }
    server.restart();
    // The same rows twice, from two places.
    for spool in [&elsewhere, &spool] {
        let output = ship(&url, spool, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_stored(&server, "shipped");
    }
    let output = ship(&url, &dir.path().join("nowhere"), &[]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn damaged_and_foreign_files_in_the_spool() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("damaged");
    server.kill();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().to_str().unwrap();
    let output = run(&mut replay(&url, &["--run", "r", "--give-up", "1s", "--spool", spool]));
    assert_eq!(output.status.code(), Some(1));
    let traffic: Vec<_> =
        segments(dir.path()).into_iter().filter(|path| path.to_string_lossy().contains("traffic")).collect();
    let (cut, flipped) = (&traffic[1], &traffic[2]);
    let octets = fs::read(cut).unwrap();
    fs::write(cut, &octets[..octets.len() / 2]).unwrap();
    let mut octets = fs::read(flipped).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(flipped, octets).unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("nonsense.segment"), "mine too").unwrap();
    server.restart();

    let output = ship(&url, dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "what is damaged is not delivered, and that is said");
    let said = stderr(&output);
    assert!(said.contains("quarantine"), "{said}");
    assert_eq!(fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine");
    let quarantined = fs::read_dir(dir.path().join("quarantine")).unwrap().count();
    assert!((2..=3).contains(&quarantined), "{quarantined} files in quarantine");
    // Exactly the two segments of eight rows are missing.
    let rows = number(&server, "SELECT count() FROM damaged.traffic");
    let all = number(&server, "SELECT rows['traffic'] FROM damaged.sensor_run FINAL");
    assert_eq!(rows + 16, all);
    let missing = truth().0[0] - stored(&server, "damaged").0[0];
    assert!(said.contains(&format!("({missing} queries,")), "{missing} are missing: {said}");
    // They stay missing, and that is said, until the run is repeated: then they come, and nothing twice.
    assert_eq!(ship(&url, dir.path(), &[]).status.code(), Some(1));
    let output = run(&mut replay(&url, &["--run", "r"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_stored(&server, "damaged");
    let output = run(&mut replay(&url, &["--run", "r"]));
    assert!(output.status.success() && stderr(&output).contains("nothing was sent"), "{}", stderr(&output));
}

#[test]
fn a_full_spool_drops_and_says_what() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("dropped");
    assert!(run(&mut lowtide_schema(&url)).status.success());
    server.kill();
    for policy in ["drop-oldest", "drop-newest"] {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().to_str().unwrap();
        let output = run(&mut replay(
            &url,
            &[
                "--give-up",
                "2s",
                "--spool",
                spool,
                "--run",
                policy,
                "--spool-max-size",
                "100kB",
                "--spool-when-full",
                policy,
            ],
        ));
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("dropped: "), "{}", stderr(&output));
        server.restart();
        let output = ship(&url, dir.path(), &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        let of = |expression: &str, table: &str| {
            number(&server, &format!("SELECT {expression} FROM dropped.{table} WHERE run = '{policy}'"))
        };
        let truth = truth();
        for (at, what) in [(0, "queries"), (1, "responses")] {
            let stored = of(&format!("sum({what})"), "traffic");
            let dropped = of(&format!("sum(lost['spool_dropped_{what}'])"), "coverage");
            assert!(dropped > 0, "{policy}: some {what} were dropped");
            assert_eq!(stored + dropped, truth.0[at], "{policy}: {what}");
        }
        // Each interval that the dropped segments may have been of is told, not the first alone.
        let told = "source = 'spool' AND (unknown = 1 OR notEmpty(lost))";
        let of_run = format!("run = '{policy}'");
        let empty = format!(
            "uniqExact(interval) FROM dropped.coverage WHERE server = '' AND messages > 0 AND {of_run} \
             AND interval NOT IN (SELECT interval FROM dropped.traffic WHERE {of_run})"
        );
        let hidden = format!(
            "{empty} AND interval NOT IN (SELECT interval FROM dropped.coverage WHERE {told} AND {of_run})"
        );
        let empty = number(&server, &format!("SELECT {empty}"));
        assert!(empty > 1, "{policy}: {empty} intervals have no rows");
        assert_eq!(number(&server, &format!("SELECT {hidden}")), 0, "{policy}");
        server.kill();
    }
}

#[test]
fn a_spool_is_used_by_one_lowtide_at_a_time() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    let url = server.url("locked");
    server.kill();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().to_str().unwrap();
    let child = replay(&url, &["--give-up", "20s", "--spool", spool])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the spool is there", || !segments(dir.path()).is_empty());
    let output = run(&mut replay(&url, &["--spool", spool]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in use by another lowtide"), "{}", stderr(&output));
    let output = ship(&url, dir.path(), &[]);
    assert!(stderr(&output).contains("in use by another lowtide"), "{}", stderr(&output));
    server.restart();
    assert!(finished(child));
    assert_stored(&server, "locked");
}

#[test]
fn a_schema_that_is_newer_is_left_alone() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let url = server.url("newer");
    assert!(run(&mut lowtide_schema(&url)).status.success());
    server.query("INSERT INTO newer.schema_version (version, applied_by) VALUES (4711, 'a later lowtide')");
    for output in [run(&mut replay(&url, &[])), run(&mut lowtide_schema(&url))] {
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("4711"), "{}", stderr(&output));
    }
    assert_eq!(number(&server, "SELECT count() FROM newer.traffic"), 0);
}

#[test]
fn merges_that_do_not_keep_up_and_a_server_without_space() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let url = server.url("parts");
    assert!(run(&mut lowtide_schema(&url)).status.success());
    server.query("SYSTEM STOP MERGES parts.traffic");
    server.query(
        "ALTER TABLE parts.traffic MODIFY SETTING parts_to_delay_insert = 2, parts_to_throw_insert = 3",
    );
    let child = replay(&url, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("three parts", || {
        number(
            &server,
            "SELECT count() FROM system.parts WHERE database = 'parts' AND table = 'traffic' AND active",
        ) >= 3
    });
    std::thread::park_timeout(Duration::from_secs(1));
    server.query("ALTER TABLE parts.traffic RESET SETTING parts_to_delay_insert, parts_to_throw_insert");
    server.query("SYSTEM START MERGES parts.traffic");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("Code: 252"), "{}", stderr(&output));
    assert_stored(&server, "parts");
}

#[test]
fn who_may_not_write_is_told_so_and_no_password_is_repeated() {
    if support::skipped() {
        return;
    }
    let server = Server::with(support::Setup { users: true, tcp: false });
    let open = server.url("users");
    let as_user = |user: &str| open.replace("http://", &format!("http://{user}@"));
    let dir = tempfile::tempdir().unwrap();
    let (spool, secret) = (dir.path().join("spool"), dir.path().join("secret"));

    let mut wrong = replay(&as_user(support::WRITER.0), &["--spool", spool.to_str().unwrap()]);
    let output = run(wrong.env("LOWTIDE_CLICKHOUSE_PASSWORD", "not the password"));
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("check user, password and grants") && !said.contains("not the password"), "{said}");
    assert!(segments(&spool).is_empty(), "nothing is begun that cannot end");

    fs::write(&secret, format!("{}\n", support::WRITER.1)).unwrap();
    let password_file = ["--clickhouse-password-file", secret.to_str().unwrap()];
    let output = run(&mut replay(&as_user(support::WRITER.0), &password_file));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_stored(&server, "users");

    // The schema is there, and can be read: only the rows are refused.
    let mut reader =
        replay(&as_user(support::READER.0), &["--run", "reader", "--spool", spool.to_str().unwrap()]);
    let output = run(reader.env("LOWTIDE_CLICKHOUSE_PASSWORD", support::READER.1));
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("Code: 164") && !said.contains(support::READER.1), "{said}");
    assert_stored(&server, "users");
    server.query("TRUNCATE ALL TABLES FROM users LIKE 'traffic%'");
    server.query("TRUNCATE TABLE users.coverage");
    let output = ship(&server.url_as(support::WRITER, "users"), &spool, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("list of processes") && !stderr(&output).contains(support::WRITER.1));
    assert_stored(&server, "users");
}

#[test]
fn a_server_whose_disk_is_full_gets_everything_when_there_is_room() {
    if support::skipped() {
        return;
    }
    let mut server = Server::start();
    server.kill();
    let data = server.path();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=128m", "lowtide-test"]).arg(&data).status();
    if !mount.is_ok_and(|status| status.success()) {
        use std::io::Write;
        let _ = std::io::stderr().write_all(b"NOT RUN: a full disk needs the right to mount a tmpfs\n");
        return;
    }
    server.restart();
    let url = server.url("space");
    assert!(run(&mut lowtide_schema(&url)).status.success());
    let filler = data.join("filler");
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display())).output();
    assert!(filled.is_ok_and(|output| !output.status.success()), "dd ends when the disk is full");
    let child = replay(&url, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::park_timeout(Duration::from_secs(2));
    fs::remove_file(&filler).unwrap();
    let output = child.wait_with_output().unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("free space on the server's disk"), "{}", stderr(&output));
        assert_stored(&server, "space");
    }));
    server.kill();
    assert!(Command::new("umount").arg(&data).status().unwrap().success());
    outcome.unwrap();
}
