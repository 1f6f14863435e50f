    qname String COMMENT 'Query name in presentation form, lower case, final dot; (others) = names of the zone past the limit of names; empty = message without a question' CODEC(ZSTD(1)),
    qtype LowCardinality(String) COMMENT 'Query type by name, TYPE65280 where it has none; (others) with the (others) name; empty = message without a question' CODEC(ZSTD(1))
