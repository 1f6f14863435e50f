//! A small internet: a namespace for each party, all wired to a bridge in a namespace where the test's thread, lowtide and
//! ClickHouse are. What lowtide reads are the bridge's ends of the providers' wires, as of a switch that mirrors ports.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::{Namespace, ip};

/// The last octet of addresses, in 192.0.2.0/24 and 2001:db8::/64.
pub const PARENT: u8 = 1;
/// The old provider.
pub const OLD: u8 = 10;
/// The new provider.
pub const NEW: u8 = 20;
/// An Unbound that speaks both families.
pub const PLAIN: u8 = 31;
/// An Unbound that speaks IPv4, prefetches and serves what is expired.
pub const EAGER: u8 = 32;
/// A BIND, which speaks both families.
pub const BIND: u8 = 33;
/// A PowerDNS Recursor, which speaks IPv4.
pub const RECURSOR: u8 = 34;
/// All resolvers.
pub const RESOLVERS: [u8; 4] = [PLAIN, EAGER, BIND, RECURSOR];
/// Those who ask the resolvers.
pub const CLIENTS: u8 = 40;
/// Who was told the old provider's address by hand.
pub const HARD_CODED: u8 = 66;

/// An address of IPv4.
pub const fn v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, host)
}

/// The same host's address of IPv6, with the same digits.
pub fn v6(host: u8) -> Ipv6Addr {
    format!("2001:db8::{host}").parse().unwrap()
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// A host's address of this family.
    pub fn of(self, host: u8) -> IpAddr {
        match self {
            Self::V4 => v4(host).into(),
            Self::V6 => v6(host).into(),
        }
    }
}

/// Both addresses of a host, as tshark and lowtide write them.
pub fn both(host: u8) -> [IpAddr; 2] {
    Family::BOTH.map(|family| family.of(host))
}

/// Who has a namespace and a wire; the wire's end at the bridge has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The authority of the root and of `example.`
    Parent,
    /// The provider that is left.
    Old,
    /// The provider that takes over.
    New,
    /// All resolvers.
    Resolvers,
    /// All clients.
    Clients,
}

impl Party {
    const ALL: [Self; 5] = [Self::Parent, Self::Old, Self::New, Self::Resolvers, Self::Clients];

    /// The bridge's end of its wire.
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Old => "old",
            Self::New => "new",
            Self::Resolvers => "resolvers",
            Self::Clients => "clients",
        }
    }

    const fn hosts(self) -> &'static [u8] {
        match self {
            Self::Parent => &[PARENT],
            Self::Old => &[OLD],
            Self::New => &[NEW],
            Self::Resolvers => &RESOLVERS,
            Self::Clients => &[CLIENTS, HARD_CODED],
        }
    }
}

/// The namespaces. They go with the last process in them.
pub struct World {
    hub: Namespace,
    parties: Vec<(Party, Namespace)>,
}

impl World {
    /// Wires all; the calling thread is at the bridge from now on.
    pub fn new() -> Self {
        let hub = Namespace::new();
        hub.enter();
        ip(&["link", "add", "bridge", "type", "bridge"]);
        ip(&["link", "set", "bridge", "up"]);
        let parties = Party::ALL.map(|party| (party, Namespace::new()));
        for (party, namespace) in &parties {
            let wire = party.wire();
            namespace.join(wire, "eth0");
            // A frame whose receiver the bridge does not know yet would come by at both providers, and be counted twice.
            ip(&["link", "set", wire, "master", "bridge"]);
            ip(&["link", "set", wire, "type", "bridge_slave", "flood", "off"]);
            namespace.inside(|| {
                fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
                for host in party.hosts() {
                    ip(&["address", "add", &format!("{}/24", v4(*host)), "dev", "eth0"]);
                    ip(&["address", "add", &format!("{}/64", v6(*host)), "dev", "eth0", "nodad"]);
                }
            });
        }
        Self { hub, parties: parties.into() }
    }

    /// Does something in a party's namespace. The thread itself goes there and back: programs end with the thread that started them.
    pub fn at<T>(&self, party: Party, work: impl FnOnce() -> T) -> T {
        let (_, namespace) = self.parties.iter().find(|(known, _)| *known == party).unwrap();
        namespace.enter();
        let result = work();
        self.hub.enter();
        result
    }
}
