CREATE TABLE IF NOT EXISTS $db.coverage$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval' CODEC(DoubleDelta, ZSTD(1)),
    sensor LowCardinality(String) COMMENT 'The sensor (--sensor)' CODEC(ZSTD(1)),
    run LowCardinality(String) COMMENT 'The run of that sensor (sensor_run.run)' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'live or replay' CODEC(ZSTD(1)),
    source String COMMENT 'What was watched: the path of a file, an interface or a socket' CODEC(ZSTD(1)),
    server LowCardinality(String) COMMENT 'Server address in canonical text that these figures are of; empty = all servers of the source' CODEC(ZSTD(1)),
    frames SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets or dnstap frames read' CODEC(T64, ZSTD(1)),
    octets SimpleAggregateFunction(sum, UInt64) COMMENT 'Octets of those frames as captured' CODEC(T64, ZSTD(1)),
    messages SimpleAggregateFunction(sum, UInt64) COMMENT 'DNS messages read' CODEC(T64, ZSTD(1)),
    first SimpleAggregateFunction(min, Nullable(DateTime64(9, 'UTC'))) COMMENT 'Time of the earliest frame; NULL without one' CODEC(ZSTD(1)),
    last SimpleAggregateFunction(max, Nullable(DateTime64(9, 'UTC'))) COMMENT 'Time of the latest frame; NULL without one' CODEC(ZSTD(1)),
    heartbeats SimpleAggregateFunction(sum, UInt64) COMMENT 'Signs of life of the sensor in this interval, whether or not there was traffic' CODEC(T64, ZSTD(1)),
    lost SimpleAggregateFunction(sumMap, Map(String, UInt64)) COMMENT 'What was lost, by reason: kernel_drop, queue_full, spool_dropped_rows, spool_dropped_queries, spool_dropped_responses, ...; empty = nothing' CODEC(ZSTD(1)),
    unknown SimpleAggregateFunction(max, UInt8) COMMENT '1 = loss of this interval cannot be known (unknown is not zero)' CODEC(ZSTD(1))
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
ORDER BY (sensor, source, server, interval, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'What each sensor could see, and what it lost. Rows of one key add up';
