use lowtide_proto::{Class, Endpoint, Message, Name, NameBuf, Opcode, Qtype, Rcode, Transport};

use super::super::plan::Server;
use super::*;
use crate::drain::Evidence;

const OLD: u8 = 53;
const NEW: u8 = 54;
const MINUTE: u64 = 60 * SECOND;

fn server(host: u8) -> Server {
    Server { name: None, address: Endpoint::v4([192, 0, 2, host], 53).address }
}

fn migration(name: &str, zones: &[&str], old: &[u8], new: &[u8]) -> Migration {
    Migration {
        name: name.to_owned(),
        zones: zones.iter().map(|zone| NameBuf::parse(zone).unwrap()).collect(),
        old: old.iter().map(|&host| server(host)).collect(),
        new: new.iter().map(|&host| server(host)).collect(),
        cutover: None,
        parent_ns_ttl: 0,
        ds_ttl: 0,
        target_ttl: None,
        quiet_period: MINUTE,
        near_zero: 0,
        new_verified: false,
        set_apart: Vec::new(),
    }
}

/// A message about `name`, of type A, as the client 10.0.0.`client` and a server exchange it.
fn see(
    watch: &mut Watch,
    seconds: u64,
    role: Role,
    host: u8,
    client: u8,
    name: &str,
    octets: Option<&[u8]>,
) -> bool {
    let qname = NameBuf::parse(name).unwrap();
    let message = Message {
        id: 1,
        is_response: octets.is_some(),
        opcode: Opcode(0),
        rcode: Rcode(0),
        qname: if name == "?" { Name(&[]) } else { qname.as_name() },
        qtype: Qtype(1),
        qclass: Class(1),
        facts: if name == "?" { Facts::CUT } else { Facts::RECURSION_DESIRED },
        udp_payload_size: 0,
        zone_labels: None,
        servers: u64::MAX,
        delegation: lowtide_proto::Delegation::default(),
        size: 0,
        octets: octets.unwrap_or_default(),
        malformed: None,
    };
    let observation = Observation {
        time: Timestamp(seconds * SECOND),
        own_latency: None,
        role,
        transport: Transport::Udp,
        client: Endpoint::v4([10, 0, 0, client], 4_000),
        server: Endpoint::v4([192, 0, 2, host], 53),
        message: &message,
    };
    watch.observe(usize::from(role == Role::Resolver), &observation)
}

/// A response about example.net that carries its NS set.
const RESPONSE: &[u8] =
    b"\0\x01\x84\0\0\x01\0\x01\0\0\0\0\x07example\x03net\0\0\x02\0\x01\xc0\x0c\0\x02\0\x01\0\0\0\x3c\0\x06\x03ns1\xc0\x0c";

#[test]
fn each_message_is_in_the_rows_of_its_migrations_and_zones() {
    let migrations = vec![
        migration("b", &["example.net", "sub.example.net"], &[OLD], &[NEW]),
        // It shares the zone and the old server's successor.
        migration("a", &["example.net"], &[NEW], &[OLD]),
    ];
    let mut watch = Watch::recording(migrations.clone(), MINUTE);
    assert!(see(&mut watch, 1, Role::Wire, OLD, 1, "www.example.net", None));
    assert!(see(&mut watch, 2, Role::Wire, OLD, 1, "x.sub.example.net", None));
    assert!(see(&mut watch, 3, Role::Wire, OLD, 1, "notexample.net", None));
    assert!(!see(&mut watch, 3, Role::Wire, 99, 1, "example.net", None));
    assert!(see(&mut watch, 4, Role::Wire, OLD, 1, "example.net", Some(RESPONSE)));
    let rows = watch.close(Timestamp(u64::MAX));
    let row = |row: &DrainRow| {
        (row.migration.to_string(), row.zone.to_string(), row.queries, row.rd_queries, row.responses)
    };
    let asked: Vec<_> = rows.asked.iter().map(row).collect();
    assert_eq!(
        asked,
        [
            ("a".to_owned(), "example.net.".to_owned(), 2, 2, 1),
            ("b".to_owned(), "example.net.".to_owned(), 1, 1, 1),
            ("b".to_owned(), "sub.example.net.".to_owned(), 1, 1, 0),
        ]
    );
    // What a server serves of a zone is not of a migration.
    let served: Vec<_> =
        rows.served.iter().map(|row| (&*row.zone, &*row.rrset.rrtype, row.served.answers)).collect();
    assert_eq!(served, [("example.net.", "NS", 1)]);
    // The evidence for verdicts is the same as without rows.
    let counted = |watch: &Watch| -> Vec<_> {
        let one = |evidence: Evidence| {
            let asked: Vec<_> = evidence.asked.iter().map(|(&key, asked)| (key, asked.queries)).collect();
            (asked, evidence.rrsets.len(), evidence.unread)
        };
        watch.evidence(&["tap".to_owned()]).into_iter().map(one).collect()
    };
    let of = |zone, queries| ((zone, server(OLD).address), queries);
    let all = counted(&watch);
    assert_eq!(
        all[0],
        (vec![of(0, 1), of(1, 1)], 1, [((1, server(OLD).address), Timestamp(2 * SECOND))].into())
    );
    assert_eq!(all[1], (vec![of(0, 2)], 1, [].into()));
}

#[test]
fn what_a_source_showed_and_could_not_read_is_in_coverage() {
    let mut watch = Watch::rows_alone(vec![migration("m", &["example.net"], &[OLD], &[NEW])], MINUTE, None);
    for (seconds, role, name, octets) in [
        (1, Role::Wire, "example.net", None),
        (59, Role::Wire, "elsewhere.example", None),
        // A resolver's own view proves nothing of others' queries.
        (3, Role::Resolver, "example.net", None),
        (60, Role::Wire, "?", None),
        (61, Role::Wire, "example.net", Some(&RESPONSE[..40])),
        (62, Role::Wire, "example.net", Some(RESPONSE)),
        (63, Role::Wire, "elsewhere.example", Some(&RESPONSE[..40])),
    ] {
        see(&mut watch, seconds, role, OLD, 1, name, octets);
    }
    let mut coverage = Coverage::new(MINUTE);
    watch.cover(&mut coverage);
    watch.cover(&mut coverage);
    let rows = coverage.close(Timestamp(u64::MAX));
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let seen = row.seen.map(|(first, last)| (first.0 / SECOND, last.0 / SECOND));
            let lost: Vec<_> = row.lost.iter().map(|(&reason, &count)| (reason, count)).collect();
            (row.start.0 / MINUTE, row.source, row.server, row.messages, seen, lost)
        })
        .collect();
    let server = Some(server(OLD).address);
    assert_eq!(
        rows,
        [
            (0, 0, server, 2, Some((1, 59)), vec![]),
            (1, 0, server, 4, Some((60, 63)), vec![("unread_query", 1), ("unread_response", 1)]),
        ]
    );
    assert!(watch.evidence(&[]).iter().all(|evidence| evidence.asked.is_empty()), "rows alone are kept");
}
