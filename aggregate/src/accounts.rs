//! The accounts of what does not grow with the names: roles, servers, intervals. Kept by the thread that matches, in order
//! of arrival; names are counted by shards ([`crate::names`]).

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv6Addr;

use foldhash::fast::RandomState;
use lowtide_proto::{Qtype, Role};

use crate::account::{Account, RcodeCounts};
use crate::event::{Event, Outcome};
use crate::latency::Pool;
use crate::report::Transactions;

/// Servers with an account of their own; the rest share one. Any packet can name a new server address.
const MAX_SERVERS: usize = 16_384;

/// Intervals with an account of their own; where there would be more, intervals are widened twofold. It is nearly three
/// days of minutes. A busy interval takes 20 KiB for its latencies, and a hostile capture has times all over the centuries.
const MAX_INTERVALS: usize = 4_096;

/// The account of one role.
#[derive(Clone)]
pub struct RoleAccount {
    /// Counts and latency: the sum of the intervals, once the accounts are closed.
    pub account: Account,
    /// Transactions.
    pub transactions: Transactions,
    /// Responses by code.
    pub rcodes: RcodeCounts,
    /// Queries by type.
    pub qtypes: QtypeCounts,
    /// Referrals.
    pub referrals: u64,
    /// Responses with the TC bit.
    pub truncated: u64,
    /// Counts and latency by interval.
    pub intervals: Intervals,
    /// The servers that have counts of the current interval.
    touched: Vec<Ipv6Addr>,
}

/// The account of one server in one role.
#[derive(Clone, Default)]
pub struct ServerAccount {
    /// Counts and latency, once the accounts are closed.
    pub account: Account,
    /// Those of the current interval. They are the interval's part as well, so that an event is counted once and not for
    /// each of the two.
    current: Account,
    /// Responses by code.
    pub rcodes: RcodeCounts,
}

/// Counts by query type.
#[derive(Clone)]
pub struct QtypeCounts {
    /// The types below 288: all that RFCs have assigned, but for two.
    common: Box<[u64; 288]>,
    rare: BTreeMap<u16, u64>,
}

impl Default for QtypeCounts {
    fn default() -> Self {
        Self { common: Box::new([0; 288]), rare: BTreeMap::new() }
    }
}

impl QtypeCounts {
    /// Counts `count` queries of a type.
    #[inline]
    pub fn add(&mut self, qtype: Qtype, count: u64) {
        match self.common.get_mut(usize::from(qtype.0)) {
            Some(counter) => *counter += count,
            None => *self.rare.entry(qtype.0).or_default() += count,
        }
    }

    /// The types that were seen, in order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Qtype, u64)> {
        let common = (0..).zip(self.common.iter().copied());
        let rare = self.rare.iter().map(|(&qtype, &count)| (qtype, count));
        common.chain(rare).filter(|&(_, count)| count > 0).map(|(qtype, count)| (Qtype(qtype), count))
    }
}

/// Accounts by interval of traffic time.
#[derive(Clone)]
pub struct Intervals {
    /// Nanoseconds of an interval.
    width: u64,
    accounts: BTreeMap<u64, Account>,
    /// The interval last counted in: the next event is most likely in it too.
    current: u64,
}

impl Intervals {
    fn new(width: u64) -> Self {
        Self { width: width.max(1), accounts: BTreeMap::new(), current: 0 }
    }

    fn bound(&mut self, pool: &mut Pool) {
        while self.accounts.len() > MAX_INTERVALS {
            self.widen(pool);
        }
    }

    fn widen(&mut self, pool: &mut Pool) {
        self.width = self.width.saturating_mul(2);
        for (number, account) in std::mem::take(&mut self.accounts) {
            self.accounts.entry(number / 2).or_default().absorb(account, pool);
        }
    }

    /// Starts of the intervals in nanoseconds since 1970, in order, with their accounts.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Account)> {
        self.accounts.iter().map(|(number, account)| (number.saturating_mul(self.width), account))
    }
}

/// The accounts of roles, servers and intervals.
pub struct Accounts {
    pool: Pool,
    servers: HashMap<(Ipv6Addr, Role), ServerAccount, RandomState>,
    /// All servers past [`MAX_SERVERS`], by role.
    other_servers: BTreeMap<Role, ServerAccount>,
    roles: [RoleAccount; Role::ALL.len()],
}

impl Accounts {
    /// Empty accounts, with intervals of `interval` nanoseconds.
    pub fn new(interval: u64) -> Self {
        Self {
            pool: Pool::default(),
            servers: HashMap::default(),
            other_servers: BTreeMap::new(),
            roles: Role::ALL.map(|_| RoleAccount::new(interval)),
        }
    }

    /// Counts an event of `server`.
    #[inline]
    pub fn count(&mut self, event: &Event, server: Ipv6Addr) {
        let Some(role) = self.roles.get_mut(event.role as usize) else { return };
        role.count(event);
        let number = event.time.0 / role.intervals.width;
        // A query that had to wait for its end may have begun in an interval that is over.
        let is_late = number < role.intervals.current && role.intervals.accounts.contains_key(&number);
        if number != role.intervals.current && !is_late {
            self.settle(event.role);
        }
        let Self { pool, servers, other_servers, roles } = self;
        let Some(role) = roles.get_mut(event.role as usize) else { return };
        let key = (server, event.role);
        let account = if servers.len() >= MAX_SERVERS && !servers.contains_key(&key) {
            other_servers.entry(event.role).or_default()
        } else {
            servers.entry(key).or_default()
        };
        if event.outcome.has_response() {
            account.rcodes.add(event.rcode, 1);
        }
        if is_late && let Some(interval) = role.intervals.accounts.get_mut(&number) {
            interval.count(event, pool);
            account.account.count(event, pool);
            return;
        }
        // Settling may have widened the intervals.
        role.intervals.current = event.time.0 / role.intervals.width;
        if account.current.is_empty() {
            role.touched.push(server);
        }
        account.current.count(event, pool);
    }

    /// Moves the counts of a role's current interval to where they are kept.
    #[cold]
    fn settle(&mut self, role: Role) {
        let Self { pool, servers, other_servers, roles } = self;
        let Some(account) = roles.get_mut(role as usize) else { return };
        let mut interval = Account::default();
        let touched = account.touched.drain(..).map(|address| (address, role));
        let mut settle = |server: &mut ServerAccount| {
            let current = std::mem::take(&mut server.current);
            interval.add_within(&current, pool);
            server.account.absorb(current, pool);
        };
        touched.for_each(|key| {
            if let Some(server) = servers.get_mut(&key) {
                settle(server);
            }
        });
        if let Some(others) = other_servers.get_mut(&role) {
            settle(others);
        }
        if !interval.is_empty() {
            account.intervals.accounts.entry(account.intervals.current).or_default().absorb(interval, pool);
            account.intervals.bound(pool);
        }
    }

    /// Ends the counting: settles what was held back, brings all roles to the same intervals and sums up.
    pub fn close(&mut self) {
        Role::ALL.into_iter().for_each(|role| self.settle(role));
        let width = self.interval();
        for role in &mut self.roles {
            while role.intervals.width < width {
                role.intervals.widen(&mut self.pool);
            }
            role.account = Account::default();
            for interval in role.intervals.accounts.values() {
                role.account.add_within(interval, &mut self.pool);
            }
        }
    }

    /// The length of an interval in nanoseconds: what was asked for, or wider where there would be too many.
    pub fn interval(&self) -> u64 {
        self.roles.iter().map(|role| role.intervals.width).max().unwrap_or_default()
    }

    /// The histograms' memory.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The servers, in no order.
    pub fn servers(&self) -> impl Iterator<Item = (Ipv6Addr, Role, &ServerAccount)> {
        self.servers.iter().map(|(&(address, role), account)| (address, role, account))
    }

    /// What the servers past the bound come to, by role.
    pub fn other_servers(&self) -> impl Iterator<Item = (Role, &ServerAccount)> {
        self.other_servers.iter().map(|(&role, account)| (role, account))
    }

    /// What was counted of a role so far, its sums over intervals apart.
    pub fn role(&self, role: Role) -> Option<&RoleAccount> {
        self.roles.get(role as usize)
    }

    /// The roles that were seen; to be asked once the accounts are closed.
    pub fn roles(&self) -> impl Iterator<Item = (Role, &RoleAccount)> {
        let seen =
            |(_, account): &(Role, &RoleAccount)| account.account.queries + account.account.responses > 0;
        Role::ALL.into_iter().zip(&self.roles).filter(seen)
    }
}

impl RoleAccount {
    /// Whether only queries or only responses were seen, so that nobody knows what was answered.
    pub const fn is_one_way(&self) -> bool {
        self.account.queries == 0 || self.account.responses == 0
    }

    fn new(interval: u64) -> Self {
        Self {
            account: Account::default(),
            transactions: Transactions::default(),
            rcodes: RcodeCounts::default(),
            qtypes: QtypeCounts::default(),
            referrals: 0,
            truncated: 0,
            intervals: Intervals::new(interval),
            touched: Vec::new(),
        }
    }

    #[inline]
    fn count(&mut self, event: &Event) {
        let transactions = &mut self.transactions;
        match event.outcome {
            Outcome::Answered => {
                transactions.answered += 1;
                transactions.negative_latency += u64::from(event.latency.is_some_and(|nanos| nanos < 0));
                transactions.unknown_latency += u64::from(event.latency.is_none());
            }
            Outcome::Unanswered => transactions.unanswered += 1,
            Outcome::Pending => transactions.pending += 1,
            Outcome::Evicted => {
                transactions.pending += 1;
                transactions.evicted += 1;
            }
            Outcome::Retransmission => transactions.retransmissions += 1,
            Outcome::Duplicate => transactions.duplicate_responses += 1,
            Outcome::Orphan => transactions.orphan_responses += 1,
        }
        if event.outcome.has_query() && event.has_question {
            self.qtypes.add(event.qtype, 1);
        }
        if event.outcome.has_response() {
            self.rcodes.add(event.rcode, 1);
            self.referrals += u64::from(event.referral);
            self.truncated += u64::from(event.truncated);
        }
    }
}
