//! `lowtide report`: the four questions over a time range, asked of ClickHouse.

use jiff::Timestamp;
use lowtide_aggregate::report::Report;
use lowtide_store::read::{self, Filter, Question, Range};
use serde_json::Value;

use crate::args::report::ReportArgs;
use crate::complaint::complain;
use crate::connection;
use crate::error::Error;

/// Reads the report.
///
/// # Errors
/// [`Error::Usage`] for an empty range or a URL that is none; [`Error::Failed`] when ClickHouse does not give it.
pub fn ask(args: &ReportArgs) -> Result<Report, Error> {
    let now = Timestamp::now();
    let (from, to) = args.range(now).map_err(Error::Usage)?;
    let server = connection::server(&args.connection)?;
    if let Some(warning) = connection::warning(&args.connection) {
        complain(&warning);
    }
    let question = Question {
        range: Range { from, to },
        filter: Filter {
            zones: args.zones.clone(),
            names: args.names.clone(),
            sensors: args.sensors.clone(),
            runs: args.runs.clone(),
        },
        interval: args.interval,
        top: args.top,
        now: u32::try_from(now.as_second()).unwrap_or(u32::MAX),
    };
    connection::block_on(read::report(&server, &question))
}

/// What rows do not tell, by its place in the report. A star stands for all elements of a list.
const UNTOLD: [&[&str]; 21] = [
    &["inputs"],
    &["frame_fates"],
    &["frame_defects"],
    &["reassembly"],
    &["messages", "malformed"],
    &["messages", "cut"],
    &["messages", "no_question"],
    &["messages", "many_questions"],
    &["messages", "trailing_octets"],
    &["messages", "edns"],
    &["messages", "dnssec_ok"],
    &["messages", "client_subnet"],
    &["messages", "cookie"],
    &["transactions", "evicted"],
    &["roles", "*", "transactions", "evicted"],
    &["opcodes"],
    &["zones", "*", "known_by"],
    &["zones", "*", "other_names"],
    &["migrations"],
    &["findings"],
    &["families"],
];

/// The report as JSON, without what rows do not tell: a figure that is not known must not read as 0.
///
/// # Errors
/// As writing JSON does.
pub fn told(report: &Report) -> Result<Value, Error> {
    let mut json = serde_json::to_value(report)?;
    let messages = report.messages.queries + report.messages.responses;
    for place in UNTOLD {
        // The servers' addresses tell the families, unless there are servers without an account of their own.
        if place == ["families"] && report.families.ipv4 + report.families.ipv6 == messages {
            continue;
        }
        remove(&mut json, place);
    }
    Ok(json)
}

fn remove(json: &mut Value, place: &[&str]) {
    match (place, json) {
        ([field], Value::Object(fields)) => _ = fields.remove(*field),
        (["*", rest @ ..], Value::Array(elements)) => {
            elements.iter_mut().for_each(|element| remove(element, rest));
        }
        ([field, rest @ ..], Value::Object(fields)) => {
            if let Some(value) = fields.get_mut(*field) {
                remove(value, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use lowtide_aggregate::report::{Families, RoleReport, Zone};

    use super::*;

    #[test]
    fn what_rows_do_not_tell_is_absent_and_not_0() {
        let mut report = Report {
            roles: vec![RoleReport::default()],
            zones: vec![Zone::default()],
            families: Families { ipv4: 1, ipv6: 0 },
            ..Report::default()
        };
        report.messages.queries = 1;
        let json = told(&report).unwrap();
        for place in UNTOLD.iter().filter(|place| **place != ["families"]) {
            let pointer = format!("/{}", place.join("/")).replace('*', "0");
            assert!(json.pointer(&pointer).is_none(), "{pointer}");
            let whole = serde_json::to_value(&report).unwrap();
            assert!(whole.pointer(&pointer).is_some(), "{pointer} is no field of a report");
        }
        assert_eq!(json["families"]["ipv4"], 1);
        report.messages.responses = 1;
        assert!(told(&report).unwrap().get("families").is_none());
    }
}
