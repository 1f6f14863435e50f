CREATE TABLE IF NOT EXISTS $db.finding$local $on_cluster (
    id String COMMENT 'Stable for one finding from opening to closing',
    opened DateTime64(9, 'UTC') COMMENT 'Traffic time at which it opened',
    closed Nullable(DateTime64(9, 'UTC')) COMMENT 'Traffic time at which it closed; NULL while open',
    updated DateTime64(9, 'UTC') COMMENT 'When this row was written; the latest row of an id counts (FINAL)',
    sensor LowCardinality(String) COMMENT 'The sensor (--sensor)',
    run LowCardinality(String) COMMENT 'The run of that sensor (sensor_run.run)',
    kind LowCardinality(String) COMMENT 'live or replay',
    role LowCardinality(String) COMMENT 'wire or the dnstap role in whose traffic it was seen',
    code LowCardinality(String) COMMENT 'What was found, a stable word: lame-server, serial-skew, nxdomain-surge, ...',
    severity LowCardinality(String) COMMENT 'info, warning or error',
    zone String COMMENT 'Zone concerned, final dot; empty = none',
    qname String COMMENT 'Name concerned, lower case, final dot; empty = none',
    server LowCardinality(String) COMMENT 'Server concerned, address in canonical text; empty = none',
    count UInt64 COMMENT 'Messages that show it',
    first_seen DateTime64(9, 'UTC') COMMENT 'Time of the first of them',
    last_seen DateTime64(9, 'UTC') COMMENT 'Time of the last of them',
    evidence String COMMENT 'An example and the figures, as JSON'
)
ENGINE = $ReplacingMergeTree(updated)
ORDER BY (sensor, run, id)
SETTINGS $deduplication_window = 10000
COMMENT 'Faults seen in the traffic, opened and closed. Read with FINAL';
