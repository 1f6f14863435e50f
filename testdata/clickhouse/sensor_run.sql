-- The runs of the sensors of traffic.sql, with the accounts of the rows that are there.
INSERT INTO sensor_run
WITH sum(t.queries) AS all_queries, sum(t.responses) AS all_responses
SELECT
    sensor, run, kind, '0.1.0' AS version,
    toDateTime64(max(interval), 9, 'UTC') + 3600 AS updated,
    toDateTime64(min(interval), 9, 'UTC') AS started,
    if(run = '2026-10', NULL, updated) AS finished,
    if(run = '2026-10', 'running', 'finished') AS state,
    hex(cityHash64(sensor, run)) AS fingerprint,
    ['eth0'] AS inputs,
    600 AS interval_s,
    5 AS query_timeout_s,
    started AS first,
    updated AS last,
    all_queries + all_responses AS frames,
    frames * 160 AS bytes,
    map('udp_message', frames) AS frame_fates,
    map() AS malformed,
    all_queries AS queries,
    all_responses AS responses,
    sum(t.answered) AS answered,
    sum(t.unanswered) AS unanswered,
    sum(t.pending) AS pending,
    sum(t.retransmissions) AS retransmissions,
    sum(t.duplicate_responses) AS duplicate_responses,
    sum(t.orphan_responses) AS orphan_responses,
    map() AS rows,
    map() AS dropped
FROM traffic_server AS t
GROUP BY sensor, run, kind;
