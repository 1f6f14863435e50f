SELECT toStartOfHour(d.interval) AS interval, sensor, run, kind, role, migration, zone, server,
    sum(d.queries) AS queries, sum(d.rd_queries) AS rd_queries, sum(d.responses) AS responses,
    min(if(d.queries > 0, d.first_seen, NULL)) AS first_seen, max(if(d.queries > 0, d.last_seen, NULL)) AS last_seen
