//! Who asked for a row: the first few clients with their queries, all others together.

use std::net::Ipv6Addr;

/// Clients of a row that are counted by themselves. Most rows of a minute have one or two.
pub const CLIENTS: usize = 8;

/// In place of an address: all clients beyond the first [`CLIENTS`].
pub const OTHER_CLIENTS: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// The clients of one row of a [`ClientPool`].
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    first: Ipv6Addr,
    first_queries: u64,
    /// Slot of the others, [`NONE`] as long as there is one client.
    more: u32,
}

const NONE: u32 = u32::MAX;

impl Default for Clients {
    fn default() -> Self {
        Self { first: OTHER_CLIENTS, first_queries: 0, more: NONE }
    }
}

/// Clients beyond the first of rows that have more than one.
#[derive(Clone, Debug, Default)]
pub struct ClientPool {
    /// Each ends in the count of those beyond.
    slots: Vec<[(Ipv6Addr, u64); CLIENTS]>,
}

impl ClientPool {
    /// Counts queries of a client.
    #[inline]
    pub fn add(&mut self, clients: &mut Clients, client: Ipv6Addr, queries: u64) {
        if clients.first_queries == 0 {
            clients.first = client;
        }
        if clients.first == client {
            clients.first_queries += queries;
        } else {
            self.add_further(clients, client, queries);
        }
    }

    fn add_further(&mut self, clients: &mut Clients, client: Ipv6Addr, queries: u64) {
        if clients.more == NONE {
            clients.more = self.slots.len() as u32;
            self.slots.push([(OTHER_CLIENTS, 0); CLIENTS]);
        }
        let Some([further @ .., others]) = self.slots.get_mut(clients.more as usize) else { return };
        match further.iter_mut().find(|(known, count)| *count == 0 || *known == client) {
            Some(known) if client != OTHER_CLIENTS => *known = (client, known.1 + queries),
            _ => others.1 += queries,
        }
    }

    /// The clients with their queries; [`OTHER_CLIENTS`], if at all, comes last.
    pub fn iter(&self, clients: &Clients) -> impl Iterator<Item = (Ipv6Addr, u64)> {
        let first = std::iter::once((clients.first, clients.first_queries));
        let more = self.slots.get(clients.more as usize).into_iter().flatten().copied();
        first.chain(more).filter(|&(_, queries)| queries > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_clients_have_their_own_count_and_the_sum_is_exact() {
        let mut pool = ClientPool::default();
        let mut clients = Clients::default();
        for round in 1..=3 {
            for client in 1..=20u128 {
                pool.add(&mut clients, Ipv6Addr::from(client), round);
            }
        }
        let counts: Vec<_> = pool.iter(&clients).map(|(client, count)| (client.to_bits(), count)).collect();
        let own: Vec<_> = (1..=8).map(|client| (client, 6)).collect();
        assert_eq!(counts, [own, vec![(0, 72)]].concat());
    }

    #[test]
    fn a_client_without_an_address_is_one_of_the_others() {
        let mut pool = ClientPool::default();
        let mut clients = Clients::default();
        pool.add(&mut clients, OTHER_CLIENTS, 2);
        pool.add(&mut clients, Ipv6Addr::LOCALHOST, 1);
        pool.add(&mut clients, OTHER_CLIENTS, 2);
        let counts: Vec<_> = pool.iter(&clients).collect();
        assert_eq!(counts, [(OTHER_CLIENTS, 4), (Ipv6Addr::LOCALHOST, 1)]);
    }
}
