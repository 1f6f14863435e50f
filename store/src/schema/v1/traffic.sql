CREATE TABLE IF NOT EXISTS $db.traffic$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval; a transaction belongs to the interval of its first query' CODEC(ZSTD(1)),
$dimensions,
$zone,
$name,
$measures,
$minted,
    INDEX by_qname qname TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
-- By day first: a question about some days reads those alone, and of a day the names of a zone lie together. interval
-- stays out of the primary key: as a column of its own there it keeps ClickHouse from deriving the days from it.
PRIMARY KEY (toDate(interval), zone, qname, qtype)
ORDER BY (toDate(interval), zone, qname, qtype, interval, server, role, transport, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'DNS traffic per interval, sensor, server, role, transport, zone, name and type. Rows of one key add up: always aggregate';
