CREATE TABLE IF NOT EXISTS $db.drain$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval' CODEC(DoubleDelta, ZSTD(1)),
    sensor LowCardinality(String) COMMENT 'The sensor (--sensor)' CODEC(ZSTD(1)),
    run LowCardinality(String) COMMENT 'The run of that sensor (sensor_run.run)' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'live or replay' CODEC(ZSTD(1)),
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together' CODEC(ZSTD(1)),
    migration LowCardinality(String) COMMENT 'The migration as configured' CODEC(ZSTD(1)),
    zone String COMMENT 'The zone being moved, final dot' CODEC(ZSTD(1)),
    server LowCardinality(String) COMMENT 'Old or new server, address in canonical text' CODEC(ZSTD(1)),
    client IPv6 COMMENT 'Who asked (IPv4 as ::ffff:a.b.c.d; lowtideAddress(client) gives text); every client of a migration is kept' CODEC(ZSTD(1)),
    qtype LowCardinality(String) COMMENT 'Query type by name' CODEC(ZSTD(1)),
    queries SimpleAggregateFunction(sum, UInt64) COMMENT 'Queries' CODEC(T64, ZSTD(1)),
    rd_queries SimpleAggregateFunction(sum, UInt64) COMMENT 'Of those, with RD set: not from a resolver that iterates' CODEC(T64, ZSTD(1)),
    responses SimpleAggregateFunction(sum, UInt64) COMMENT 'Responses' CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) COMMENT 'Time of the first query' CODEC(DoubleDelta, ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) COMMENT 'Time of the last query' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (migration, server, zone, client)
ORDER BY (migration, server, zone, client, interval, qtype, role, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'Who still asks the servers of a migration. Rows of one key add up';
