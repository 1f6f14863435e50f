//! Pages of migrations made by hand: nothing is wider than the page, and nothing but our own colours reaches the terminal.

use std::net::{IpAddr, Ipv6Addr};

use anstream::adapter::strip_str;
use lowtide_aggregate::drain::evidence::Asked;
use lowtide_aggregate::drain::report::{DrainReport, SCHEMA};
use lowtide_aggregate::drain::rrsets::{RrsetKey, Section, Served};
use lowtide_aggregate::drain::{Evidence, Migration, Origin, Server, judge_located};
use lowtide_aggregate::summary::rfc3339;
use lowtide_proto::{NameBuf, Qtype, Timestamp};

use super::super::text::width;
use super::drain;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0x53);

/// Midnight, 1 March 2026, UTC, and hours after it.
const fn at(hour: u64) -> Timestamp {
    Timestamp(1_772_323_200 * SECOND + hour * HOUR)
}

/// Asked each hour for four days by one of 30 clients, fewer and fewer from the cutover at noon of the second day on; judged at an hour.
fn report(hour: u64, clients: bool) -> DrainReport {
    let long = format!("{}.corp.example", vec!["x".repeat(50); 4].join("."));
    let migration = Migration {
        name: "to-\u{1b}[31mprovider".to_owned(),
        zones: vec![NameBuf::parse("corp.example").unwrap()],
        old: vec![Server { name: NameBuf::parse("ns1.old.example").ok(), address: OLD }],
        new: vec![Server { name: None, address: Ipv6Addr::LOCALHOST }],
        cutover: Some(at(36)),
        parent_ns_ttl: 48 * HOUR,
        ds_ttl: 0,
        target_ttl: None,
        quiet_period: 24 * HOUR,
        near_zero: 0,
        new_verified: true,
        set_apart: Vec::new(),
    };
    let mut evidence = Evidence::default();
    let mut asked = Asked::new(60 * SECOND);
    for step in (0..hour).filter(|_| clients) {
        for number in 0..100 / (1 + step.saturating_sub(36)) {
            let client = Ipv6Addr::from_bits((0x2001_0db8 << 96) | u128::from(number % 30) << 80);
            let time = Timestamp(at(step).0 + number * SECOND);
            let name = NameBuf::parse(&long).unwrap();
            let wants = |asked: &mut Asked| asked.wants(1, name.as_name(), Qtype(65_280), time);
            let wanted = if step >= 36 { wants(&mut asked) } else { None };
            asked.count(client, time, Qtype(1), false, number != 7, wanted);
        }
    }
    evidence.asked.insert((0, OLD), asked);
    let key = RrsetKey {
        server: OLD,
        owner: "corp.example.".to_owned(),
        rrtype: "NS".to_owned(),
        section: Section::Answer,
        rdata: vec!["ns1.old.example.".to_owned()],
    };
    let served = Served {
        ttl_min: 300,
        ttl_max: 86_400,
        horizon: at(34),
        higher_until: Some(at(10)),
        answers: 9,
        first: at(0),
        last: at(11),
        ttl: 300,
    };
    evidence.rrsets.push((0, key, served));
    let locate = |_: IpAddr| Origin {
        asn: Some(u32::MAX),
        as_org: Some("Evil\u{1b}[2J\u{202e} Networks, a company with a very long name indeed".to_owned()),
        country: Some("DE".to_owned()),
    };
    let (_, migration) = judge_located(&migration, &evidence, at(hour), &locate);
    DrainReport { schema: SCHEMA, evaluated_at: Some(rfc3339(at(hour))), migrations: vec![migration] }
}

#[test]
fn no_line_is_longer_than_the_page_and_nothing_acts_on_the_terminal() {
    for (hour, clients) in [(12, true), (20, false), (40, true), (96, true), (200, false)] {
        let report = report(hour, clients);
        for columns in [0, 72, 80, 100, 120, 500] {
            let text = strip_str(&drain(&report, &[], columns, 10)).to_string();
            for line in text.lines() {
                assert!(width(line) <= columns.clamp(72, 120), "{columns}: {line}\n{text}");
                assert_eq!(line, line.trim_end(), "{columns}");
                assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line}");
            }
        }
    }
}

#[test]
fn an_operator_finds_what_he_looks_for_from_the_top_down() {
    let text = strip_str(&drain(&report(96, true), &[], 120, 10)).to_string();
    let mut rest = text.as_str();
    for part in [
        "draining  the old servers are still needed, or may be: wait",
        "▲ ",
        "cutover       2026-03-02 12:00:00 UTC · 2 d 12 h ago",
        "cache horizon 2026-03-04 12:00:00 UTC · 12 h ago · no cache leads back since then",
        "last query    2026-03-04 ",
        "TTLs          old servers up to 5 min (corp.example. NS) · parent 2 d, as configured",
        "decay         halves every ",
        "95 %: ",
        "to old        ",
        "to new        0 queries: nobody watches the new servers",
        "↑ cutover",
        "from 2026-03-01 00:00:00 UTC · a column is 2 h",
        "Who asked the old servers since the cutover",
        "countries: DE ",
        "network ",
        "autonomous system ",
        "client ",
        "still asked for ",
        " TYPE65280 ",
    ] {
        let found = rest.find(part);
        assert!(found.is_some(), "{part} is missing behind what was found, in\n{text}");
        rest = &rest[found.unwrap_or_default()..];
    }
    // The last higher TTL was served at 10:00, for a day.
    let early = strip_str(&drain(&report(12, true), &[], 120, 10)).to_string();
    assert!(early.contains("▲ The cutover is safe from 2026-03-02 10:00:00 UTC on (in 22 h)"), "{early}");
}
