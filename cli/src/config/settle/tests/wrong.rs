//! Files in which one thing or several are wrong.

use super::*;

#[test]
fn syntax_is_refused_where_it_stops_to_be_toml() {
    for (text, expect) in [
        ("[sensor\nname = 'x'", "l.toml:1:8: not TOML: unclosed table, expected `]`"),
        ("[sensor]\nname = x", "l.toml:2:8: not TOML: string values must be quoted, expected literal string"),
        ("[sensor]\nname = 'x'\nname = 'y'", "l.toml:3:1: not TOML: duplicate key"),
        ("[sensor]\nname = 'x", "l.toml:2:10: not TOML: invalid literal string, expected `'`"),
        ("[log]\n[log]", "l.toml:2:2: not TOML: duplicate key"),
    ] {
        check(text, &[expect]);
    }
}

#[test]
fn unknown_keys_and_sections_name_the_nearest() {
    check_section(
        "[sensor]\nintervall = '60s'",
        &["l.toml:2:1: sensor.intervall: there is no such key; did you mean interval?"],
    );
    check_section(
        "[sensor]\nmax-rows = 7",
        &["l.toml:2:1: sensor.max-rows: there is no such key; did you mean max_rows?"],
    );
    check_section(
        "[sensor]\npassword_file = 'x'",
        &[
            "l.toml:2:1: sensor.password_file: there is no such key here; did you mean clickhouse.password_file?",
        ],
    );
    check_section(
        "[metrics]\nxyzzy = 1",
        &["l.toml:2:1: metrics.xyzzy: there is no such key; the keys of metrics are listen"],
    );
    check_section("[sensors]", &["l.toml:1:2: sensors: there is no such section; did you mean sensor?"]);
    check_section(
        "[[interfaces]]",
        &["l.toml:1:3: interfaces: there is no such section; did you mean interface?"],
    );
    check_section(
        "interval = '60s'",
        &["l.toml:1:1: interval: there is no such key here; did you mean sensor.interval?"],
    );
    check_section(
        "[frobnicate]",
        &[
            "l.toml:1:2: frobnicate: there is no such section; the sections are clickhouse, dnstap, drain, interface, limits, log, metrics, \
             migration, privacy, process, sensor, spool",
        ],
    );
    check(
        "[[dnstap]]\nlisten = 'unix:/a'\n[[dnstap]]\nlisten = 'unix:/b'\ntls_crt = 'x'",
        &["l.toml:5:1: dnstap[1].tls_crt: there is no such key; did you mean tls_cert?"],
    );
}

#[test]
fn sections_have_their_form() {
    check(
        "[dnstap]\nlisten = 'unix:/x'",
        &["l.toml:1:1: dnstap: there may be several of it: write [[dnstap]]"],
    );
    check_section("[[sensor]]\nname = 'x'", &["l.toml:1:1: sensor: write it as a section, [sensor]"]);
    check_section("sensor = 3", &["l.toml:1:10: sensor: write it as a section, [sensor]"]);
    check("interface = ['eth0']", &["l.toml:1:14: interface[0]: write it as a section, [[interface]]"]);
}

#[test]
fn values_have_their_kind() {
    for (text, expect) in [
        (
            "[sensor]\ninterval = 60",
            "2:12: sensor.interval: must be a text such as \"60s\", not a whole number",
        ),
        ("[sensor]\nname = true", "2:8: sensor.name: must be a text such as \"ns1\", not true or false"),
        ("[sensor]\nports = 53", "2:9: sensor.ports: must be a list such as [1, 65535], not a whole number"),
        (
            "[sensor]\nports = ['53']",
            "2:10: sensor.ports[0]: must be a whole number from 1 to 65535, not a text",
        ),
        (
            "[sensor]\nzones = 'example.org'",
            "2:9: sensor.zones: must be a list such as [\"example.org\"], not a text",
        ),
        (
            "[sensor]\nservers = [53]",
            "2:12: sensor.servers[0]: must be a text such as \"192.0.2.53\", not a whole number",
        ),
        (
            "[sensor]\nmax_rows = 1.5",
            "2:12: sensor.max_rows: must be a whole number from 1 to 1000000000, not a number with a fraction",
        ),
        (
            "[sensor]\nmax_rows = 1979-05-27",
            "2:12: sensor.max_rows: must be a whole number from 1 to 1000000000, not a date",
        ),
        ("[process]\nseccomp = 'yes'", "2:11: process.seccomp: must be true or false, not a text"),
        ("[spool]\ndir = {}", "2:7: spool.dir: must be a text such as \"/var/spool/lowtide\", not a section"),
        ("[log]\nlevel = []", "2:9: log.level: must be a text such as \"info\", not a list"),
    ] {
        check_section(text, &[&format!("l.toml:{expect}")]);
    }
}

#[test]
fn values_have_their_bounds() {
    for (text, expect) in [
        ("[sensor]\nname = ''", "2:8: sensor.name: '': a name has 1 to 255 octets and no control characters"),
        (
            "[sensor]\ninterval = '60'",
            "2:12: sensor.interval: '60': write a number and its unit, such as 500ms, 5s, 1m30s or 24h",
        ),
        (
            "[sensor]\ninterval = '1500ms'",
            "2:12: sensor.interval: '1500ms': must be whole seconds, as in 10s or 1m",
        ),
        ("[sensor]\ninterval = '500ms'", "2:12: sensor.interval: '500ms': must be from 1s to 1h"),
        ("[sensor]\ninterval = '2h'", "2:12: sensor.interval: '2h': must be from 1s to 1h"),
        ("[sensor]\nquery_timeout = '11m'", "2:17: sensor.query_timeout: '11m': must be from 10ms to 10m"),
        ("[sensor]\nlateness = '100ms'", "2:12: sensor.lateness: '100ms': must be from 1s to 1h"),
        ("[sensor]\nlateness = '-1s'", "2:12: sensor.lateness: '-1s': a duration cannot be negative"),
        ("[sensor]\nports = [53, 0]", "2:14: sensor.ports[1]: 0: must be a whole number from 1 to 65535"),
        (
            "[sensor]\nports = [0x1_0000]",
            "2:10: sensor.ports[0]: 0x10000: must be a whole number from 1 to 65535",
        ),
        (
            "[sensor]\nzones = ['']",
            "2:10: sensor.zones[0]: '': a zone has a name, as in example.org; the root is '.'",
        ),
        ("[sensor]\nzones = ['a..b']", "2:10: sensor.zones[0]: 'a..b': not a domain name: empty label"),
        (
            "[sensor]\nservers = ['ns1']",
            "2:12: sensor.servers[0]: 'ns1': not an IP address, such as 192.0.2.53 or 2001:db8::53",
        ),
        ("[sensor]\nmax_rows = 0", "2:12: sensor.max_rows: 0: must be a whole number from 1 to 1000000000"),
        ("[sensor]\nthreads = -1", "2:11: sensor.threads: -1: must be a whole number from 1 to 1024"),
        (
            "[sensor]\nmax_rows = 99999999999999999999999999",
            "2:12: sensor.max_rows: 99999999999999999999999999: must be a whole number from 1 to 1000000000",
        ),
        ("[limits]\ndnstap_queue = '1KiB'", "2:16: limits.dnstap_queue: '1KiB': must be from 1MiB to 16GiB"),
        ("[limits]\nmax_frame = '1MiB'", "2:13: limits.max_frame: '1MiB': must be from 4KiB to 256KiB"),
        (
            "[limits]\nmax_frame = '256'",
            "2:13: limits.max_frame: '256': a size needs its unit, as in 500MB or 10GiB",
        ),
        (
            "[limits]\noutstanding = 0",
            "2:15: limits.outstanding: 0: must be a whole number from 1 to 100000000",
        ),
        (
            "[clickhouse]\nurl = 'ftp://h'",
            "2:7: clickhouse.url: not a ClickHouse URL (http://user:password@host:8123/database): it must begin with http:// or https://",
        ),
        (
            "[clickhouse]\nurl = 'http://h/system'",
            "2:7: clickhouse.url: 'system' is ClickHouse's own database: name another",
        ),
        (
            "[clickhouse]\nurl = 'http://h'\nin_flight = 65",
            "3:13: clickhouse.in_flight: 65: must be a whole number from 1 to 64",
        ),
        (
            "[clickhouse]\nurl = 'http://h'\ntimeout = '1ms'",
            "3:11: clickhouse.timeout: '1ms': must be from 1s to 1h",
        ),
        (
            "[spool]\nwhen_full = 'wait'",
            "2:13: spool.when_full: 'wait': a live run cannot wait, as traffic does not: drop-oldest or drop-newest",
        ),
        (
            "[spool]\nwhen_full = 'never'",
            "2:13: spool.when_full: 'never': must be drop-oldest or drop-newest",
        ),
        ("[spool]\nmax_age = '1s'", "2:11: spool.max_age: '1s': must be from 1m to 366d (or off)"),
        (
            "[spool]\nmax_size = '10gigs'",
            "2:12: spool.max_size: '10gigs': 'gigs' is no unit of size; B, kB, MB, GB, TB, KiB, MiB, GiB and TiB are",
        ),
        ("[spool]\ndir = ''", "2:7: spool.dir: '': not a path"),
        (
            "[privacy]\nclients = 'hide'",
            "2:11: privacy.clients: 'hide': must be keep, truncate or crypto-pan",
        ),
        ("[privacy]\nipv4_prefix = 33", "2:15: privacy.ipv4_prefix: 33: must be a whole number from 0 to 32"),
        (
            "[privacy]\nipv6_prefix = 129",
            "2:15: privacy.ipv6_prefix: 129: must be a whole number from 0 to 128",
        ),
        ("[process]\nuser = 'a:b'", "2:8: process.user: 'a:b': not the name or number of a user or group"),
        ("[process]\nstop_timeout = '1h'", "2:16: process.stop_timeout: '1h': must be from 1s to 10m"),
        (
            "[metrics]\nlisten = '9353'",
            "2:10: metrics.listen: '9353': not an IP address with a port, such as 127.0.0.1:6000 or [2001:db8::1]:6000 (or off)",
        ),
        (
            "[metrics]\nlisten = '127.0.0.1:0'",
            "2:10: metrics.listen: '127.0.0.1:0': port 0 cannot be listened on (or off)",
        ),
        ("[log]\nformat = 'xml'", "2:10: log.format: 'xml': must be text or json"),
        ("[log]\nlevel = 'loud'", "2:9: log.level: 'loud': must be error, warn, info, debug or trace"),
    ] {
        check_section(text, &[&format!("l.toml:{expect}")]);
    }
}

#[test]
fn sources_are_checked_one_by_one() {
    let long = format!("unix:/{}", "x".repeat(107));
    let shown = format!("{}…", &long[..60]);
    for (text, expect) in [
        ("[[dnstap]]", "1:1: dnstap[0]: listen is missing: where dnstap is taken, as unix:PATH or tcp:ADDRESS:PORT".to_owned()),
        ("[[dnstap]]\nlisten = '/run/x'", "2:10: dnstap[0].listen: '/run/x': must be unix:PATH or tcp:ADDRESS:PORT".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:'", "2:10: dnstap[0].listen: 'unix:': the socket's path is missing, as in unix:/run/lowtide/dnstap.sock".to_owned()),
        (&format!("[[dnstap]]\nlisten = '{long}'"), format!("2:10: dnstap[0].listen: '{shown}': a socket's path has at most 107 octets")),
        ("[[dnstap]]\nlisten = 'tcp:localhost:6000'", "2:10: dnstap[0].listen: 'tcp:localhost:6000': not an IP address with a port, such as 127.0.0.1:6000 or [2001:db8::1]:6000".to_owned()),
        ("[[dnstap]]\nlisten = 'tcp:127.0.0.1:0'", "2:10: dnstap[0].listen: 'tcp:127.0.0.1:0': port 0 cannot be listened on".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\nmode = '99'", "3:8: dnstap[0].mode: '99': not an octal file mode, such as 0660".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\nmode = '4777'", "3:8: dnstap[0].mode: '4777': not an octal file mode, such as 0660".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\nmode = 0o660", "3:8: dnstap[0].mode: must be a text such as \"0660\", not a whole number".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\nmax_senders = 0", "3:15: dnstap[0].max_senders: 0: must be a whole number from 1 to 65536".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\nidle_timeout = 'never'", "3:16: dnstap[0].idle_timeout: 'never': write a number and its unit, such as 500ms, 5s, 1m30s or 24h (or off)".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\ntls_client_ca = '/y'", "3:17: dnstap[0].tls_client_ca: TLS is for tcp: only; a unix socket does not leave the machine".to_owned()),
        ("[[dnstap]]\nlisten = 'tcp:127.0.0.1:1'\nmode = '0660'", "3:8: dnstap[0].mode: owner, group and mode are for unix: only".to_owned()),
        ("[[dnstap]]\nlisten = 'unix:/x'\ngroup = 'no-such-group'", "3:9: dnstap[0].group: there is no group 'no-such-group' on this machine".to_owned()),
        ("[[interface]]\npromiscuous = true", "1:1: interface[0]: name is missing: the interface, such as eth0".to_owned()),
        ("[[interface]]\nname = 'eth0/1'", "2:8: interface[0].name: 'eth0/1': not an interface's name: 1 to 15 octets, no '/' and no space".to_owned()),
        ("[[interface]]\nname = 'a'\nsnap_length = 63", "3:15: interface[0].snap_length: 63: must be a whole number from 64 to 262144".to_owned()),
        ("[[interface]]\nname = 'a'\nbuffer = '2GiB'", "3:10: interface[0].buffer: '2GiB': must be from 1MiB to 2047MiB".to_owned()),
        ("[[interface]]\nname = 'a'\nfilter = ' '", "3:10: interface[0].filter: ' ': not a filter, such as 'host 192.0.2.53'; leave it away to read all DNS".to_owned()),
        ("[[interface]]\nname = 'a'\nthreads = 65", "3:11: interface[0].threads: 65: must be a whole number from 1 to 64".to_owned()),
    ] {
        check(text, &[&format!("l.toml:{expect}")]);
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    check("", &["l.toml: there is no source: [[dnstap]] or [[interface]] says what to read"]);
    check(
        "[[dnstap]]\nlisten = 'unix:/x'\n[[dnstap]]\nlisten = 'unix:/x'",
        &["l.toml:4:10: dnstap[1].listen: 'unix:/x' is listened on already, in line 2"],
    );
    check(
        "[[dnstap]]\nlisten = 'tcp:127.0.0.1:7000'\n[metrics]\nlisten = '127.0.0.1:7000'",
        &["l.toml:2:10: dnstap[0].listen: 'tcp:127.0.0.1:7000' is listened on already, in line 4"],
    );
    check(
        "[[dnstap]]\nlisten = 'tcp:127.0.0.1:9353'",
        &[
            "l.toml:2:10: dnstap[0].listen: 'tcp:127.0.0.1:9353' is listened on already, by metrics.listen's default",
        ],
    );
    check(
        "[[interface]]\nname = 'eth0'\n[[interface]]\nname = 'eth0'",
        &["l.toml:4:8: interface[1].name: interface 'eth0' is read already, in line 2"],
    );
    check_section(
        "[sensor]\nzones = ['example.org', 'Example.ORG.']\nservers = ['192.0.2.1',\n  '::ffff:192.0.2.1']",
        &[
            "l.toml:2:25: sensor.zones[1]: the zone 'example.org.' is listed twice, first in line 2",
            "l.toml:4:3: sensor.servers[1]: the address '192.0.2.1' is listed twice, first in line 3",
        ],
    );
    check_section(
        "[sensor]\ninterval = '1s'\nlateness = '1m'",
        &[
            "l.toml:3:12: sensor.lateness: intervals of 1s would stay open for 65s (lateness and query_timeout); at most 64 can be open, \
             which is 64s",
        ],
    );
    check_section(
        "[clickhouse]\nkey = '/k'\ntimeout = '5s'",
        &["l.toml:2:7: clickhouse.key: ClickHouse's url is not said: clickhouse.url or --clickhouse"],
    );
    check_section(
        "[clickhouse]\nurl = 'http://h'\nca = '/no/such/file'",
        &[
            "l.toml:3:6: clickhouse.ca: cannot read /no/such/file: No such file or directory",
            "l.toml:3:6: clickhouse.ca: certificates are for https:// only",
        ],
    );
    check_section(
        "[privacy]\nclients = 'crypto-pan'",
        &["l.toml:2:11: privacy.clients: crypto-pan needs privacy.key_file"],
    );
    check_section(
        "[process]\ngroup = '0'",
        &["l.toml:2:9: process.group: a group without a user: process.user says whom to become"],
    );
    check_section(
        "[process]\nuser = 'no-such-user'",
        &["l.toml:2:8: process.user: there is no user 'no-such-user' on this machine"],
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_order() {
    check(
        "[log]\nlevel = 'loud'\n\n[sensor]\nlatenes = '1s'\nzones = ['ä..', 'é.', 7]\n[[dnstap]]\n",
        &[
            "l.toml:2:9: log.level: 'loud': must be error, warn, info, debug or trace",
            "l.toml:5:1: sensor.latenes: there is no such key; did you mean lateness?",
            "l.toml:6:10: sensor.zones[0]: 'ä..': not a domain name: empty label",
            "l.toml:6:23: sensor.zones[2]: must be a text such as \"example.org\", not a whole number",
            "l.toml:7:1: dnstap[0]: listen is missing: where dnstap is taken, as unix:PATH or tcp:ADDRESS:PORT",
        ],
    );
}

#[test]
fn a_wrong_url_never_shows_its_password() {
    let faults = settled("[clickhouse]\nurl = 'htp://me:hunter2@h'", &world(Purpose::Run)).unwrap_err();
    assert!(!format!("{:?}", lines(&faults)).contains("hunter2"), "{faults:?}");
}
