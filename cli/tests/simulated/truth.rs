//! The verdicts beside `truth.json`.

use lowtide_proto::Timestamp;
use lowtide_simulator::IN_FLIGHT;
use serde_json::Value;

use crate::Tried;
use crate::case::{Case, SECOND, brief, text, time};

/// What no verdict may say, whatever the files are.
#[track_caller]
pub fn check(case: &Case, tried: &mut Tried) {
    let truth = &case.truth;
    let cutover = time(&truth["cutover"]).unwrap();
    // Where the operator's own configuration is wrong, lowtide cannot be right.
    let is_configured_right = time(&truth["true_cutover"]) == Some(cutover);
    for (&at, report) in case.moments.iter().zip(&case.reports) {
        for server in report["servers"].as_array().unwrap() {
            let of = of(truth, server);
            let what = || format!("{} at {}: {}\ntruth: {of:#}", case.name, text(at), brief(server));
            let verdict = server["verdict"].as_str().unwrap();
            match verdict {
                "drained" => tried.drained += 1,
                "unknown" => tried.unknown += 1,
                "not-closing" => tried.not_closing += 1,
                _ => {}
            }
            if at < cutover {
                assert!(["active", "unknown"].contains(&verdict), "{}", what());
                continue;
            }
            if verdict == "drained" && is_configured_right {
                let last = time(&of["last_compliant"]).unwrap_or_default();
                let is_over = of["compliant_may_come"] == false && last.0 <= at.0 + IN_FLIGHT;
                assert!(is_over, "{}", what());
            }
            let required = (report["quiet_required_s"].as_f64().unwrap() * SECOND as f64) as u64;
            let quiet = Timestamp(at.0 - case.parameters().quiet_period * SECOND);
            let address = server["address"].as_str().unwrap();
            if case.holes.show(address, quiet, at) {
                assert_ne!(verdict, "drained", "{}", what());
                // Nobody was seen to ask, and not everything was seen.
                let last = time(&server["last_query"]).unwrap_or_default();
                if last.0 < at.0 - required {
                    assert_eq!(verdict, "unknown", "{}", what());
                }
            }
        }
    }
    if case.holes.are_none() {
        whole(case);
    }
}

/// What was asked, where nothing is missing from the evidence.
#[track_caller]
fn whole(case: &Case) {
    let report = case.reports.last().unwrap();
    let servers = report["servers"].as_array().unwrap();
    let seen: u64 = servers
        .iter()
        .flat_map(|server| [&server["queries"], &server["queries_set_apart"]])
        .map(|queries| queries.as_u64().unwrap())
        .sum();
    let clients = case.truth["clients"].as_array().unwrap();
    let asked: u64 = clients.iter().map(|client| client["queries"].as_u64().unwrap()).sum();
    assert_eq!(seen, asked, "{}", case.name);
    let end = *case.moments.last().unwrap();
    for server in servers {
        let last = time(&of(&case.truth, server)["last_query"]);
        if last.is_none_or(|last| last < end) {
            assert_eq!(time(&server["last_query"]), last, "{}: {}", case.name, brief(server));
        }
    }
}

/// The truth of a server and zone.
#[track_caller]
fn of<'a>(truth: &'a Value, server: &Value) -> &'a Value {
    let servers = truth["servers"].as_array().unwrap();
    let is_meant = |of: &&Value| of["zone"] == server["zone"] && of["address"] == server["address"];
    servers.iter().find(is_meant).unwrap()
}
