ALTER TABLE $db.drain$local $on_cluster
    ADD COLUMN IF NOT EXISTS visits SimpleAggregateFunction(sum, UInt64) COMMENT 'Visits of the client that began with one of these queries: what comes less than a minute apart is one visit' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS gap_min SimpleAggregateFunction(min, Nullable(UInt64)) COMMENT 'Shortest time from the beginning of a visit to that of the next, of visits that began here, nanoseconds; NULL where no visit before them is known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS gap_max SimpleAggregateFunction(max, Nullable(UInt64)) COMMENT 'Longest such time, nanoseconds; NULL where no visit before them is known' CODEC(ZSTD(1)),
    COMMENT COLUMN first_seen 'Time of the first query; of the first response where queries = 0',
    COMMENT COLUMN last_seen 'Time of the last query; of the last response where queries = 0';

ALTER TABLE $db.rrset$local $on_cluster
    COMMENT COLUMN IF EXISTS digest 'XXH3-64 of rdata, each record followed by a line feed; TTL left out: equal contents, equal digest';

CREATE TABLE IF NOT EXISTS $db.drain_day$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the day, UTC' CODEC(ZSTD(1)),
$whose,
    client IPv6 COMMENT 'Who asked (IPv4 as ::ffff:a.b.c.d; lowtideAddress(client) gives text); :: = clients beyond a sensor''s bound' CODEC(ZSTD(1)),
$asked,
    visits SimpleAggregateFunction(sum, UInt64) COMMENT 'Visits that began on this day, as in drain' CODEC(T64, ZSTD(1)),
    gap_min SimpleAggregateFunction(min, Nullable(UInt64)) COMMENT 'Shortest time from the beginning of a visit to that of the next, of visits that began on this day, nanoseconds; NULL where none is known' CODEC(ZSTD(1)),
    gap_max SimpleAggregateFunction(max, Nullable(UInt64)) COMMENT 'Longest such time, nanoseconds; NULL where none is known' CODEC(ZSTD(1)),
    qtypes SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'Query types it asked for, by name, in no order' CODEC(ZSTD(1)),
    qtype_bits SimpleAggregateFunction(groupBitOr, UInt64) COMMENT 'The same as bits: that of a code point below 63, the lowest for IXFR, AXFR, MAILB, MAILA and ANY, else the highest' CODEC(ZSTD(1)),
    intervals SimpleAggregateFunction(groupUniqArrayArray, Array(DateTime('UTC'))) COMMENT 'Intervals of drain in which it asked, in no order' CODEC(ZSTD(1))
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (migration, server, zone, client)
ORDER BY (migration, server, zone, client, interval, role, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'drain per day and client: who still asks, over weeks';

CREATE TABLE IF NOT EXISTS $db.drain_hour$local $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the hour' CODEC(DoubleDelta, ZSTD(1)),
$whose,
$asked
)
ENGINE = $AggregatingMergeTree
PARTITION BY (kind, toYYYYMM(interval))
PRIMARY KEY (migration, server, zone, interval)
ORDER BY (migration, server, zone, interval, role, sensor, run, kind)
SETTINGS $deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
COMMENT 'drain per hour without clients: how old and new servers share the queries over time';
