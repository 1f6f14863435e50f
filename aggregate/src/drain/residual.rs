//! Who still asks, aggregated: by network, by autonomous system and by country.
//!
//! This crate reads no file: where an address is comes from whoever calls.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use lowtide_proto::{Name, Timestamp};

use super::client::{Class, Client};
use super::evidence::Asked;
use super::plan::SECOND;
use super::report::{ResidualAs, ResidualClient, ResidualCountry, ResidualPrefix, ResidualReport};
use crate::summary::rfc3339;

/// Networks, systems and countries that are told.
const MAX_TOLD: usize = 1_000;

/// Bits of a network: about a site of a provider.
const BITS: (u32, u32) = (24, 48);

/// Where an address is, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The number of its autonomous system.
    pub asn: Option<u32>,
    /// Who that is.
    pub as_org: Option<String>,
    /// The country's code (ISO 3166).
    pub country: Option<String>,
}

/// Says where addresses are; IPv4 comes as IPv4.
pub type Locate<'a> = &'a dyn Fn(IpAddr) -> Origin;

/// Knows of no address where it is.
pub fn nowhere(_: IpAddr) -> Origin {
    Origin::default()
}

/// Clients of all old servers and zones of a migration that asked since the cutover.
pub struct Residual<'a> {
    locate: Locate<'a>,
    clients: HashMap<Ipv6Addr, One, RandomState>,
    others: (u64, u64),
}

#[derive(Debug)]
struct One {
    queries: u64,
    last: Timestamp,
    class: Class,
}

/// What is counted of many clients.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    clients: u64,
    queries: u64,
    last: Timestamp,
}

impl Sum {
    fn add(&mut self, one: &One) {
        self.clients += 1;
        self.queries += one.queries;
        self.last = self.last.max(one.last);
    }
}

impl<'a> Residual<'a> {
    /// None yet; `locate` says where they are.
    pub fn new(locate: Locate<'a>) -> Self {
        Self { locate, clients: HashMap::default(), others: (0, 0) }
    }

    /// A client of one server and zone, which was asked all this.
    pub fn client(&self, client: &Client, class: Class, asked: &Asked) -> ResidualClient {
        let last = client.wanted.zip(asked.wanted.as_deref()).and_then(|(slot, wanted)| wanted.at(slot));
        let Origin { asn, as_org, country } = (self.locate)(client.address.to_canonical());
        ResidualClient {
            address: client.address.to_canonical().to_string(),
            class: class.as_str(),
            queries: client.queries,
            first_seen: rfc3339(client.first),
            last_seen: rfc3339(client.last),
            period_s: client.period().map(|period| period as f64 / SECOND as f64),
            qtypes: client.types(),
            last_qname: last.map(|last| Name(&last.qname).to_string()),
            last_qtype: last.map(|last| last.qtype.to_string()),
            asn,
            as_org,
            country,
        }
    }

    /// Adds a client of one server and zone. What it did last tells what it is.
    pub fn add(&mut self, client: &Client, class: Class) {
        let one = self.clients.entry(client.address).or_insert(One { queries: 0, last: client.last, class });
        one.queries += client.queries;
        if client.last > one.last {
            (one.last, one.class) = (client.last, class);
        }
    }

    /// Adds clients of which no more is known than how many they are, and their queries.
    pub const fn add_others(&mut self, clients: u64, queries: u64) {
        self.others.0 += clients;
        self.others.1 += queries;
    }

    /// All of them by class, network, system and country, those with the most queries first.
    pub fn told(&self) -> ResidualReport {
        let mut classes: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut networks: BTreeMap<IpAddr, (Sum, Origin)> = BTreeMap::new();
        let mut systems: BTreeMap<u32, (Sum, Option<String>)> = BTreeMap::new();
        let mut countries: BTreeMap<String, Sum> = BTreeMap::new();
        for (address, one) in &self.clients {
            *classes.entry(one.class.as_str()).or_default() += 1;
            let address = address.to_canonical();
            let origin = (self.locate)(address);
            if let Some(asn) = origin.asn {
                let (sum, org) = systems.entry(asn).or_default();
                sum.add(one);
                // The same in whatever order clients come.
                if origin.as_org.is_some() && (org.is_none() || origin.as_org < *org) {
                    org.clone_from(&origin.as_org);
                }
            }
            if let Some(country) = &origin.country {
                countries.entry(country.clone()).or_default().add(one);
            }
            networks
                .entry(network(address))
                .and_modify(|(sum, known)| {
                    sum.add(one);
                    known.keep(&origin);
                })
                .or_insert_with(|| {
                    let mut sum = Sum::default();
                    sum.add(one);
                    (sum, origin)
                });
        }
        let mut networks: Vec<_> = networks.into_iter().collect();
        networks.sort_by_key(|(network, (sum, _))| (std::cmp::Reverse(sum.queries), *network));
        let mut systems: Vec<_> = systems.into_iter().collect();
        systems.sort_by_key(|(asn, (sum, _))| (std::cmp::Reverse(sum.queries), *asn));
        let mut countries: Vec<_> = countries.into_iter().collect();
        countries.sort_by(|one, other| (other.1.queries, &one.0).cmp(&(one.1.queries, &other.0)));
        ResidualReport {
            clients: self.clients.len() as u64,
            queries: self.clients.values().map(|one| one.queries).sum(),
            classes,
            other_prefixes: networks.len().saturating_sub(MAX_TOLD) as u64,
            prefixes: networks
                .into_iter()
                .take(MAX_TOLD)
                .map(|(network, (sum, origin))| ResidualPrefix {
                    prefix: format!("{network}/{}", if network.is_ipv4() { BITS.0 } else { BITS.1 }),
                    clients: sum.clients,
                    queries: sum.queries,
                    last_seen: rfc3339(sum.last),
                    asn: origin.asn,
                    as_org: origin.as_org,
                    country: origin.country,
                })
                .collect(),
            autonomous_systems: systems
                .into_iter()
                .take(MAX_TOLD)
                .map(|(asn, (sum, as_org))| ResidualAs {
                    asn,
                    as_org,
                    clients: sum.clients,
                    queries: sum.queries,
                    last_seen: rfc3339(sum.last),
                })
                .collect(),
            countries: countries
                .into_iter()
                .take(MAX_TOLD)
                .map(|(country, sum)| ResidualCountry {
                    country,
                    clients: sum.clients,
                    queries: sum.queries,
                    last_seen: rfc3339(sum.last),
                })
                .collect(),
            other_clients: self.others.0,
            other_queries: self.others.1,
        }
    }
}

impl Origin {
    /// Of what two addresses of a network say, what is the same.
    fn keep(&mut self, other: &Self) {
        if self.asn != other.asn {
            (self.asn, self.as_org) = (None, None);
        }
        if self.as_org != other.as_org {
            self.as_org = None;
        }
        if self.country != other.country {
            self.country = None;
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - BITS.0))))
        }
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - BITS.1))))
        }
    }
}

#[cfg(test)]
mod tests {
    use lowtide_proto::Qtype;

    use super::*;

    /// A client with queries at these seconds.
    fn client(address: &str, seconds: &[u64]) -> Client {
        let address = match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut client = Client::new(address);
        for second in seconds {
            client.count(Timestamp(second * 1_000_000_000), Qtype(1), false);
        }
        client
    }

    #[test]
    fn clients_are_added_up_by_where_they_are() {
        let locate = |address: IpAddr| match address.to_string().as_str() {
            "192.0.2.1" => {
                Origin { asn: Some(64_496), as_org: Some("A".to_owned()), country: Some("DE".to_owned()) }
            }
            "192.0.2.200" => Origin { asn: Some(64_497), as_org: None, country: Some("DE".to_owned()) },
            "192.0.3.1" => Origin { asn: Some(64_496), as_org: Some("A".to_owned()), country: None },
            _ => Origin::default(),
        };
        let mut residual = Residual::new(&locate);
        residual.add(&client("192.0.2.1", &[1, 2]), Class::HardCoded);
        // The same client at another server, later.
        residual.add(&client("192.0.2.1", &[5]), Class::PastHorizon);
        residual.add(&client("192.0.2.200", &[3]), Class::PastHorizon);
        residual.add(&client("192.0.3.1", &[4]), Class::Monitor);
        residual.add(&client("2001:db8:1:ffff::1", &[9, 10, 11]), Class::Scanner);
        residual.add(&client("2001:db8:1::2", &[8]), Class::Scanner);
        residual.add_others(7, 70);
        let told = residual.told();
        assert_eq!((told.clients, told.queries, told.other_clients, told.other_queries), (5, 9, 7, 70));
        let classes = [("monitor", 1), ("resolver-past-horizon", 2), ("scanner", 2)];
        assert_eq!(told.classes, BTreeMap::from(classes));
        let second = |second: u64| rfc3339(Timestamp(second * 1_000_000_000));
        let prefixes: Vec<_> = told
            .prefixes
            .iter()
            .map(|of| {
                (
                    of.prefix.as_str(),
                    of.clients,
                    of.queries,
                    of.last_seen.clone(),
                    of.asn,
                    of.country.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            prefixes,
            [
                ("192.0.2.0/24", 2, 4, second(5), None, Some("DE")),
                ("2001:db8:1::/48", 2, 4, second(11), None, None),
                ("192.0.3.0/24", 1, 1, second(4), Some(64_496), None),
            ]
        );
        let systems: Vec<_> = told
            .autonomous_systems
            .iter()
            .map(|of| (of.asn, of.as_org.as_deref(), of.clients, of.queries))
            .collect();
        assert_eq!(systems, [(64_496, Some("A"), 2, 4), (64_497, None, 1, 1)]);
        let countries: Vec<_> =
            told.countries.iter().map(|of| (of.country.as_str(), of.clients, of.queries)).collect();
        assert_eq!(countries, [("DE", 2, 4)]);
        residual.locate = &nowhere;
        let unknown = residual.told();
        assert!(unknown.autonomous_systems.is_empty() && unknown.prefixes.iter().all(|of| of.asn.is_none()));
    }
}
