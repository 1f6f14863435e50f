//! Who asked which server, how often and when.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use clickhouse::Row;
use lowtide_aggregate::drain::Evidence;
use lowtide_aggregate::drain::client::{Client, Visits};
use lowtide_aggregate::drain::evidence::{Asked, Series};
use lowtide_aggregate::drain::plan::SECOND;
use lowtide_proto::Timestamp;
use serde::Deserialize;

use super::visits::{self, Day};
use super::{Scope, all, seconds};
use crate::read::ReadError;
use crate::read::rows::{DAY, HOUR, Statement};
use crate::schema::QTYPE_BIT;

/// Steps of the time lines, nanoseconds.
const STEP: u64 = HOUR as u64 * SECOND;

/// A client that several sensors saw and that comes more often on a day is not looked at across them: no quiet period depends on it.
const FEW_VISITS: u32 = 3;

/// Clients beyond the bound.
const OTHERS: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

#[derive(Debug, Deserialize, Row)]
struct ClientRow {
    zone_at: u16,
    server_at: u16,
    client: Ipv6Addr,
    asked: u64,
    rd: u64,
    /// Nanoseconds; 0 = no query, but responses.
    first: u64,
    last: u64,
    visit_sum: u64,
    shortest: u64,
    longest: u64,
    types: u64,
    /// First and last query, visits, shortest and longest time between them (0 = not known), run: of a client that may come at a period
    /// of which the sensors' own figures do not tell.
    days: Vec<(u64, u64, u64, u64, u64, u64)>,
}

#[derive(Debug, Deserialize, Row)]
struct HourRow {
    zone_at: u16,
    server_at: u16,
    hour: u32,
    sensor: String,
    role: String,
    asked: u64,
    answered: u64,
}

#[derive(Debug, Deserialize, Row)]
struct RoleRow {
    server: String,
    sensor: String,
    role: String,
}

#[derive(Debug, Deserialize, Row)]
struct EndsRow {
    zone_at: u16,
    server_at: u16,
    first: u64,
    last: u64,
}

const PLACES: &str = "toUInt16(indexOf({zones:Array(String)}, zone) - 1) AS zone_at, toUInt16(indexOf({servers:Array(String)}, server) - 1) AS server_at";

/// The clients of the old servers alone are told apart.
const WHICH_OLD: &str = "migration IN {migration:Array(String)} AND server IN {old:Array(String)} AND zone IN {zones:Array(String)}";

const WHICH: &str = "migration IN {migration:Array(String)} AND server IN {servers:Array(String)} AND zone IN {zones:Array(String)}";

/// Nanoseconds of a moment that may be NULL; 0 = it is.
fn nanos(moment: &str) -> String {
    format!("toUInt64(ifNull(toUnixTimestamp64Nano({moment}), 0))")
}

/// Fills what was asked.
pub async fn read(
    scope: &Scope<'_>,
    evidence: &mut Evidence,
    notes: &mut Vec<String>,
) -> Result<(), ReadError> {
    let left_out = roles(scope, notes).await?;
    clients(scope, evidence, &Roles::But(&left_out)).await?;
    if !left_out.is_empty() {
        clients(scope, evidence, &Roles::Only(&left_out)).await?;
        ends(scope, evidence).await?;
    }
    hours(scope, evidence).await
}

/// Which roles of a sensor at a server are looked at.
enum Roles<'a> {
    /// All.
    All,
    /// All but these.
    But(&'a [RoleRow]),
    /// These alone.
    Only(&'a [RoleRow]),
}

impl Scope<'_> {
    /// A statement over the days of clients up to the moment; `{rows}` in it stands for them.
    fn days(&self, roles: &Roles<'_>, sql: &str) -> Statement {
        let mut statement = self.statement();
        let mut which = WHICH_OLD.to_owned();
        let (named, is_in) = match roles {
            Roles::All => (&[][..], "NOT IN"),
            Roles::But(roles) => (*roles, "NOT IN"),
            Roles::Only(roles) => (*roles, "IN"),
        };
        if !named.is_empty() {
            let keys = named.iter().map(|row| format!("{}\n{}\n{}", row.server, row.sensor, row.role));
            statement.texts("roles", keys.collect());
            which += " AND concat(server, '\\n', sensor, '\\n', role) ";
            which += is_in;
            which += " {roles:Array(String)}";
        }
        let columns = "zone, server, client, sensor, run, role, queries, rd_queries, responses, visits, gap_min, gap_max, first_seen, \
                       last_seen, qtype_bits";
        let rows = if self.is_cut {
            let day = self.until() - self.until() % DAY;
            statement.number("day", day);
            format!(
                "(SELECT {columns} FROM drain_day WHERE {which} AND interval < toDateTime({{day:UInt32}}, 'UTC') UNION ALL \
                 SELECT zone, server, client, sensor, run, role, sum(d.queries), sum(d.rd_queries), sum(d.responses), sum(d.visits), \
                 min(d.gap_min), max(d.gap_max), min(if(d.queries > 0, d.first_seen, NULL)), max(if(d.queries > 0, d.last_seen, NULL)), \
                 groupBitOr({QTYPE_BIT}) FROM drain AS d \
                 WHERE {which} AND interval >= toDateTime({{day:UInt32}}, 'UTC') AND interval <= toDateTime({{until:UInt32}}, 'UTC') \
                 GROUP BY zone, server, client, sensor, run, role)"
            )
        } else {
            format!("(SELECT {columns} FROM drain_day WHERE {which})")
        };
        statement.with_sql(sql.replace("{rows}", &rows))
    }

    /// The asked of a row.
    fn place<'e>(&self, evidence: &'e mut Evidence, zone: u16, server: u16) -> &'e mut Asked {
        let server = self.servers().get(usize::from(server)).copied().unwrap_or(OTHERS);
        evidence.asked.entry((usize::from(zone), server)).or_insert_with(|| Asked::new(STEP))
    }

    /// No later than the moment of the verdict: an interval's rows may reach beyond it.
    fn clipped(&self, nanos: u64) -> Timestamp {
        Timestamp(nanos.min(self.at.0))
    }
}

/// Where a sensor saw a server in several roles, all but the one with the most queries: the same traffic was seen twice.
async fn roles(scope: &Scope<'_>, notes: &mut Vec<String>) -> Result<Vec<RoleRow>, ReadError> {
    let statement = scope.statement();
    let sql = format!(
        "SELECT server, sensor, arrayJoin(arrayPopFront(arrayReverseSort((role, asked) -> (asked, role), groupArray(role), \
         groupArray(asked)))) AS role \
         FROM (SELECT server, sensor, toString(role) AS role, sum(queries) AS asked FROM drain_hour WHERE {WHICH_OLD} \
         GROUP BY server, sensor, role) GROUP BY server, sensor ORDER BY ALL"
    );
    let rows: Vec<RoleRow> = all(scope.client, "roles", statement.with_sql(sql)).await?;
    for row in &rows {
        let note = format!(
            "{}: sensor {} saw {} in several roles, which may be the same traffic: clients are those of the role with the most queries, not of {}",
            scope.migration.name, row.sensor, row.server, row.role
        );
        notes.push(note);
    }
    Ok(rows)
}

/// The clients. Of those that may come at a period the days are read too: where one run saw all, its figures tell; where one sensor saw
/// all, uneven times between visits are uneven, whatever else is between; where several did, a client may go from one to the other, so
/// that only all of its days tell.
///
/// Of roles that are left out, only who comes at a period counts, and is unknown from the others: the quiet period depends on it.
async fn clients(scope: &Scope<'_>, evidence: &mut Evidence, roles: &Roles<'_>) -> Result<(), ReadError> {
    let first = nanos("first_seen");
    let last = nanos("last_seen");
    let sql = format!(
        "SELECT {PLACES}, client, sum(queries) AS asked, sum(rd_queries) AS rd, {} AS first, {} AS last, sum(visits) AS visit_sum, \
         toUInt64(ifNull(min(gap_min), 0)) AS shortest, toUInt64(ifNull(max(gap_max), 0)) AS longest, \
         groupBitOr(qtype_bits) AS types, \
         if(visit_sum >= 4 AND min(its_run) != max(its_run) AND (longest = 0 \
         OR longest - shortest <= greatest(toUInt64(10000000000), intDiv(shortest, 100)) \
         OR min(its_sensor) != max(its_sensor) AND max(visits) <= {FEW_VISITS}), \
         arraySort(groupArray(({first}, {last}, visits, toUInt64(ifNull(gap_min, 0)), toUInt64(ifNull(gap_max, 0)), its_run))), []) AS days \
         FROM (SELECT *, cityHash64(sensor, run, role) AS its_run, cityHash64(sensor) AS its_sensor FROM {{rows}}) \
         GROUP BY zone, server, client",
        nanos("min(first_seen)"),
        nanos("max(last_seen)"),
    );
    let statement = scope.days(roles, &sql);
    let failed = |source| ReadError::Query { what: "clients", source };
    let mut cursor = statement.query(scope.client).fetch::<ClientRow>().map_err(failed)?;
    while let Some(row) = cursor.next().await.map_err(failed)? {
        if row.asked == 0 {
            // Responses alone: the server was seen, but nobody to have asked it.
            continue;
        }
        let asked = scope.place(evidence, row.zone_at, row.server_at);
        let is_apart = scope.migration.is_apart(row.client) && row.client != OTHERS;
        let (first, last) = (scope.clipped(row.first), scope.clipped(row.last));
        match roles {
            Roles::Only(_) if is_apart || row.client == OTHERS => continue,
            Roles::Only(_) => {}
            _ if is_apart => {
                asked.apart += row.asked;
                continue;
            }
            _ => {
                asked.queries += row.asked;
                asked.first = Some(asked.first.map_or(first, |known| known.min(first)));
                asked.last = asked.last.max(Some(last));
                if row.client == OTHERS {
                    asked.count_others(row.asked);
                    continue;
                }
            }
        }
        let visits = if row.days.is_empty() {
            Visits { count: row.visit_sum, latest: last, shortest: row.shortest, longest: row.longest }
        } else {
            let day = |&(first, last, visits, shortest, longest, run)| {
                let gaps = (longest > 0).then_some((shortest, longest));
                // A day of responses alone is none.
                (first > 0).then_some(Day { first, last, visits, gaps, run })
            };
            visits::visits(&row.days.iter().filter_map(day).collect::<Vec<_>>())
        };
        let client = Client {
            queries: row.asked,
            rd_queries: row.rd,
            first,
            last,
            visits,
            qtypes: row.types,
            ..Client::new(row.client)
        };
        match roles {
            Roles::Only(_) if client.period().is_some() => {
                asked.clients.entry(row.client).or_insert(client);
            }
            Roles::Only(_) => {}
            _ => {
                asked.clients.insert(row.client, client);
            }
        }
    }
    Ok(())
}

/// The last queries in all roles: what one role did not show is no silence when another did.
async fn ends(scope: &Scope<'_>, evidence: &mut Evidence) -> Result<(), ReadError> {
    let apart = apart(scope).map_or_else(String::new, |apart| format!(" AND NOT ({apart})"));
    let sql = format!(
        "SELECT {PLACES}, {} AS first, {} AS last FROM {{rows}} WHERE isNotNull(last_seen){apart} GROUP BY zone, server",
        nanos("min(first_seen)"),
        nanos("max(last_seen)"),
    );
    let rows: Vec<EndsRow> = all(scope.client, "last queries", scope.days(&Roles::All, &sql)).await?;
    for row in rows {
        let (first, last) = (scope.clipped(row.first), scope.clipped(row.last));
        let asked = scope.place(evidence, row.zone_at, row.server_at);
        asked.first = Some(asked.first.map_or(first, |known| known.min(first)));
        asked.last = asked.last.max(Some(last));
    }
    Ok(())
}

/// The condition on clients that are set apart; `None` = none is.
fn apart(scope: &Scope<'_>) -> Option<String> {
    let ends = scope.migration.set_apart.iter().map(|prefix| {
        let (first, last) = prefix.ends();
        format!("(client >= toIPv6('{first}') AND client <= toIPv6('{last}') AND client != toIPv6('::'))")
    });
    let ends: Vec<String> = ends.collect();
    (!ends.is_empty()).then(|| ends.join(" OR "))
}

/// The time lines: of the roles of one sensor the one with the most queries of each hour counts, without what clients asked that are set
/// apart. A server that never answered is one of which nobody knows what it serves.
async fn hours(scope: &Scope<'_>, evidence: &mut Evidence) -> Result<(), ReadError> {
    type Key = (u16, u16, u32, String, String);
    let mut statement = scope.statement();
    let hour = scope.until() - scope.until() % HOUR;
    statement.number("hour", hour);
    let keys = "zone_at, server_at, hour, sensor, role";
    let columns = format!("{PLACES}, toString(sensor) AS sensor, toString(role) AS role");
    let counts = "sum(queries) AS asked, sum(responses) AS answered";
    let cut =
        "interval >= toDateTime({hour:UInt32}, 'UTC') AND interval <= toDateTime({until:UInt32}, 'UTC')";
    let whole = if scope.is_cut { " AND interval < toDateTime({hour:UInt32}, 'UTC')" } else { "" };
    let mut sql = format!(
        "SELECT {columns}, toUInt32(interval) AS hour, {counts} FROM drain_hour WHERE {WHICH}{whole} GROUP BY {keys}"
    );
    if scope.is_cut {
        sql += &format!(
            " UNION ALL SELECT {columns}, {{hour:UInt32}} AS hour, {counts} FROM drain WHERE {WHICH} AND {cut} GROUP BY {keys}"
        );
    }
    let order = |sql: String| {
        format!("SELECT zone_at, server_at, hour, sensor, role, asked, answered FROM ({sql}) ORDER BY {keys}")
    };
    let rows: Vec<HourRow> = all(scope.client, "hours", statement.clone().with_sql(order(sql))).await?;
    let mut apart_asked: BTreeMap<Key, u64> = BTreeMap::new();
    if let Some(apart) = apart(scope) {
        let sql = format!(
            "SELECT {columns}, toUInt32(toStartOfHour(interval)) AS hour, {counts} FROM drain \
             WHERE {WHICH} AND ({apart}) AND interval <= toDateTime({{until:UInt32}}, 'UTC') GROUP BY {keys}"
        );
        let rows: Vec<HourRow> = all(scope.client, "hours", statement.with_sql(order(sql))).await?;
        for row in rows {
            let key = (row.zone_at, row.server_at, row.hour, row.sensor, row.role);
            *apart_asked.entry(key).or_default() += row.asked;
        }
    }
    let mut most: BTreeMap<(u16, u16, u32, String), u64> = BTreeMap::new();
    let mut answered: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    for row in rows {
        let key = (row.zone_at, row.server_at, row.hour, row.sensor, row.role);
        let asked = row.asked.saturating_sub(apart_asked.get(&key).copied().unwrap_or_default());
        let count = most.entry((key.0, key.1, key.2, key.3)).or_default();
        *count = (*count).max(asked);
        *answered.entry((row.zone_at, row.server_at)).or_default() += row.answered;
    }
    let mut series: BTreeMap<(u16, u16), (Series, u64)> = BTreeMap::new();
    for ((zone, server, hour, _), count) in most.into_iter().filter(|(_, count)| *count > 0) {
        let (series, sum) = series.entry((zone, server)).or_insert_with(|| (Series::new(STEP), 0));
        series.add(seconds(hour), count);
        *sum += count;
    }
    let is_old = |server: u16| usize::from(server) < scope.migration.old.len();
    for ((zone, server), (series, sum)) in series {
        let asked = scope.place(evidence, zone, server);
        asked.series = series;
        // Whose clients are not told apart.
        asked.queries = if is_old(server) { asked.queries } else { sum };
    }
    for ((zone, server, ..), count) in apart_asked.into_iter().filter(|((_, server, ..), _)| !is_old(*server))
    {
        scope.place(evidence, zone, server).apart += count;
    }
    for ((zone, server), answered) in answered {
        let Some(&address) = scope.servers().get(usize::from(server)) else { continue };
        let key = (usize::from(zone), address);
        if let Some(last) = evidence.asked.get(&key).and_then(|asked| asked.last).filter(|_| answered == 0) {
            evidence.unread.insert(key, last);
        }
    }
    Ok(())
}
