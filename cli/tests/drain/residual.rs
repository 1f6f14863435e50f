//! Who still asks, from where, and for what.

use super::*;

/// Clients of three networks, two of them in one; all after the cutover but one.
fn asked() -> Capture {
    let of = |last: u8| [192, 0, 2, last];
    [
        (90, of(1), "www.corp.example"),
        (100, of(1), "api.corp.example"),
        (110, of(1), "www.corp.example"),
        (120, of(2), "www.corp.example"),
        (130, [198, 51, 100, 200], "old.corp.example"),
        (30, [198, 51, 100, 1], "early.corp.example"),
    ]
    .into_iter()
    .fold(Capture::default(), |capture, (minute, client, name)| capture.ask(minute, client, OLD, name))
    .alive(0, 360)
}

fn report(case: &Case, args: &[&str]) -> Value {
    let output = case.output(&[&["--json", "a.pcap"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["migrations"][0].clone()
}

fn mmdb(file: &str) -> String {
    testdata(&format!("mmdb/{file}")).to_str().unwrap().to_owned()
}

#[test]
fn clients_add_up_by_network_system_and_country() {
    let mut case = Case::new();
    case.file("a.pcap", asked());
    let plain = report(&case, &[]);
    let residual = &plain["residual"];
    assert_eq!((&residual["clients"], &residual["queries"]), (&3.into(), &5.into()));
    assert_eq!(
        residual["classes"],
        serde_json::json!({"resolver-past-horizon": 1, "resolver-within-horizon": 2})
    );
    let prefix = |of: &Value| {
        let [prefix, clients, queries, last, asn, country] =
            ["prefix", "clients", "queries", "last_seen", "asn", "country"].map(|key| of[key].clone());
        serde_json::json!([prefix, clients, queries, last, asn, country])
    };
    let networks = |residual: &Value| -> Vec<Value> {
        residual["prefixes"].as_array().unwrap().iter().map(prefix).collect()
    };
    let expect = |asn: [Option<u32>; 2], country: [Option<&str>; 2]| {
        vec![
            serde_json::json!(["192.0.2.0/24", 2, 4, "2026-03-01T02:00:00.000000000Z", asn[0], country[0]]),
            serde_json::json!([
                "198.51.100.0/24",
                1,
                1,
                "2026-03-01T02:10:00.000000000Z",
                asn[1],
                country[1]
            ]),
        ]
    };
    assert_eq!(networks(residual), expect([None, None], [None, None]));
    assert_eq!(residual["autonomous_systems"], serde_json::json!([]));
    assert!(plain["servers"][0]["residual_clients"].as_array().unwrap().iter().all(|of| of["asn"].is_null()));

    // From the command line, and from the file.
    let located = report(&case, &["--mmdb", &mmdb("asn.mmdb"), "--mmdb", &mmdb("country.mmdb")]);
    case.plan = format!("[drain]\nmmdb = ['{}']\n{}", mmdb("ipinfo-lite.mmdb"), case.plan);
    for residual in [&located["residual"], &report(&case, &[])["residual"]] {
        assert_eq!(networks(residual), expect([Some(64_496), Some(65_536)], [Some("DE"), Some("NL")]));
        let systems: Vec<Value> = residual["autonomous_systems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|of| serde_json::json!([of["asn"], of["as_org"], of["clients"], of["queries"]]))
            .collect();
        assert_eq!(
            Value::from(systems),
            serde_json::json!([[64_496, "Example Access", 2, 4], [65_536, "Example Transit", 1, 1]])
        );
        assert_eq!(residual["countries"][0]["country"], "DE");
    }
    let page = String::from_utf8(case.output(&["a.pcap"]).stdout).unwrap();
    for part in
        ["3 clients", "countries: DE 2 clients · NL 1 client", "192.0.2.0/24", "AS64496 Example Access"]
    {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
}

#[test]
fn names_and_types_are_those_since_the_cutover() {
    let case = Case::new();
    case.file("a.pcap", asked());
    let report = report(&case, &[]);
    let server = &report["servers"][0];
    let wanted = |qname: &str, queries: u64, time: &str| {
        serde_json::json!({
            "qname": qname, "qtype": "A", "queries": queries, "last_seen": format!("2026-03-01T{time}:00.000000000Z")
        })
    };
    assert_eq!(
        server["wanted"],
        serde_json::json!({
            "queries": 5, "other_queries": 0,
            "names": [
                wanted("www.corp.example.", 3, "02:00"),
                wanted("old.corp.example.", 1, "02:10"),
                wanted("api.corp.example.", 1, "01:40"),
            ],
        })
    );
    let clients: Vec<Value> = server["residual_clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| serde_json::json!([of["address"], of["last_qname"], of["last_qtype"], of["qtypes"]]))
        .collect();
    assert_eq!(
        Value::from(clients),
        serde_json::json!([
            ["198.51.100.200", "old.corp.example.", "A", ["A"]],
            ["192.0.2.2", "www.corp.example.", "A", ["A"]],
            ["192.0.2.1", "www.corp.example.", "A", ["A"]],
        ])
    );
    // Before the cutover nothing is kept.
    let output = case.output(&["--json", "--at", "2026-03-01T00:59:00Z", "a.pcap"]);
    let early: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(early["migrations"][0]["servers"][0]["wanted"], Value::Null);
    assert_eq!(early["migrations"][0]["servers"][0]["queries"], 1);
}

#[test]
fn a_database_that_cannot_be_read_is_named() {
    let mut case = Case::new();
    case.file("a.pcap", asked());
    fs::write(case.path("bad.mmdb"), &fs::read(mmdb("asn.mmdb")).unwrap()[..700]).unwrap();
    let plain = case.plan.clone();
    for (args, key, expect) in [
        (&["--mmdb", "no.mmdb"][..], "", "lowtide: --mmdb: cannot read no.mmdb: No such file or directory"),
        (
            &["--mmdb", "bad.mmdb"],
            "",
            "lowtide: --mmdb: bad.mmdb is no MaxMind database (.mmdb), or damaged: ",
        ),
        (
            &[],
            "no.mmdb",
            "lowtide: plan.toml:2:9: drain.mmdb[0]: cannot read no.mmdb: No such file or directory",
        ),
        (
            &[],
            "bad.mmdb",
            "lowtide: plan.toml:2:9: drain.mmdb[0]: bad.mmdb is no MaxMind database (.mmdb), or damaged: ",
        ),
    ] {
        if !key.is_empty() {
            case.plan = format!("[drain]\nmmdb = ['{key}']\n{plain}");
        }
        let output = case.output(&[args, &["a.pcap"]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.starts_with(expect), "{said}");
    }
    // Those of the command line replace those of the file.
    case.output(&["--mmdb", &mmdb("asn.mmdb"), "a.pcap"]).status.success().then_some(()).unwrap();
}
