-- A migration of corp.example. away from 192.0.2.10 and 192.0.2.11 on the 60th day: 4,000 clients, most of which turn
-- away within two days, some of which never do.
INSERT INTO drain (interval, sensor, run, kind, role, migration, zone, server, client, qtype, queries, rd_queries, responses, first_seen, last_seen)
WITH
    intDiv(number, 1000) AS hour,
    cityHash64(number, 1) AS dice,
    toUInt64(pow(4000., dice / 18446744073709551616.)) AS who,
    greatest(0, toInt64(hour) - 1440) AS after
SELECT
    toDateTime({begin:String}, 'UTC') + 3600 * hour AS interval,
    'sensor-00' AS sensor,
    concat('2026-', toString(8 + intDiv(hour, 720))) AS run,
    'live' AS kind,
    'wire' AS role,
    'corp-to-cloud' AS migration,
    'corp.example.' AS zone,
    if(dice % 3 = 0, '192.0.2.11', '192.0.2.10') AS server,
    toIPv6(if(who % 2 = 0, concat('2001:db8:53::', lower(hex(toUInt16(who)))), concat('198.51.', toString(intDiv(who, 256)), '.', toString(who % 256)))) AS client,
    ['A', 'AAAA', 'SOA'][1 + cityHash64(number, 2) % 3] AS qtype,
    1 + dice % 9 AS queries,
    if(who % 10 = 0, queries, 0) AS rd_queries,
    queries AS responses,
    toDateTime64(interval, 9, 'UTC') + toIntervalMillisecond(dice % 1800000) AS first_seen,
    toDateTime64(interval, 9, 'UTC') + toIntervalMillisecond(1800000 + dice % 1800000) AS last_seen
FROM numbers(2160 * 1000)
WHERE after = 0 OR exp(-after / (4. + cityHash64(who) % 12)) > cityHash64(number, 3) / 18446744073709551616. OR who % 37 = 1 AND cityHash64(number, 3) % 8 = 0;
