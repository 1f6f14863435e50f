    zone String COMMENT 'Zone of the name, final dot; (others) = zones without a row of their own' CODEC(ZSTD(1))
