CREATE TABLE IF NOT EXISTS $db.sensor_run$local $on_cluster (
    sensor LowCardinality(String) COMMENT 'The sensor (--sensor)',
    run String COMMENT 'The run: --run, or a name of its own for each start',
    kind LowCardinality(String) COMMENT 'live or replay',
    version LowCardinality(String) COMMENT 'The version of lowtide that ran',
    updated DateTime64(9, 'UTC') COMMENT 'When this row was written; the latest row of a run counts (FINAL)',
    started DateTime64(9, 'UTC') COMMENT 'When the run started, by the clock',
    finished Nullable(DateTime64(9, 'UTC')) COMMENT 'When it ended, by the clock; NULL while it has not',
    state LowCardinality(String) COMMENT 'running, finished or failed',
    fingerprint String COMMENT 'Digest of inputs and options: a run name is not used again for something else',
    inputs Array(String) COMMENT 'Files, interfaces and sockets as given',
    interval_s Float64 COMMENT 'Length of an interval of traffic, seconds',
    query_timeout_s Float64 COMMENT 'After how many seconds of traffic time a query counts as unanswered',
    first Nullable(DateTime64(9, 'UTC')) COMMENT 'Traffic time of the earliest frame',
    last Nullable(DateTime64(9, 'UTC')) COMMENT 'Traffic time of the latest frame',
    frames UInt64 COMMENT 'Packets or dnstap frames read',
    bytes UInt64 COMMENT 'Octets of the inputs as stored',
    frame_fates Map(String, UInt64) COMMENT 'Frames by fate; the counts add up to frames',
    malformed Map(String, UInt64) COMMENT 'DNS messages that could not be read to their end, by reason',
    queries UInt64 COMMENT 'Queries of all rows of the run; the sum over traffic must equal it once finished, but for what was dropped',
    responses UInt64 COMMENT 'Responses of all rows of the run',
    answered UInt64 COMMENT 'Transactions with a response within the query timeout',
    unanswered UInt64 COMMENT 'Transactions without one',
    pending UInt64 COMMENT 'Transactions whose end was not seen',
    retransmissions UInt64 COMMENT 'Queries beyond the first of their transaction',
    duplicate_responses UInt64 COMMENT 'Responses beyond the first of their transaction',
    orphan_responses UInt64 COMMENT 'Responses without a query',
    rows Map(String, UInt64) COMMENT 'Rows written, by table',
    dropped Map(String, UInt64) COMMENT 'What was counted and not delivered: rows, queries, responses, by reason; empty = nothing'
)
ENGINE = $ReplacingMergeTree(updated)
ORDER BY (sensor, run)
SETTINGS $deduplication_window = 10000
COMMENT 'One row for each run of a sensor: what it read, with which options, and its account. Read with FINAL';
