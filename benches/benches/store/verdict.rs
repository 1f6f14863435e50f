//! The verdict across all sensors: `lowtide drain --clickhouse` over 30 days of five sensors and 100,000 clients.
//!
//! The rows are made by SQL (`verdict/*.sql`), which say what they are like; rollups are filled by the inserts, as they are by a sensor's.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lowtide_benches::figures::Rounds;
use lowtide_benches::program;
use lowtide_store::server::{Connection, Server};
use tokio::runtime::Builder;

use super::Outcome;
use super::clickhouse::ClickHouse;
use super::spooling::directory;

const DATABASE: &str = "verdict";

const DAY: u64 = 86_400;

const ROUNDS: usize = 5;

const TABLES: [(&str, &str); 3] = [
    ("coverage", include_str!("verdict/watched.sql")),
    ("rrset", include_str!("verdict/served.sql")),
    ("drain", include_str!("verdict/asked.sql")),
];

/// Fills a database and asks for the verdict.
pub fn run(lowtide: &Path) -> Outcome<()> {
    let clickhouse = ClickHouse::start(lowtide)?;
    clickhouse.create_schema(DATABASE)?;
    let end: u64 = clickhouse.query("SELECT toUnixTimestamp(toStartOfMinute(now()))")?.parse()?;
    let begin = (end - 30 * DAY).to_string();
    let url = clickhouse.url(DATABASE);
    let connection =
        Connection { request_timeout: Duration::from_secs(3_600), ..Connection::new(url.parse()?) };
    let (server, runtime) = (Server::new(connection)?, Builder::new_current_thread().enable_all().build()?);
    println!("## Verdict\n\nThirty days, five sensors, 100,000 clients, two old servers and a new one.\n");
    for (table, sql) in TABLES {
        let before = clickhouse.cpu_seconds();
        runtime.block_on(server.query(sql, &[("param_begin", &begin)]))?;
        println!(
            "- rows into `{table}`: {:.1} s of the server's CPU time",
            clickhouse.cpu_seconds() - before
        );
    }
    let sizes = "SELECT table, sum(rows), formatReadableSize(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = 'verdict' \
                 AND rows > 10 GROUP BY table ORDER BY table";
    for line in clickhouse.query(sizes)?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        if let [table, rows, size] = fields.as_slice() {
            println!("- `{table}`: {rows} rows, {size}");
        }
    }
    let folder = directory()?;
    let plan = folder.path().join("plan.toml");
    let cutover = clickhouse
        .query(&format!("SELECT formatDateTime(toDateTime({}, 'UTC'), '%FT%TZ')", end - 20 * DAY))?;
    let at = clickhouse.query(&format!("SELECT formatDateTime(toDateTime({end}, 'UTC'), '%FT%TZ')"))?;
    fs::write(
        &plan,
        format!(
            "[[migration]]\nname = 'to-b'\nzones = ['corp.example']\nold = ['ns1.a.example=192.0.2.1', 'ns2.a.example=192.0.2.2']\n\
             new = ['ns1.b.example=198.51.100.1']\ncutover = '{cutover}'\nparent_ns_ttl = '1d'\nquiet_period = '1d'\n"
        ),
    )?;
    let (mut wall, mut cpu, mut of_server, mut memory) =
        (Rounds::default(), Rounds::default(), Rounds::default(), 0);
    for _ in 0..ROUNDS {
        let before = clickhouse.cpu_seconds();
        let plan = plan.to_string_lossy();
        let used = program::run(
            lowtide,
            ["drain", "--json", "--config", &*plan, "--clickhouse", &*url, "--at", &*at],
        )?;
        let report: serde_json::Value = serde_json::from_slice(&used.output)?;
        let told = |place: &str| report.pointer(place).map(ToString::to_string).unwrap_or_default();
        let verdict = told("/migrations/0/verdict");
        if verdict != "\"drained\"" || !used.success {
            return Err(format!("the verdict is {verdict}: {}", told("/migrations/0/reasons")).into());
        }
        wall.push(used.wall);
        cpu.push(used.cpu);
        of_server.push(clickhouse.cpu_seconds() - before);
        memory = memory.max(used.memory);
    }
    println!(
        "\n`lowtide drain`: best {:.2} s, median {:.2} s, worst {:.2} s of {ROUNDS}; CPU time {:.2} s, the server's {:.2} s (medians); {} MB at most\n",
        wall.min(),
        wall.median(),
        wall.max(),
        cpu.median(),
        of_server.median(),
        memory / 1_000_000,
    );
    Ok(())
}
