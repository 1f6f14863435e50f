//! Windows for the store's benchmarks: rows as busy authoritative servers make them.

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

/// Events for each row, about.
const EVENTS_A_ROW: usize = 3;

/// The windows of as many minutes as it takes to get at least `rows` rows, in the order in which shards close them.
pub fn windows(rows: usize) -> Vec<Closed> {
    let mut random = Random::new(29);
    let zipf = Zipf::new(NAMES, 1.0);
    let mut windows = Windows::new(0..PARTITIONS, MINUTE, 4_000_000, &ZoneMap::default());
    let mut batch = EventBatch::default();
    let mut closed = Vec::new();
    let mut made = 0;
    let mut start = 1_790_000_040_000_000_000;
    while made < rows {
        batch.clear();
        for _ in 0..100_000 * EVENTS_A_ROW {
            let name = message::name(zipf.rank(&mut random)).0;
            let (event, exchange) = event(&mut random, start);
            batch.push(&event, &name, partition(&name));
            batch.push_exchange(&exchange);
        }
        start += MINUTE;
        batch.mark(Mark::Close(Timestamp(start)));
        windows.count(&batch, |done| {
            made += done.windows.iter().map(|window| window.rows().len()).sum::<usize>();
            closed.push(done);
        });
    }
    closed
}

fn event(random: &mut Random, start: u64) -> (Event, Exchange) {
    let outcome = if random.below(200) == 0 { Outcome::Unanswered } else { Outcome::Answered };
    let answered = outcome == Outcome::Answered;
    let rcode = match random.below(20) {
        0 | 1 => Rcode::NXDOMAIN,
        2 if random.below(10) == 0 => Rcode::SERVFAIL,
        _ => Rcode::NOERROR,
    };
    let event = Event {
        time: Timestamp(start + random.below(MINUTE)),
        latency: answered.then(|| (40_000 + random.below(60_000) + random.below(2) * 8_000_000) as i64),
        name_hash: 0,
        qtype: match random.below(4) {
            0 | 1 => Qtype::A,
            2 => Qtype::AAAA,
            _ => Qtype(65),
        },
        rcode: if answered { rcode } else { Rcode::NOERROR },
        outcome,
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
        client: if random.below(3) == 0 {
            Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(client))
        } else {
            Ipv4Addr::from(client).to_ipv6_mapped()
        },
        transport: if random.below(40) == 0 { Transport::Tcp } else { Transport::Udp },
        query_octets: 40 + random.below(30) as u32,
        response_octets: if answered { 60 + random.below(400) as u32 } else { 0 },
    };
    (event, exchange)
}
