//! A recording of real servers, against what tshark counts of it: testdata/drain.py writes the expected figures.

use std::collections::BTreeMap;

use super::*;

#[test]
fn servers_and_clients_are_counted_as_tshark_counts_them() {
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(testdata("migration.drain.json")).unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .current_dir(testdata(""))
        .args(["drain", "--json", "--config", "migration.toml", "migration.pcapng.zst"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    for server in report["migrations"][0]["servers"].as_array().unwrap() {
        let clients: serde_json::Map<String, Value> = server["residual_clients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|client| {
                let figures =
                    serde_json::json!([client["queries"], client["first_seen"], client["last_seen"]]);
                (client["address"].as_str().unwrap().to_owned(), figures)
            })
            .collect();
        // There are so few names that all of them are told.
        let wanted = &server["wanted"];
        assert_eq!(wanted["other_queries"], 0);
        let names: serde_json::Map<String, Value> = wanted["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(|of| {
                let name = format!("{} {}", of["qname"].as_str().unwrap(), of["qtype"].as_str().unwrap());
                (name, serde_json::json!([of["queries"], of["last_seen"]]))
            })
            .collect();
        let key = format!("{} {}", server["zone"].as_str().unwrap(), server["address"].as_str().unwrap());
        let figures = serde_json::json!({
            "queries": server["queries"], "last_query": server["last_query"], "clients": clients,
            "wanted": names,
        });
        seen.insert(key, figures);
    }
    assert_eq!(seen.len(), 8);
    assert_eq!(serde_json::to_value(seen).unwrap(), expected);
}
