//! Reports made by hand, for the tests.

use std::collections::BTreeMap;

use lowtide_aggregate::report::{
    Coverage, Damaged, Dropped, Families, Gap, Input, Interval, Latency, Messages, Note, Qname, Report,
    RoleReport, Run, SCHEMA, Server, Source, Transactions, Zone,
};

fn map<const N: usize>(pairs: [(&str, u64); N]) -> BTreeMap<String, u64> {
    pairs.into_iter().map(|(name, number)| (name.to_owned(), number)).collect()
}

fn latency(count: u64, p50: f64, p99: f64) -> Latency {
    Latency {
        count,
        min: Some(7.0),
        mean: Some(p50 * 1.7),
        p50: Some(p50),
        p90: Some(p99 * 0.6),
        p95: Some(p99 * 0.8),
        p99: Some(p99),
        p999: Some(p99 * 1.5),
        max: Some(p99 * 11.0),
    }
}

fn server(address: &str, role: &'static str, scale: u64) -> Server {
    Server {
        address: address.to_owned(),
        role,
        queries: 1_000 * scale,
        responses: 998 * scale,
        unanswered: 2 * scale,
        rcodes: map([
            ("NOERROR", 900 * scale),
            ("NXDOMAIN", 80 * scale),
            ("SERVFAIL", 12 * scale),
            ("REFUSED", 6 * scale),
        ]),
        latency_us: latency(998 * scale, 91.0, 38_100.0),
    }
}

fn name(qname: &str, qtype: &str, role: &'static str, queries: u64) -> Qname {
    Qname {
        qname: qname.to_owned(),
        qtype: qtype.to_owned(),
        role,
        queries,
        responses: queries - queries / 50,
        nodata: queries / 40,
        nxdomain: queries / 9,
        servfail: queries / 30,
        refused: 0,
        unanswered: queries / 50,
        latency_us: latency(queries, 412.0, 1_830_000.0),
    }
}

fn zone(zone: &str, role: &'static str, queries: u64) -> Zone {
    Zone {
        zone: zone.to_owned(),
        role,
        known_by: "learnt",
        queries,
        responses: queries,
        nxdomain: queries / 10,
        servfail: queries / 90,
        unanswered: 0,
        latency_us: latency(queries, 88.0, 9_100.0),
        other_names: 0,
        other_queries: 0,
    }
}

fn intervals() -> Vec<Interval> {
    (0..10)
        .map(|minute| Interval {
            start: format!("2026-03-01T09:{:02}:00.000000000Z", minute + 50),
            queries: 50_000 + minute * 731,
            responses: 49_900 + minute * 731,
            nxdomain: 5_000 + minute * minute * 40,
            servfail: if minute == 6 { 900 } else { 20 },
            unanswered: 100,
            latency_us: latency(49_900, 91.0, 9_000.0 + (minute * 2_000) as f64),
        })
        .collect()
}

/// A busy capture of one role with one damaged input.
pub fn busy() -> Report {
    let long = "a-very-long-label-as-content-networks-make-them.0123456789abcdef0123456789abcdef.edge.region-7.example.net.";
    Report {
        schema: SCHEMA,
        inputs: vec![
            Input {
                path: "monday.pcap".to_owned(),
                format: "pcap".to_owned(),
                link_type: "EN10MB".to_owned(),
                frames: 1_058_863,
                bytes: 180_213_456,
                first: Some("2026-03-01T09:50:00.000123456Z".to_owned()),
                last: Some("2026-03-01T09:59:58.400000000Z".to_owned()),
                damaged: None,
                dropped: Vec::new(),
            },
            Input {
                path: "tues\x1b[2Jday.pcap.zst".to_owned(),
                format: "pcap+zstd".to_owned(),
                link_type: "RAW".to_owned(),
                frames: 7,
                bytes: 1_234,
                first: None,
                last: None,
                damaged: Some(Damaged { offset: 123_456, reason: "record header cut short".to_owned() }),
                dropped: vec![Dropped {
                    by: "interface",
                    count: 7_072,
                    from: Some("2026-03-01T09:50:00Z".to_owned()),
                    to: None,
                }],
            },
        ],
        frame_fates: [
            ("udp_message", 1_005_900),
            ("tcp_segment", 52_950),
            ("ip_fragment", 15),
            ("malformed", 5),
        ]
        .into(),
        frame_defects: [("udp", 3), ("ipv4", 2)].into(),
        reassembly: BTreeMap::new(),
        messages: Messages {
            queries: 529_990,
            responses: 528_873,
            malformed: [("pointer", 8), ("rdata_overrun", 4)].into(),
            edns: 700_000,
            dnssec_ok: 300_000,
            ..Messages::default()
        },
        transactions: Transactions {
            answered: 528_873,
            unanswered: 1_000,
            pending: 17,
            retransmissions: 100,
            ..Transactions::default()
        },
        qtypes: map([
            ("A", 308_081),
            ("AAAA", 113_502),
            ("HTTPS", 28_115),
            ("MX", 18_977),
            ("TXT", 18_857),
            ("NS", 13_996),
            ("CAA", 9_422),
            ("DNSKEY", 7_279),
            ("SOA", 4_741),
            ("SRV", 7_020),
        ]),
        rcodes: map([("NOERROR", 471_736), ("NXDOMAIN", 52_897), ("SERVFAIL", 2_663), ("REFUSED", 1_577)]),
        opcodes: map([("QUERY", 1_058_863)]),
        nodata: 44_001,
        referrals: 0,
        truncated_responses: 18,
        transports: [("udp", 1_005_900), ("tcp", 52_963)].into(),
        families: Families { ipv4: 847_032, ipv6: 211_831 },
        latency_us: latency(528_873, 91.0, 38_080.0),
        latency_histogram_us: vec![
            (7, 12),
            (50, 4_000),
            (91, 270_000),
            (180, 60_000),
            (4_100, 90_000),
            (9_120, 99_000),
            (38_080, 5_000),
            (420_000, 861),
        ],
        roles: vec![RoleReport {
            role: "wire",
            queries: 529_990,
            responses: 528_873,
            ..RoleReport::default()
        }],
        intervals: intervals(),
        servers: vec![
            server("198.51.100.53", "wire", 230),
            server("2001:db8:1234:5678:9abc:def0:1234:5678", "wire", 57),
            {
                let mut silent = server("192.0.2.99", "wire", 1);
                silent.responses = 0;
                silent.unanswered = 1_000;
                silent.rcodes.clear();
                silent.latency_us = Latency::default();
                silent
            },
        ],
        zones: vec![zone("example.org.", "wire", 200_000), zone("example.net.", "wire", 100_000)],
        distinct_qnames: 66_396,
        qnames: vec![name("www.example.org.", "A", "wire", 31_415), name(long, "HTTPS", "wire", 2_718)],
        failing_qnames: vec![name("broken.example.net.", "A", "wire", 900)],
        slowest_qnames: vec![name(long, "AAAA", "wire", 300)],
        ..Report::default()
    }
}

/// dnstap of a resolver: two roles.
pub fn resolver() -> Report {
    let role = |role, scale: u64| RoleReport {
        role,
        queries: 1_000 * scale,
        responses: 998 * scale,
        transactions: Transactions {
            answered: 998 * scale,
            unanswered: 2 * scale,
            ..Transactions::default()
        },
        qtypes: map([("A", 700 * scale), ("AAAA", 300 * scale)]),
        rcodes: map([("NOERROR", 900 * scale), ("NXDOMAIN", 98 * scale)]),
        latency_us: latency(998 * scale, 210.0, 48_000.0),
        latency_histogram_us: vec![(210, 900 * scale), (48_000, 98 * scale)],
        intervals: intervals(),
        ..RoleReport::default()
    };
    Report {
        roles: vec![role("client", 70), role("resolver", 11)],
        servers: vec![server("192.0.2.1", "client", 70), server("203.0.113.5", "resolver", 11)],
        zones: vec![zone("example.org.", "client", 70_000), zone("example.org.", "resolver", 11_000)],
        qnames: vec![
            name("www.example.org.", "A", "client", 500),
            name("www.example.org.", "A", "resolver", 40),
        ],
        failing_qnames: Vec::new(),
        frame_fates: [("dnstap_message", 1_058_870)].into(),
        frame_defects: BTreeMap::new(),
        ..busy()
    }
}

/// Queries alone.
pub fn one_way() -> Report {
    let mut report = Report {
        notes: vec![Note {
            code: "one-way-capture",
            text:
                "one-way capture (wire): only queries were seen, 529990 of them; whether they were answered is unknown"
                    .to_owned(),
        }],
        transactions: Transactions { unanswered: 529_873, pending: 17, retransmissions: 100, ..Transactions::default() },
        roles: vec![RoleReport { role: "wire", queries: 529_990, ..RoleReport::default() }],
        rcodes: BTreeMap::new(),
        latency_us: Latency::default(),
        latency_histogram_us: Vec::new(),
        slowest_qnames: Vec::new(),
        nodata: 0,
        truncated_responses: 0,
        transports: [("udp", 529_990)].into(),
        families: Families { ipv4: 529_990, ipv6: 0 },
        ..busy()
    };
    report.messages.responses = 0;
    report.messages.edns = 0;
    report.messages.dnssec_ok = 0;
    for server in &mut report.servers {
        server.responses = 0;
        server.unanswered = server.queries;
        server.rcodes.clear();
        server.latency_us = Latency::default();
    }
    for interval in &mut report.intervals {
        *interval = Interval {
            start: interval.start.clone(),
            queries: interval.queries,
            unanswered: interval.queries,
            ..Interval::default()
        };
    }
    for name in report.qnames.iter_mut().chain(&mut report.failing_qnames) {
        *name = Qname {
            qname: name.qname.clone(),
            qtype: name.qtype.clone(),
            role: name.role,
            queries: name.queries,
            unanswered: name.queries,
            ..Qname::default()
        };
    }
    for zone in &mut report.zones {
        *zone = Zone {
            zone: zone.zone.clone(),
            role: zone.role,
            known_by: zone.known_by,
            queries: zone.queries,
            unanswered: zone.queries,
            ..Zone::default()
        };
    }
    report
}

/// A capture without DNS.
pub fn nothing() -> Report {
    Report {
        schema: SCHEMA,
        inputs: vec![Input {
            path: "-".to_owned(),
            format: "pcapng".to_owned(),
            frames: 3,
            bytes: 400,
            ..Input::default()
        }],
        frame_fates: [("not_dns", 3)].into(),
        ..Report::default()
    }
}

/// The report of a range, read from rows: a sensor with a loss and a gap, and one whose loss cannot be known.
pub fn from_rows() -> Report {
    let coverage = |sensor: &str, source: &str, lost, unknown| Coverage {
        sensor: sensor.to_owned(),
        run: "2026-03".to_owned(),
        kind: "live".to_owned(),
        source: source.to_owned(),
        first: Some("2026-03-01T00:00:00.000000000Z".to_owned()),
        last: Some("2026-03-01T23:59:59.000000000Z".to_owned()),
        frames: 2_000_000,
        messages: 1_058_863,
        lost,
        unknown,
    };
    let dropped = map([("queue_full", 12)]);
    Report {
        inputs: Vec::new(),
        frame_fates: BTreeMap::new(),
        frame_defects: BTreeMap::new(),
        source: Some(Source {
            url: "http://ch.example:8123/lowtide".to_owned(),
            database: "lowtide".to_owned(),
            from: "2026-03-01T00:00:00.000000000Z".to_owned(),
            to: "2026-03-02T00:00:00.000000000Z".to_owned(),
            zones: vec!["example.org.".to_owned()],
            sensors: vec!["ns\u{1b}[2J1".to_owned(), "ns2".to_owned()],
            seen: vec![
                Run { sensor: "ns1".to_owned(), run: "2026-03".to_owned(), dropped, ..Run::default() },
                Run { sensor: "ns2".to_owned(), run: "2026-03".to_owned(), ..Run::default() },
            ],
            gaps: vec![Gap {
                sensor: "ns1".to_owned(),
                source: "eth0".to_owned(),
                from: "2026-03-01T10:00:00.000000000Z".to_owned(),
                to: "2026-03-01T11:00:00.000000000Z".to_owned(),
            }],
            ..Source::default()
        }),
        coverage: vec![
            coverage("ns1", "eth0", map([("kernel_drop", 1_234)]), false),
            coverage("ns2", "an-interface-whose-name-is-longer-than-it-should-be-0", map([]), true),
        ],
        ..busy()
    }
}
