use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::{A, NS};
use hickory_proto::rr::{Name, RData, Record};

use lowtide_proto::{Class, Delegation, Opcode, Qtype, Rcode};

use super::*;
use crate::drain::draws::draws;
use crate::drain::plan::SECOND;

const SERVER: Ipv6Addr = Ipv6Addr::LOCALHOST;
const OLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(owner).unwrap(), ttl, data)
}

fn ns(ttl: u32, host: &str) -> Record {
    record("example.net.", ttl, RData::NS(NS(Name::from_ascii(host).unwrap())))
}

/// A response with these records in its authority and additional sections, as hickory-proto writes it.
fn response(name: &str, authority: Vec<Record>, additional: Vec<Record>) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    let name = Name::from_ascii(name).unwrap();
    message.add_query(hickory_proto::op::Query::query(name, RecordType::A));
    message.authorities = authority;
    message.additionals = additional;
    message.to_vec().unwrap()
}

fn rrsets(width: Option<u64>) -> Rrsets {
    Rrsets::new(NameBuf::parse("example.net").unwrap(), [OLD.to_ipv6_mapped()], width)
}

/// A message of which the decoder says nothing of name servers.
fn message(octets: &[u8]) -> Seen<'_> {
    Seen {
        id: 7,
        is_response: true,
        opcode: Opcode::QUERY,
        rcode: Rcode::NOERROR,
        qname: lowtide_proto::Name::ROOT,
        qtype: Qtype::A,
        qclass: Class::IN,
        facts: Facts::QUESTION,
        udp_payload_size: 0,
        zone_labels: None,
        servers: u64::MAX,
        delegation: Delegation::default(),
        size: 0,
        octets,
        malformed: None,
    }
}

fn see(rrsets: &mut Rrsets, role: Role, seconds: u64, octets: &[u8]) -> bool {
    rrsets.observe(SERVER, role, Timestamp(seconds * SECOND), &message(octets))
}

#[test]
fn each_interval_has_what_was_served_in_it_alone() {
    let mut rrsets = rrsets(Some(60 * SECOND));
    let of = |name, ttl| {
        let glue = vec![record("ns1.example.net.", 30, RData::A(A(OLD)))];
        response(name, vec![ns(ttl + 5, "ns1.example.net."), ns(ttl, "ns2.example.net.")], glue)
    };
    // By another name, in other letters and with other TTLs it is the same RRset.
    assert!(see(&mut rrsets, Role::Wire, 61, &of("www.example.net.", 300)));
    assert!(see(&mut rrsets, Role::Wire, 119, &of("A.b.c.d.eXample.nEt.", 200)));
    assert!(see(&mut rrsets, Role::Auth, 119, &of("www.example.net.", 200)));
    assert!(see(&mut rrsets, Role::Wire, 120, &of("www.example.net.", 400)));
    assert!(see(&mut rrsets, Role::Wire, 121, &response("www.example.net.", vec![], vec![])));
    assert_eq!(rrsets.iter().count(), 2);

    let zone: Arc<str> = "example.net.".into();
    let mut told = |moment: u64| {
        let rows = rrsets.close(Timestamp(moment.saturating_mul(SECOND)), &zone);
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let Served { ttl_min, ttl_max, horizon, higher_until, answers, first, last, ttl } =
                    row.served;
                let times = [row.start, first, last, horizon].map(|time| time.0 / SECOND);
                let higher_until = higher_until.map(|time| time.0 / SECOND);
                (row.role, row.rrset.rrtype, times, [ttl_min, ttl_max, ttl], answers, higher_until)
            })
            .collect();
        rows.sort();
        rows
    };
    let row = |role, rrtype: &str, times, ttls, answers, higher| {
        (role, rrtype.to_owned(), times, ttls, answers, higher)
    };
    assert_eq!(
        told(120),
        [
            row(Role::Wire, "A", [60, 61, 119, 149], [30, 30, 30], 2, None),
            row(Role::Wire, "NS", [60, 61, 119, 361], [200, 300, 200], 2, Some(61)),
            row(Role::Auth, "A", [60, 119, 119, 149], [30, 30, 30], 1, None),
            row(Role::Auth, "NS", [60, 119, 119, 319], [200, 200, 200], 1, None),
        ]
    );
    // What comes late opens its interval anew.
    see(&mut rrsets, Role::Wire, 90, &of("www.example.net.", 300));
    assert_eq!(rrsets.rows(), 4);
    let zone: Arc<str> = "example.net.".into();
    let starts = |rows: Vec<RrsetRow>| rows.iter().map(|row| row.start.0 / SECOND).collect::<Vec<_>>();
    let mut all = starts(rrsets.close(Timestamp(u64::MAX), &zone));
    all.sort_unstable();
    assert_eq!(all, [60, 60, 120, 120]);
    assert!(rrsets.close(Timestamp(u64::MAX), &zone).is_empty());
}

#[test]
fn what_cannot_be_read_is_known_by_its_server_and_time() {
    let mut rrsets = rrsets(None);
    let whole = response("www.example.net.", vec![ns(60, "ns1.example.net.")], vec![]);
    assert!(see(&mut rrsets, Role::Wire, 1, &whole));
    assert_eq!(rrsets.unread().count(), 0);
    assert!(!see(&mut rrsets, Role::Wire, 2, &whole[..whole.len() - 1]));
    assert!(!see(&mut rrsets, Role::Wire, 3, &whole[..7]));
    assert!(see(&mut rrsets, Role::Wire, 4, &whole));
    assert_eq!(rrsets.unread().collect::<Vec<_>>(), [(SERVER, Timestamp(3 * SECOND))]);
    assert_eq!(rrsets.iter().map(|(_, served)| served.answers).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_was_counted_apart_adds_up() {
    // Each TTL at its second: whether it is cut into two or not, the sum is the same.
    let ttls = [300, 300, 200, 250, 100];
    let count = |range: std::ops::Range<usize>| {
        let begin = range.start;
        let mut served = Served::new(Timestamp(begin as u64 * SECOND), ttls[begin]);
        range.for_each(|at| served.add(Timestamp(at as u64 * SECOND), ttls[at]));
        served
    };
    let whole = count(0..5);
    assert_eq!((whole.higher_until, whole.answers), (Some(Timestamp(3 * SECOND)), 5));
    for cut in 1..5 {
        let (mut early, mut late) = (count(0..cut), count(cut..5));
        let other = early;
        early.merge(&late);
        late.merge(&other);
        assert_eq!((early, late), (whole, whole), "{cut}");
    }
}

#[test]
fn what_is_known_again_is_what_is_read() {
    let mut draw = draws();
    let labels: [&[u8]; 6] =
        [b"\x03ns1", b"\x03NS1", b"\x07example", b"\x03net", b"\x0cold-provider", b"\x01a"];
    let servers = [OLD.to_ipv6_mapped(), SERVER];
    let zone = NameBuf::parse("example.net").unwrap();
    let [mut quick, mut slow] = [(); 2].map(|()| Rrsets::new(zone, servers, Some(60 * SECOND)));
    let (mut seen, mut read) = (0, 0);
    for second in 0..200_000 {
        let mut name: Vec<u8> = (0..draw(3)).flat_map(|_| labels[draw(6)]).copied().collect();
        name.extend(if draw(4) == 0 { b"\x07EXample\x03Net\0" } else { b"\x07example\x03net\0" });
        let sections = [draw(2), draw(4), draw(2)];
        let mut octets = vec![0, 7, 0x84, 0, 0, 1];
        octets.extend(sections.iter().flat_map(|&count| (count as u16).to_be_bytes()));
        octets.extend(&name);
        octets.extend([0, 1, 0, 1]);
        let apex = [0xc0, (octets.len() - 4 - zone.wire().len()) as u8];
        let mut delegation = Delegation { is_plain: true, ..Delegation::default() };
        for number in 0..sections.iter().sum() {
            let begin = octets.len();
            // Pointers lead anywhere before them: into the question, names before and what is no name.
            let mut pointer = || if draw(3) == 0 { [0xc0, (12 + draw(begin - 12)) as u8] } else { apex };
            let (owner, host) = (pointer(), pointer());
            let in_authority = number.checked_sub(sections[0]).filter(|&at| at < sections[1]);
            let data = match in_authority.filter(|_| draw(4) > 0) {
                None => vec![1, b'a' + draw(2) as u8],
                Some(before) => {
                    if delegation.end == 0 {
                        (delegation.begin, delegation.before) = (begin as u32, before as u16);
                    }
                    delegation.end = u32::MAX;
                    let mut host_name: Vec<u8> =
                        (0..draw(3)).flat_map(|_| labels[draw(6)]).copied().collect();
                    host_name.extend(if draw(3) == 0 { &[0][..] } else { &host });
                    host_name
                }
            };
            let is_ns = delegation.end == u32::MAX;
            octets.extend(if is_ns { owner } else { apex });
            octets.extend([0, if is_ns { 2 } else { 16 }, 0, 1, 0, 0, 0, 60 + draw(2) as u8]);
            octets.extend((data.len() as u16).to_be_bytes());
            octets.extend(data);
            if is_ns {
                delegation.end = octets.len() as u32;
            }
        }
        let plain = NameBuf::parse(&lowtide_proto::Name(&name.to_ascii_lowercase()).to_string()).unwrap();
        let message = Seen { qname: plain.as_name(), servers: 0, delegation, ..message(&octets) };
        let (server, time) = (servers[draw(2)], Timestamp(second * SECOND));
        let is_read = slow.look(server, Role::Wire, time, &octets);
        // Without an NS record it is not looked at at all.
        if delegation.end > 0 {
            assert_eq!(quick.observe(server, Role::Wire, time, &message), is_read, "{octets:?}");
            (seen, read) = (seen + 1, read + u32::from(is_read));
        }
    }
    let all = |rrsets: &Rrsets| {
        let served = rrsets.iter().map(|(key, served)| (key.clone(), *served));
        served.collect::<BTreeMap<RrsetKey, Served>>()
    };
    assert_eq!(all(&quick), all(&slow));
    assert!(quick.ttls().eq(slow.ttls()));
    // Most were read, and most of them were known again.
    assert!(read > seen / 2 && all(&quick).len() > 100, "{seen} {read}");
    assert!(quick.stretches.len() < read as usize / 2, "{read} {}", quick.stretches.len());
}
