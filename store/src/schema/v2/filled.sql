INSERT INTO $db.drain_day (interval, sensor, run, kind, role, migration, zone, server, client,
    queries, rd_queries, responses, first_seen, last_seen, visits, gap_min, gap_max, qtypes, qtype_bits, intervals)
$by_day
FROM $db.drain AS d
GROUP BY interval, sensor, run, kind, role, migration, zone, server, client
SETTINGS insert_deduplication_token = 'lowtide/schema/2/drain_day';

INSERT INTO $db.drain_hour (interval, sensor, run, kind, role, migration, zone, server,
    queries, rd_queries, responses, first_seen, last_seen)
$by_hour
FROM $db.drain AS d
GROUP BY interval, sensor, run, kind, role, migration, zone, server
SETTINGS insert_deduplication_token = 'lowtide/schema/2/drain_hour';

CREATE MATERIALIZED VIEW IF NOT EXISTS $db.drain_to_day $on_cluster TO $db.drain_day$local
COMMENT 'Fills drain_day with each insert into drain'
AS $by_day
FROM $db.drain$local AS d
GROUP BY interval, sensor, run, kind, role, migration, zone, server, client;

CREATE MATERIALIZED VIEW IF NOT EXISTS $db.drain_to_hour $on_cluster TO $db.drain_hour$local
COMMENT 'Fills drain_hour with each insert into drain'
AS $by_hour
FROM $db.drain$local AS d
GROUP BY interval, sensor, run, kind, role, migration, zone, server;
