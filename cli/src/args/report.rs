//! The options of `lowtide report`.

use std::time::Duration;

use clap::Args;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use lowtide_proto::NameBuf;

use super::clickhouse::ConnectionArgs;
use crate::duration;

const EXAMPLES: &str = "\
Examples:
  The last 24 hours of all sensors:
    lowtide report --clickhouse http://127.0.0.1:8123/lowtide

  One day (UTC) of one zone, by the hour:
    lowtide report --clickhouse http://ch.example:8123 --from 2026-03-01 --to 2026-03-02 --zone example.org --interval 1h

  A name's errors and latency over 90 days, for programs:
    lowtide report --json --clickhouse http://ch.example:8123 --from -90d --name www.example.org | jq '.latency_us, .rcodes'

  What a replay brought in, whenever its traffic was:
    lowtide report --clickhouse http://127.0.0.1:8123 --from 1970-01-01 --run monday";

const EXIT_CODES: &str = "\
Exit codes:
  0  done, also when nothing was recorded in the range: the report says so
  1  failed: no connection, no schema or one of another version; standard error says what and where
  2  the command line is wrong, or --from is not before --to";

/// What `lowtide report` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct ReportArgs {
    /// Begin with the intervals that start at this moment: RFC 3339, a date (UTC), or back from now [e.g. 2026-03-01, -90d, -2h30m]
    ///
    /// An interval is in the range when its start is. Ranges that begin and end on full hours or days (UTC) are read from
    /// rollups, and so the fastest.
    #[arg(long, value_name = "TIME", default_value = "-24h", value_parser = moment, allow_hyphen_values = true)]
    from: Moment,

    /// End before the intervals that start at this moment, written likewise
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = moment, allow_hyphen_values = true)]
    to: Moment,

    /// Only this zone, as the table of zones has it; may be given more than once
    ///
    /// It is the account of that zone: names in zones below it have accounts of their own.
    #[arg(long = "zone", value_name = "NAME", value_parser = super::zone)]
    pub zones: Vec<NameBuf>,

    /// Only this query name; may be given more than once
    #[arg(long = "name", value_name = "NAME", value_parser = super::zone)]
    pub names: Vec<NameBuf>,

    /// Only this sensor; may be given more than once
    #[arg(long = "sensor", value_name = "NAME")]
    pub sensors: Vec<String>,

    /// Only this run; may be given more than once
    #[arg(long = "run", value_name = "NAME")]
    pub runs: Vec<String>,

    /// The length of the intervals that the range is divided into, in whole seconds [default: by the range; e.g. 5m, 1h]
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds)]
    pub interval: Option<u32>,

    /// Rows in each table
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = rows)]
    pub top: usize,

    /// Print the report as JSON (schema lowtide.report/1) instead of text; what rows do not tell is left out
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl ReportArgs {
    /// The range asked for, in seconds since 1970.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn range(&self, now: Timestamp) -> Result<(u32, u32), String> {
        let (from, to) = (self.from.second(now), self.to.second(now));
        if from >= to {
            let shown = |seconds: u32| Timestamp::from_second(i64::from(seconds)).unwrap_or_default();
            return Err(format!("--from {} is not before --to {}", shown(from), shown(to)));
        }
        Ok((from, to))
    }
}

/// A moment as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    At(Timestamp),
    BeforeNow(SignedDuration),
}

impl Moment {
    /// The first whole second that is not before it, since 1970; ClickHouse's `DateTime` ends in 2106.
    fn second(self, now: Timestamp) -> u32 {
        let time = match self {
            Moment::At(time) => time,
            Moment::BeforeNow(ago) => now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let up = i64::from(time.subsec_nanosecond() > 0);
        u32::try_from((time.as_second() + up).max(0)).unwrap_or(u32::MAX)
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    let back = text.strip_prefix("now").unwrap_or(text);
    if back.is_empty() && text == "now" {
        return Ok(Moment::BeforeNow(SignedDuration::ZERO));
    }
    if let Some(span) = back.strip_prefix('-') {
        let span: Option<Span> = span.trim().parse().ok();
        let ago = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        return match ago {
            Some(ago) if !ago.is_negative() => Ok(Moment::BeforeNow(ago)),
            _ => Err("write how long ago, such as -24h, -90d or -1h30m".to_owned()),
        };
    }
    absolute(text).map(Moment::At).ok_or_else(|| {
        "write a time such as 2026-03-01T09:30:00Z, a date such as 2026-03-01, now, or how long ago, such as -24h"
            .to_owned()
    })
}

/// A time of RFC 3339; without an offset, or a date alone, of UTC.
pub fn absolute(text: &str) -> Option<Timestamp> {
    let civil = || {
        let date = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from)).ok()?;
        date.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
    };
    text.parse().ok().or_else(civil)
}

fn whole_seconds(text: &str) -> Result<u32, String> {
    let duration: Duration = duration::parse(text)?;
    match u32::try_from(duration.as_secs()) {
        Ok(seconds) if seconds > 0 && duration.subsec_nanos() == 0 => Ok(seconds),
        _ => Err("must be whole seconds".to_owned()),
    }
}

/// Lists are chosen by the server, which holds them in memory.
fn rows(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number <= 100_000 => Ok(number),
        Ok(_) => Err("must be at most 100000".to_owned()),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> u32 {
        moment(text).unwrap().second("2026-03-10T12:00:00.5Z".parse().unwrap())
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = |text: &str| u32::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap();
        for (text, expected) in [
            ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z"),
            ("2026-03-01T09:30:00+02:00", "2026-03-01T07:30:00Z"),
            ("2026-03-01T09:30:00.1Z", "2026-03-01T09:30:01Z"),
            ("2026-03-01T09:30", "2026-03-01T09:30:00Z"),
            ("2026-03-01 09:30", "2026-03-01T09:30:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("1970-01-01", "1970-01-01T00:00:00Z"),
            ("now", "2026-03-10T12:00:01Z"),
            ("-24h", "2026-03-09T12:00:01Z"),
            ("now-24h", "2026-03-09T12:00:01Z"),
            ("-7d", "2026-03-03T12:00:01Z"),
            ("-1w", "2026-03-03T12:00:01Z"),
            ("-1h30m", "2026-03-10T10:30:01Z"),
        ] {
            assert_eq!(seconds(text), at(expected), "{text}");
        }
        assert_eq!((seconds("1969-12-31"), seconds("2200-01-01")), (0, u32::MAX));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "-", "--5h", "24h", "-5", "2026-13-01", "now+5m", "nowhere"] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert!(whole_seconds("500ms").is_err() && whole_seconds("1.5s").is_err());
        assert_eq!(whole_seconds("1h"), Ok(3_600));
    }
}
