//! What the servers served that can lead to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use clickhouse::Row;
use lowtide_aggregate::drain::Evidence;
use lowtide_aggregate::drain::rrsets::{RrsetKey, Section, Served};
use lowtide_aggregate::drain::ttls::Ttls;
use lowtide_proto::Timestamp;
use serde::Deserialize;

use super::{Scope, all, seconds};
use crate::read::ReadError;

/// An RRset as it was served with these TTLs in an interval, over all intervals, sensors and roles.
#[derive(Debug, Deserialize, Row)]
struct ServedRow {
    zone_at: u16,
    server_at: u16,
    owner: String,
    rrtype: String,
    section: String,
    digest: u64,
    low: u32,
    high: u32,
    until: u32,
    count: u64,
    first: u64,
    last: u64,
    /// The latest interval.
    latest: u32,
}

/// What a digest stands for.
#[derive(Debug, Deserialize, Row)]
struct RecordsRow {
    digest: u64,
    records: Vec<String>,
}

/// Fills what was served.
///
/// The TTL now is the lowest of the last interval with an answer; it was served higher up to the last answer of the last interval that
/// has a higher one. So a lowering in the midst of an interval counts from the interval's last answer.
pub async fn read(scope: &Scope<'_>, evidence: &mut Evidence) -> Result<(), ReadError> {
    let statement = scope.statement();
    let sql = "SELECT toUInt16(indexOf({zones:Array(String)}, zone) - 1) AS zone_at, \
         toUInt16(indexOf({servers:Array(String)}, server) - 1) AS server_at, owner, toString(rrtype) AS rrtype, \
         toString(section) AS section, digest, ttl_min AS low, ttl_max AS high, toUInt32(max(horizon)) AS until, \
         sum(answers) AS count, toUInt64(toUnixTimestamp64Nano(min(first_seen))) AS first, \
         toUInt64(toUnixTimestamp64Nano(max(last_seen))) AS last, toUInt32(max(interval)) AS latest \
         FROM rrset WHERE zone IN {zones:Array(String)} AND server IN {servers:Array(String)} \
         AND interval <= toDateTime({until:UInt32}, 'UTC') \
         GROUP BY zone_at, server_at, owner, rrtype, section, digest, low, high \
         ORDER BY zone_at, server_at, owner, rrtype, section, digest, last";
    let rows: Vec<ServedRow> =
        all(scope.client, "what was served", statement.with_sql(sql.to_owned())).await?;
    let records = records(scope, &rows).await?;
    let mut found: BTreeMap<(usize, RrsetKey), Vec<Served>> = BTreeMap::new();
    let servers = scope.servers();
    for row in rows {
        let server = servers.get(usize::from(row.server_at)).copied().unwrap_or(Ipv6Addr::UNSPECIFIED);
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let section = sections.into_iter().find(|section| section.as_str() == row.section);
        let section = section.ok_or(ReadError::Unknown { column: "section", value: row.section })?;
        let rdata = records.get(&row.digest).cloned().unwrap_or_default();
        let key = RrsetKey { server, owner: row.owner, rrtype: row.rrtype, section, rdata };
        found.entry((usize::from(row.zone_at), key)).or_default().push(Served {
            ttl_min: row.low,
            ttl_max: row.high,
            horizon: seconds(row.until),
            higher_until: None,
            answers: row.count,
            first: Timestamp(row.first.min(scope.at.0)),
            last: Timestamp(row.last.min(scope.at.0)),
            ttl: row.low,
        });
    }
    for ((zone, key), mut served) in found {
        served.sort_by_key(|served| (served.last, served.first));
        let Some((first, others)) = served.split_first() else { continue };
        let mut ttls = Ttls::of(first);
        others.iter().for_each(|served| ttls.add_served(served));
        evidence.ttls.insert((zone, key.clone()), ttls);
        evidence.rrsets.extend(merged(&served).map(|served| (zone, key, served)));
    }
    Ok(())
}

/// The records that the digests stand for: of one interval each, as they are the same in all.
async fn records(scope: &Scope<'_>, rows: &[ServedRow]) -> Result<BTreeMap<u64, Vec<String>>, ReadError> {
    let latest: BTreeMap<u64, &ServedRow> = rows.iter().map(|row| (row.digest, row)).collect();
    let mut statement = scope.statement();
    let owners: BTreeSet<&str> = latest.values().map(|row| row.owner.as_str()).collect();
    let intervals: BTreeSet<u32> = latest.values().map(|row| row.latest).collect();
    statement.texts("owners", owners.into_iter().map(str::to_owned).collect());
    statement.texts("intervals", intervals.into_iter().map(|second| second.to_string()).collect());
    let sql = "SELECT digest, any(rdata) AS records FROM rrset WHERE zone IN {zones:Array(String)} AND owner IN {owners:Array(String)} \
         AND toString(toUInt32(interval)) IN {intervals:Array(String)} GROUP BY digest";
    let rows: Vec<RecordsRow> = all(scope.client, "records", statement.with_sql(sql.to_owned())).await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.records)).collect())
}

fn merged(served: &[Served]) -> Option<Served> {
    let latest = served.iter().max_by_key(|served| served.last)?;
    let ttl = latest.ttl_min;
    let higher = served.iter().filter(|served| served.ttl_max > ttl).map(|served| served.last).max();
    let mut all = Served { ttl, higher_until: higher, answers: 0, ..*latest };
    for served in served {
        all.ttl_min = all.ttl_min.min(served.ttl_min);
        all.ttl_max = all.ttl_max.max(served.ttl_max);
        all.horizon = all.horizon.max(served.horizon);
        all.first = all.first.min(served.first);
        all.answers += served.answers;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn served(low: u32, high: u32, first: u64, last: u64) -> Served {
        Served {
            ttl_min: low,
            ttl_max: high,
            horizon: Timestamp(last + high as u64),
            higher_until: None,
            answers: 1,
            first: Timestamp(first),
            last: Timestamp(last),
            ttl: low,
        }
    }

    #[test]
    fn a_ttl_that_was_lowered_is_known_to_have_been_higher() {
        let all =
            [served(3_600, 3_600, 0, 1_000), served(300, 3_600, 900, 1_060), served(300, 300, 1_061, 9_000)];
        let merged = merged(&all).unwrap();
        assert_eq!((merged.ttl, merged.ttl_min, merged.ttl_max, merged.answers), (300, 300, 3_600, 3));
        assert_eq!(merged.higher_until, Some(Timestamp(1_060)));
        assert_eq!(
            (merged.first, merged.last, merged.horizon),
            (Timestamp(0), Timestamp(9_000), Timestamp(9_300))
        );
        assert_eq!(super::merged(&all[..1]).unwrap().higher_until, None);
        assert_eq!(super::merged(&[]), None);
    }
}
