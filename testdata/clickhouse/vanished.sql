-- A name that all sensors of traffic.sql see in every interval, and that is gone since noon of the 89th day: its clients ask on.
INSERT INTO traffic (interval, sensor, run, kind, server, role, transport, zone, qname, qtype, queries, responses, answered,
    nxdomain, rcodes, query_octets, response_octets, response_octets_max, latency, latency_sum_ns, latency_min_ns, latency_max_ns, clients)
WITH
    intDiv(number, 20) AS window,
    number % 20 AS site,
    cityHash64(number, 1) AS dice,
    window >= 12744 AS gone,
    6 + dice % 10 AS asked,
    (180 + 90 * site) * (1 + dice % 40 / 100.) AS micros
SELECT
    toDateTime({begin:String}, 'UTC') + 600 * window AS interval,
    concat('sensor-', leftPad(toString(site), 2, '0')) AS sensor,
    concat('2026-', toString(8 + intDiv(window, 4320))) AS run,
    'live' AS kind,
    if(site % 5 = 4, concat('2001:db8::', toString(site)), concat('192.0.2.', toString(10 + site))) AS server,
    if(site % 4 = 3, 'auth', 'wire') AS role,
    'udp' AS transport,
    'corp.example.' AS zone,
    'old-portal.corp.example.' AS qname,
    'A' AS qtype,
    asked AS queries,
    asked AS responses,
    asked AS answered,
    if(gone, asked, 0) AS nxdomain,
    map(if(gone, 'NXDOMAIN', 'NOERROR'), asked) AS rcodes,
    asked * 42 AS query_octets,
    asked * if(gone, 110, 58) AS response_octets,
    if(gone, 110, 58) AS response_octets_max,
    -- Buckets of 256 to 8191 µs: 128 an octave.
    map(toUInt16(128 * (toUInt64(floor(log2(micros))) - 7) + intDiv(toUInt64(micros), toUInt64(exp2(floor(log2(micros)) - 7)))), asked) AS latency,
    toUInt64(asked * micros * 1000) AS latency_sum_ns,
    toUInt64(micros * 1000) AS latency_min_ns,
    toUInt64(micros * 1000) AS latency_max_ns,
    map(toIPv6('::ffff:198.51.100.7'), asked - 5, toIPv6('2001:db8:53::7'), 3, toIPv6('::'), 2) AS clients
FROM numbers(20 * 12960);
