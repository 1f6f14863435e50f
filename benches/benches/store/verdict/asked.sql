-- Rows of drain: 100,000 clients, each on six of thirty days in three intervals, of the two old servers or of the new one. Most ask the
-- old servers before the cutover on the tenth day, fewer and fewer on the ten days after it, none after the twentieth; the new one from the
-- cutover on. A third of the clients go from sensor to sensor. One in 1,000 comes each day at its minute, and one each seventh.
INSERT INTO drain (interval, sensor, run, kind, role, migration, zone, server, client, qtype, queries, rd_queries, responses, first_seen,
    last_seen, visits, gap_min, gap_max)
WITH
    toUInt32(intDiv(number, 54)) AS who,
    intDiv(number, 9) % 6 AS turn,
    intDiv(number, 3) % 3 AS place,
    number % 3 AS time,
    cityHash64(who, turn, 1) AS dice,
    who % 1000 < 2 AS is_monitor,
    multiIf(is_monitor, turn * 3, place = 2, 10 + dice % 20, dice % 4 < 3, dice % 10, 10 + least(dice % 10, intDiv(dice, 64) % 10)) AS day,
    if(is_monitor, who % 1440, cityHash64(who, turn, place, time) % 1440) AS minute,
    if(who % 3 = 0, dice % 5, who % 5) AS its_sensor
SELECT
    toStartOfMinute({begin:DateTime('UTC')}) + 86400 * day + 60 * minute,
    concat('sensor-', toString(its_sensor)),
    concat('run-', toString(intDiv(day, 7))),
    'live',
    'wire',
    'to-b',
    'corp.example.',
    ['192.0.2.1', '192.0.2.2', '198.51.100.1'][1 + place],
    toIPv6(if(who % 4 = 0, concat('2001:db8:', lower(hex(toUInt16(intDiv(who, 65536)))), ':', lower(hex(toUInt16(who))), '::1'),
        concat('::ffff:', toString(10 + intDiv(who, 65536)), '.', toString(intDiv(who, 256) % 256), '.', toString(who % 256), '.1'))),
    ['A', 'AAAA', 'NS', 'MX'][1 + cityHash64(who, time) % 4],
    1 + dice % 5,
    if(who % 20 = 0, 1 + dice % 5, 0),
    1 + dice % 5,
    toDateTime64(toStartOfMinute({begin:DateTime('UTC')}) + 86400 * day + 60 * minute, 9, 'UTC') + toIntervalMillisecond(dice % 30000),
    toDateTime64(toStartOfMinute({begin:DateTime('UTC')}) + 86400 * day + 60 * minute, 9, 'UTC') + toIntervalMillisecond(dice % 30000 + 900),
    1,
    if(turn > 0 AND time > 0, 60000000000 * (1 + cityHash64(who, turn, time) % 1440), NULL),
    if(turn > 0 AND time > 0, 60000000000 * (1440 + cityHash64(who, turn, time) % 1440), NULL)
FROM numbers(54 * 100000)
