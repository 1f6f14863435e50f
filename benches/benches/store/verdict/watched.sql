-- Rows of coverage: five sensors with an interface each, a row a minute for all of it and one for each of three servers, with heartbeats.
INSERT INTO coverage (interval, sensor, run, kind, source, server, frames, octets, messages, first, last, heartbeats)
WITH intDiv(number, 20) AS minute, intDiv(number, 4) % 5 AS its_sensor, number % 4 AS place
SELECT
    toStartOfMinute({begin:DateTime('UTC')}) + 60 * minute AS at,
    concat('sensor-', toString(its_sensor)),
    concat('run-', toString(intDiv(minute, 10080))),
    'live',
    'eth0',
    ['', '192.0.2.1', '192.0.2.2', '198.51.100.1'][1 + place],
    if(place = 0, 60000, 0),
    if(place = 0, 9000000, 0),
    if(place = 0, 55000, 40),
    at,
    toDateTime64(at, 9, 'UTC') + toIntervalMillisecond(59990),
    60
FROM numbers(20 * 43200)
