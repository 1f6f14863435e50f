    sensor LowCardinality(String) COMMENT 'The sensor that saw it (--sensor)' CODEC(ZSTD(1)),
    run LowCardinality(String) COMMENT 'The run of that sensor (sensor_run.run); deleting a run deletes all it wrote' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'live (captured as it passed) or replay (read from files); retention spares replays unless asked' CODEC(ZSTD(1)),
    server LowCardinality(String) COMMENT 'Server address in canonical text; (others) = servers without an account of their own' CODEC(ZSTD(1)),
    role LowCardinality(String) COMMENT 'wire (packets) or the dnstap role auth, client, resolver, forwarder, stub, tool, update; roles are different traffic: never add them together' CODEC(ZSTD(1)),
    transport LowCardinality(String) COMMENT 'udp, tcp, dot, doh, doq, dnscrypt_udp, dnscrypt_tcp, unknown' CODEC(ZSTD(1))
