//! Every query of docs/clickhouse.md, with the values given there, on rows of testdata/clickhouse.

#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Database, Server};

/// One of the page's queries.
struct Query<'a> {
    sql: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// The queries by id: a comment `query: ID`, perhaps a comment `param NAME=VALUE ...`, and the block.
fn queries(page: &str) -> BTreeMap<&str, Query<'_>> {
    let mut queries = BTreeMap::new();
    for part in page.split("<!-- query: ").skip(1) {
        let (id, rest) = part.split_once(" -->").unwrap();
        let (comments, rest) = rest.split_once("```sql\n").unwrap();
        let (sql, _) = rest.split_once("```").unwrap();
        let parameters =
            comments.split_once("<!-- param ").map_or("", |(_, rest)| rest.split_once(" -->").unwrap().0);
        let parameters = parameters.split(' ').filter_map(|pair| pair.split_once('=')).collect();
        assert!(queries.insert(id, Query { sql, parameters }).is_none(), "two queries {id}");
    }
    queries
}

/// Three hours of rows at noon of the 88th day, an hour of the week before, and what the other tables hold.
fn generate(database: &Database) {
    let begin = "2026-08-23 00:00:00";
    let run = |file: &str, rows: &[(&str, &str)]| {
        let sql = fs::read_to_string(path("testdata/clickhouse").join(file)).unwrap();
        let mut request =
            database.server().request(&sql).database(&database.name).setting("param_begin", begin);
        for (name, value) in rows {
            request = request.setting(name, value);
        }
        request.send().unwrap();
    };
    // 7,716 rows an interval of ten minutes: intervals 12,744 to 12,761, and 11,736 to 11,741.
    for (from, rows) in [("98332704", "138888"), ("90554976", "46296")] {
        run("traffic.sql", &[("param_from", from), ("param_rows", rows)]);
    }
    for file in ["vanished.sql", "coverage.sql", "sensor_run.sql", "rrset.sql", "drain.sql"] {
        run(file, &[]);
    }
}

#[test]
fn every_query_of_the_page_answers() {
    if support::skipped() {
        return;
    }
    let database = Server::shared();
    let url = database.url();
    let apply = Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .args(["schema", "--apply", "--clickhouse", &url])
        .output();
    assert!(apply.unwrap().status.success());
    generate(&database);
    let page = fs::read_to_string(path("docs/clickhouse.md")).unwrap();
    let queries = queries(&page);
    assert!(queries.len() >= 15, "{}", queries.len());
    let mut answers = BTreeMap::new();
    for (id, query) in &queries {
        let mut request = database.server().request(query.sql).database(&database.name);
        let parameters: Vec<_> =
            query.parameters.iter().map(|(name, value)| (format!("param_{name}"), *value)).collect();
        for (name, value) in &parameters {
            request = request.setting(name, value);
        }
        let answer = request.send().unwrap_or_else(|failure| panic!("{id}: {failure:?}"));
        answers.insert(*id, answer);
    }
    let silent: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_empty()).map(|(id, _)| *id).collect();
    // Accounts that balance are no rows.
    assert_eq!(silent, ["accounts"]);

    let number = |sql: &str| database.query(sql).parse::<u64>().unwrap();
    let field = |id: &str, row: usize, column: usize| {
        answers[id].lines().nth(row).unwrap().split('\t').nth(column).unwrap().to_owned()
    };
    // The hottest name, and its queries, counted in another table.
    let busiest = field("busiest-names", 0, 2);
    let (role, kind) = (field("busiest-names", 0, 0), field("busiest-names", 0, 3));
    let asked = format!(
        "SELECT sum(queries) FROM traffic WHERE qname = '{busiest}' AND role = '{role}' AND qtype = '{kind}'
         AND interval >= '2026-11-19 00:00:00' AND interval < '2026-11-20 00:00:00'"
    );
    assert_eq!(field("busiest-names", 0, 4), number(&asked).to_string());
    // All sensors but one have rows of coverage throughout.
    assert_eq!(
        answers["sensor-coverage"].lines().filter(|line| line.split('\t').nth(2) == Some("1")).count(),
        19
    );
    assert!(
        answers["sensor-coverage"].starts_with("sensor-13\teth0\t0.98"),
        "{}",
        answers["sensor-coverage"]
    );
    // The servers of the zone: each of the twenty.
    assert_eq!(answers["servers-of-a-zone"].lines().count(), 20);
    let lagging = answers["disagreements"].lines().next().unwrap();
    assert!(lagging.contains("['2001:db8::4']"), "{lagging}");
    // The name that is gone is the surge, from no NXDOMAIN at all, and these are its clients.
    let surge: Vec<_> = answers["nxdomain-surge"].lines().next().unwrap().split('\t').collect();
    assert_eq!((surge[1], surge[4], surge[6]), ("old-portal.corp.example.", "1", "0"), "{surge:?}");
    let clients: Vec<_> =
        answers["vanished-name-clients"].lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    for client in ["198.51.100.7", "2001:db8:53::7", "(others)"] {
        // In two roles.
        assert_eq!(clients.iter().filter(|address| **address == client).count(), 2, "{clients:?}");
    }
    // 90 days, twenty sensors.
    assert_eq!(answers["name-history"].lines().count(), 90 * 20);
    // An account that does not balance is told.
    database.query("INSERT INTO traffic (interval, sensor, run, kind, role, queries, pending) VALUES (now(), 'odd', 'r', 'live', 'wire', 1, 1)");
    database.query("INSERT INTO sensor_run (sensor, run, kind, state, updated, queries) VALUES ('odd', 'r', 'live', 'finished', now(), 0)");
    let accounts = database.query(queries["accounts"].sql);
    assert!(accounts.starts_with("odd\tr\t0\t1\t"), "{accounts}");
}
