//! TTLs before the cutover: when it is safe, what is above the plan, and that it was too early.

use super::*;

/// One server of the zone, an hour until 01:00, five minutes from 01:10 on.
fn lowered() -> Capture {
    let answers = [(0, 3_600), (30, 3_600), (60, 3_600), (70, 300), (100, 300), (170, 300)];
    let capture = answers.into_iter().fold(Capture::default(), |capture, (minute, ttl)| {
        capture.ask_ns(minute, (CLIENT, OLD), "corp.example", "ns1.old.example", ttl)
    });
    capture.alive(0, 360)
}

/// Cut over at an hour of the day.
fn planned(hour: u64, more: &str) -> Case {
    let mut case = Case::with("01:00:00Z'", &format!("{hour:02}:00:00Z'\n{more}"));
    case.plan = case.plan.replace("'192.0.2.53'", "'ns1.old.example=192.0.2.53'");
    case.file("a.pcap", lowered());
    case
}

fn migration(case: &Case, args: &[&str]) -> Value {
    let output = case.output(&[&["--json", "a.pcap"], args].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["migrations"][0].clone()
}

fn page(case: &Case, args: &[&str]) -> String {
    let output = case.output(&[&["a.pcap"], args].concat());
    // Words, whatever line they are in.
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_moment_from_which_a_change_is_safe_is_said_before_the_cutover() {
    let case = planned(4, "target_ttl = '5m'");
    let args = ["--at", "2026-03-01T01:30:00Z"];
    let lowering = &migration(&case, &args)["ttl_lowering"];
    // The last hour was served at 01:00.
    assert_eq!(lowering["earliest_safe_change"], "2026-03-01T02:00:00.000000000Z");
    assert_eq!(lowering["target_ttl_s"], 300);
    let rrsets = lowering["rrsets"].as_array().unwrap();
    assert_eq!(rrsets.len(), 2);
    assert_eq!(
        (&rrsets[0]["section"], &rrsets[0]["server"], &rrsets[0]["ttl_s"]),
        (&"parent".into(), &Value::Null, &3_600.into())
    );
    assert_eq!(
        rrsets[1],
        serde_json::json!({
            "zone": "corp.example.", "server": "192.0.2.53", "owner": "corp.example.", "rrtype": "NS", "section": "answer",
            "ttl_s": 300, "ttl_max_s": 3_600, "lowered_at": "2026-03-01T01:00:00.000000000Z",
            "safe_at": "2026-03-01T02:00:00.000000000Z", "higher_ttl_s": 3_600, "above_target": false, "counts_down": false,
            "first_seen": "2026-03-01T00:00:00.000000000Z", "last_seen": "2026-03-01T01:10:00.000000000Z",
        })
    );
    let text = page(&case, &args);
    let expect = "▲ The cutover is safe from 2026-03-01 02:00:00 UTC on (in 30 min): until then caches may hold corp.example. NS of \
                  192.0.2.53 with TTL 1 h, served until 2026-03-01 01:00:00 UTC. Then a change takes effect within 5 min.";
    assert!(text.contains(expect), "{text}");
    let text = page(&case, &["--at", "2026-03-01T02:00:00Z"]);
    assert!(text.contains("✓ The cutover is safe since 2026-03-01 02:00:00 UTC"), "{text}");
    // After the cutover, which was late enough, nothing is said of it.
    let text = page(&case, &[]);
    assert!(
        !text.contains("The cutover is safe") && text.contains("old servers up to 5 min (corp.example. NS)"),
        "{text}"
    );
}

#[test]
fn what_is_above_the_plan_is_named() {
    let case = planned(4, "target_ttl = '1m'");
    let at = ["--at", "2026-03-01T01:30:00Z", "a.pcap"];
    case.check(
        &at,
        3,
        "active",
        "ttl-above-plan: NS corp.example. served with TTL 300 s by 192.0.2.53, the plan says 60 s",
    );
    assert_eq!(migration(&case, &at[..2])["ttl_lowering"]["earliest_safe_change"], Value::Null);
    let text = page(&case, &at[..2]);
    assert!(
        text.contains("✗ The cutover is not safe: corp.example. NS of 192.0.2.53 still has TTL 5 min"),
        "{text}"
    );
}

#[test]
fn a_cutover_that_was_too_early_is_told_afterwards() {
    // What was served at 01:00 for an hour is over at 02:00.
    let reasons = |cutover: &str| {
        let mut case = planned(1, "");
        case.plan = case.plan.replace("01:00:00Z", cutover);
        case.verdict(&["a.pcap", "--at", "2026-03-01T02:30:00Z"], 3).1
    };
    assert!(!reasons("02:00:00Z").contains("cutover-before-ttl"));
    for cutover in ["01:59:59", "01:00:00"] {
        let said = reasons(&format!("{cutover}Z"));
        let expect = format!(
            "cutover-before-ttl: the cutover at 2026-03-01T{cutover}.000000000Z was too early: until 2026-03-01T02:00:00.000000000Z \
             caches may hold corp.example. NS with TTL 3600 s, served by 192.0.2.53 at 2026-03-01T01:00:00.000000000Z"
        );
        assert!(said.contains(&expect), "{said}");
    }
}
