CREATE OR REPLACE FUNCTION lowtideLatencyUpper $on_cluster AS (bucket) ->
    multiIf(bucket < 256, toUInt64(bucket),
            bucket > 2532, 18446744073709551615,
            toUInt64(bitShiftLeft(toUInt64(bitAnd(bucket, 127)) + 129, toUInt8(bitShiftRight(bucket, 7) - 1)) - 1));

CREATE OR REPLACE FUNCTION lowtideLatencyQuantile $on_cluster AS (latency, level) ->
    if(arraySum(mapValues(latency)) = 0, NULL,
       lowtideLatencyUpper(arrayFirst((bucket, below) -> below >= greatest(ceil(arraySum(mapValues(latency)) * level), 1),
                                      mapKeys(mapSort(latency)), arrayCumSum(mapValues(mapSort(latency))))));

CREATE OR REPLACE FUNCTION lowtideAddress $on_cluster AS (address) ->
    if(address = toIPv6('::'), '(others)', replaceRegexpOne(toString(address), '^::ffff:([0-9]+\\.[0-9.]+)', '\\1'));
