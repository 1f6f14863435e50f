SELECT toDateTime(toStartOfDay(d.interval), 'UTC') AS interval, sensor, run, kind, role, migration, zone, server, client,
    sum(d.queries) AS queries, sum(d.rd_queries) AS rd_queries, sum(d.responses) AS responses,
    min(if(d.queries > 0, d.first_seen, NULL)) AS first_seen, max(if(d.queries > 0, d.last_seen, NULL)) AS last_seen,
    sum(d.visits) AS visits, min(d.gap_min) AS gap_min, max(d.gap_max) AS gap_max,
    groupUniqArray(toString(d.qtype)) AS qtypes,
    groupBitOr($qtype_bit) AS qtype_bits, groupUniqArray(d.interval) AS intervals
