    queries SimpleAggregateFunction(sum, UInt64) COMMENT 'Queries' CODEC(T64, ZSTD(1)),
    rd_queries SimpleAggregateFunction(sum, UInt64) COMMENT 'Of those, with RD set: not from a resolver that iterates' CODEC(T64, ZSTD(1)),
    responses SimpleAggregateFunction(sum, UInt64) COMMENT 'Responses' CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, Nullable(DateTime64(9, 'UTC'))) COMMENT 'Time of the first query; NULL without one' CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, Nullable(DateTime64(9, 'UTC'))) COMMENT 'Time of the last query; NULL without one' CODEC(ZSTD(1))
