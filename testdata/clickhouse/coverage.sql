-- Coverage of the sensors of traffic.sql: one row each and interval; 1 in 500 lost packets, sensor-13 was off for a day.
INSERT INTO coverage
WITH
    intDiv(number, 20) AS window,
    number % 20 AS site,
    cityHash64(number, 1) AS dice,
    if(site = 13 AND window BETWEEN 5760 AND 5903, 0, 1) AS alive
SELECT
    toDateTime({begin:String}, 'UTC') + 600 * window AS interval,
    concat('sensor-', leftPad(toString(site), 2, '0')) AS sensor,
    concat('2026-', toString(8 + intDiv(window, 4320))) AS run,
    'live' AS kind,
    'eth0' AS source,
    '' AS server,
    2000 + dice % 2000 AS frames,
    frames * 160 AS octets,
    frames - dice % 7 AS messages,
    toDateTime64(interval, 9, 'UTC') + toIntervalMillisecond(dice % 900) AS first,
    toDateTime64(interval, 9, 'UTC') + 600 - toIntervalMillisecond(1 + dice % 900) AS last,
    60 AS heartbeats,
    if(dice % 500 = 0, map('kernel_drop', 1 + dice % 40), map()) AS lost,
    dice % 5000 = 0 AS unknown
FROM numbers(20 * 12960)
WHERE alive;
