-- Rows of rrset: each of three servers gives an NS set and two addresses of name servers in every minute in which five sensors look.
INSERT INTO rrset (interval, sensor, run, kind, role, server, zone, owner, rrtype, section, digest, rdata, ttl_min, ttl_max, horizon, answers,
    first_seen, last_seen)
WITH
    intDiv(number, 45) AS minute, intDiv(number, 9) % 5 AS its_sensor, intDiv(number, 3) % 3 AS place, number % 3 AS record,
    if(minute < 14400, 'a', 'b') AS provider
SELECT
    toStartOfMinute({begin:DateTime('UTC')}) + 60 * minute AS at,
    concat('sensor-', toString(its_sensor)),
    concat('run-', toString(intDiv(minute, 10080))),
    'live',
    'wire',
    ['192.0.2.1', '192.0.2.2', '198.51.100.1'][1 + place],
    'corp.example.',
    if(record = 0, 'corp.example.', concat('ns', toString(record), '.', provider, '.example.')),
    if(record = 0, 'NS', 'A'),
    ['authority', 'additional', 'additional'][1 + record],
    cityHash64(record, provider),
    multiIf(record = 0, [concat('ns1.', provider, '.example.'), concat('ns2.', provider, '.example.')],
        provider = 'a', [concat('192.0.2.', toString(record))], ['198.51.100.1']),
    3600,
    3600,
    at + 3660,
    40,
    at,
    toDateTime64(at, 9, 'UTC') + 59
FROM numbers(45 * 43200)
