CREATE TABLE IF NOT EXISTS $db.rrset$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval' CODEC(DoubleDelta, ZSTD(1)),
    sensor LowCardinality(String) COMMENT 'The sensor (--sensor)' CODEC(ZSTD(1)),
    run LowCardinality(String) COMMENT 'The run of that sensor (sensor_run.run)' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'live or replay' CODEC(ZSTD(1)),
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together' CODEC(ZSTD(1)),
    server LowCardinality(String) COMMENT 'The server that gave it, address in canonical text' CODEC(ZSTD(1)),
    zone String COMMENT 'Zone of the answer, final dot' CODEC(ZSTD(1)),
    owner String COMMENT 'Owner name of the RRset, lower case, final dot' CODEC(ZSTD(1)),
    rrtype LowCardinality(String) COMMENT 'Record type by name' CODEC(ZSTD(1)),
    section LowCardinality(String) COMMENT 'answer, authority or additional' CODEC(ZSTD(1)),
    digest UInt64 COMMENT 'Digest of the RRset in canonical form (RFC 4034 section 6), TTL left out: equal contents, equal digest' CODEC(ZSTD(1)),
    rdata SimpleAggregateFunction(any, Array(String)) COMMENT 'The records in presentation form, sorted; fixed by digest' CODEC(ZSTD(1)),
    ttl_min SimpleAggregateFunction(min, UInt32) COMMENT 'Lowest TTL served, seconds' CODEC(T64, ZSTD(1)),
    ttl_max SimpleAggregateFunction(max, UInt32) COMMENT 'Highest TTL served, seconds' CODEC(T64, ZSTD(1)),
    horizon SimpleAggregateFunction(max, DateTime('UTC')) COMMENT 'Until when a compliant cache may hold it: latest time served + its TTL then' CODEC(DoubleDelta, ZSTD(1)),
    soa_serial SimpleAggregateFunction(max, Nullable(UInt32)) COMMENT 'Of a SOA: its serial, fixed by digest; compare by RFC 1982; else NULL' CODEC(ZSTD(1)),
    rrsig_expiry SimpleAggregateFunction(min, Nullable(DateTime('UTC'))) COMMENT 'Earliest expiration of the signatures seen with it; NULL without one' CODEC(ZSTD(1)),
    answers SimpleAggregateFunction(sum, UInt64) COMMENT 'Responses that carried it' CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) COMMENT 'Time of the first of them' CODEC(DoubleDelta, ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) COMMENT 'Time of the last of them' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (zone, owner, rrtype)
ORDER BY (zone, owner, rrtype, interval, server, section, digest, role, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'Which RRsets each server served. Rows of one key add up';
