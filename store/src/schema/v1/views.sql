CREATE OR REPLACE VIEW $db.v_reachable $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval, as in traffic',
    kind LowCardinality(String) COMMENT 'live or replay',
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together',
    sensor LowCardinality(String) COMMENT 'The sensor; two sensors may see the same query',
    run LowCardinality(String) COMMENT 'The run of that sensor',
    server LowCardinality(String) COMMENT 'Server address in canonical text',
    transport LowCardinality(String) COMMENT 'udp, tcp, ...',
    zone String COMMENT 'Zone of the names asked',
    transactions UInt64 COMMENT 'answered + unanswered: the denominator of unanswered_share',
    answered UInt64 COMMENT 'Transactions with a response within the query timeout',
    unanswered UInt64 COMMENT 'Transactions without one',
    unanswered_share Nullable(Float64) COMMENT 'unanswered / transactions; NULL without a transaction',
    queries UInt64 COMMENT 'Queries: the denominator of retransmitted_share',
    retransmissions UInt64 COMMENT 'Queries beyond the first of their transaction',
    retransmitted_share Nullable(Float64) COMMENT 'retransmissions / queries; NULL without a query',
    pending UInt64 COMMENT 'Transactions whose end was not seen',
    orphan_responses UInt64 COMMENT 'Responses without a query: a hint at capture loss',
    one_way UInt8 COMMENT '1 = only queries or only responses were seen here: a dead server, or a capture of one direction'
)
COMMENT 'Are the servers answering? Per interval, sensor, role, server, transport and zone'
AS SELECT interval, kind, role, sensor, run, server, transport, zone,
    sum(t.answered + t.unanswered) AS transactions,
    sum(t.answered) AS answered,
    sum(t.unanswered) AS unanswered,
    if(transactions = 0, NULL, unanswered / transactions) AS unanswered_share,
    sum(t.queries) AS queries,
    sum(t.retransmissions) AS retransmissions,
    if(queries = 0, NULL, retransmissions / queries) AS retransmitted_share,
    sum(t.pending) AS pending,
    sum(t.orphan_responses) AS orphan_responses,
    (sum(t.responses) = 0) != (queries = 0) AS one_way
FROM $db.traffic_zone AS t
GROUP BY interval, kind, role, sensor, run, server, transport, zone;

CREATE OR REPLACE VIEW $db.v_latency $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the interval, as in traffic',
    kind LowCardinality(String) COMMENT 'live or replay',
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together',
    sensor LowCardinality(String) COMMENT 'The sensor; at the server, latency is the server''s own time, not the round trip',
    run LowCardinality(String) COMMENT 'The run of that sensor',
    server LowCardinality(String) COMMENT 'Server address in canonical text',
    transport LowCardinality(String) COMMENT 'udp, tcp, ...',
    zone String COMMENT 'Zone of the names asked',
    count UInt64 COMMENT 'Samples; to join intervals, servers or zones merge histograms (v_latency.latency), never average quantiles',
    min Nullable(Float64) COMMENT 'Smallest latency, microseconds, exact',
    mean Nullable(Float64) COMMENT 'Mean, microseconds, exact',
    p50 Nullable(Float64) COMMENT 'Median, microseconds; quantiles are at most 0.8 % too high',
    p90 Nullable(Float64) COMMENT '90th percentile, microseconds',
    p95 Nullable(Float64) COMMENT '95th percentile, microseconds',
    p99 Nullable(Float64) COMMENT '99th percentile, microseconds',
    p999 Nullable(Float64) COMMENT '99.9th percentile, microseconds',
    max Nullable(Float64) COMMENT 'Largest latency, microseconds, exact',
    latency Map(UInt16, UInt64) COMMENT 'The histogram: bucket to samples'
)
COMMENT 'How slow are the servers? Per interval, sensor, role, server, transport and zone'
AS WITH quantilesExactWeightedArray(0.5, 0.9, 0.95, 0.99, 0.999)(mapKeys(t.latency), mapValues(t.latency)) AS buckets,
    (level) -> greatest(least(toFloat64(lowtideLatencyUpper(arrayElement(buckets, level))), max), min) AS quantile
SELECT interval, kind, role, sensor, run, server, transport, zone,
    sum(t.answered - t.negative_latency - t.unknown_latency) AS count,
    min(t.latency_min_ns) / 1000 AS min,
    if(count = 0, NULL, sum(t.latency_sum_ns) / count / 1000) AS mean,
    quantile(1) AS p50, quantile(2) AS p90, quantile(3) AS p95, quantile(4) AS p99, quantile(5) AS p999,
    max(t.latency_max_ns) / 1000 AS max,
    sumMap(t.latency) AS latency
FROM $db.traffic_zone AS t
GROUP BY interval, kind, role, sensor, run, server, transport, zone;

CREATE OR REPLACE VIEW $db.v_errors $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the hour',
    kind LowCardinality(String) COMMENT 'live or replay',
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together',
    sensor LowCardinality(String) COMMENT 'The sensor; two sensors may see the same response',
    run LowCardinality(String) COMMENT 'The run of that sensor',
    server LowCardinality(String) COMMENT 'Server address in canonical text',
    zone String COMMENT 'Zone of the name',
    qname String COMMENT 'Query name; (others) = names past the limit',
    qtype LowCardinality(String) COMMENT 'Query type',
    responses UInt64 COMMENT 'Responses: the denominator of the shares but unanswered_share',
    nxdomain UInt64 COMMENT 'Responses with NXDOMAIN',
    nxdomain_share Nullable(Float64) COMMENT 'nxdomain / responses; NULL without a response',
    servfail UInt64 COMMENT 'Responses with SERVFAIL',
    servfail_share Nullable(Float64) COMMENT 'servfail / responses; NULL without a response',
    refused UInt64 COMMENT 'Responses with REFUSED',
    refused_share Nullable(Float64) COMMENT 'refused / responses; NULL without a response',
    nodata UInt64 COMMENT 'NODATA responses',
    transactions UInt64 COMMENT 'answered + unanswered: the denominator of unanswered_share',
    unanswered UInt64 COMMENT 'Transactions without a response',
    unanswered_share Nullable(Float64) COMMENT 'unanswered / transactions; NULL without a transaction'
)
COMMENT 'Which names fail? Per hour, sensor, role, server, zone, name and type'
AS SELECT interval, kind, role, sensor, run, server, zone, qname, qtype,
    sum(t.responses) AS responses,
    sum(t.nxdomain) AS nxdomain,
    if(responses = 0, NULL, nxdomain / responses) AS nxdomain_share,
    sum(t.servfail) AS servfail,
    if(responses = 0, NULL, servfail / responses) AS servfail_share,
    sum(t.refused) AS refused,
    if(responses = 0, NULL, refused / responses) AS refused_share,
    sum(t.nodata) AS nodata,
    sum(t.answered + t.unanswered) AS transactions,
    sum(t.unanswered) AS unanswered,
    if(transactions = 0, NULL, unanswered / transactions) AS unanswered_share
FROM $db.traffic_hour AS t
GROUP BY interval, kind, role, sensor, run, server, zone, qname, qtype;

CREATE OR REPLACE VIEW $db.v_correct $on_cluster (
    interval DateTime('UTC') COMMENT 'Start of the hour',
    kind LowCardinality(String) COMMENT 'live or replay',
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together',
    zone String COMMENT 'Zone of the RRset',
    owner String COMMENT 'Owner name of the RRset',
    rrtype LowCardinality(String) COMMENT 'Record type',
    servers UInt64 COMMENT 'Servers that served the RRset in this hour: the denominator of agreeing',
    agreeing UInt64 COMMENT 'Servers whose last answer of the hour is the one most servers gave',
    versions UInt64 COMMENT 'Different contents among the servers'' last answers of the hour; 1 = all agree',
    changes UInt64 COMMENT 'Contents of the hour beyond one a server: the RRset changed, or a server gives several',
    answers UInt64 COMMENT 'Responses that carried it',
    contents Map(UInt64, Array(String)) COMMENT 'Digest to records, of the last answers',
    served_by Map(UInt64, Array(String)) COMMENT 'Digest to the servers that gave it last',
    ttl_min UInt32 COMMENT 'Lowest TTL served, seconds',
    ttl_max UInt32 COMMENT 'Highest TTL served, seconds',
    soa_serials Array(UInt32) COMMENT 'Of a SOA: the serials of the last answers, ascending as numbers (compare by RFC 1982)',
    rrsig_expiry Nullable(DateTime('UTC')) COMMENT 'Earliest expiration of the signatures seen with it'
)
COMMENT 'Do all servers give the same answer? Per hour, role and RRset, over all sensors and sections'
AS SELECT interval, kind, role, zone, owner, rrtype,
    count() AS servers,
    arrayMax(mapValues(sumMap(map(latest, 1)))) AS agreeing,
    uniqExact(latest) AS versions,
    sum(contents_seen - 1) AS changes,
    sum(s.answers) AS answers,
    mapFromArrays(groupUniqArray(latest), arrayMap(digest -> arrayElement(groupArray(records), indexOf(groupArray(latest), digest)), groupUniqArray(latest))) AS contents,
    mapFromArrays(groupUniqArray(latest), arrayMap(digest -> arraySort(arrayFilter((server, its) -> its = digest, groupArray(server), groupArray(latest))), groupUniqArray(latest))) AS served_by,
    min(s.ttl_min) AS ttl_min,
    max(s.ttl_max) AS ttl_max,
    arraySort(groupUniqArray(serial)) AS soa_serials,
    min(s.rrsig_expiry) AS rrsig_expiry
FROM (
    SELECT toStartOfHour(r.interval) AS interval, kind, role, zone, owner, rrtype, toString(server) AS server,
        argMax(digest, (last_seen, digest)) AS latest,
        argMax(rdata, (last_seen, digest)) AS records,
        argMax(soa_serial, (last_seen, digest)) AS serial,
        uniqExact(digest) AS contents_seen,
        sum(r.answers) AS answers,
        min(r.ttl_min) AS ttl_min,
        max(r.ttl_max) AS ttl_max,
        min(r.rrsig_expiry) AS rrsig_expiry
    FROM $db.rrset AS r
    GROUP BY interval, kind, role, zone, owner, rrtype, server
) AS s
GROUP BY interval, kind, role, zone, owner, rrtype;

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
    first_seen DateTime64(9, 'UTC') COMMENT 'Its first query',
    last_seen DateTime64(9, 'UTC') COMMENT 'Its last query'
)
COMMENT 'Who still asks which server of a migration, how often, since when and until when? The verdict, which weighs coverage too, is lowtide drain''s'
AS SELECT migration, zone, server, kind, role, sensor, client,
    lowtideAddress(client) AS address,
    sum(d.queries) AS queries,
    sum(d.rd_queries) AS rd_queries,
    if(queries = 0, NULL, rd_queries / queries) AS rd_share,
    sum(d.responses) AS responses,
    uniqExact(interval) AS intervals,
    arraySort(groupUniqArray(toString(qtype))) AS qtypes,
    min(d.first_seen) AS first_seen,
    max(d.last_seen) AS last_seen
FROM $db.drain AS d
GROUP BY migration, zone, server, kind, role, sensor, client;
