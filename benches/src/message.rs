//! DNS messages as clients and authoritative servers write them (RFC 1035 §4.1), with compression and EDNS.

use lowtide_proto::{Qtype, Rcode};

use crate::random::{Random, mix};

/// The EDNS part of a message (RFC 6891 §6.1.2).
#[derive(Clone, Copy, Debug)]
pub struct Edns {
    /// The DO bit.
    pub dnssec_ok: bool,
    /// A COOKIE option (RFC 7873).
    pub cookie: bool,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The message id.
    pub id: u16,
    /// The name's wire form, in the case of the client.
    pub name: Vec<u8>,
    /// Octets of the name before its zone.
    pub zone_at: u16,
    /// The type.
    pub qtype: Qtype,
    /// EDNS, if the client speaks it.
    pub edns: Option<Edns>,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So many records of the type asked.
    Records(u8),
    /// One text of so many octets.
    Text(u16),
    /// A delegation: two NS records and their addresses, without AA.
    Referral,
    /// No record and the zone's SOA: NODATA or NXDOMAIN.
    Negative(Rcode),
    /// Nothing but a code.
    Failure(Rcode),
}

const POINTER: u16 = 0xc000;
const QNAME_AT: u16 = 12;
const IN: u16 = 1;

/// Writes the query.
pub fn query(question: &Question, out: &mut Vec<u8>) {
    header(question, 0, [0, 0, u16::from(question.edns.is_some())], out);
    opt(question.edns, 4, out);
}

/// Writes the response.
pub fn response(question: &Question, answer: Answer, out: &mut Vec<u8>) {
    let edns = u16::from(question.edns.is_some());
    let signed = question.edns.is_some_and(|edns| edns.dnssec_ok);
    let signatures = u16::from(signed);
    let (authoritative, rcode, counts) = match answer {
        Answer::Records(count) => (true, Rcode::NOERROR, [u16::from(count) + signatures, 0, edns]),
        Answer::Text(_) => (true, Rcode::NOERROR, [1, 0, edns]),
        Answer::Referral => (false, Rcode::NOERROR, [0, 2, 2 + edns]),
        Answer::Negative(rcode) => (true, rcode, [0, 1 + signatures, edns]),
        Answer::Failure(rcode) => (false, rcode, [0, 0, edns]),
    };
    header(question, 0x8000 | u16::from(authoritative) << 10 | rcode.0, counts, out);
    let zone = POINTER | (QNAME_AT + question.zone_at);
    match answer {
        Answer::Records(count) => {
            for number in 0..count {
                record(POINTER | QNAME_AT, question.qtype, 300, &rdata(question, number), out);
            }
            if signed {
                record(POINTER | QNAME_AT, Qtype::RRSIG, 300, &signature(question, question.qtype), out);
            }
        }
        Answer::Text(octets) => {
            let text: Vec<u8> = (0..octets).map(|at| if at % 256 == 0 { 255 } else { b'x' }).collect();
            let whole = text.len() / 256 * 256;
            record(POINTER | QNAME_AT, Qtype::TXT, 300, text.get(..whole).unwrap_or_default(), out);
        }
        Answer::Referral => {
            for server in [b'1', b'2'] {
                record(zone, Qtype::NS, 86_400, &server_name(server, zone), out);
            }
            // The two names just written stand at the start of their records' data.
            let end = out.len() as u16;
            let rdata_len = server_name(b'1', zone).len() as u16;
            for (number, at) in [(1, end - 12 - 2 * rdata_len), (2, end - rdata_len)] {
                record(POINTER | at, Qtype::A, 86_400, &[192, 0, 2, number], out);
            }
        }
        Answer::Negative(_) => {
            record(zone, Qtype::SOA, 3600, &soa(zone), out);
            if signed {
                record(zone, Qtype::RRSIG, 3600, &signature(question, Qtype::SOA), out);
            }
        }
        Answer::Failure(_) => {}
    }
    opt(question.edns, 12, out);
}

fn header(question: &Question, flags: u16, counts: [u16; 3], out: &mut Vec<u8>) {
    let [answers, authorities, additionals] = counts;
    for field in [question.id, flags, 1, answers, authorities, additionals] {
        out.extend(field.to_be_bytes());
    }
    out.extend_from_slice(&question.name);
    out.extend(question.qtype.0.to_be_bytes());
    out.extend(IN.to_be_bytes());
}

fn record(owner: u16, rtype: Qtype, ttl: u32, rdata: &[u8], out: &mut Vec<u8>) {
    out.extend(owner.to_be_bytes());
    out.extend(rtype.0.to_be_bytes());
    out.extend(IN.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend((rdata.len() as u16).to_be_bytes());
    out.extend_from_slice(rdata);
}

fn rdata(question: &Question, number: u8) -> Vec<u8> {
    let zone = POINTER | (QNAME_AT + question.zone_at);
    match question.qtype {
        Qtype::A => vec![198, 51, 100, number],
        Qtype::AAAA => [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[number]].concat(),
        Qtype::SOA => soa(zone),
        Qtype::MX => [&[0, 10], &server_name(b'm', zone)[..]].concat(),
        Qtype::TXT => [&[45], &b"v=spf1 include:_spf.mail.example ip4:192.0.2."[..45]].concat(),
        // Priority 1, the root as target, ALPN h2 (RFC 9460 §2.2).
        Qtype::HTTPS => vec![0, 1, 0, 0, 1, 0, 3, 2, b'h', b'2'],
        _ => server_name(b'0' + number, zone),
    }
}

/// `nsX` in the zone.
fn server_name(last: u8, zone: u16) -> Vec<u8> {
    [&[3, b'n', b's', last][..], &zone.to_be_bytes()].concat()
}

fn soa(zone: u16) -> Vec<u8> {
    let numbers = [2_026_110_100u32, 7200, 900, 1_209_600, 300];
    [server_name(b'1', zone), server_name(b'h', zone), numbers.map(u32::to_be_bytes).concat()].concat()
}

/// An RRSIG's data (RFC 4034 §3.1) as a zone with algorithm 13 has them; nobody verifies it.
fn signature(question: &Question, covered: Qtype) -> Vec<u8> {
    let [c0, c1] = covered.0.to_be_bytes();
    let labels = lowtide_proto::Name(&question.name).label_count() as u8;
    let times = [300u32, 1_795_000_000, 1_793_000_000].map(u32::to_be_bytes).concat();
    let signer = question.name.get(usize::from(question.zone_at)..).unwrap_or_default();
    [&[c0, c1, 13, labels][..], &times, &[0x12, 0x34], signer, &[0xa5; 64]].concat()
}

fn opt(edns: Option<Edns>, cookie_words: u16, out: &mut Vec<u8>) {
    let Some(edns) = edns else { return };
    let cookie_len = if edns.cookie { cookie_words * 2 } else { 0 };
    out.push(0);
    out.extend(Qtype::OPT.0.to_be_bytes());
    out.extend(1232u16.to_be_bytes());
    out.extend([0, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0]);
    out.extend((if edns.cookie { cookie_len + 4 } else { 0 }).to_be_bytes());
    if edns.cookie {
        out.extend(10u16.to_be_bytes());
        out.extend(cookie_len.to_be_bytes());
        out.extend((0..cookie_len).map(|at| at as u8));
    }
}

/// The wire form of the name with a number, and where its zone begins: one to three labels in one of 300 zones of
/// `example.`; one in a hundred names is longer than 64 octets.
pub fn name(number: usize) -> (Vec<u8>, u16) {
    let mut random = Random::starting_at(mix(number as u64));
    let mut wire = Vec::new();
    let (labels, longest) = if number % 100 == 7 { (4, 24) } else { (1 + random.below(2), 8) };
    for _ in 0..labels {
        let shortest = if longest > 8 { 20 } else { 3 };
        label(shortest + random.below(longest - shortest), &mut random, &mut wire);
    }
    // Makes the name one of its own.
    let digits = number.to_string();
    wire.push(digits.len() as u8);
    wire.extend(digits.bytes());
    let zone_at = wire.len() as u16;
    let zone = format!("zone{}", random.below(300));
    wire.push(zone.len() as u8);
    wire.extend(zone.bytes());
    wire.extend(b"\x07example\0");
    (wire, zone_at)
}

fn label(len: u64, random: &mut Random, wire: &mut Vec<u8>) {
    wire.push(len as u8);
    for at in 0..len {
        let letters: &[u8] = if at % 2 == 0 { b"bcdfghjklmnprstvwz" } else { b"aeiou" };
        let letter = letters.get(random.below(letters.len() as u64) as usize);
        wire.push(letter.copied().unwrap_or(b'x'));
    }
}

/// Letters in random case, as resolvers with 0x20 ask.
pub fn mix_case(name: &mut [u8], random: &mut Random) {
    let bits = random.bits();
    for (at, octet) in name.iter_mut().enumerate() {
        if bits >> (at % 64) & 1 == 1 {
            octet.make_ascii_uppercase();
        }
    }
}
