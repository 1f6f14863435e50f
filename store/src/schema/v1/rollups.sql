CREATE TABLE IF NOT EXISTS $db.traffic_hour$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the hour' CODEC(ZSTD(1)),
$dimensions,
$zone,
$name,
$measures,
    INDEX by_qname qname TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (toDate(interval), zone, qname, qtype)
ORDER BY (toDate(interval), zone, qname, qtype, interval, server, role, transport, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'traffic per hour, without clients and other_names';

CREATE TABLE IF NOT EXISTS $db.traffic_day$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the day, UTC' CODEC(ZSTD(1)),
$dimensions,
$zone,
$name,
$measures,
    INDEX by_qname qname TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (interval, zone, qname, qtype)
ORDER BY (interval, zone, qname, qtype, server, role, transport, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'traffic per day, without clients and other_names';

CREATE TABLE IF NOT EXISTS $db.traffic_zone$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval, as in traffic' CODEC(ZSTD(1)),
$dimensions,
$zone,
$measures
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (toDate(interval), zone)
ORDER BY (toDate(interval), zone, interval, server, role, transport, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'traffic without names: for questions about zones and their servers';

CREATE TABLE IF NOT EXISTS $db.traffic_server$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the hour' CODEC(ZSTD(1)),
$dimensions,
$measures
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (interval, server)
ORDER BY (interval, server, role, transport, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'traffic per hour without names and zones: for questions about servers and sensors over weeks';
