//! Any octets as the frames of a whole replay: decoded, counted, paired and summed up, as `cli` wires it, on one thread.

use lowtide_aggregate::account::Account;
use lowtide_aggregate::latency::Pool;
use lowtide_aggregate::names::{NameTable, PARTITIONS, partition};
use lowtide_aggregate::report::{Report, Transactions};
use lowtide_aggregate::summary::{self, Counted};
use lowtide_aggregate::{
    Accounts, Event, EventBatch, EventSink, Exchange, Matcher, MatcherLimits, MessageCounts, Names, ZoneMap,
};
use lowtide_decode::{Decoder, DecoderLimits, FrameCounts, Ports, Sink};
use lowtide_proto::{Observation, Timestamp};

use crate::frames;
use crate::input::{Frame, Frames, START};

/// Events in a batch.
const BATCH: usize = 64;

/// The bounds of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows in the tables of names.
    pub names: usize,
    /// Of the matcher.
    pub matcher: MatcherLimits,
    /// Nanoseconds of an interval.
    pub interval: u64,
}

/// The pipeline of `cli`, with shards instead of threads.
pub struct Pipeline {
    /// From frames to observations.
    pub decoder: Decoder,
    /// From observations to accounts.
    pub tally: Tally,
    names: usize,
    last: Timestamp,
}

/// Counts and pairs messages.
pub struct Tally {
    messages: MessageCounts,
    matcher: Matcher,
    fan: Fan,
}

struct Fan {
    accounts: Accounts,
    lanes: Vec<(EventBatch, Names)>,
}

impl EventSink for Fan {
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.accounts.count(event, exchange.server);
        let partition = partition(name);
        let lane = partition % self.lanes.len();
        let (batch, names) = &mut self.lanes[lane];
        batch.push(event, name, partition);
        if batch.len() >= BATCH {
            names.count(batch);
            batch.clear();
        }
    }
}

impl Sink for Tally {
    fn observe(&mut self, observation: &Observation<'_>) {
        self.messages.count(observation);
        self.matcher.observe(observation, &mut self.fan);
    }
}

impl Pipeline {
    /// With so many shards.
    pub fn new(decoder: DecoderLimits, limits: &Limits, shards: usize) -> Self {
        let lane = |_| (EventBatch::default(), Names::new(limits.names, &ZoneMap::default()));
        Self {
            decoder: Decoder::new(Ports::default(), decoder),
            tally: Tally {
                messages: MessageCounts::default(),
                matcher: Matcher::new(limits.matcher),
                fan: Fan { accounts: Accounts::new(limits.interval), lanes: (0..shards).map(lane).collect() },
            },
            names: limits.names,
            last: START,
        }
    }

    /// Takes a frame.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Packet(packet) => {
                self.last = packet.time;
                self.decoder.packet(packet, &mut self.tally);
            }
            Frame::Dnstap(frame) => {
                self.last = frame.time;
                self.decoder.dnstap(frame, &mut self.tally);
            }
        }
    }

    /// Takes an observation.
    pub fn observe(&mut self, observation: &Observation<'_>) {
        self.last = observation.time;
        self.tally.observe(observation);
    }

    /// Octets of the tables of names.
    pub fn names_memory(&self) -> usize {
        let lanes = self.tally.fan.lanes.iter();
        lanes.flat_map(|(_, names)| names.tables()).map(NameTable::memory).sum()
    }

    /// Messages that wait for their counterpart.
    pub fn outstanding(&self) -> usize {
        self.tally.matcher.outstanding()
    }

    /// Ends the data and sums up.
    pub fn finish(mut self) -> Outcome {
        self.decoder.finish(&mut self.tally);
        let Tally { messages, mut matcher, mut fan } = self.tally;
        matcher.finish(self.last, &mut fan);
        assert_eq!(matcher.outstanding(), 0);
        fan.accounts.close();
        let mut names = Names::new(self.names, &ZoneMap::default());
        for (batch, mut lane) in fan.lanes {
            lane.count(&batch);
            names.adopt(lane);
        }
        let counted = Counted {
            messages: &messages,
            accounts: &fan.accounts,
            names: &names,
            matcher: matcher.counters(),
        };
        let report = summary::report(&counted, ZoneMap::default(), 10);
        Outcome { messages, accounts: fan.accounts, names, frames: self.decoder.counts().clone(), report }
    }
}

/// All that was counted.
pub struct Outcome {
    /// Messages.
    pub messages: MessageCounts,
    /// Roles, servers, intervals.
    pub accounts: Accounts,
    /// Names.
    pub names: Names,
    /// Frames by fate.
    pub frames: FrameCounts,
    /// The report of all that.
    pub report: Report,
}

/// The first two octets choose limits, the rest are frames. The accounts balance, and the report depends neither on the
/// number of shards nor on what the hashes were seeded with.
pub fn holds(octets: &[u8]) {
    let (choice, list) = match octets {
        [outstanding, names, list @ ..] => ([*outstanding, *names], list),
        _ => return,
    };
    let limits = Limits {
        names: [32, 64, 1 << 16][usize::from(choice[1]) % 3],
        matcher: MatcherLimits {
            outstanding: [1, 7, 1 << 16][usize::from(choice[0]) % 3],
            ..MatcherLimits::default()
        },
        interval: [1, 1_000_000_000, 60_000_000_000][usize::from(choice[0] / 3) % 3],
    };
    let one = run(list, &limits, 1);
    one.check(limits.names);
    let three = run(list, &limits, 3);
    assert_eq!(
        serde_json::to_string(&one.report).expect("JSON"),
        serde_json::to_string(&three.report).expect("JSON")
    );
}

fn run(list: &[u8], limits: &Limits, shards: usize) -> Outcome {
    let mut pipeline = Pipeline::new(frames::limits(), limits, shards);
    for frame in Frames::new(list) {
        pipeline.frame(&frame);
        assert!(pipeline.outstanding() <= limits.matcher.outstanding);
    }
    pipeline.finish()
}

impl Outcome {
    /// The balances of CONTRACT.md, and those between the accounts. `limit` is that of the rows.
    pub fn check(&self, limit: usize) {
        let mut total = Transactions::default();
        let pool = self.accounts.pool();
        for (role, account) in self.accounts.roles() {
            let transactions = &account.transactions;
            balances(transactions, account.account.queries, account.account.responses);
            total.add(transactions);
            let latencies =
                transactions.answered - transactions.negative_latency - transactions.unknown_latency;
            assert_eq!(samples(&account.account, pool), latencies);
            assert_eq!(account.account.unanswered, transactions.unanswered);
            let rcodes: u64 = account.rcodes.iter().map(|(_, count)| count).sum();
            assert_eq!(rcodes, account.account.responses);
            let qtypes: u64 = account.qtypes.iter().map(|(_, count)| count).sum();
            assert!(qtypes <= account.account.queries);
            let whole = figures(&account.account, pool);
            let intervals = account.intervals.iter().map(|(_, interval)| figures(interval, pool));
            assert_eq!(sum(intervals), whole, "intervals");
            let servers = self.accounts.servers().filter(|(_, of, _)| *of == role);
            let servers = servers.map(|(_, _, server)| figures(&server.account, pool));
            let others = self.accounts.other_servers().filter(|(of, _)| *of == role);
            let others = others.map(|(_, server)| figures(&server.account, pool));
            assert_eq!(sum(servers.chain(others)), whole, "servers");
            let names = self.names.tables().iter().flat_map(|table| {
                let rows = table.rows().filter(|(_, row)| row.role == role);
                let rows = rows.map(|(_, row)| figures(&row.account, table.pool()));
                let other = table.other().filter(|(of, ..)| *of == role);
                rows.chain(other.map(|(_, _, other)| figures(&other.account, table.pool())))
            });
            assert_eq!(sum(names), whole, "names");
        }
        balances(&total, self.messages.queries, self.messages.responses);
        let messages = self.messages.queries + self.messages.responses;
        assert_eq!(self.messages.transports.iter().sum::<u64>(), messages);
        assert_eq!(self.messages.opcodes.iter().sum::<u64>(), messages);
        assert!(self.messages.ipv4 <= messages);
        for table in self.names.tables() {
            assert!(table.rows().count() <= (limit / PARTITIONS).max(2));
            if !table.swept() {
                assert_eq!(table.other().count(), 0);
            }
        }
        self.check_report(messages);
    }

    fn check_report(&self, messages: u64) {
        let report = &self.report;
        assert_eq!(report.messages.queries + report.messages.responses, messages);
        assert_eq!(report.families.ipv4 + report.families.ipv6, messages);
        balances(&report.transactions, report.messages.queries, report.messages.responses);
        assert_eq!(report.rcodes.values().sum::<u64>(), report.messages.responses);
        assert_eq!(report.opcodes.values().sum::<u64>(), messages);
        let latency = &report.latency_us;
        let quantiles =
            [latency.min, latency.p50, latency.p90, latency.p95, latency.p99, latency.p999, latency.max];
        assert!(quantiles.is_sorted(), "{quantiles:?}");
        let nodata: u64 = report.roles.iter().map(|role| role.nodata).sum();
        assert_eq!(report.nodata, nodata);
        assert!(report.nodata + report.referrals <= report.messages.responses);
    }
}

/// The balances of transactions with messages.
fn balances(transactions: &Transactions, queries: u64, responses: u64) {
    let Transactions { answered, unanswered, pending, retransmissions, .. } = *transactions;
    assert_eq!(answered + unanswered + pending + retransmissions, queries, "{transactions:?}");
    let Transactions { duplicate_responses, orphan_responses, .. } = *transactions;
    assert_eq!(answered + duplicate_responses + orphan_responses, responses, "{transactions:?}");
    assert!(transactions.evicted <= pending);
}

/// How many latencies an account has.
fn samples(account: &Account, pool: &Pool) -> u64 {
    pool.buckets(account.latency.histogram).map(|(_, count)| count).sum()
}

/// What adds up, and the extremes.
type Figures = ([u64; 8], u64, u64);

fn figures(account: &Account, pool: &Pool) -> Figures {
    let counts = [
        account.queries,
        account.responses,
        account.nodata,
        account.nxdomain,
        account.servfail,
        account.refused,
        account.unanswered,
        samples(account, pool),
    ];
    (counts, account.latency.min, account.latency.max)
}

fn sum(parts: impl Iterator<Item = Figures>) -> Figures {
    parts.fold(([0; 8], u64::MAX, 0), |(mut counts, min, max), (more, its_min, its_max)| {
        counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        (counts, min.min(its_min), max.max(its_max))
    })
}
