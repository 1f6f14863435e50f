CREATE MATERIALIZED VIEW IF NOT EXISTS $db.traffic_to_hour $on_cluster TO $db.traffic_hour$local
COMMENT 'Fills traffic_hour with each insert into traffic'
AS SELECT * EXCEPT (clients, other_names) REPLACE (toStartOfHour(interval) AS interval)
FROM $db.traffic$local;

CREATE MATERIALIZED VIEW IF NOT EXISTS $db.traffic_to_day $on_cluster TO $db.traffic_day$local
COMMENT 'Fills traffic_day with each insert into traffic'
AS SELECT * EXCEPT (clients, other_names) REPLACE (toDateTime(toStartOfDay(interval), 'UTC') AS interval)
FROM $db.traffic$local;

CREATE MATERIALIZED VIEW IF NOT EXISTS $db.traffic_to_zone $on_cluster TO $db.traffic_zone$local
COMMENT 'Fills traffic_zone with each insert into traffic'
AS SELECT interval, sensor, run, kind, server, role, transport, zone,
$sums
FROM $db.traffic$local AS t
GROUP BY interval, sensor, run, kind, server, role, transport, zone;

CREATE MATERIALIZED VIEW IF NOT EXISTS $db.zone_to_server $on_cluster TO $db.traffic_server$local
COMMENT 'Fills traffic_server with what goes into traffic_zone'
AS SELECT toStartOfHour(t.interval) AS interval, sensor, run, kind, server, role, transport,
$sums
FROM $db.traffic_zone$local AS t
GROUP BY interval, sensor, run, kind, server, role, transport;
