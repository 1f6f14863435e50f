-- What the five servers of each of four zones served by the hour: SOA and NS of the zone and eight addresses. One server
-- of mail.example.org. is a serial behind one hour in twenty, one of shop.example. gives another address for a day.
INSERT INTO rrset
WITH
    intDiv(number, 200) AS hour,
    intDiv(number, 50) % 4 AS its_zone,
    intDiv(number, 10) % 5 AS place,
    number % 10 AS record,
    cityHash64(number, 1) AS dice,
    2026082300 + intDiv(hour, 24) - toUInt32(its_zone = 3 AND place = 4 AND hour % 20 = 0) AS serial,
    its_zone = 1 AND place = 2 AND record = 5 AND intDiv(hour, 24) = 60 AS wrong
SELECT
    toDateTime({begin:String}, 'UTC') + 3600 * hour AS interval,
    concat('sensor-', leftPad(toString(place), 2, '0')) AS sensor,
    concat('2026-', toString(8 + intDiv(hour, 720))) AS run,
    'live' AS kind,
    'wire' AS role,
    if(place = 4, '2001:db8::4', concat('192.0.2.', toString(10 + place))) AS server,
    ['corp.example.', 'shop.example.', 'cdn.example.net.', 'mail.example.org.'][1 + its_zone] AS zone,
    if(record < 2, zone, concat('www-', toString(record), '.', zone)) AS owner,
    multiIf(record = 0, 'SOA', record = 1, 'NS', 'A') AS rrtype,
    'answer' AS section,
    cityHash64(rdata) AS digest,
    multiIf(record = 0, [concat('ns1.', zone, ' hostmaster.', zone, ' ', toString(serial), ' 7200 900 1209600 300')],
            record = 1, [concat('ns1.', zone), concat('ns2.', zone)],
            [concat('203.0.113.', toString(record + 100 * wrong))]) AS rdata,
    300 AS ttl_min,
    300 AS ttl_max,
    interval + 3900 AS horizon,
    if(record = 0, serial, NULL) AS soa_serial,
    interval + 14 * 86400 AS rrsig_expiry,
    1 + dice % 50 AS answers,
    toDateTime64(interval, 9, 'UTC') + toIntervalMillisecond(dice % 60000) AS first_seen,
    toDateTime64(interval, 9, 'UTC') + 3600 - toIntervalMillisecond(1 + dice % 60000) AS last_seen
FROM numbers(2160 * 200);
