CREATE OR REPLACE VIEW $db.v_drain $on_cluster (
    migration LowCardinality(String) COMMENT 'The migration as configured',
    zone String COMMENT 'The zone being moved',
    server LowCardinality(String) COMMENT 'Old or new server',
    kind LowCardinality(String) COMMENT 'live or replay',
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together',
    sensor LowCardinality(String) COMMENT 'The sensor; two sensors may see the same query',
    client IPv6 COMMENT 'Who asked',
    address String COMMENT 'The client as text',
    queries UInt64 COMMENT 'Queries in the time asked about: the denominator of rd_share',
    rd_queries UInt64 COMMENT 'Of those, with RD set',
    rd_share Nullable(Float64) COMMENT 'rd_queries / queries; NULL without a query',
    responses UInt64 COMMENT 'Responses',
    intervals UInt64 COMMENT 'Different intervals in which it asked',
    qtypes Array(String) COMMENT 'Query types it asked for',
    first_seen Nullable(DateTime64(9, 'UTC')) COMMENT 'Its first query; NULL = responses alone were seen',
    last_seen Nullable(DateTime64(9, 'UTC')) COMMENT 'Its last query; NULL = responses alone were seen'
)
COMMENT 'Who still asks which server of a migration, how often, since when and until when? The verdict, which weighs coverage too, is lowtide drain''s'
AS SELECT migration, zone, server, kind, role, sensor, client,
    lowtideAddress(client) AS address,
    sum(d.queries) AS queries,
    sum(d.rd_queries) AS rd_queries,
    if(queries = 0, NULL, rd_queries / queries) AS rd_share,
    sum(d.responses) AS responses,
    length(groupUniqArrayArray(d.intervals)) AS intervals,
    arraySort(groupUniqArrayArray(d.qtypes)) AS qtypes,
    min(d.first_seen) AS first_seen,
    max(d.last_seen) AS last_seen
FROM $db.drain_day AS d
GROUP BY migration, zone, server, kind, role, sensor, client;
