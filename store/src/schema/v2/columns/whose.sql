    sensor LowCardinality(String) COMMENT 'The sensor (--sensor)' CODEC(ZSTD(1)),
    run LowCardinality(String) COMMENT 'The run of that sensor (sensor_run.run)' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'live or replay' CODEC(ZSTD(1)),
    role LowCardinality(String) COMMENT 'wire or the dnstap role; never add roles together' CODEC(ZSTD(1)),
    migration LowCardinality(String) COMMENT 'The migration as configured' CODEC(ZSTD(1)),
    zone String COMMENT 'The zone being moved, final dot' CODEC(ZSTD(1)),
    server LowCardinality(String) COMMENT 'Old or new server, address in canonical text' CODEC(ZSTD(1))
