//! Command lines, alone and over a file.

use std::fs;
use std::path::Path;

use clap::{CommandFactory, Parser};
use lowtide_proto::NameBuf;

use super::*;
use crate::args::{Cli, Command};
use crate::config;
use crate::config::options::{Listen, RunOptions};

fn run(line: &str) -> RunArgs {
    let words = ["lowtide", "run"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Command::Run(args) => *args,
        other => panic!("{other:?}"),
    }
}

fn options(line: &str) -> RunOptions {
    config::load(&run(line)).unwrap().options
}

/// Why a command line is refused, after it could be parsed.
fn refused(line: &str) -> String {
    config::load(&run(line)).map(|loaded| format!("{loaded:?}")).unwrap_err().to_string()
}

fn names(zones: &[NameBuf]) -> Vec<String> {
    zones.iter().map(|zone| zone.as_name().to_string()).collect()
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("l.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_command_line_is_enough() {
    let options = options(
        "--interface eth0 -i eth1 --dnstap unix:/x --dnstap tcp:[::1]:6000 --clickhouse http://me@h:1/db \
         --clickhouse-timeout 5s --in-flight 7 --spool /tmp --spool-max-size 1GB --sensor ns1 --interval 10s \
         --query-timeout 2s --lateness 3s --port 5353 --zone example.org --zone example.net --max-rows 9 --threads 3 \
         --filter ip --capture-threads 2 --no-promiscuous --buffer 2MiB --snap-length 200 --allow-xdp --user 0 \
         --metrics off --log-format json --log-level trace",
    );
    assert_eq!(options.interfaces.len(), 2);
    for interface in &options.interfaces {
        assert_eq!((interface.threads, interface.buffer, interface.snap_length), (2, 2 << 20, 200));
        assert_eq!((interface.promiscuous, interface.allow_xdp), (false, true));
        assert_eq!(interface.filter.as_deref(), Some("ip"));
    }
    let tcp = Listen::Tcp { address: "[::1]:6000".parse().unwrap(), tls: None };
    assert_eq!((options.dnstap.len(), &options.dnstap[1].listen), (2, &tcp));
    let connection = options.connection.unwrap();
    assert_eq!(connection.clickhouse.as_deref(), Some("http://me@h:1/db"));
    assert_eq!((connection.clickhouse_timeout, options.in_flight), (Duration::from_secs(5), 7));
    assert_eq!((options.spool.dir.as_path(), options.spool.max_size), (Path::new("/tmp"), 1_000_000_000));
    assert_eq!((options.sensor.as_str(), options.interval), ("ns1", Duration::from_secs(10)));
    assert_eq!((options.query_timeout, options.lateness), (Duration::from_secs(2), Duration::from_secs(3)));
    assert_eq!((options.ports, options.max_rows, options.threads), (vec![53, 5353], 9, 3));
    assert_eq!(names(&options.zones), ["example.org.", "example.net."]);
    assert_eq!((options.process.user.unwrap().id, options.metrics), (0, None));
    assert_eq!((options.log.format, options.log.level), (LogFormat::Json, LevelFilter::TRACE));
}

#[test]
fn the_command_line_has_precedence_and_adds_sources() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(
        dir.path(),
        "[sensor]\nname = 'file'\nzones = ['a.example', 'b.example']\nmax_rows = 7\n[[dnstap]]\nlisten = 'unix:/file'\n\
         [[interface]]\nname = 'eth0'\nthreads = 4\nsnap_length = 100\n[clickhouse]\nurl = 'http://file'\nin_flight = 2\n\
         [log]\nlevel = 'warn'\n",
    );
    let options = options(&format!(
        "--config {file} --sensor line --zone c.example --dnstap unix:/line --interface eth1 --snap-length 200 \
         --clickhouse http://line"
    ));
    assert_eq!((options.sensor.as_str(), options.max_rows), ("line", 7));
    assert_eq!(names(&options.zones), ["c.example."]);
    let interfaces: Vec<_> = options
        .interfaces
        .iter()
        .map(|interface| (interface.name.as_str(), interface.threads, interface.snap_length))
        .collect();
    assert_eq!(interfaces, [("eth0", 4, 200), ("eth1", 1, 200)]);
    assert_eq!(options.dnstap.len(), 2);
    assert_eq!(options.connection.unwrap().clickhouse.as_deref(), Some("http://line"));
    assert_eq!((options.in_flight, options.log.level), (2, LevelFilter::WARN));
}

#[test]
fn faults_name_the_option_or_the_place_in_the_file() {
    assert_eq!(refused(""), "there is no source: --dnstap, --interface or --config says what to read");
    assert_eq!(
        refused("--dnstap unix:/x --no-promiscuous"),
        "--no-promiscuous: there is no interface that it is for: --interface names one"
    );
    assert_eq!(
        refused("-i eth0 -i eth0 --zone a.example --zone A.example"),
        "--interface: interface 'eth0' is read already, by --interface\n\
         --zone: the zone 'a.example.' is listed twice, first by --zone"
    );
    assert_eq!(
        refused("-i eth0 --clickhouse-password-file /x"),
        "--clickhouse-password-file: ClickHouse's url is not said: clickhouse.url or --clickhouse"
    );
    assert_eq!(refused("--config /no/such/file"), "/no/such/file: cannot read it: No such file or directory");
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), "[[dnstap]]\nlisten = 'unix:/x'\n");
    assert_eq!(
        refused(&format!("--config {file} --dnstap unix:/x")),
        "--dnstap: 'unix:/x' is listened on already, in line 2"
    );
    fs::write(&file, [b'#', 0xff]).unwrap();
    assert_eq!(refused(&format!("--config {file}")), format!("{file}: not UTF-8 at octet 1"));
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    for line in [
        "--dnstap /run/x",
        "--dnstap tcp:localhost:1",
        "--interface a/b",
        "--interval 1500ms",
        "--lateness 0s",
        "--snap-length 5",
        "--capture-threads 0",
        "--buffer 1GB2",
        "--metrics 127.0.0.1",
        "--log-format xml",
        "--clickhouse ftp://h",
        "--clickhouse http://h/system",
        "--clickhouse-cert x",
        "--zone a..b",
        "--port 0",
        "--run x",
    ] {
        let words = ["lowtide", "run"].into_iter().chain(line.split_whitespace());
        let error = Cli::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn the_help_shows_defaults_that_are_so() {
    let mut cli = Cli::command();
    let run = cli.find_subcommand_mut("run").unwrap();
    let long = run.render_long_help().to_string();
    for part in ["dnstap-output unix", "mod-dnstap", "newFrameStreamUnixLogger", "SIGHUP", "Exit codes:"] {
        assert!(long.contains(part), "{part} is missing in:\n{long}");
    }
    let default = |option: &str| -> String {
        let argument = run.get_arguments().find(|argument| argument.get_long() == Some(option)).unwrap();
        let help = argument.get_help().unwrap().to_string();
        help.split_once("[default: ").unwrap().1.split_once(']').unwrap().0.to_owned()
    };
    // Saying a default changes nothing.
    let said: String = [
        "interval",
        "query-timeout",
        "lateness",
        "max-rows",
        "capture-threads",
        "buffer",
        "snap-length",
        "clickhouse-timeout",
        "in-flight",
        "spool-max-size",
        "metrics",
        "log-format",
        "log-level",
    ]
    .iter()
    .map(|option| format!(" --{option} {}", default(option)))
    .collect();
    let plain = "--interface eth0 --clickhouse http://h";
    assert_eq!(
        format!("{:?}", options(&format!("{plain}{said}"))),
        format!("{:?}", options(plain)),
        "{said}"
    );
}
