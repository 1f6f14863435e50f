//! Options of all commands that speak with ClickHouse.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::duration;

/// How to reach ClickHouse.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "ClickHouse")]
pub struct ConnectionArgs {
    /// Where ClickHouse is, as http://user@host:8123/database or https://user@host:8443/database
    ///
    /// The database is `lowtide` where the URL names none. A password does not belong here: everybody on this machine sees it in
    /// the list of processes. LOWTIDE_CLICKHOUSE_PASSWORD or --clickhouse-password-file say it unseen.
    #[arg(long, value_name = "URL")]
    pub clickhouse: Option<String>,

    /// The file whose first line is the password; else LOWTIDE_CLICKHOUSE_PASSWORD
    #[arg(long, value_name = "FILE", requires = "clickhouse")]
    pub clickhouse_password_file: Option<PathBuf>,

    /// The certificate authority (PEM) that the server's certificate must be of, instead of the system's
    #[arg(long, value_name = "FILE", requires = "clickhouse")]
    pub clickhouse_ca: Option<PathBuf>,

    /// The certificate (PEM) to show the server
    #[arg(long, value_name = "FILE", requires = "clickhouse", requires = "clickhouse_key")]
    pub clickhouse_cert: Option<PathBuf>,

    /// The private key (PEM) of --clickhouse-cert
    #[arg(long, value_name = "FILE", requires = "clickhouse_cert")]
    pub clickhouse_key: Option<PathBuf>,

    /// How long one request may take [e.g. 30s, 5m]
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub clickhouse_timeout: Duration,
}

/// What happens to a segment that does not fit into the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// Read on only when there is room: nothing is lost
    Wait,
    /// Drop the oldest segment, and count it
    DropOldest,
    /// Drop the new segment, and count it
    DropNewest,
}

/// How segments are delivered.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Delivery")]
pub struct DeliveryArgs {
    /// Give up when ClickHouse has taken nothing for this long; what was not delivered stays in the spool [e.g. 30s, 1h]
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub give_up: Duration,

    /// Segments to send at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub in_flight: u16,
}

/// Where rows go, and under which name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Rows")]
pub struct RecordArgs {
    /// The name of this sensor in every row [default: the host's name]
    #[arg(long, value_name = "NAME", requires = "clickhouse")]
    pub sensor: Option<String>,

    /// A name for this replay, by which it can be repeated without doubles and deleted [default: one of its own]
    ///
    /// A run that was cut off goes on where it was; one that is there already is not sent again. Other files or other options need
    /// another name. ClickHouse knows what it has by its memory of the last 10,000 segments of all sensors: a run that was cut off is
    /// to be repeated before so many more have come.
    #[arg(long, value_name = "NAME", requires = "clickhouse")]
    pub run: Option<String>,

    /// Do not ask ClickHouse at the end how many queries and responses it has of this run
    #[arg(long, requires = "clickhouse")]
    pub no_verify: bool,

    /// The directory where rows wait for ClickHouse [default: one in the directory for temporary files, gone when all was delivered]
    #[arg(long, value_name = "DIR", requires = "clickhouse")]
    pub spool: Option<PathBuf>,

    /// How large the spool may become [e.g. 500MB, 10GiB]
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = crate::size::parse)]
    pub spool_max_size: u64,

    /// What happens when the spool is full
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = WhenFull::Wait)]
    pub spool_when_full: WhenFull,

    /// Rows in a segment, which is one insert
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = segment_rows)]
    pub segment_rows: usize,

    /// Rows of the intervals at hand, about; the names asked least beyond go into one row for each server and zone
    ///
    /// A million take about 350 MB.
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = super::at_least_one)]
    pub max_rows: usize,
}

/// What `lowtide ship` takes.
#[derive(Args, Debug)]
#[command(after_help = SHIP_EXAMPLES)]
pub struct ShipArgs {
    /// The spool: a directory that `lowtide replay --spool` or `lowtide run` left, on this machine or another
    #[arg(required = true, value_name = "DIR")]
    pub dir: PathBuf,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    #[command(flatten)]
    pub delivery: DeliveryArgs,

    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

const SHIP_EXAMPLES: &str = "\
Examples:
  Deliver what could not be delivered when it was made:
    lowtide ship --clickhouse http://ch.example:8123/lowtide /var/spool/lowtide

  Carry a spool to where ClickHouse can be reached:
    rsync -a sensor:/var/spool/lowtide/ spool/ && lowtide ship --clickhouse http://127.0.0.1:8123 spool

Exit codes:
  0  everything was delivered
  1  something was not, and is still in the spool or in its quarantine/; standard error says what
  2  the command line is wrong";

/// What `lowtide schema` takes.
#[derive(Args, Debug)]
#[command(after_help = SCHEMA_EXAMPLES)]
pub struct SchemaArgs {
    /// Create the schema in --clickhouse, or bring it up to date; without it, print its statements
    #[arg(long, requires = "clickhouse")]
    pub apply: bool,

    /// For this cluster: ReplicatedAggregatingMergeTree tables with Distributed tables over them
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,

    /// Delete live rows of intervals this old; 'forever' keeps them [e.g. 30d, 90d]
    #[arg(long, value_name = "DURATION", value_parser = days)]
    pub keep_intervals: Option<Days>,

    /// Delete live rows of hours this old [e.g. 180d]
    #[arg(long, value_name = "DURATION", value_parser = days)]
    pub keep_hours: Option<Days>,

    /// Delete live rows of days this old [e.g. 1095d]
    #[arg(long, value_name = "DURATION", value_parser = days)]
    pub keep_days: Option<Days>,

    /// Let the rows of replayed files grow old too; unasked they are kept until their run is deleted
    #[arg(long)]
    pub expire_replays: bool,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

const SCHEMA_EXAMPLES: &str = "\
Examples:
  Create the database and its tables, or bring them up to date:
    lowtide schema --apply --clickhouse http://127.0.0.1:8123/lowtide

  Keep minutes for 30 days, hours for half a year and days for ever:
    lowtide schema --apply --clickhouse http://127.0.0.1:8123 --keep-intervals 30d --keep-hours 180d --keep-days forever

  Read what would be done on a cluster:
    lowtide schema --cluster dns | less

Exit codes:
  0  done
  1  failed, or the database is of a newer lowtide
  2  the command line is wrong";

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// They are not deleted.
    Forever,
    /// This many days.
    Days(u32),
}

/// ClickHouse splits larger blocks, and deduplicates them piece by piece.
fn segment_rows(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(rows @ 1..=500_000) => Ok(rows),
        _ => Err("must be a number from 1 to 500000".to_owned()),
    }
}

fn days(text: &str) -> Result<Days, String> {
    let wrong = || "write a number of days such as 90d, or forever".to_owned();
    match text.strip_suffix('d') {
        _ if text == "forever" => Ok(Days::Forever),
        Some(number) => match number.trim().parse() {
            Ok(0) | Err(_) => Err(wrong()),
            Ok(number) => Ok(Days::Days(number)),
        },
        None => Err(wrong()),
    }
}
