//! What is to be moved: a migration as the operator describes it.

use std::net::Ipv6Addr;

use lowtide_proto::{NameBuf, Timestamp};

/// Nanoseconds in a second, as a span of time.
pub const SECOND: u64 = 1_000_000_000;

/// A server of a migration.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in NS records, when it is known.
    pub name: Option<NameBuf>,
    /// Its address; IPv4 as `::ffff:a.b.c.d`.
    pub address: Ipv6Addr,
}

/// Addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: u128,
    bits: u8,
}

impl Prefix {
    /// The addresses that share `bits` bits with `address`; of IPv4, those of the mapped address: 96 more.
    pub const fn new(address: Ipv6Addr, bits: u8) -> Self {
        let bits = if bits > 128 { 128 } else { bits };
        Self { address: address.to_bits() & Self::mask(bits), bits }
    }

    const fn mask(bits: u8) -> u128 {
        if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
    }

    /// The first and the last of them.
    pub const fn ends(&self) -> (Ipv6Addr, Ipv6Addr) {
        let last = self.address | !Self::mask(self.bits);
        (Ipv6Addr::from_bits(self.address), Ipv6Addr::from_bits(last))
    }

    /// Whether an address is one of them.
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & Self::mask(self.bits) == self.address
    }
}

/// A migration of zones from old servers to new ones.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Its name in rows and reports.
    pub name: String,
    /// The zones that move.
    pub zones: Vec<NameBuf>,
    /// The servers that are to be switched off.
    pub old: Vec<Server>,
    /// The servers that take over.
    pub new: Vec<Server>,
    /// When the parent's NS set was changed; `None` = not yet known.
    pub cutover: Option<Timestamp>,
    /// TTL of the NS set at the parent, nanoseconds.
    pub parent_ns_ttl: u64,
    /// TTL of the DS set at the parent, nanoseconds; 0 = there is none.
    pub ds_ttl: u64,
    /// The TTL that records which lead to the old servers are to have before the cutover, nanoseconds; `None` = it is not planned.
    pub target_ttl: Option<u64>,
    /// How long nothing may be asked, nanoseconds.
    pub quiet_period: u64,
    /// Queries in the quiet period that still count as none.
    pub near_zero: u64,
    /// Whether the operator has looked that the new servers serve NS sets without the old ones. Where nobody watches the new
    /// servers, nobody else can know, and they might lead resolvers back.
    pub new_verified: bool,
    /// Clients that are set apart: own monitors.
    pub set_apart: Vec<Prefix>,
}

impl Migration {
    /// Whether a server is to be switched off.
    pub fn is_old(&self, server: Ipv6Addr) -> bool {
        self.old.iter().any(|old| old.address == server)
    }

    /// Whether a client is set apart.
    pub fn is_apart(&self, client: Ipv6Addr) -> bool {
        self.set_apart.iter().any(|prefix| prefix.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_what_shares_their_bits() {
        let v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped();
        let prefix = Prefix::new(v4("192.0.2.77"), 96 + 24);
        assert!(prefix.contains(v4("192.0.2.1")) && !prefix.contains(v4("192.0.3.1")));
        assert_eq!(prefix.ends(), (v4("192.0.2.0"), v4("192.0.2.255")));
        assert!(Prefix::new(v4("0.0.0.0"), 0).contains("2001:db8::1".parse().unwrap()));
        let one = Prefix::new("2001:db8::1".parse().unwrap(), 128);
        assert!(
            one.contains("2001:db8::1".parse().unwrap()) && !one.contains("2001:db8::2".parse().unwrap())
        );
    }
}
