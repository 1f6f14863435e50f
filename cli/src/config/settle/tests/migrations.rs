//! Migrations, right and wrong.

use super::*;

const RIGHT: &str = "[[migration]]\nname = 'm'\nzones = ['a.example']\nold = ['192.0.2.1']\n";

fn drain(text: &str) -> Result<DrainSettings, Vec<String>> {
    let read = file::read(Arc::from("l.toml"), text).unwrap();
    match settle_drain(read.draft, &world(Purpose::Reload), read.faults) {
        Ok(settled) => Ok(settled.options),
        Err(faults) => Err(lines(&faults)),
    }
}

#[test]
fn what_is_said_reaches_the_migration_and_the_sensor() {
    let text = format!(
        "[sensor]\nservers = ['198.51.100.1']\nports = [5353]\n{RIGHT}new = ['ns1.New.example = ::ffff:198.51.100.1', '2001:db8::2']\n\
         cutover = '2026-03-01T10:30:00+01:00'\nparent_ns_ttl = '2d'\nds_ttl = '1d'\ntarget_ttl = '5m'\nquiet_period = '7d'\nnear_zero = 3\n\
         set_apart = ['192.0.2.7', '::ffff:203.0.113.0/120', '2001:db8:1::/48']\n"
    );
    let DrainSettings { migrations, ports, .. } = drain(&text).unwrap();
    assert_eq!(ports, [53, 5353]);
    let one = &migrations[0];
    let mapped = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped();
    assert_eq!((one.old[0].address, one.new[0].address), (mapped("192.0.2.1"), mapped("198.51.100.1")));
    let name = one.new[0].name.as_ref().unwrap().as_name().to_string();
    assert_eq!((name.as_str(), one.old[0].name.is_none()), ("ns1.new.example.", true));
    assert_eq!(one.cutover.unwrap().0, 1_772_357_400_000_000_000);
    let hour = 3_600_000_000_000;
    assert_eq!(
        (one.parent_ns_ttl, one.ds_ttl, one.quiet_period, one.near_zero),
        (48 * hour, 24 * hour, 168 * hour, 3)
    );
    assert_eq!(one.target_ttl, Some(300_000_000_000));
    for (address, apart) in [("192.0.2.7", true), ("192.0.2.8", false), ("203.0.113.9", true)] {
        assert_eq!(one.is_apart(mapped(address)), apart, "{address}");
    }
    assert!(one.is_apart("2001:db8:1:2::3".parse().unwrap()));

    // A live run watches all these servers, each once.
    let options = right(&format!("{text}{SOURCE}"));
    let servers: Vec<String> = options.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["198.51.100.1", "192.0.2.1", "2001:db8::2"]);
    assert_eq!(options.migrations.len(), 1);
}

#[test]
fn defaults_of_a_migration() {
    let one = &drain(RIGHT).unwrap().migrations[0];
    let hour = 3_600_000_000_000;
    assert_eq!(one.target_ttl, None);
    assert_eq!((one.cutover, one.ds_ttl, one.quiet_period, one.near_zero), (None, 0, 24 * hour, 0));
    assert!(one.new.is_empty() && one.set_apart.is_empty());
    assert_eq!(drain(&format!("{RIGHT}ds_ttl = '0s'")).unwrap().migrations[0].ds_ttl, 0);
    // A cutover far ahead is a plan, not a mistake.
    drain(&format!("{RIGHT}cutover = '2099-01-01T00:00:00Z'\nparent_ns_ttl = '60s'")).unwrap();
}

#[test]
fn what_is_wrong_is_told_with_its_key() {
    for (text, expect) in [
        (
            "[sensor]\nname = 'x'",
            "l.toml: there is no migration: [[migration]] says which zones move from where to where",
        ),
        (
            "[[migration]]\nname = 'm'\nzones = ['a.example']",
            "l.toml:1:1: migration[0]: old is missing: the servers that are to be switched off, as ADDRESS or NAME=ADDRESS",
        ),
        (
            "[[migration]]\nname = 'm'\nold = ['192.0.2.1']",
            "l.toml:1:1: migration[0]: zones is missing: the zones that move",
        ),
        (
            "[[migration]]\nname = 'm'\nzones = []\nold = ['192.0.2.1']",
            "l.toml:3:9: migration[0].zones: at least one zone must move",
        ),
        (
            "[[migration]]\nname = 'm'\nzones = ['a.example']\nold = []",
            "l.toml:4:7: migration[0].old: at least one server must be left",
        ),
        (
            &format!("{RIGHT}new = ['ns.new.example=::ffff:192.0.2.1']"),
            "l.toml:5:8: migration[0].new[0]: '192.0.2.1' is among the old servers as well, in line 4: it cannot be switched off and \
             take over",
        ),
        (
            "[[migration]]\nname = 'm'\nzones = ['a.example', 'A.example.']\nold = ['192.0.2.1', '::ffff:192.0.2.1', 'ns1']",
            "l.toml:3:23: migration[0].zones[1]: the zone 'a.example.' is listed twice, first in line 3\n\
             l.toml:4:21: migration[0].old[1]: the address '192.0.2.1' is listed twice, first in line 4\n\
             l.toml:4:41: migration[0].old[2]: 'ns1': not an IP address, such as 192.0.2.53 or 2001:db8::53",
        ),
        (
            &format!("{RIGHT}cutover = '2026-03-01T09:30:00Z'"),
            "l.toml:5:11: migration[0].cutover: needs parent_ns_ttl, the TTL of the NS set in the parent zone: caches keep it for so long",
        ),
        (
            &format!("{RIGHT}cutover = '2026-03-01 09:30'\nparent_ns_ttl = '2d'"),
            "l.toml:5:11: migration[0].cutover: '2026-03-01 09:30': not an RFC 3339 time, such as 2026-03-01T09:30:00Z",
        ),
        (
            &format!("{RIGHT}target_ttl = '5'\ntarget_tll = '5m'"),
            "l.toml:5:14: migration[0].target_ttl: '5': write a number and its unit, such as 500ms, 5s, 1m30s or 24h\n\
             l.toml:6:1: migration[0].target_tll: there is no such key; did you mean target_ttl?",
        ),
        (
            &format!(
                "{RIGHT}set_apart = ['192.0.2.7/33', '192.0.2.7/24', '0.0.0.0/0', '::/16', '2000::/3', 'all']"
            ),
            "l.toml:5:14: migration[0].set_apart[0]: '192.0.2.7/33': not an address or network, such as 192.0.2.7 or 2001:db8::/32\n\
             l.toml:5:30: migration[0].set_apart[1]: '192.0.2.7/24': the network is 192.0.2.0/24\n\
             l.toml:5:46: migration[0].set_apart[2]: '0.0.0.0/0': sets nearly everybody apart: IPv4 networks have at least /8, those of \
             IPv6 /16\n\
             l.toml:5:59: migration[0].set_apart[3]: '::/16': sets nearly everybody apart: IPv4 networks have at least /8, those of IPv6 \
             /16\n\
             l.toml:5:68: migration[0].set_apart[4]: '2000::/3': sets nearly everybody apart: IPv4 networks have at least /8, those of \
             IPv6 /16\n\
             l.toml:5:80: migration[0].set_apart[5]: 'all': not an address or network, such as 192.0.2.7 or 2001:db8::/32",
        ),
        (
            &format!("{RIGHT}{RIGHT}"),
            "l.toml:6:8: migration[1].name: there is a migration 'm' already, in line 2\n\
             l.toml:7:10: migration[1].zones[0]: the zone 'a.example.' leaves the same old server in another migration, in line 3",
        ),
    ] {
        let expect: Vec<String> = expect.split('\n').map(str::to_owned).collect();
        assert_eq!(drain(text).map(|settings| format!("{settings:?}")), Err(expect), "{text}");
    }
}

#[test]
fn databases_are_looked_at_when_a_file_is_checked() {
    let text =
        format!("[drain]\nmmdb = ['/no/such.mmdb', '{}/Cargo.toml']\n{RIGHT}", env!("CARGO_MANIFEST_DIR"));
    let faults = lines(&settled(&text, &world(Purpose::Check)).unwrap_err());
    assert_eq!(faults[0], "l.toml:2:9: drain.mmdb[0]: cannot read /no/such.mmdb: No such file or directory");
    assert!(
        faults[1].starts_with("l.toml:2:26: drain.mmdb[1]: ") && faults[1].contains("is no MaxMind database")
    );
    assert_eq!(faults.len(), 2);
    // A live run does not need them, and `lowtide drain` says it when it reads them.
    right(&format!("{text}{SOURCE}"));
    assert_eq!(drain(&text).unwrap().mmdb.len(), 2);
    let expect =
        "l.toml:2:8: drain.mmdb: must be a list such as [\"/usr/share/GeoIP/GeoLite2-ASN.mmdb\"], not a text";
    assert_eq!(drain(&format!("[drain]\nmmdb = 'a'\n{RIGHT}")).unwrap_err(), [expect]);
}

#[test]
fn zones_that_overlap_are_warned_of() {
    let second = |zone: &str, old: &str| {
        format!("{RIGHT}[[migration]]\nname = 'n'\nzones = ['{zone}']\nold = ['{old}']\n")
    };
    warns(&second("a.example", "192.0.2.9"), &[]);
    warns(&second("xa.example", "192.0.2.1"), &[]);
    for zone in ["b.a.example", "example"] {
        let expect = format!(
            "l.toml:7:10: migration[1].zones[0]: '{zone}.' overlaps with 'a.example.' of another migration with the same old server, \
             in line 3: names in both are counted in both"
        );
        warns(&second(zone, "192.0.2.1"), &[&expect]);
    }
}

#[test]
fn a_file_for_drain_alone_may_be_checked_and_not_run() {
    let Settled { warnings, .. } = settled(RIGHT, &world(Purpose::Check)).unwrap();
    assert!(lines(&warnings)[0].contains("there is no source"), "{warnings:?}");
    assert!(settled(RIGHT, &world(Purpose::Run)).is_err());
}
