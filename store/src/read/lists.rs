//! The servers and the zones of a report: the first by queries each with a row, the rest in one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use lowtide_aggregate::report::{Report, Server, Zone};
use lowtide_aggregate::summary::{MAX_ZONES, OTHERS};
use lowtide_aggregate::window::Counter;
use lowtide_proto::{NameBuf, Role};

use super::rows::{Group, Grouping, Sum, Tables, Tally};
use super::{COUNTERS, ROLE_ORDER, ReadError, Reader, role, wire_order};

/// Servers with a row of their own.
const MAX_SERVERS: usize = 16_384;

impl Reader<'_> {
    /// Groups by role and one other key: the first `limit`, then the others by role, `(others)` among them.
    async fn listed<T>(
        &self,
        what: &'static str,
        grouping: &Grouping<'_>,
        limit: usize,
        told: impl Fn(Role, &Group) -> T,
    ) -> Result<Vec<T>, ReadError> {
        let mut listed = Vec::new();
        let mut others: BTreeMap<Role, Sum> = BTreeMap::new();
        self.each(what, self.rows.groups(grouping), |group| {
            let role = role(group.key(0))?;
            if listed.len() < limit && group.key(1) != OTHERS {
                listed.push(told(role, &group));
            } else {
                others.entry(role).or_default().add(&group);
            }
            Ok(())
        })
        .await?;
        let other = |(role, sum): (Role, Sum)| told(role, &sum.into_group(&[role.as_str(), OTHERS]));
        listed.extend(others.into_iter().map(other));
        Ok(listed)
    }

    pub(super) async fn servers(&self, report: &mut Report) -> Result<(), ReadError> {
        let order = format!("sum(queries) DESC, sum(responses) DESC, toIPv6OrDefault(server), {ROLE_ORDER}");
        let grouping = Grouping {
            keys: &["role", "server"],
            counters: COUNTERS,
            rcodes: true,
            order: &order,
            ..Grouping::default()
        };
        let told = |role: Role, group: &Group| Server {
            address: group.key(1).to_owned(),
            role: role.as_str(),
            queries: group.get(Counter::Queries),
            responses: group.get(Counter::Responses),
            unanswered: group.get(Counter::Unanswered),
            rcodes: group.rcodes(),
            latency_us: group.latency(),
        };
        report.servers = self.listed("servers", &grouping, MAX_SERVERS, told).await?;
        // Addresses as texts have another order than ClickHouse's and ours of IPv4 among IPv6.
        report.servers.sort_by_key(|server| {
            let address = server.address.parse::<IpAddr>().ok().map(|address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            });
            (address.is_none(), Reverse((server.queries, server.responses)), address)
        });
        Ok(())
    }

    pub(super) async fn zones(&self, report: &mut Report) -> Result<(), ReadError> {
        let order = format!("sum(queries) DESC, {ROLE_ORDER}, {}", wire_order!("zone"));
        let grouping = Grouping {
            tables: Tables::Zones,
            keys: &["role", "zone"],
            counters: COUNTERS,
            order: &order,
            only: "zone != ''",
            ..Grouping::default()
        };
        let told = |role: Role, group: &Group| {
            let (zone, queries) = (group.key(1).to_owned(), group.get(Counter::Queries));
            Zone {
                role: role.as_str(),
                queries,
                responses: group.get(Counter::Responses),
                nxdomain: group.get(Counter::Nxdomain),
                servfail: group.get(Counter::Servfail),
                unanswered: group.get(Counter::Unanswered),
                latency_us: group.latency(),
                other_queries: if zone == OTHERS { queries } else { 0 },
                zone,
                ..Zone::default()
            }
        };
        report.zones = self.listed("zones", &grouping, MAX_ZONES, told).await?;
        self.other_names(report).await
    }

    /// What stands in no name's row, by zone.
    async fn other_names(&self, report: &mut Report) -> Result<(), ReadError> {
        let grouping = Grouping {
            tables: Tables::Names,
            keys: &["role", "zone"],
            only: "qname = '(others)'",
            order: "number DESC",
            limit: MAX_ZONES,
            ..Grouping::default()
        };
        let tallies = self.rows.tallies("sum(queries)", &grouping);
        for Tally { keys, number } in self.tallies("names past the limit", tallies).await? {
            report.names_limited = true;
            let [role, name] = keys.as_slice() else { continue };
            let mut named = report.zones.iter_mut().filter(|zone| zone.zone != OTHERS);
            if let Some(zone) = named.find(|zone| zone.role == role && zone.zone == *name) {
                zone.other_queries = number;
            }
        }
        Ok(())
    }
}

/// A name's place in the order of names, which is that of wire form.
pub fn wire(name: &str) -> Vec<u8> {
    NameBuf::parse(name).map(|name| name.wire().to_vec()).unwrap_or_default()
}
