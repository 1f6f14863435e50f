//! Queries and responses as octets: each is built once by hickory-proto and then copied, with its id, its RD flag and the case
//! of its question's letters put in.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::authority::{Authority, Version};
use crate::parameters::{Naming, NsSet, Parameters, Server};
use crate::questions::{NEGATIVE_TTL, Outcome, Question, Questions, name};

/// A message but for what differs from one query to the next, and what a resolver reads in it.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub octets: Vec<u8>,
    pub learned: Learned,
}

/// What a resolver learns from a response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learned {
    /// How long the answer, or its absence, may be kept in seconds.
    pub ttl: u32,
    /// The zone's NS set, where the response has it.
    pub ns: Option<LearnedNs>,
}

/// An NS set in a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LearnedNs {
    pub set: NsSet,
    /// How long it leads to these servers, in seconds.
    pub ttl: u32,
    pub is_answer: bool,
    /// The greatest TTL of all that leads to an old server: NS sets and addresses.
    pub old_ttl: Option<u32>,
}

/// What the sender of a query says of itself in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    pub recursion_desired: bool,
    pub edns: bool,
    pub dnssec_ok: bool,
    /// Whether it mixes upper and lower case (draft-vixie-dnsext-dns0x20).
    pub mixes_case: bool,
}

const EDNS_STYLES: usize = 3;

impl Style {
    const fn edns_number(self) -> usize {
        match (self.edns, self.dnssec_ok) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        }
    }
}

/// All messages that were needed so far.
pub(crate) struct Messages {
    naming: Naming,
    minimal: bool,
    old: Vec<Server>,
    new: Vec<Server>,
    questions: usize,
    /// For each server, the number of its first version among those of all.
    first_version: Vec<usize>,
    queries: Vec<Option<Box<Template>>>,
    responses: Vec<Option<Box<Template>>>,
}

impl Messages {
    pub(crate) fn new(parameters: &Parameters, questions: &Questions, authority: &Authority) -> Self {
        let mut versions = 0;
        let mut first_version = Vec::new();
        for server in &authority.versions {
            first_version.push(versions);
            // One more, for the server that refuses.
            versions += server.len() + 1;
        }
        let questions = questions.all.len();
        Self {
            naming: parameters.naming,
            minimal: parameters.minimal_responses,
            old: parameters.old.clone(),
            new: parameters.new.clone(),
            questions,
            first_version,
            queries: vec![None; questions * EDNS_STYLES],
            responses: vec![None; versions * questions * EDNS_STYLES],
        }
    }

    /// The query for a question.
    pub(crate) fn query(&mut self, question: usize, questions: &Questions, style: Style) -> &Template {
        let of = &questions.all[question];
        let place = &mut self.queries[question * EDNS_STYLES + style.edns_number()];
        place.get_or_insert_with(|| {
            Box::new(Template {
                octets: octets(blank(of, style, MessageType::Query)),
                learned: Learned::default(),
            })
        })
    }

    /// A server's response; `version` is one past its last when it refuses.
    pub(crate) fn response(
        &mut self,
        server: usize,
        version: usize,
        question: usize,
        (questions, authority): (&Questions, &Authority),
        style: Style,
    ) -> &Template {
        let edns = style.edns_number();
        let at = ((self.first_version[server] + version) * self.questions + question) * EDNS_STYLES + edns;
        if self.responses[at].is_none() {
            let data = authority.versions[server].get(version).map(|(_, version)| *version);
            let made = self.build(server, data, &questions.all[question], questions, style);
            self.responses[at] = Some(Box::new(made));
        }
        self.responses[at]
            .get_or_insert_with(|| Box::new(Template { octets: Vec::new(), learned: Learned::default() }))
    }

    fn build(
        &self,
        server: usize,
        version: Option<Version>,
        question: &Question,
        questions: &Questions,
        style: Style,
    ) -> Template {
        let mut message = blank(question, style, MessageType::Response);
        let version = version.filter(|_| question.outcome != Outcome::Refused);
        let Some(version) = version else {
            message.metadata.response_code = ResponseCode::Refused;
            return Template { octets: octets(message), learned: Learned::default() };
        };
        message.metadata.authoritative = true;
        let origin = &questions.zones[question.zone].origin;
        let is_new = server >= self.old.len();
        let mut learned = Learned { ttl: question.ttl, ns: None };
        let mut gives_ns = !self.minimal;
        match question.outcome {
            Outcome::Records(count) => message.answers = records(question, count, is_new, origin),
            Outcome::Alias => {
                let target = name(&format!("target.{origin}"));
                let alias = RData::CNAME(CNAME(target.clone()));
                message.answers = vec![Record::from_rdata(question.name.clone(), question.ttl, alias)];
                let at_target = Question { name: target, ..question.clone() };
                message.answers.extend(records(&at_target, 1, is_new, origin));
            }
            Outcome::NoData | Outcome::NxDomain => {
                learned.ttl = NEGATIVE_TTL;
                gives_ns = false;
                message.authorities = vec![self.soa(origin, version, NEGATIVE_TTL)];
                if question.outcome == Outcome::NxDomain {
                    message.metadata.response_code = ResponseCode::NXDomain;
                }
            }
            Outcome::Soa => message.answers = vec![self.soa(origin, version, question.ttl)],
            Outcome::Keys => {
                let key = RData::Unknown { code: RecordType::DNSKEY, rdata: NULL::with(KEY.to_vec()) };
                message.answers = vec![Record::from_rdata(origin.clone(), question.ttl, key)];
            }
            Outcome::NameServers => {
                learned.ttl = version.ns_ttl;
                gives_ns = true;
            }
            Outcome::Refused => {}
        }
        if gives_ns {
            let is_answer = question.outcome == Outcome::NameServers;
            let names = self.ns_names(version.ns, origin);
            let ns = names
                .iter()
                .map(|name| Record::from_rdata(origin.clone(), version.ns_ttl, RData::NS(NS(name.clone()))));
            if is_answer {
                message.answers = ns.collect();
            } else {
                message.authorities = ns.collect();
            }
            // Addresses of names in another provider's zone are not this server's to give.
            message.additionals = self.addresses(version, origin, Some(is_new));
            learned.ns = Some(self.learned_ns(version, is_answer, is_new));
        }
        Template { octets: octets(message), learned }
    }

    fn learned_ns(&self, version: Version, is_answer: bool, is_new: bool) -> LearnedNs {
        let is_vanity = self.naming == Naming::Vanity;
        // Names in the zone lead to a server as long as their addresses do.
        let ttl = if is_vanity { version.ns_ttl.min(version.address_ttl) } else { version.ns_ttl };
        let tells_addresses = is_vanity || !is_new;
        let longest = if tells_addresses { version.ns_ttl.max(version.address_ttl) } else { version.ns_ttl };
        let old_ttl = version.ns.names_old().then_some(longest);
        LearnedNs { set: version.ns, ttl, is_answer, old_ttl }
    }

    fn ns_names(&self, set: NsSet, origin: &Name) -> Vec<Name> {
        let old = if set.names_old() { self.old.as_slice() } else { &[] };
        let new = if set.names_new() { self.new.as_slice() } else { &[] };
        match self.naming {
            Naming::Provider => old.iter().chain(new).map(|server| name(&server.name)).collect(),
            Naming::Vanity => (1..=old.len().max(new.len())).map(|at| vanity(at, origin)).collect(),
        }
    }

    /// The addresses of the set's names, as far as a server of the provider `is_new` says has authority for them.
    fn addresses(&self, version: Version, origin: &Name, is_new: Option<bool>) -> Vec<Record> {
        let mut records = Vec::new();
        for (of_new, servers) in [(false, &self.old), (true, &self.new)] {
            let named = if of_new { version.ns.names_new() } else { version.ns.names_old() };
            let is_own = self.naming == Naming::Vanity || is_new == Some(of_new);
            for (at, server) in servers.iter().enumerate().filter(|_| named && is_own) {
                let owner = match self.naming {
                    Naming::Provider => name(&server.name),
                    Naming::Vanity => vanity(at + 1, origin),
                };
                for address in server.addresses() {
                    let data = match address {
                        IpAddr::V4(address) => RData::A(A(address)),
                        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
                    };
                    records.push(Record::from_rdata(owner.clone(), version.address_ttl, data));
                }
            }
        }
        records
    }

    fn soa(&self, origin: &Name, version: Version, ttl: u32) -> Record {
        let primary = self.ns_names(version.ns, origin).into_iter().next().unwrap_or_else(Name::root);
        let mailbox = name(&format!("hostmaster.{origin}"));
        let soa = SOA::new(primary, mailbox, version.serial, 7_200, 900, 1_209_600, NEGATIVE_TTL);
        Record::from_rdata(origin.clone(), ttl, RData::SOA(soa))
    }
}

/// Puts into a copy of a template what is its own.
pub(crate) fn copy(template: &[u8], id: u16, style: Style, case: u64, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(template);
    if let Some(place) = into.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
    if style.recursion_desired
        && let Some(flags) = into.get_mut(2)
    {
        *flags |= 1;
    }
    if style.mixes_case {
        let qname = into.iter_mut().skip(12).take_while(|octet| **octet != 0);
        // A length octet is no letter: labels here are shorter than 65 octets.
        for (bit, octet) in qname.enumerate() {
            if case >> (bit % 64) & 1 == 1 && octet.is_ascii_lowercase() {
                octet.make_ascii_uppercase();
            }
        }
    }
}

/// The rdata of a DNSKEY: a key-signing key of algorithm 13 that no one has the other half of.
const KEY: [u8; 68] = {
    let mut key = [0x5a; 68];
    key[0] = 1;
    key[1] = 1;
    key[2] = 3;
    key[3] = 13;
    key
};

fn vanity(number: usize, origin: &Name) -> Name {
    name(&format!("ns{number}.{origin}"))
}

fn blank(question: &Question, style: Style, kind: MessageType) -> Message {
    let mut message = Message::new(0, kind, OpCode::Query);
    message.add_query(Query::query(question.name.clone(), question.qtype));
    if style.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(1_232).set_dnssec_ok(style.dnssec_ok);
        message.set_edns(edns);
    }
    message
}

fn octets(message: Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}

fn records(question: &Question, count: u8, is_new: bool, origin: &Name) -> Vec<Record> {
    let provider = u16::from(is_new);
    let data = |at: u8| match question.qtype {
        RecordType::A => RData::A(A([10, 20 + u8::from(is_new), 0, at].into())),
        RecordType::AAAA => RData::AAAA(AAAA([0x2001, 0xdb8, 0xaa, provider, 0, 0, 0, u16::from(at)].into())),
        RecordType::MX => RData::MX(MX::new(10, name(&format!("mail.{origin}")))),
        _ => RData::TXT(TXT::new(vec!["v=DMARC1; p=reject".to_owned()])),
    };
    (1..=count).map(|at| Record::from_rdata(question.name.clone(), question.ttl, data(at))).collect()
}
