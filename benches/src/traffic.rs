//! Traffic at authoritative servers, made up but of the usual mixture, the same in every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use lowtide_proto::{Endpoint, Qtype, Rcode};

use crate::frame::{self, ACK, FIN, PcapWriter, SYN, Segment};
use crate::message::{self, Answer, Edns, Question};
use crate::random::{Random, Zipf, mix};

/// What traffic to make.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Queries, retransmissions apart.
    pub queries: u64,
    /// Names that are asked, by Zipf's law.
    pub names: usize,
    /// Queries per second.
    pub rate: u64,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Frames.
    pub frames: u64,
    /// Queries, retransmissions included.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// Queries that never got a response.
    pub unanswered: u64,
}

/// 2026-11-01 00:00:00 UTC, in nanoseconds.
const START: u64 = 1_793_491_200_000_000_000;

const TYPES: [(Qtype, u64); 9] = [
    (Qtype::A, 58),
    (Qtype::AAAA, 22),
    (Qtype::HTTPS, 6),
    (Qtype::MX, 4),
    (Qtype::TXT, 3),
    (Qtype::NS, 3),
    (Qtype::SOA, 2),
    (Qtype::DS, 1),
    (Qtype::PTR, 1),
];

impl Traffic {
    /// Writes a pcap file, its frames in the order of time.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: impl Write) -> io::Result<Made> {
        let mut maker = Maker::new(self.names);
        let mut file = PcapWriter::new(out)?;
        let mut now = START;
        for _ in 0..self.queries {
            now += maker.random.below(2_000_000_000 / self.rate.max(1));
            maker.write_until(now, &mut file)?;
            maker.transaction(now);
        }
        maker.write_until(u64::MAX, &mut file)?;
        file.finish()?;
        Ok(maker.made)
    }

    /// Makes the same kind of traffic as exchanges of one query and one response, in the order of the queries.
    pub fn exchanges(&self) -> impl Iterator<Item = Exchanged> {
        let (mut maker, mut now, step) = (Maker::new(self.names), START, 2_000_000_000 / self.rate.max(1));
        (0..self.queries).map(move |_| {
            now += maker.random.below(step);
            let number = maker.zipf.rank(&mut maker.random);
            let (question, answer) = maker.question(number);
            let (client, server) = maker.endpoints();
            let answered = now + maker.latency();
            let lost = maker.random.one_in(500);
            Exchanged { question, answer: (!lost).then_some(answer), client, server, asked: now, answered }
        })
    }
}

/// A query and the response to it.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// What is asked.
    pub question: Question,
    /// What is answered, unless the response is lost.
    pub answer: Option<Answer>,
    /// Who asks.
    pub client: Endpoint,
    /// Who answers.
    pub server: Endpoint,
    /// When it is asked, in nanoseconds since 1970.
    pub asked: u64,
    /// When it is answered.
    pub answered: u64,
}

struct Maker {
    random: Random,
    zipf: Zipf,
    /// Frames to come, by time and the order in which they were made.
    later: BinaryHeap<Reverse<(u64, u64, Vec<u8>)>>,
    order: u64,
    made: Made,
}

impl Maker {
    fn new(names: usize) -> Self {
        Self {
            random: Random::starting_at(1),
            zipf: Zipf::new(names, 0.9),
            later: BinaryHeap::new(),
            order: 0,
            made: Made::default(),
        }
    }

    fn write_until(&mut self, now: u64, file: &mut PcapWriter<impl Write>) -> io::Result<()> {
        while let Some(Reverse((time, ..))) = self.later.peek()
            && *time <= now
            && let Some(Reverse((time, _, octets))) = self.later.pop()
        {
            file.frame(time, &octets)?;
            self.made.frames += 1;
        }
        Ok(())
    }

    fn at(&mut self, time: u64, frame: Vec<u8>) {
        self.order += 1;
        self.later.push(Reverse((time, self.order, frame)));
    }

    fn transaction(&mut self, now: u64) {
        let number = self.zipf.rank(&mut self.random);
        let (question, answer) = self.question(number);
        let (client, server) = self.endpoints();
        let latency = self.latency();
        if self.random.one_in(40) {
            self.over_tcp(now, latency, client, server, &question, answer);
        } else {
            self.over_udp(now, latency, client, server, &question, answer);
        }
    }

    /// A question about a name, and the answer that its server gives.
    fn question(&mut self, number: usize) -> (Question, Answer) {
        let random = &mut self.random;
        let (mut name, mut zone_at) = message::name(number);
        if random.one_in(30) {
            message::mix_case(&mut name, random);
        }
        let all = TYPES.iter().map(|&(_, weight)| weight).sum();
        let mut at = random.below(all);
        let chosen = TYPES.iter().find(|&&(_, weight)| {
            let found = at < weight;
            at = at.saturating_sub(weight);
            found
        });
        let qtype = chosen.map_or(Qtype::A, |&(qtype, _)| qtype);
        let of_zone = matches!(qtype, Qtype::NS | Qtype::SOA);
        if of_zone {
            name.drain(..usize::from(zone_at));
            zone_at = 0;
        }
        let edns =
            (!random.one_in(6)).then(|| Edns { dnssec_ok: random.one_in(3), cookie: random.one_in(3) });
        let question = Question { id: random.bits() as u16, name, zone_at, qtype, edns };
        // The same question gets the same answer.
        let kind = mix(number as u64 ^ u64::from(qtype.0) << 32);
        let answer = match mix(number as u64) % 100 {
            _ if of_zone => Answer::Records(if qtype == Qtype::NS { 2 } else { 1 }),
            0..10 => Answer::Negative(Rcode::NXDOMAIN),
            10 if random.one_in(2) => Answer::Failure(Rcode::SERVFAIL),
            11 if kind.is_multiple_of(4) => Answer::Failure(Rcode::REFUSED),
            12..15 => Answer::Referral,
            _ => match qtype {
                Qtype::A | Qtype::MX => Answer::Records(1 + (kind % 4) as u8),
                Qtype::AAAA if kind.is_multiple_of(3) => Answer::Negative(Rcode::NOERROR),
                Qtype::TXT if kind.is_multiple_of(16) => Answer::Text(2048),
                Qtype::DS => Answer::Negative(Rcode::NOERROR),
                _ => Answer::Records(1),
            },
        };
        (question, answer)
    }

    /// One of 256 clients and one of two servers in each family; two in ten speak IPv6.
    fn endpoints(&mut self) -> (Endpoint, Endpoint) {
        let random = &mut self.random;
        let client = random.below(256) as u8;
        let server = 53 + random.below(2) as u8;
        let port = 1024 + random.below(64_000) as u16;
        if client.is_multiple_of(5) {
            let address = |last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
            (Endpoint::v6(address(client), port), Endpoint::v6(address(server), 53))
        } else {
            (Endpoint::v4([198, 51, 100, client], port), Endpoint::v4([192, 0, 2, server], 53))
        }
    }

    /// Nanoseconds: most some tens of microseconds, a long tail up to half a second.
    fn latency(&mut self) -> u64 {
        let tail = self.random.unit().powi(12);
        20_000
            + self.random.below(60_000)
            + (tail * 40_000_000.0) as u64 * (1 + 12 * u64::from(self.random.one_in(200)))
    }

    fn over_udp(
        &mut self,
        now: u64,
        latency: u64,
        client: Endpoint,
        server: Endpoint,
        question: &Question,
        answer: Answer,
    ) {
        let mut octets = Vec::with_capacity(512);
        message::query(question, &mut octets);
        let asked = frame::udp(client, server, 0, &octets);
        // One in a thousand clients does not wait long enough, and gets two responses.
        let times = if self.random.one_in(1000) { 2 } else { 1 };
        let lost = self.random.one_in(500);
        for time in 0..times {
            let again = time * (latency / 2);
            asked.iter().for_each(|frame| self.at(now + again, frame.clone()));
            self.made.queries += 1;
        }
        if lost {
            self.made.unanswered += 1;
            return;
        }
        octets.clear();
        message::response(question, answer, &mut octets);
        for time in 0..times {
            let id = self.order as u16;
            let answered = frame::udp(server, client, id, &octets);
            for (number, frame) in (0..).zip(answered) {
                self.at(now + latency + time * 40_000 + number, frame);
            }
            self.made.responses += 1;
        }
    }

    fn over_tcp(
        &mut self,
        now: u64,
        latency: u64,
        client: Endpoint,
        server: Endpoint,
        question: &Question,
        answer: Answer,
    ) {
        let mut octets = Vec::with_capacity(512);
        let ours = self.random.bits() as u32;
        let theirs = self.random.bits() as u32;
        let segment = |sequence, acknowledges, flags| Segment { sequence, acknowledges, flags };
        self.at(now, frame::tcp(client, server, segment(ours, 0, SYN), &[]));
        let ours = ours.wrapping_add(1);
        self.at(now + 10_000, frame::tcp(server, client, segment(theirs, ours, SYN | ACK), &[]));
        let theirs = theirs.wrapping_add(1);
        self.at(now + 20_000, frame::tcp(client, server, segment(ours, theirs, ACK), &[]));
        message::query(question, &mut octets);
        let ours = self.stream(now + 30_000, client, server, segment(ours, theirs, ACK), &octets);
        octets.clear();
        message::response(question, answer, &mut octets);
        let theirs = self.stream(now + 30_000 + latency, server, client, segment(theirs, ours, ACK), &octets);
        self.at(now + 60_000 + latency, frame::tcp(client, server, segment(ours, theirs, FIN | ACK), &[]));
        let ours = ours.wrapping_add(1);
        self.at(now + 70_000 + latency, frame::tcp(server, client, segment(theirs, ours, FIN | ACK), &[]));
        self.made.queries += 1;
        self.made.responses += 1;
    }

    /// Sends a message with its length (RFC 1035 §4.2.2); one in four senders writes the two apart, and long messages
    /// take several segments. Returns the next sequence number.
    fn stream(&mut self, time: u64, from: Endpoint, to: Endpoint, first: Segment, message: &[u8]) -> u32 {
        let octets = [&(message.len() as u16).to_be_bytes(), message].concat();
        let mut segment = first;
        let apart = if self.random.one_in(4) { 2 } else { 0 };
        let (prefix, rest) = octets.split_at_checked(apart).unwrap_or((&octets, &[]));
        let parts = std::iter::once(prefix).filter(|part| !part.is_empty()).chain(rest.chunks(1400));
        for (number, part) in (0..).zip(parts) {
            self.at(time + number * 1000, frame::tcp(from, to, segment, part));
            segment.sequence = segment.sequence.wrapping_add(part.len() as u32);
        }
        segment.sequence
    }
}
