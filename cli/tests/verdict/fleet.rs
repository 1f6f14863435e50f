//! Live sensors in ClickHouse, by SQL: what they saw of a migration, minute by minute.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::recorded::database;
use crate::support::Database;

/// Cut over on 1 March, a day of TTL, a day of quiet.
const PLAN: &str = "[[migration]]\nname = 'm'\nzones = ['corp.example']\nold = ['192.0.2.53']\nnew = ['198.51.100.53']\n\
    cutover = '2026-03-01T00:00:00Z'\nparent_ns_ttl = '1d'\nquiet_period = '1d'\nnew_verified = true\n";

pub const OLD: &str = "192.0.2.53";

/// A database that sensors wrote into, and a plan.
pub struct Fleet {
    pub database: Database,
    folder: TempDir,
    pub plan: String,
}

impl Fleet {
    pub fn new() -> Self {
        Self { database: database(), folder: TempDir::new().unwrap(), plan: PLAN.to_owned() }
    }

    /// `eth0` of a sensor watched the old server from one day of March to another, but for minutes (of all, since the beginning of
    /// March) to which `but` applies.
    pub fn watched(&self, sensor: &str, from: u32, to: u32, but: &str) {
        let minutes = (from * 1_440, to * 1_440);
        self.beats(sensor, "r", minutes, &format!("if({but}, 0, 60)"));
    }

    /// A run of a sensor has so many heartbeats in each of these minutes, since the beginning of March; without one, no row.
    pub fn beats(&self, sensor: &str, run: &str, (from, to): (u32, u32), beats: &str) {
        self.database.query(&format!(
            "INSERT INTO coverage (interval, sensor, run, kind, source, server, frames, messages, first, last, heartbeats)
             SELECT toDateTime('2026-03-01 00:00:00', 'UTC') + 60 * minute AS at, '{sensor}', '{run}', 'live', 'eth0', its_server, 10,
                 if(its_server = '', 5, toUInt64(minute % 1000 = 0)), at, at + 59, {beats} AS beats
             FROM (SELECT number + {from} AS minute, arrayJoin(['', '{OLD}']) AS its_server FROM numbers({to} - {from}))
             WHERE beats > 0"
        ));
    }

    /// A sensor counted queries of a client at a time, in visits of one query each; `run` may be another each time.
    pub fn asked(&self, sensor: &str, run: &str, client: &str, time: &str, queries: u32) {
        self.row(sensor, run, "wire", client, time, queries);
    }

    pub fn row(&self, sensor: &str, run: &str, role: &str, client: &str, time: &str, queries: u32) {
        self.database.query(&format!(
            "INSERT INTO drain (interval, sensor, run, kind, role, migration, zone, server, client, qtype, queries, responses,
                 first_seen, last_seen, visits)
             SELECT toStartOfMinute(toDateTime('{time}', 'UTC')), '{sensor}', '{run}', 'live', '{role}', 'm', 'corp.example.', '{OLD}',
                 toIPv6('::ffff:{client}'), 'A', {queries}, {queries}, '{time}', '{time}', 1"
        ));
    }

    pub fn output(&self, args: &[&str]) -> Output {
        let plan = self.folder.path().join("plan.toml");
        fs::write(&plan, &self.plan).unwrap();
        Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .args([
                "drain",
                "--json",
                "--config",
                plan.to_str().unwrap(),
                "--clickhouse",
                &self.database.url(),
            ])
            .args(args)
            .output()
            .unwrap()
    }

    #[track_caller]
    pub fn report(&self, args: &[&str], exit: i32) -> Value {
        let output = self.output(args);
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["migrations"][0].clone()
    }

    /// The verdict as of a time, and that a reason says something.
    #[track_caller]
    pub fn check(&self, at: &str, args: &[&str], exit: i32, verdict: &str, reason: &str) {
        let report = self.report(&[&["--at", at], args].concat(), exit);
        let reasons = report["reasons"].to_string();
        assert_eq!(report["verdict"], verdict, "{reasons}");
        assert!(reasons.contains(reason), "{reasons}");
    }
}
