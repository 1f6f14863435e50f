//! Any octets as a DNS message, with hickory-proto as the oracle.
//!
//! Where hickory accepts a message, we read it to its end and say the same of it, but for:
//! - an OPT record whose owner is a pointer to a root: hickory takes it, we call it [`Malformed::Opt`] (RFC 6891
//!   §6.1.2: the name must be 0);
//! - an OPT record whose last option is cut short: hickory forgets its options, we call it [`Malformed::OptionOverrun`];
//! - DSO (RFC 8490), behind whose header hickory reads records and we stop, for there are none.
//!
//! The other direction does not hold: hickory refuses whole messages for one odd record.

use hickory_proto::op::{Message as Oracle, MessageType};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{self, RData};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use lowtide_decode::dns::{Header, Record, Records, Section, read, read_name};
use lowtide_proto::{Cursor, Facts, Malformed, Message, NameBuf, Opcode, Qtype};

use crate::observed::check_message;

/// What is read holds by itself, and agrees with hickory where that accepts; what hickory writes is read as what it was.
pub fn holds(octets: &[u8]) {
    let mut qname = NameBuf::new();
    let Some(message) = read(octets, octets.len() as u32, &mut qname) else {
        assert!(octets.len() < 12);
        return;
    };
    check_message(&message);
    check_walk(octets, &message);
    check_cut(octets, &message);
    let mut decoder = BinDecoder::new(octets);
    let Ok(oracle) = Oracle::read(&mut decoder) else { return };
    if !agree(octets, &message, &oracle, decoder.is_empty()) {
        return;
    }
    let Ok(written) = oracle.to_vec() else { return };
    let Ok(again) = Oracle::from_vec(&written) else { return };
    let mut written_qname = NameBuf::new();
    let read = read(&written, written.len() as u32, &mut written_qname).expect("a header");
    check_message(&read);
    assert!(agree(&written, &read, &again, true));
    let kept = Facts::all() - Facts::TRAILING_OCTETS - Facts::CLIENT_SUBNET - Facts::COOKIE;
    assert_eq!(read.facts & kept, message.facts & kept);
    assert_eq!((read.id, read.is_response), (message.id, message.is_response));
    assert_eq!((read.opcode, read.rcode), (message.opcode, message.rcode));
    assert_eq!((read.qname, read.qtype, read.qclass), (message.qname, message.qtype, message.qclass));
    assert_eq!(read.zone_labels, message.zone_labels);
    assert_eq!(
        read.udp_payload_size,
        message.udp_payload_size.max(if read.facts.contains(Facts::EDNS) { 512 } else { 0 })
    );
}

/// The walk over the records ends once, in its last record or in the reason that the message says.
fn check_walk(octets: &[u8], message: &Message<'_>) {
    let Some((header, cursor)) = behind_questions(octets) else {
        assert!(message.malformed.is_some());
        return;
    };
    let mut records = Records::new(octets, cursor, &header);
    let announced = u64::from(header.answers) + u64::from(header.authorities) + u64::from(header.additionals);
    let mut walked = 0;
    let mut error = None;
    let mut last = Section::Answer;
    for record in records.by_ref() {
        match record {
            Ok(record) => {
                walked += 1;
                assert!(record.section >= last);
                assert!(record.owner >= 12 && record.owner < octets.len());
                last = record.section;
            }
            Err(reason) => {
                assert_eq!(error, None, "goes on after its end");
                error = Some(reason);
            }
        }
    }
    assert!(records.next().is_none());
    assert!(walked <= announced && (error.is_some() || walked == announced));
    if header.opcode() == Opcode::DSO {
        return;
    }
    match (error, message.malformed) {
        (None, None) => {
            assert_eq!(message.facts.contains(Facts::TRAILING_OCTETS), !records.rest().is_empty());
        }
        // The OPT record is read on the way, so that its faults come first.
        (_, Some(Malformed::Opt | Malformed::OptionOverrun)) => {}
        (found, said) => assert_eq!(found, said),
    }
}

/// A message that was cut is not malformed, and what is said of it is what the part says.
fn check_cut(octets: &[u8], whole: &Message<'_>) {
    let mut qname = NameBuf::new();
    let cut = read(octets, octets.len() as u32 + 1, &mut qname).expect("a header");
    check_message(&cut);
    assert!(cut.facts.contains(Facts::CUT) && cut.malformed.is_none());
    assert_eq!(cut.facts - Facts::CUT, whole.facts);
    assert_eq!((cut.qname, cut.qtype, cut.rcode), (whole.qname, whole.qtype, whole.rcode));
}

/// The header, and a cursor behind the question section as far as its names can be read.
fn behind_questions(octets: &[u8]) -> Option<(Header, Cursor<'_>)> {
    let mut cursor = Cursor::new(octets);
    let header = Header::take(&mut cursor)?;
    let mut name = NameBuf::new();
    for number in 0..header.questions {
        if number == 0 {
            read_name(octets, &mut cursor, &mut name).ok()?;
        } else {
            skip_name(octets, &mut cursor)?;
        }
        cursor.skip(4).ok()?;
    }
    Some((header, cursor))
}

/// Passes over a name the plain way: labels up to the root or a pointer backwards.
fn skip_name(message: &[u8], cursor: &mut Cursor<'_>) -> Option<()> {
    let start = message.len() - cursor.len();
    let mut octets = 1;
    loop {
        match cursor.u8().ok()? {
            0 => return Some(()),
            length @ 1..=63 => {
                cursor.skip(usize::from(length)).ok()?;
                octets += usize::from(length) + 1;
                if octets > 255 {
                    return None;
                }
            }
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(cursor.u8().ok()?);
                return (target < start).then_some(());
            }
            _ => return None,
        }
    }
}

/// Whether it is one of the messages on which hickory and we have to agree; panics when we do not.
fn agree(octets: &[u8], message: &Message<'_>, oracle: &Oracle, to_the_end: bool) -> bool {
    let metadata = &oracle.metadata;
    assert_eq!(message.id, metadata.id);
    assert_eq!(message.is_response, metadata.message_type == MessageType::Response);
    assert_eq!(message.opcode.0, u8::from(metadata.op_code));
    for (fact, said) in [
        (Facts::AUTHORITATIVE, metadata.authoritative),
        (Facts::TRUNCATED, metadata.truncation),
        (Facts::RECURSION_DESIRED, metadata.recursion_desired),
        (Facts::RECURSION_AVAILABLE, metadata.recursion_available),
        (Facts::AUTHENTIC_DATA, metadata.authentic_data),
        (Facts::CHECKING_DISABLED, metadata.checking_disabled),
        (Facts::NO_QUESTION, oracle.queries.is_empty()),
        (Facts::QUESTION, !oracle.queries.is_empty()),
        (Facts::MANY_QUESTIONS, oracle.queries.len() > 1),
    ] {
        assert_eq!(message.facts.contains(fact), said, "{fact:?}");
    }
    if let Some(question) = oracle.queries.first() {
        assert_eq!(message.qname.0, lower_case_wire(question.name()));
        assert_eq!(message.qtype.0, u16::from(question.query_type()));
        assert_eq!(message.qclass.0, u16::from(question.query_class()));
    }
    if message.opcode == Opcode::DSO {
        return false;
    }
    match message.malformed {
        None => {}
        Some(Malformed::Opt) => {
            let compressed = records(octets)
                .iter()
                .any(|record| record.rtype == Qtype::OPT && octets[record.owner] & 0xc0 == 0xc0);
            assert!(compressed, "{octets:02x?}");
            return false;
        }
        Some(Malformed::OptionOverrun) => {
            assert!(oracle.edns.as_ref().is_some_and(|edns| edns.options().as_ref().is_empty()));
            return false;
        }
        Some(reason) => panic!("{reason}: {octets:02x?}"),
    }
    assert_eq!(message.facts.contains(Facts::TRAILING_OCTETS), !to_the_end);
    assert_eq!(message.rcode.0, u16::from(metadata.response_code));
    agree_on_edns(message, oracle);
    agree_on_records(octets, oracle);
    agree_on_findings(message, oracle);
    true
}

fn agree_on_edns(message: &Message<'_>, oracle: &Oracle) {
    assert_eq!(message.facts.contains(Facts::EDNS), oracle.edns.is_some());
    let Some(edns) = &oracle.edns else { return };
    // RFC 6891 §6.2.3: less than 512 means 512; we keep what was said.
    assert_eq!(message.udp_payload_size.max(512), edns.max_payload());
    assert_eq!(message.facts.contains(Facts::DNSSEC_OK), edns.flags().dnssec_ok);
    assert_eq!(message.facts.contains(Facts::CLIENT_SUBNET), edns.option(EdnsCode::Subnet).is_some());
    assert_eq!(message.facts.contains(Facts::COOKIE), edns.option(EdnsCode::Cookie).is_some());
}

fn records(octets: &[u8]) -> Vec<Record<'_>> {
    let (header, cursor) = behind_questions(octets).expect("questions");
    Records::new(octets, cursor, &header).map_while(Result::ok).collect()
}

/// Each record has its owner, type, class, TTL and, where hickory keeps it as it came, its data.
fn agree_on_records(octets: &[u8], oracle: &Oracle) {
    let ours = records(octets);
    for (section, theirs) in [
        (Section::Answer, &oracle.answers),
        (Section::Authority, &oracle.authorities),
        (Section::Additional, &oracle.additionals),
    ] {
        let is_opt = |record: &Record<'_>| section == Section::Additional && record.rtype == Qtype::OPT;
        let ours: Vec<_> =
            ours.iter().filter(|record| record.section == section && !is_opt(record)).collect();
        assert_eq!(ours.len(), theirs.len(), "{section:?}");
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let mut owner = NameBuf::new();
            read_name(octets, &mut Cursor::new(&octets[ours.owner..]), &mut owner).expect("an owner");
            assert_eq!(owner.wire().to_ascii_lowercase(), lower_case_wire(&theirs.name));
            assert_eq!(ours.rtype.0, u16::from(theirs.record_type()));
            assert_eq!(ours.class.0, u16::from(theirs.dns_class));
            assert_eq!(ours.ttl, theirs.ttl);
            match &theirs.data {
                RData::A(address) => assert_eq!(ours.rdata, address.0.octets()),
                RData::AAAA(address) => assert_eq!(ours.rdata, address.0.octets()),
                RData::Update0(_) => assert!(ours.rdata.is_empty()),
                RData::NULL(data) => assert_eq!(ours.rdata, &data.anything[..]),
                RData::Unknown { rdata, .. } => assert_eq!(ours.rdata, &rdata.anything[..]),
                _ => assert!(!ours.rdata.is_empty()),
            }
        }
    }
}

/// NODATA, referral and zone, told once more from hickory's records.
fn agree_on_findings(message: &Message<'_>, oracle: &Oracle) {
    let has = |records: &[rr::Record], rtype: Qtype| {
        records.iter().any(|record| u16::from(record.record_type()) == rtype.0)
    };
    let tells = message.is_response
        && message.opcode == Opcode::QUERY
        && message.rcode.0 == 0
        && !oracle.queries.is_empty()
        && !oracle.metadata.truncation;
    let any = matches!(message.qtype, Qtype::ANY | Qtype::AXFR | Qtype::IXFR | Qtype::MAILA | Qtype::MAILB);
    let answered = has(&oracle.answers, message.qtype) || (any && !oracle.answers.is_empty());
    let has_soa = has(&oracle.authorities, Qtype::SOA);
    let authoritative = oracle.metadata.authoritative;
    let alias = has(&oracle.answers, Qtype::CNAME) || has(&oracle.answers, Qtype::DNAME);
    let nodata = tells && !answered && (has_soa || (authoritative && !alias));
    assert_eq!(message.facts.contains(Facts::NODATA), nodata);
    let referral = tells
        && !authoritative
        && !has_soa
        && oracle.answers.is_empty()
        && has(&oracle.authorities, Qtype::NS);
    assert_eq!(message.facts.contains(Facts::REFERRAL), referral);
    if let Some(labels) = message.zone_labels {
        let zone = message.qname.suffix(usize::from(labels)).0;
        let named = oracle.answers.iter().chain(&oracle.authorities).any(|record| {
            let rtype = Qtype(u16::from(record.record_type()));
            matches!(rtype, Qtype::SOA | Qtype::NS) && lower_case_wire(&record.name) == zone
        });
        assert!(named, "no record names the zone {zone:02x?}");
    }
}

fn lower_case_wire(name: &rr::Name) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name {
        wire.push(label.len() as u8);
        wire.extend(label.to_ascii_lowercase());
    }
    wire.push(0);
    wire
}
