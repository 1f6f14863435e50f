use super::*;

/// A header with these flags and counts.
fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut octets = vec![0x12, 0x34];
    octets.extend(flags.to_be_bytes());
    counts.iter().for_each(|count| octets.extend(count.to_be_bytes()));
    octets
}

fn question(octets: &mut Vec<u8>, name: &[u8], qtype: u16) {
    octets.extend(name);
    octets.extend(qtype.to_be_bytes());
    octets.extend([0, 1]);
}

fn record(octets: &mut Vec<u8>, owner: &[u8], rtype: u16, class: u16, ttl: u32, rdata: &[u8]) {
    octets.extend(owner);
    octets.extend(rtype.to_be_bytes());
    octets.extend(class.to_be_bytes());
    octets.extend(ttl.to_be_bytes());
    octets.extend((rdata.len() as u16).to_be_bytes());
    octets.extend(rdata);
}

const WWW: &[u8] = b"\x03wWw\x07eXample\x03org\x00";

/// What `check` compares: the name, the extended rcode, the findings and the reason.
fn check(octets: &[u8], qname: &str, rcode: u16, facts: Facts, malformed: Option<Malformed>) {
    let mut name = NameBuf::new();
    let message = read(octets, octets.len() as u32, &mut name).expect("a header");
    assert_eq!(message.malformed, malformed);
    assert_eq!(message.qname.to_string(), qname);
    assert_eq!(message.rcode.0, rcode);
    let flags = Facts::AUTHORITATIVE | Facts::RECURSION_DESIRED | Facts::RECURSION_AVAILABLE;
    assert_eq!(message.facts - flags - Facts::QUESTION, facts);
}

#[test]
fn nodata_referral_and_answers_are_told_apart() {
    let soa = |octets: &mut Vec<u8>| record(octets, &[0xc0, 16], 6, 1, 60, &[0; 22]);
    let ns = |octets: &mut Vec<u8>| record(octets, &[0xc0, 16], 2, 1, 60, &[0]);
    let a = |octets: &mut Vec<u8>| record(octets, &[0xc0, 12], 1, 1, 60, &[192, 0, 2, 1]);
    let cname = |octets: &mut Vec<u8>| record(octets, &[0xc0, 12], 5, 1, 60, &[0]);
    type Part<'p> = &'p dyn Fn(&mut Vec<u8>);
    let make = |flags: u16, counts: [u16; 4], parts: &[Part<'_>]| {
        let mut octets = header(flags, counts);
        question(&mut octets, WWW, 1);
        parts.iter().for_each(|part| part(&mut octets));
        octets
    };
    let name = "www.example.org.";
    check(&make(0x8400, [1, 1, 0, 0], &[&a]), name, 0, Facts::empty(), None);
    check(&make(0x8400, [1, 0, 1, 0], &[&soa]), name, 0, Facts::NODATA, None);
    check(&make(0x8400, [1, 0, 0, 0], &[]), name, 0, Facts::NODATA, None);
    check(&make(0x8180, [1, 0, 1, 0], &[&soa]), name, 0, Facts::NODATA, None);
    check(&make(0x8180, [1, 0, 0, 0], &[]), name, 0, Facts::empty(), None);
    check(&make(0x8180, [1, 1, 1, 0], &[&cname, &soa]), name, 0, Facts::NODATA, None);
    check(&make(0x8000, [1, 0, 1, 0], &[&ns]), name, 0, Facts::REFERRAL, None);
    check(&make(0x8400, [1, 0, 1, 0], &[&ns]), name, 0, Facts::NODATA, None);
    check(&make(0x8400, [1, 1, 0, 0], &[&cname]), name, 0, Facts::empty(), None);
    check(&make(0x8403, [1, 0, 1, 0], &[&soa]), name, 3, Facts::empty(), None);
    check(&make(0x8600, [1, 0, 0, 0], &[]), name, 0, Facts::TRUNCATED, None);
}

#[test]
fn the_zone_is_learnt_from_authoritative_answers() {
    let zone = |flags: u16, owner: &[u8]| {
        let mut octets = header(flags, [1, 0, 1, 0]);
        question(&mut octets, WWW, 1);
        record(&mut octets, owner, 6, 1, 60, &[0; 22]);
        let mut name = NameBuf::new();
        read(&octets, octets.len() as u32, &mut name).and_then(|message| message.zone_labels)
    };
    assert_eq!(zone(0x8400, &[0xc0, 16]), Some(2));
    assert_eq!(zone(0x8400, &[0xc0, 12]), Some(3));
    assert_eq!(zone(0x8400, b"\x07EXAMPLE\xc0\x18"), Some(2));
    assert_eq!(zone(0x8400, b"\x00"), Some(0));
    assert_eq!(zone(0x8400, b"\x05other\xc0\x18"), None, "not an ancestor");
    assert_eq!(zone(0x8000, &[0xc0, 16]), None, "not authoritative");
}

#[test]
fn edns_extends_the_rcode_and_tells_its_options() {
    let with_opt = |owner: &[u8], ttl: u32, rdata: &[u8], times: u16| {
        let mut octets = header(0x8000, [1, 0, 0, times]);
        question(&mut octets, WWW, 1);
        (0..times).for_each(|_| record(&mut octets, owner, 41, 1232, ttl, rdata));
        octets
    };
    let name = "www.example.org.";
    let edns = Facts::EDNS | Facts::DNSSEC_OK;
    check(&with_opt(&[0], 0x0100_8000, &[], 1), name, 16, edns, None);
    let options = [0, 8, 0, 1, 9, 0, 10, 0, 0];
    check(
        &with_opt(&[0], 0x0000_8000, &options, 1),
        name,
        0,
        edns | Facts::CLIENT_SUBNET | Facts::COOKIE,
        None,
    );
    check(&with_opt(&[0], 0x0000_8000, &[0, 8, 0, 2, 9], 1), name, 0, edns, Some(Malformed::OptionOverrun));
    check(&with_opt(&[0], 0x0000_8000, &[], 2), name, 0, edns, Some(Malformed::Opt));
    check(&with_opt(&[0xc0, 12], 0, &[], 1), name, 0, Facts::empty(), Some(Malformed::Opt));
}

#[test]
fn hostile_names_are_refused_with_their_reason() {
    let with_name = |name: &[u8]| {
        let mut octets = header(0, [1, 0, 0, 0]);
        octets.extend(name);
        octets
    };
    let none = Facts::empty();
    check(&with_name(&[0xc0, 12]), "", 0, none, Some(Malformed::Pointer));
    check(&with_name(&[0xc0, 14, 0, 0, 1, 0, 1]), "", 0, none, Some(Malformed::Pointer));
    check(&with_name(&[1, b'a', 0xc0, 12, 0, 1, 0, 1]), "", 0, none, Some(Malformed::Pointer));
    check(&with_name(&[0x41, 0]), "", 0, none, Some(Malformed::LabelType));
    check(&with_name(&[5, b'a']), "", 0, none, Some(Malformed::NameOverrun));
    check(&with_name(&[1, b'a', 0, 0]), "a.", 0, none, Some(Malformed::QuestionShort));
    let mut long = [1, b'x'].repeat(127);
    long.push(0);
    let mut whole = long.clone();
    whole.extend([0, 1, 0, 1]);
    check(&with_name(&whole), &"x.".repeat(127), 0, none, None);
    long.splice(0..0, [1, b'y']);
    long.extend([0, 1, 0, 1]);
    check(&with_name(&long), "", 0, none, Some(Malformed::NameTooLong));
}

#[test]
fn a_long_legal_chain_of_pointers_is_followed() {
    // Each pointer goes back to the one before it, down to a root: 2,000 hops.
    let mut octets = header(0x8000, [1, 0, 1, 0]);
    question(&mut octets, &[0], 1);
    let mut rdata = Vec::new();
    let chain = octets.len() + 1 + 10;
    for hop in 0..2000u16 {
        let target = if hop == 0 { 12 } else { chain as u16 + (hop - 1) * 2 };
        rdata.extend((0xc000 | target).to_be_bytes());
    }
    record(&mut octets, &[0], 16, 1, 0, &rdata);
    let mut name = NameBuf::new();
    let mut cursor = Cursor::new(&octets[chain + 3998..]);
    assert_eq!(read_name(&octets, &mut cursor, &mut name), Ok(()));
    assert_eq!(name.wire(), [0]);
    assert!(cursor.is_empty());
}

#[test]
fn counts_and_lengths_past_the_end_are_told() {
    let none = Facts::empty();
    check(&header(0, [0; 4]), "", 0, Facts::NO_QUESTION, None);
    check(&header(0, [0xffff; 4]), "", 0, Facts::MANY_QUESTIONS, Some(Malformed::NameOverrun));
    let mut octets = header(0x8000, [1, 1, 0, 0]);
    question(&mut octets, WWW, 1);
    check(&octets, "www.example.org.", 0, none, Some(Malformed::RecordShort));
    record(&mut octets, &[0], 1, 1, 0, &[192, 0, 2, 1]);
    octets.pop();
    check(&octets, "www.example.org.", 0, none, Some(Malformed::RdataOverrun));
    let mut name = NameBuf::new();
    let cut = read(&octets, octets.len() as u32 + 1, &mut name).expect("a header");
    assert!(cut.facts.contains(Facts::CUT));
    assert_eq!(cut.malformed, None, "the snap length is to blame");
    assert!(read(&octets[..11], 11, &mut name).is_none());
}

#[test]
fn two_questions_are_keyed_by_the_first_and_trailing_octets_are_noticed() {
    let mut octets = header(0, [2, 0, 0, 0]);
    question(&mut octets, WWW, 28);
    question(&mut octets, &[0xc0, 16], 1);
    check(&octets, "www.example.org.", 0, Facts::MANY_QUESTIONS, None);
    octets.push(0);
    check(&octets, "www.example.org.", 0, Facts::MANY_QUESTIONS | Facts::TRAILING_OCTETS, None);
}

#[test]
fn the_ns_records_of_the_authority_section_have_their_place() {
    let place = |counts: [u16; 4], types: &[u16], name: &[u8]| {
        let mut octets = header(0x8400, counts);
        question(&mut octets, name, 1);
        let mut begins = Vec::new();
        for &rtype in types {
            begins.push(octets.len() as u32);
            record(&mut octets, &[0xc0, 12], rtype, 1, 60, &[0]);
        }
        begins.push(octets.len() as u32);
        let mut name = NameBuf::new();
        let message = read(&octets, octets.len() as u32, &mut name).expect("a header");
        assert_eq!(message.malformed, None, "{types:?}");
        let Delegation { begin, end, before, is_plain } = message.delegation;
        let number = |at| begins.iter().position(|&begin| begin == at);
        (number(begin), number(end), before, is_plain, message.servers)
    };
    // An SOA, NS, a signature, NS, NSEC; behind an answer.
    let types = [5, 6, 2, 46, 2, 47];
    assert_eq!(place([1, 1, 5, 0], &types, WWW), (Some(2), Some(5), 1, true, 0));
    // The last two are in the additional section, where an NS record leads as well.
    assert_eq!(place([1, 1, 3, 2], &types, WWW), (Some(2), Some(3), 1, true, u64::MAX));
    assert_eq!(place([1, 1, 0, 5], &types, WWW), (None, None, 0, true, u64::MAX));
    // A name with a pointer: to the root, which is an octet of the header.
    assert_eq!(place([1, 0, 1, 0], &[2], &[1, b'a', 0xc0, 10]), (Some(0), Some(1), 0, false, 0));
}

#[test]
fn records_that_may_tell_of_name_servers_have_their_bits() {
    let six = [[0x20; 15].as_slice(), &[0x85]].concat();
    for section in 1..4 {
        let of = |rtype: u16, rdata: &[u8]| {
            let mut counts = [1, 0, 0, 0];
            counts[section] = 1;
            let mut octets = header(0x8400, counts);
            question(&mut octets, WWW, 1);
            record(&mut octets, &[0xc0, 12], rtype, 1, 60, rdata);
            let mut name = NameBuf::new();
            let message = read(&octets, octets.len() as u32, &mut name).expect("a header");
            assert_eq!(message.malformed, None, "{section} {rtype}");
            if message.delegation.end == 0 { message.servers } else { !message.servers }
        };
        assert_eq!(of(1, &[192, 0, 2, 53]), 1 << 53);
        assert_eq!(of(28, &six), 1 << 5);
        // Of the NS record in the authority section it is said where it is.
        assert_eq!([of(2, &[0]), of(43, &[0; 36])], [u64::MAX; 2]);
        // Among them the types that differ from those above by a multiple of 64.
        for rtype in [5, 6, 15, 16, 46, 47, 48, 50, 65, 66, 92, 107, 257] {
            assert_eq!(of(rtype, &[0; 24]), 0, "{rtype}");
        }
    }
}
