//! Clients' addresses, where they are not to be known: in no row, no segment and no line of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use lowtide_store::segment::Segment;

use crate::message::{Asked, SECOND, now};
use crate::migrations::PLAN;
use crate::place::Place;
use crate::rows::Rows;
use crate::support::{Server, skipped};

const CLIENTS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 201)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 201)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0x1234, 0x5678, 0x9abc, 0xdef0)),
];

/// The octets that ClickHouse gets.
fn octets_of(segment: &Path) -> Vec<u8> {
    let mut payload = Segment::open(segment).unwrap().verify().unwrap().into_payload().unwrap();
    let mut octets = Vec::new();
    while let Some(chunk) = payload.chunk().unwrap() {
        octets.extend(chunk);
    }
    zstd::decode_all(octets.as_slice()).unwrap()
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

/// The address as octets, either way round, and as text.
fn forms(client: IpAddr) -> Vec<Vec<u8>> {
    let octets = match client {
        IpAddr::V4(client) => client.octets().to_vec(),
        IpAddr::V6(client) => client.octets().to_vec(),
    };
    vec![octets.clone(), octets.into_iter().rev().collect(), client.to_string().into_bytes()]
}

/// Runs with this configuration; which of the true addresses are in the spool or the log, and what clients there are in ClickHouse, by
/// the name that each asked for.
fn clients(server: &Server, database: &str, privacy: &str, key: Option<&str>) -> (bool, Vec<String>) {
    let mut place = Place::new(None);
    let file = place.folder.path().join("key");
    std::fs::write(&file, key.unwrap_or_default()).unwrap();
    // Of the clients of a migration there are rows of their own.
    place.configure(&format!("{}{PLAN}", privacy.replace("KEY", file.to_str().unwrap())));
    let mut run = place.start();
    let mut sender = place.sender();
    let time = now() - 20 * SECOND;
    for (number, client) in CLIENTS.into_iter().enumerate() {
        let name = format!("client{number}.example.com");
        sender.send(Asked::at("ns1", time, 1).named(&name).from(client).pair());
    }
    sender.finish();
    let log = run.stop();
    let mut all = vec![log.into_bytes()];
    all.extend(place.segments().iter().map(|path| octets_of(path)));
    let known =
        CLIENTS.into_iter().flat_map(forms).any(|form| all.iter().any(|octets| contains(octets, &form)));
    assert!(place.ship(&server.url(database)).status.success());
    let rows = Rows { server, database };
    let clients =
        rows.query("SELECT lowtideAddress(arrayJoin(mapKeys(clients))) FROM traffic ORDER BY qname");
    for table in rows.query("SHOW TABLES").lines().filter(|table| !table.starts_with("v_")) {
        let text = rows.query(&format!("SELECT * FROM {table} FORMAT JSONEachRow"));
        for client in CLIENTS.into_iter().filter(|_| !known) {
            assert!(!text.contains(&client.to_string()), "{table}: {text}");
        }
    }
    let clients: Vec<String> = clients.lines().map(str::to_owned).collect();
    let asked = rows.query("SELECT DISTINCT lowtideAddress(client) AS client FROM drain ORDER BY client");
    assert_eq!(asked.lines().map(str::to_owned).collect::<BTreeSet<_>>(), clients.iter().cloned().collect());
    (known, clients)
}

/// How many leading bits two addresses share.
fn shared_bits(one: &str, other: &str) -> u32 {
    let bits = |text: &str| text.parse::<Ipv4Addr>().unwrap().to_bits();
    (bits(one) ^ bits(other)).leading_zeros()
}

#[test]
fn clients_that_nobody_is_to_know() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let (known, kept) = clients(&server, "kept", "", None);
    assert!(known, "the search finds what is there");
    assert_eq!(kept, CLIENTS.map(|client| client.to_string()));

    let truncate = "[privacy]\nclients = 'truncate'\nipv4_prefix = 24\nipv6_prefix = 48\n";
    let (known, truncated) = clients(&server, "truncated", truncate, None);
    assert!(!known);
    assert_eq!(truncated, ["198.51.100.0", "198.51.100.0", "203.0.113.0", "2001:db8:aaaa::"]);

    let keyed = "[privacy]\nclients = 'crypto-pan'\nkey_file = 'KEY'\n";
    let keys = ["0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4)];
    let mut by_key = BTreeMap::new();
    for (database, key) in [("one", &keys[0]), ("two", &keys[1]), ("one_again", &keys[0])] {
        let (known, others) = clients(&server, database, keyed, Some(key));
        assert!(!known, "{database}");
        // Networks stay networks.
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let (before, after) = (CLIENTS[one].to_string(), CLIENTS[other].to_string());
            assert_eq!(shared_bits(&others[one], &others[other]), shared_bits(&before, &after), "{others:?}");
        }
        by_key.insert(database, others);
    }
    assert_eq!(by_key["one"], by_key["one_again"], "the key alone decides");
    assert!(by_key["one"].iter().zip(&by_key["two"]).all(|(one, two)| one != two), "{by_key:?}");
}
