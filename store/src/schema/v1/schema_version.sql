CREATE TABLE IF NOT EXISTS $db.schema_version$local $on_cluster (
    version UInt32 COMMENT 'Version of the schema; the highest counts',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was applied, by the server''s clock',
    applied_by String COMMENT 'The lowtide that applied it'
)
ENGINE = $ReplacingMergeTree(applied_at)
ORDER BY version
COMMENT 'Versions of the schema that were applied to this database';
