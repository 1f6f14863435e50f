//! Windows for the store's benchmarks: rows as busy authoritative servers make them, the same in every run.

use std::net::{Ipv4Addr, Ipv6Addr};

use lowtide_aggregate::names::{PARTITIONS, partition};
use lowtide_aggregate::window::Closed;
use lowtide_aggregate::{Event, EventBatch, Exchange, Mark, Outcome, Windows, ZoneMap};
use lowtide_proto::{Qtype, Rcode, Role, Timestamp, Transport};

use crate::message;
use crate::random::{Random, Zipf};

const MINUTE: u64 = 60_000_000_000;

/// Distinct names.
const NAMES: usize = 200_000;

/// Events of a minute.
const EVENTS: usize = 300_000;

/// More rows than a minute has: none are folded.
const ROOM: usize = 4_000_000;

/// 2026-09-21 14:14:00 UTC. A day's worth of minutes from there stays in one month, and so in one partition.
const START: u64 = 1_790_000_040_000_000_000;

/// Minutes of traffic without end: each the windows of all partitions, as a recorder takes them.
pub struct Minutes {
    random: Random,
    zipf: Zipf,
    windows: Windows,
    batch: EventBatch,
    start: u64,
}

impl Default for Minutes {
    fn default() -> Self {
        Self {
            random: Random::starting_at(29),
            zipf: Zipf::new(NAMES, 1.0),
            windows: Windows::new(0..PARTITIONS, MINUTE, ROOM, &ZoneMap::default()),
            batch: EventBatch::default(),
            start: START,
        }
    }
}

impl Iterator for Minutes {
    type Item = Vec<Closed>;

    fn next(&mut self) -> Option<Vec<Closed>> {
        self.batch.clear();
        for _ in 0..EVENTS {
            let name = message::name(self.zipf.rank(&mut self.random)).0;
            let (event, exchange) = event(&mut self.random, self.start);
            self.batch.push(&event, &name, partition(&name));
            self.batch.push_exchange(&exchange);
        }
        self.start += MINUTE;
        self.batch.mark(Mark::Close(Timestamp(self.start)));
        let mut closed = Vec::new();
        self.windows.count(&self.batch, |done| closed.push(done));
        Some(closed)
    }
}

/// Rows of a minute.
pub fn rows(minute: &[Closed]) -> usize {
    minute.iter().flat_map(|closed| &closed.windows).map(|window| window.rows().len()).sum()
}

/// Two servers, three types, 5,000 clients of which a third speaks IPv6; one in ten answers is NXDOMAIN, one in 200 SERVFAIL,
/// one in 200 queries is never answered.
fn event(random: &mut Random, start: u64) -> (Event, Exchange) {
    let answered = !random.one_in(200);
    let rcode = match random.below(200) {
        0..20 => Rcode::NXDOMAIN,
        20 => Rcode::SERVFAIL,
        _ => Rcode::NOERROR,
    };
    let latency = 40_000 + random.below(60_000) + random.below(2) * 8_000_000;
    let event = Event {
        time: Timestamp(start + random.below(MINUTE)),
        latency: answered.then_some(latency.cast_signed()),
        name_hash: 0,
        qtype: match random.below(4) {
            0 | 1 => Qtype::A,
            2 => Qtype::AAAA,
            _ => Qtype::HTTPS,
        },
        rcode: if answered { rcode } else { Rcode::NOERROR },
        outcome: if answered { Outcome::Answered } else { Outcome::Unanswered },
        role: Role::Auth,
        nodata: false,
        referral: false,
        truncated: false,
        has_question: true,
        zone_labels: None,
    };
    let client = 0x0a40_0000 + random.below(5_000) as u32;
    let exchange = Exchange {
        server: Ipv4Addr::new(192, 0, 2, 53 + random.below(2) as u8).to_ipv6_mapped(),
        client: if random.one_in(3) {
            Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(client))
        } else {
            Ipv4Addr::from(client).to_ipv6_mapped()
        },
        transport: if random.one_in(40) { Transport::Tcp } else { Transport::Udp },
        query_octets: 40 + random.below(30) as u32,
        response_octets: if answered { 60 + random.below(400) as u32 } else { 0 },
    };
    (event, exchange)
}
