-- Rows for `traffic` as a fleet would write them: 20 sensors, each at one server, ten-minute intervals over 90 days,
-- 7,716 rows an interval (100 M in all), a million names of which the hundred hottest are asked everywhere all the
-- time and the rest by Zipf's law, 4 large zones and a tail of 40,000, 3 clients a row at the most with few hot ones.
-- Row n depends on n alone: any part can be generated again, in any order.
--
-- Parameters: begin (first interval, for the whole set), from and rows (which of its rows to generate).
INSERT INTO traffic
WITH
    (n, salt) -> cityHash64(n, salt) AS dice,
    (n, salt) -> dice(n, salt) / 18446744073709551616. AS share,
    intDiv(number, 7716) AS window,
    number % 7716 AS place,
    place % 20 AS site,
    intDiv(place, 20) AS slot,
    -- 386 slots a sensor: the hundred hottest names, then ranks 100 to 1,000,000 with probability 1/rank.
    toUInt64(if(slot < 100, slot, 100 * pow(10000., share(number, 1)))) AS rank,
    dice(rank, 2) AS name,
    -- Of the names 3 in 5 are in the large zones; of the tail's zones the first have more names than the last.
    if(name % 5 < 3, 0, 1 + toUInt64(pow(40000., share(rank, 3)))) AS tail,
    if(tail = 0, ['corp.example.', 'shop.example.', 'cdn.example.net.', 'mail.example.org.'][1 + dice(rank, 4) % 4],
       concat('customer-', toString(tail), '.', ['com', 'net', 'org', 'de'][1 + tail % 4], '.')) AS its_zone,
    concat(['www', 'api', 'mail', 'img', 'static', 'host', 'edge', 'node'][1 + dice(rank, 5) % 8], '-', toString(rank), '.', its_zone) AS its_name,
    ['A', 'A', 'A', 'A', 'A', 'A', 'AAAA', 'AAAA', 'AAAA', 'HTTPS', 'MX', 'TXT'][1 + if(share(number, 6) < 0.8, dice(rank, 7), dice(number, 7)) % 12] AS its_type,
    -- By day more than by night; a hot name many times an interval, one of the tail once or twice.
    1. + 0.5 * sin(2 * pi() * window / 144.) AS daylight,
    toUInt64(1 + daylight * -log(1 - share(number, 8)) * 400. / (2. + rank)) AS asked,
    toUInt64(share(number, 9) < 0.004) AS lost,
    toUInt64(share(number, 10) < 0.01) AS again,
    asked + lost + again AS all_queries,
    share(rank, 11) AS fate,
    -- 8 % of the names do not exist, 6 % have no such type, 1 % fail, 1 % are refused; 1 in 100 rows of the others has a failure.
    fate < 0.08 AS is_nxdomain,
    fate >= 0.08 AND fate < 0.14 AS is_nodata,
    (fate >= 0.14 AND fate < 0.15) OR share(number, 12) < 0.0002 AS is_servfail,
    fate >= 0.15 AND fate < 0.16 AS is_refused,
    multiIf(is_servfail, 'SERVFAIL', is_nxdomain, 'NXDOMAIN', is_refused, 'REFUSED', 'NOERROR') AS rcode,
    -- Each server has its own median, each row a spread around it, and 1 in 200 a long tail.
    (180 + 90 * site) * exp(0.25 * (share(number, 13) + share(number, 14) - 1.)) * if(share(number, 15) < 0.005, 30., 1.) AS micros,
    least(asked, 1 + dice(number, 16) % 6) AS buckets,
    arrayMap(i -> toUInt64(micros * (1. + 0.06 * i)), range(buckets)) AS steps,
    arrayDistinct(arrayMap(step -> toUInt16(bitShiftLeft(greatest(toInt64(floor(log2(step + 0.5))) - 7, 0), 7) + bitShiftRight(step, greatest(toInt64(floor(log2(step + 0.5))) - 7, 0))), steps)) AS indexes,
    toUInt64(60 + 140 * share(rank, 17) + if(share(rank, 18) < 0.05, 1300, 0)) AS size,
    toUInt64(size > 1232 AND share(number, 19) < 0.3) AS cut,
    arrayDistinct(arrayMap(
        i -> toIPv6(concat('2001:db8:53::', lower(hex(toUInt16(pow(20000., share(number, 30 + i))))))),
        range(least(all_queries, 1 + dice(number, 20) % 3)))) AS askers
SELECT
    toDateTime({begin:String}, 'UTC') + 600 * window AS interval,
    concat('sensor-', leftPad(toString(site), 2, '0')) AS sensor,
    concat('2026-', toString(8 + intDiv(window, 4320))) AS run,
    'live' AS kind,
    if(site % 5 = 4, concat('2001:db8::', toString(site)), concat('192.0.2.', toString(10 + site))) AS server,
    if(site % 4 = 3, 'auth', 'wire') AS role,
    if(cut = 0 AND share(number, 21) < 0.03, 'tcp', 'udp') AS transport,
    its_zone AS zone,
    its_name AS qname,
    its_type AS qtype,
    all_queries AS queries,
    asked AS responses,
    asked AS answered,
    lost AS unanswered,
    0 AS pending,
    again AS retransmissions,
    0 AS duplicate_responses,
    0 AS orphan_responses,
    if(is_nodata AND rcode = 'NOERROR', asked, 0) AS nodata,
    0 AS referrals,
    cut * asked AS truncated_responses,
    if(rcode = 'NXDOMAIN', asked, 0) AS nxdomain,
    if(rcode = 'SERVFAIL', asked, 0) AS servfail,
    if(rcode = 'REFUSED', asked, 0) AS refused,
    map(rcode, asked) AS rcodes,
    all_queries * (length(its_name) + 28) AS query_octets,
    asked * size AS response_octets,
    size AS response_octets_max,
    if(size > 512, asked, 0) AS responses_over_512,
    if(size > 1232, asked, 0) AS responses_over_1232,
    mapFromArrays(indexes, arrayMap(i -> if(i = 0, asked + 1 - length(indexes), 1), range(length(indexes)))) AS latency,
    toUInt64(asked * micros * 1000) AS latency_sum_ns,
    toUInt64(micros * 1000) AS latency_min_ns,
    toUInt64(micros * 1000 * (1. + 0.06 * (buckets - 1))) AS latency_max_ns,
    0 AS negative_latency,
    0 AS unknown_latency,
    mapFromArrays(askers, arrayMap(i -> if(i = 0, all_queries + 1 - length(askers), 1), range(length(askers)))) AS clients,
    0 AS other_names
FROM numbers({from:UInt64}, {rows:UInt64});
