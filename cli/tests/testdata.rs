//! Replays every recording of `testdata/` and compares the report with what other tools say of it.
//!
//! A case is `testdata/NAME.expected.json`: `args` (files relative to `testdata/`), the `exit` code, and a `report`
//! that names part of the report JSON. All that it names must be there with the same value; `testdata/expect.py`
//! makes it from tshark, capinfos and dnstap-read. A new case is a recording and its expected file, and no code.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

/// Fewer cases than this mean that files got lost, not that all is well.
const LEAST_CASES: usize = 57;

/// What names an element of a list: elements are found by these, not by their place.
const KEYS: [&str; 7] = ["address", "zone", "qname", "qtype", "role", "path", "code"];

/// Histogram buckets are at most this wide.
const QUANTILE_ERROR: f64 = 0.008;

/// Microseconds by which times may differ, for tools that show times to the microsecond.
const TIME_ERROR: f64 = 1.0;

#[test]
fn every_recording_is_reported_as_other_tools_see_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".expected.json"))
        .collect();
    cases.sort();
    let failures: Vec<String> = cases
        .iter()
        .flat_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            failures(&folder, path).into_iter().map(move |failure| format!("{name}: {failure}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} differences\n{}", failures.len(), failures.join("\n"));
    assert!(cases.len() >= LEAST_CASES, "only {} cases in {}", cases.len(), folder.display());
}

/// What is wrong with one case.
fn failures(folder: &Path, path: &Path) -> Vec<String> {
    let case: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let run = |extra: &[&str]| {
        let args = case["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .current_dir(folder)
            .args(["replay", "--json"])
            .args(extra)
            .args(args)
            .output()
            .unwrap();
        let report = serde_json::from_slice::<Value>(&output.stdout)
            .map_err(|error| format!("no JSON ({error}): {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), report)
    };
    let mut failures = Vec::new();
    let (exit, report) = run(&[]);
    if exit.map(i64::from) != case["exit"].as_i64() {
        failures.push(format!("exit code {exit:?}, expected {}", case["exit"]));
    }
    let report = match report {
        Ok(report) => report,
        Err(reason) => return [failures, vec![reason]].concat(),
    };
    let mut expected = case["report"].clone();
    let frames = expected.as_object_mut().and_then(|fields| fields.remove("frames"));
    if frames.as_ref().and_then(Value::as_u64) != Some(frames_of(&report)) {
        failures.push(format!("frames {}, expected {frames:?}", frames_of(&report)));
    }
    compare("", &expected, &report, &mut failures);
    failures.extend(imbalances(&report));
    for threads in ["1", "2", "3"] {
        if run(&["--threads", threads]).1.as_ref() != Ok(&report) {
            failures.push(format!("another report with --threads {threads}"));
        }
    }
    failures
}

fn frames_of(report: &Value) -> u64 {
    sum(report["inputs"].as_array().into_iter().flatten().map(|input| &input["frames"]))
}

fn sum<'a>(values: impl Iterator<Item = &'a Value>) -> u64 {
    values.map(|value| value.as_u64().unwrap_or(u64::MAX / 1024)).sum()
}

/// The balances of the report that do not hold: frames and fates, messages and transactions, in all and per role.
fn imbalances(report: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let fates = sum(report["frame_fates"].as_object().into_iter().flat_map(Map::values));
    if fates != frames_of(report) {
        found.push(format!("frame_fates add up to {fates}, frames are {}", frames_of(report)));
    }
    let mut balance = |what: &str, messages: &Value, account: &Value| {
        for (side, fields) in [
            ("queries", ["answered", "unanswered", "pending", "retransmissions"].as_slice()),
            ("responses", &["answered", "duplicate_responses", "orphan_responses"]),
        ] {
            let total = sum(fields.iter().map(|field| &account[*field]));
            if Some(total) != messages[side].as_u64() {
                found.push(format!(
                    "{what}: {} add up to {total}, {side} are {}",
                    fields.join(" + "),
                    messages[side]
                ));
            }
        }
    };
    balance("all", &report["messages"], &report["transactions"]);
    for role in report["roles"].as_array().into_iter().flatten() {
        balance(&format!("role {}", role["role"]), role, &role["transactions"]);
    }
    found
}

/// Notes every field of `expected` that `actual` does not have with the same value.
fn compare(path: &str, expected: &Value, actual: &Value, failures: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (field, value) in expected {
                compare(
                    &format!("{path}.{field}"),
                    value,
                    actual.get(field).unwrap_or(&Value::Null),
                    failures,
                );
            }
            // A map of counts has no keys but those expected.
            let counts = ["qtypes", "rcodes", "transports", "opcodes"].iter().any(|map| path.ends_with(map));
            let extra =
                |(field, value): &(&String, &Value)| counts && !expected.contains_key(*field) && **value != 0;
            failures.extend(
                actual
                    .iter()
                    .filter(extra)
                    .map(|(field, value)| format!("{path}.{field} {value}, expected none")),
            );
        }
        (Value::Array(expected), Value::Array(actual)) => {
            for element in expected {
                let same = |other: &&Value| {
                    KEYS.iter().all(|key| element[key].is_null() || element[key] == other[key])
                };
                let name: Vec<&str> = KEYS.iter().filter_map(|key| element[key].as_str()).collect();
                let path = format!("{path}[{}]", name.join(" "));
                match actual.iter().find(same) {
                    Some(found) => compare(&path, element, found, failures),
                    None => failures.push(format!("{path} is not there")),
                }
            }
        }
        _ if same_value(path, expected, actual) => {}
        _ => failures.push(format!("{path} {actual}, expected {expected}")),
    }
}

fn same_value(path: &str, expected: &Value, actual: &Value) -> bool {
    let (true, Some(expected), Some(actual)) =
        (path.contains("latency_us"), expected.as_f64(), actual.as_f64())
    else {
        return expected == actual;
    };
    match path.rsplit('.').next() {
        Some("count") => expected == actual,
        Some("min" | "mean" | "max") => (expected - actual).abs() <= TIME_ERROR.max(expected.abs() * 1e-6),
        _ => (expected - actual).abs() <= TIME_ERROR.max(expected.abs() * QUANTILE_ERROR),
    }
}

#[cfg(test)]
mod comparer {
    use serde_json::json;

    use super::*;

    fn differences(expected: &Value, actual: &Value) -> usize {
        let mut failures = Vec::new();
        compare("", expected, actual, &mut failures);
        failures.len()
    }

    #[test]
    fn only_expected_fields_are_compared() {
        let report = json!({"a": 1, "b": {"c": 2, "d": null}});
        assert_eq!(differences(&json!({}), &report), 0);
        assert_eq!(differences(&json!({"b": {"c": 2, "d": null}}), &report), 0);
        assert_eq!(differences(&json!({"a": 2, "b": {"c": 3}}), &report), 2);
        assert_eq!(differences(&json!({"e": 1}), &report), 1);
        assert_eq!(differences(&json!({"a": "1"}), &report), 1);
    }

    #[test]
    fn maps_of_counts_are_complete() {
        assert_eq!(differences(&json!({"qtypes": {"A": 1}}), &json!({"qtypes": {"A": 1, "AAAA": 0}})), 0);
        assert_eq!(differences(&json!({"qtypes": {"A": 1}}), &json!({"qtypes": {"A": 1, "AAAA": 1}})), 1);
    }

    #[test]
    fn elements_are_found_by_name() {
        let report = json!({"servers": [{"address": "::2", "queries": 2}, {"address": "::1", "queries": 1}]});
        assert_eq!(differences(&json!({"servers": [{"address": "::1", "queries": 1}]}), &report), 0);
        assert_eq!(differences(&json!({"servers": [{"address": "::1", "queries": 2}]}), &report), 1);
        assert_eq!(differences(&json!({"servers": [{"address": "::3", "queries": 2}]}), &report), 1);
    }

    #[test]
    fn latencies_may_differ_by_the_histograms_error() {
        let latency =
            |quantile: f64, max: f64| json!({"latency_us": {"count": 3, "p99": quantile, "max": max}});
        assert_eq!(differences(&latency(1000.0, 2000.0), &latency(1007.0, 2000.9)), 0);
        assert_eq!(differences(&latency(1000.0, 2000.0), &latency(1009.0, 2001.1)), 2);
        assert_eq!(differences(&latency(1000.0, 2000.0), &json!({"latency_us": {"count": 4}})), 3);
    }

    #[test]
    fn imbalances_are_found() {
        let account = json!({"answered": 2, "unanswered": 1, "pending": 0, "retransmissions": 1,
            "duplicate_responses": 1, "orphan_responses": 0});
        let report = |queries: u64, role: u64, fates: u64| {
            json!({"inputs": [{"frames": 4}, {"frames": 3}], "frame_fates": {"udp_message": fates, "not_dns": 0},
                "messages": {"queries": queries, "responses": 3}, "transactions": account,
                "roles": [{"role": "wire", "queries": role, "responses": 3, "transactions": account}]})
        };
        assert_eq!(imbalances(&report(4, 4, 7)), Vec::<String>::new());
        assert_eq!(imbalances(&report(5, 4, 7)).len(), 1);
        assert_eq!(imbalances(&report(5, 5, 6)).len(), 3);
    }
}
