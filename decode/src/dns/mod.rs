//! The DNS message: a view over borrowed octets, read once from the header to the last record.
//!
//! [`read`] says everything that the accounts need of a message; [`Records`] walks the records for those who need
//! more. Nothing is copied but the question's name, lower-cased, into memory the caller owns. Record owners and data
//! are not decompressed; a record that cannot be read ends the walk, and what came before it stays true.

mod name;
mod record;

use lowtide_proto::{
    Class, Cursor, Delegation, Facts, Malformed, Message, NameBuf, Opcode, Qtype, Rcode, server_bit,
};

pub use name::read_name;
pub use record::{Record, Records, Section};

/// Octets of the DNS header (RFC 1035 §4.1.1).
pub const HEADER: usize = 12;

/// How many owner names of one message are decompressed at most to learn its zone: hostile messages hold thousands.
const ZONE_ATTEMPTS: u8 = 4;

/// The fixed header (RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message id.
    pub id: u16,
    /// QR, opcode, AA, TC, RD, RA, Z, AD, CD and RCODE, as they stand.
    pub flags: u16,
    /// Entries in the question section.
    pub questions: u16,
    /// Records in the answer section.
    pub answers: u16,
    /// Records in the authority section.
    pub authorities: u16,
    /// Records in the additional section.
    pub additionals: u16,
}

impl Header {
    /// Takes the header; `None` when fewer than 12 octets are there.
    #[inline]
    pub fn take(cursor: &mut Cursor<'_>) -> Option<Self> {
        let [i0, i1, f0, f1, q0, q1, a0, a1, u0, u1, d0, d1] = cursor.take_array::<HEADER>().ok()?;
        Some(Self {
            id: u16::from_be_bytes([i0, i1]),
            flags: u16::from_be_bytes([f0, f1]),
            questions: u16::from_be_bytes([q0, q1]),
            answers: u16::from_be_bytes([a0, a1]),
            authorities: u16::from_be_bytes([u0, u1]),
            additionals: u16::from_be_bytes([d0, d1]),
        })
    }

    /// The QR bit.
    #[inline]
    pub const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The opcode.
    #[inline]
    pub const fn opcode(&self) -> Opcode {
        Opcode((self.flags >> 11 & 0x0f) as u8)
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::of_flags(self.flags);
        facts.set(Facts::NO_QUESTION, self.questions == 0);
        facts.set(Facts::MANY_QUESTIONS, self.questions > 1);
        facts
    }
}

/// Reads a message of `wire_len` octets, of which `octets` were captured. `qname` holds its query name afterwards.
///
/// `None` when fewer than the 12 octets of a header are there. Whatever else is wrong is said in the message:
/// `malformed`, or [`Facts::CUT`] when the snap length and not the sender is to blame.
#[inline]
pub fn read<'n>(octets: &'n [u8], wire_len: u32, qname: &'n mut NameBuf) -> Option<Message<'n>> {
    let mut cursor = Cursor::new(octets);
    let header = Header::take(&mut cursor)?;
    qname.clear();
    let mut reading = Reading {
        facts: header.facts(),
        rcode: header.flags & 0x0f,
        qtype: Qtype(0),
        qclass: Class(0),
        udp_payload_size: 0,
        plain_question: None,
        zone_labels: None,
        zone_attempts: 0,
        servers: 0,
        delegation: Delegation::default(),
    };
    let mut malformed = reading.sections(octets, cursor, &header, qname).err();
    if (octets.len() as u64) < u64::from(wire_len) {
        reading.facts.insert(Facts::CUT);
        malformed = None;
    }
    Some(Message {
        id: header.id,
        is_response: header.is_response(),
        opcode: header.opcode(),
        rcode: Rcode(reading.rcode),
        qname: qname.as_name(),
        qtype: reading.qtype,
        qclass: reading.qclass,
        facts: reading.facts,
        udp_payload_size: reading.udp_payload_size,
        zone_labels: reading.zone_labels,
        servers: reading.servers,
        delegation: Delegation { is_plain: reading.plain_question.is_some(), ..reading.delegation },
        size: wire_len,
        octets,
        malformed,
    })
}

/// What is known of a message while it is read.
struct Reading {
    facts: Facts,
    rcode: u16,
    qtype: Qtype,
    qclass: Class,
    udp_payload_size: u16,
    /// Where the question's name stands, if uncompressed.
    plain_question: Option<usize>,
    zone_labels: Option<u8>,
    zone_attempts: u8,
    servers: u64,
    delegation: Delegation,
}

impl Reading {
    #[inline]
    fn sections<'a>(
        &mut self,
        octets: &'a [u8],
        mut cursor: Cursor<'a>,
        header: &Header,
        qname: &mut NameBuf,
    ) -> Result<(), Malformed> {
        if header.questions > 0 {
            let before = cursor.len();
            read_name(octets, &mut cursor, qname)?;
            self.plain_question = (before - cursor.len() == qname.wire().len()).then_some(HEADER);
            let [t0, t1, c0, c1] = cursor.take_array().map_err(|_| Malformed::QuestionShort)?;
            self.qtype = Qtype(u16::from_be_bytes([t0, t1]));
            self.qclass = Class(u16::from_be_bytes([c0, c1]));
            self.facts.insert(Facts::QUESTION);
            for _ in 1..header.questions {
                name::skip_name(octets, &mut cursor)?;
                cursor.skip(4).map_err(|_| Malformed::QuestionShort)?;
            }
        }
        if header.opcode() == Opcode::DSO {
            // TLVs, not records, stand behind the header (RFC 8490 §5.4).
            self.servers = u64::MAX;
            return Ok(());
        }

        let mut records = Records::new(octets, cursor, header);
        let mut answered = false;
        let mut alias = false;
        for _ in 0..header.answers {
            let record = records.take_record(Section::Answer)?;
            self.tell_servers(&record);
            alias |= matches!(record.rtype, Qtype::CNAME | Qtype::DNAME);
            answered |= record.rtype == self.qtype
                || matches!(self.qtype, Qtype::ANY | Qtype::AXFR | Qtype::IXFR | Qtype::MAILA | Qtype::MAILB);
            if record.rtype == Qtype::SOA || (record.rtype == Qtype::NS && self.qtype == Qtype::NS) {
                self.learn_zone(octets, &record, qname);
            }
        }
        let mut delegated = false;
        let mut has_soa = false;
        for number in 0..header.authorities {
            let record = records.take_record(Section::Authority)?;
            if matches!(record.rtype, Qtype::SOA | Qtype::NS) {
                has_soa |= record.rtype == Qtype::SOA;
                if record.rtype == Qtype::NS {
                    if !delegated {
                        (self.delegation.before, self.delegation.begin) = (number, record.owner as u32);
                    }
                    self.delegation.end = records.walked() as u32;
                    delegated = true;
                }
                self.learn_zone(octets, &record, qname);
            } else {
                self.tell_servers(&record);
            }
        }
        for _ in 0..header.additionals {
            let record = records.take_record(Section::Additional)?;
            if record.rtype == Qtype::OPT {
                self.opt(&record)?;
            } else {
                self.tell_servers(&record);
            }
        }
        self.facts.set(Facts::TRAILING_OCTETS, !records.rest().is_empty());
        if header.is_response() && self.rcode == 0 && header.opcode() == Opcode::QUERY && header.questions > 0
        {
            let authoritative = self.facts.contains(Facts::AUTHORITATIVE);
            // A truncated response may lack the records that would tell.
            let whole = !self.facts.contains(Facts::TRUNCATED);
            // An alias that leads out of the server's zones is an answer, not the want of one: then only an SOA tells
            // that its end has no data (RFC 2308 §2.2).
            let no_data = has_soa || (authoritative && !alias);
            self.facts.set(Facts::NODATA, whole && !answered && no_data);
            self.facts.set(
                Facts::REFERRAL,
                whole && !authoritative && delegated && !has_soa && header.answers == 0,
            );
        }
        Ok(())
    }

    /// Says what a record may tell of name servers.
    #[inline(always)]
    fn tell_servers(&mut self, record: &Record<'_>) {
        const TELLING: u64 = 1 << Qtype::A.0 | 1 << Qtype::NS.0 | 1 << Qtype::AAAA.0 | 1 << Qtype::DS.0;
        // All other types are passed over by one look.
        if record.rtype.0 < 64 && TELLING >> record.rtype.0 & 1 == 1 {
            let is_address = matches!(record.rtype, Qtype::A | Qtype::AAAA);
            self.servers |= if is_address { server_bit(record.rdata) } else { u64::MAX };
        }
    }

    /// Reads the OPT record (RFC 6891 §6.1.2).
    #[inline]
    fn opt(&mut self, record: &Record<'_>) -> Result<(), Malformed> {
        if self.facts.contains(Facts::EDNS) || !record.owner_is_root {
            return Err(Malformed::Opt);
        }
        self.facts.insert(Facts::EDNS);
        self.facts.set(Facts::DNSSEC_OK, record.ttl & 0x8000 != 0);
        self.udp_payload_size = record.class.0;
        self.rcode |= (record.ttl >> 24 << 4) as u16;
        let mut options = Cursor::new(record.rdata);
        while !options.is_empty() {
            let code = options.u16_be().map_err(|_| Malformed::OptionOverrun)?;
            let len = options.u16_be().map_err(|_| Malformed::OptionOverrun)?;
            options.skip(usize::from(len)).map_err(|_| Malformed::OptionOverrun)?;
            match code {
                8 => self.facts.insert(Facts::CLIENT_SUBNET),
                10 => self.facts.insert(Facts::COOKIE),
                _ => {}
            }
        }
        Ok(())
    }

    /// Learns how many labels of the query name are its zone's, from the owner of an SOA or NS record.
    #[inline]
    fn learn_zone(&mut self, octets: &[u8], record: &Record<'_>, qname: &NameBuf) {
        let known = self.zone_labels.is_some() || self.zone_attempts == ZONE_ATTEMPTS;
        if known || !self.facts.contains(Facts::AUTHORITATIVE) {
            return;
        }
        self.zone_attempts += 1;
        self.zone_labels = name::labels_shared(octets, record.owner, qname.wire(), self.plain_question);
    }
}

#[cfg(test)]
mod tests;
