//! `lowtide drain`, from files and from ClickHouse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::witness::Key;
use crate::{pass, tell};

/// Where the evidence comes from.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// What tcpdump captured beside `lowtide run`.
    Files(Vec<PathBuf>),
    /// The rows of `lowtide run`.
    ClickHouse(String),
}

impl Evidence {
    const fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::ClickHouse(_) => "ClickHouse",
        }
    }

    /// Asks for the verdict now.
    #[track_caller]
    pub fn judge(&self, plan: &Path) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
        command.args(["drain", "--json", "--quiet", "--config"]).arg(plan);
        match self {
            // The other customer's zone is asked for every second or so.
            Self::Files(files) => command.args(["--max-silence", "5s"]).args(files),
            Self::ClickHouse(url) => command.args(["--clickhouse", url]),
        };
        let output = command.output().unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{complained}", output.status));
        assert_eq!(report["schema"], "lowtide.drain/1");
        let said = Said(report["migrations"][0].clone());
        let expected = match said.verdict() {
            "drained" => 0,
            "unknown" => 4,
            _ => 3,
        };
        assert_eq!(output.status.code(), Some(expected), "{complained}\n{report:#}");
        said
    }

    /// Asks until the verdict is a word with a reason; until then it may be one of some others.
    #[track_caller]
    pub fn until(
        &self,
        plan: &Path,
        before: &[&str],
        verdict: &str,
        reason: &str,
        patience: Duration,
    ) -> Said {
        let begin = Instant::now();
        loop {
            let said = self.judge(plan);
            if said.verdict() == verdict && said.reasons().contains(reason) {
                let seconds = begin.elapsed().as_secs_f64();
                tell(&format!("{:>10} after {seconds:4.1} s: {verdict}\n{}", self.name(), said.reasons()));
                return said;
            }
            let name = self.name();
            let may_be = before.contains(&said.verdict()) || said.verdict() == verdict;
            assert!(may_be, "{verdict} is not yet said by {name}, but\n{:#}", said.0);
            assert!(
                begin.elapsed() < patience,
                "{verdict}, {reason} is not said by {name}, but\n{:#}",
                said.0
            );
            pass(Duration::from_millis(300));
        }
    }
}

/// The migration's part of what `lowtide drain` said.
#[derive(Clone, Debug)]
pub struct Said(pub Value);

impl Said {
    /// The verdict on the migration.
    pub fn verdict(&self) -> &str {
        text(&self.0["verdict"])
    }

    /// The reasons, each with its code.
    pub fn reasons(&self) -> String {
        let line = |reason: &Value| format!("    {}: {}", text(&reason["code"]), text(&reason["text"]));
        list(&self.0["reasons"]).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The last moment at which a cache may lead to the old servers.
    pub fn horizon(&self) -> jiff::Timestamp {
        time(&self.0["cache_horizon"])
    }

    /// The residual clients of old servers: each with zone, server and address, and what is said of it.
    pub fn residual(&self) -> impl Iterator<Item = (Key, &Value)> {
        list(&self.0["servers"]).iter().flat_map(|server| {
            list(&server["residual_clients"]).iter().map(|client| {
                let key = [&server["zone"], &server["address"], &client["address"]];
                let [zone, server, address] = key.map(|value| text(value).to_owned());
                ((zone, server, address), client)
            })
        })
    }

    /// Their queries.
    pub fn counts(&self) -> BTreeMap<Key, u64> {
        self.residual().map(|(key, client)| (key, client["queries"].as_u64().unwrap())).collect()
    }

    /// The holes of old servers, as from and to; those that touch are one.
    pub fn holes(&self) -> Vec<(jiff::Timestamp, jiff::Timestamp)> {
        let gaps = list(&self.0["servers"]).iter().flat_map(|server| list(&server["coverage"]["gaps"]));
        let mut gaps: Vec<_> = gaps.map(|gap| (time(&gap["from"]), time(&gap["to"]))).collect();
        gaps.sort_unstable();
        let mut joined: Vec<(jiff::Timestamp, jiff::Timestamp)> = Vec::new();
        for (from, to) in gaps {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = to.max(last.1),
                _ => joined.push((from, to)),
            }
        }
        joined
    }
}

/// A text in JSON.
#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A moment in JSON.
#[track_caller]
pub fn time(value: &Value) -> jiff::Timestamp {
    text(value).parse().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
