use std::collections::HashMap;
use std::net::Ipv4Addr;

use hickory_proto::op::Message;

use super::*;
use crate::drain::draws::draws;

/// Owner, type, TTL and data.
type Wire<'a> = (&'a [u8], u16, u32, &'a [u8]);

/// A response about `name` in example.net with these records, as they are.
fn response(name: &[u8], sections: [&[Wire<'_>]; 3]) -> Vec<u8> {
    let mut octets = vec![0, 7, 0x84, 0, 0, 1];
    sections.iter().for_each(|records| octets.extend((records.len() as u16).to_be_bytes()));
    octets.extend(name);
    octets.extend([0, 1, 0, 1]);
    for (owner, rrtype, ttl, data) in sections.into_iter().flatten() {
        octets.extend(*owner);
        octets.extend(rrtype.to_be_bytes());
        octets.extend([0, 1]);
        octets.extend(ttl.to_be_bytes());
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(*data);
    }
    octets
}

const ZONE: &[u8] = b"\x07example\x03net\0";
const SERVER: Ipv6Addr = Ipv6Addr::LOCALHOST;

fn scan() -> Scan {
    Scan::new([Ipv4Addr::new(192, 0, 2, 53).to_ipv6_mapped(), SERVER], 99)
}

#[test]
fn letters_are_lower_cased_and_nothing_else() {
    for octet in 0..=255_u8 {
        let all = lowercase(u64::from_le_bytes([octet; 8]));
        assert_eq!(all, u64::from_le_bytes([octet.to_ascii_lowercase(); 8]));
    }
}

#[test]
fn the_same_about_other_names_has_the_same_number() {
    let mut scan = scan();
    let mut look = |octets: &[u8]| (scan.look(SERVER, ZONE, octets).unwrap(), scan.ttls.clone());
    // The zone is at octet 16 of the first message and at 20 of the second.
    let of = |name: &[u8], zone: u8, host: &[u8], ttl: u32| {
        let data = [host, &[0xc0, zone]].concat();
        response(name, [&[], &[(&[0xc0, zone], NS, ttl, &data)], &[(&[0xc0, 12], A, 5, &[192, 0, 2, 54])]])
    };
    let first = look(&of(b"\x03www\x07example\x03net\0", 16, b"\x03ns1", 300));
    assert_eq!(first.1, [300], "an address of nobody leads nowhere");
    assert_eq!(look(&of(b"\x07a-b-c-d\x07eXample\x03nEt\0", 20, b"\x03Ns1", 299)), (first.0, vec![299]));
    assert_ne!(look(&of(b"\x03www\x07example\x03net\0", 16, b"\x03ns2", 300)).0, first.0);
    assert_ne!(look(&of(b"\x03www\x07example\x03net\0", 16, b"\x03ns1\x01x", 300)).0, first.0);
    // Of a name below the zone, no NS set leads.
    assert_eq!(look(&of(b"\x03www\x07example\x03net\0", 12, b"\x03ns1", 300)).1, [0_u32; 0]);
}

#[test]
fn addresses_of_servers_are_found_in_every_section() {
    let mut scan = scan();
    let address: Wire<'_> = (&[0xc0, 12], A, u32::MAX, &[192, 0, 2, 53]);
    let six: Wire<'_> = (&[0xc0, 12], AAAA, 7, &SERVER.octets());
    let name = b"\x03ns1\x07example\x03net\0";
    let mut numbers = Vec::new();
    for sections in
        [[&[address][..], &[], &[]], [&[], &[address], &[]], [&[], &[], &[address]], [&[six], &[], &[]]]
    {
        numbers.push(scan.look(SERVER, ZONE, &response(name, sections)).unwrap());
        assert_eq!(scan.ttls, [if sections[0] == [six] { 7 } else { MAX_TTL }]);
    }
    numbers.push(scan.look(Ipv6Addr::UNSPECIFIED, ZONE, &response(name, [&[address], &[], &[]])).unwrap());
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 5, "section, type, content and server tell them apart");
}

#[test]
fn what_is_cut_or_leads_in_circles_is_not_read() {
    let name = b"\x03www\x07example\x03net\0";
    let circle = response(name, [&[], &[(&[0xc0, 16], NS, 1, b"\x01a\xc0\x2d")], &[]]);
    assert_eq!(circle[0x2d..0x2f], [1, b'a'], "the pointer leads to its own name");
    assert_eq!(scan().look(SERVER, ZONE, &circle), None);
    let whole = response(name, [&[], &[(&[0xc0, 16], NS, 1, b"\x01a\xc0\x10"), (&[0], 41, 0, &[])], &[]]);
    assert!(scan().look(SERVER, ZONE, &whole).is_some());
    for end in 0..whole.len() {
        assert_eq!(scan().look(SERVER, ZONE, &whole[..end]), None, "{end}");
    }
}

#[test]
fn what_may_be_read_differently_is_not_told_by_where_it_points() {
    // The zone has a label of a digit, which is a length too: of 48 octets, into what comes behind the question.
    let zone = b"\x020a\x03net\0";
    let mut scan = scan();
    let mut look = |host: &[u8], behind: &[u8]| {
        let name = [b"\x03www", &zone[..]].concat();
        let behind: Wire<'_> = (&[0xc0, 12], 16, 5, behind);
        let response = response(&name, [&[behind], &[(&[0xc0, 16], NS, 300, host)], &[]]);
        scan.look(SERVER, zone, &response).filter(|_| scan.ttls == [300])
    };
    // ns1 below the zone, and below what the zone is in; then from the midst of the label on.
    let [zone_at, parent_at, midst] = [16, 19, 17];
    let mut of = |at: u8, behind: &[u8]| look(&[3, b'n', b's', b'1', 0xc0, at], behind);
    assert_eq!(of(zone_at, b"\x05aaaaa"), of(zone_at, b"\x05bbbbb"));
    assert_eq!(of(parent_at, b"\x05aaaaa"), of(parent_at, b"\x05bbbbb"));
    assert_ne!(of(zone_at, b""), of(parent_at, b""));
    let text = |letter: u8| [&[60][..], &[letter; 60]].concat();
    let [one, other] = [b'a', b'b'].map(|letter| of(midst, &text(letter)));
    assert!(one.is_none_or(|one| Some(one) != other), "{one:?}");
}

#[test]
fn the_same_number_is_the_same_name() {
    let mut draw = draws();
    let labels: [&[u8]; 6] =
        [b"\x03ns1", b"\x03NS1", b"\x07example", b"\x03net", b"\x0cold-provider", b"\x01a"];
    let (mut scan, mut names) = (scan(), HashMap::new());
    let mut seen = 0;
    for _ in 0..200_000 {
        // Pointers lead anywhere before them: into the question, names before and what is no name.
        let mut name: Vec<u8> = (0..draw(3)).flat_map(|_| labels[draw(6)]).copied().collect();
        name.extend(ZONE);
        let mut host = |until: usize| {
            let mut host: Vec<u8> = (0..draw(3)).flat_map(|_| labels[draw(6)]).copied().collect();
            match draw(4) {
                0 => host.push(0),
                _ => host.extend([0xc0, (12 + draw(until - 12)) as u8]),
            }
            host
        };
        let apex = 12 + name.len() - ZONE.len();
        let until = 12 + name.len() + 4;
        let owner = [0xc0, apex as u8];
        let first = host(until);
        let second = host(until + 12 + first.len());
        let octets = response(&name, [&[], &[(&owner, NS, 1, &first), (&owner, NS, 1, &second)], &[]]);
        let Some(number) = scan.look(SERVER, ZONE, &octets) else { continue };
        let Ok(message) = Message::from_vec(&octets) else { continue };
        seen += 1;
        let read: Vec<String> =
            message.authorities.iter().map(|record| record.data.to_string().to_lowercase()).collect();
        let known = names.entry(number).or_insert_with(|| read.clone());
        assert_eq!(*known, read, "{octets:?}");
    }
    assert!(seen > 20_000 && names.len() < seen / 2, "{seen} {}", names.len());
}
