//! The authorities: Knot as parent and as new provider, NSD as old provider, with zones that are changed while they run.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{PATIENCE, Process, program, wait_until};
use crate::servers::{output, server_program};
use crate::world::{NEW, OLD, PARENT, Party, World, both, v4, v6};

/// The zones that move. The first one's NS set names servers of the providers' names, and changes; the second one's names a server in
/// the zone itself, which stays, while its addresses change.
pub const MOVING: [&str; 2] = ["shop.example", "blog.example"];
/// Another customer's zone, which the old provider keeps: its traffic shows in a file that the tap lives.
pub const STAYING: &str = "stay.example";

/// TTL of the NS sets in the parent zone, and of the name servers' addresses, seconds.
pub const PARENT_TTL: u32 = 15;
/// TTL of the NS sets in the zones themselves, seconds.
pub const NS_TTL: u32 = 20;

/// Where a zone leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The one that is left.
    Old,
    /// The one that takes over.
    New,
}

impl Provider {
    /// The name of its server.
    pub const fn server(self) -> &'static str {
        match self {
            Self::Old => "ns1.old.example.",
            Self::New => "ns1.new.example.",
        }
    }

    /// What the NS set of a zone names.
    fn server_of(self, zone: &str) -> String {
        if zone == MOVING[1] { format!("ns1.{zone}.") } else { self.server().to_owned() }
    }

    /// The addresses of its server under a name.
    fn addresses(self, name: &str, ttl: u32) -> String {
        let host = match self {
            Self::Old => OLD,
            Self::New => NEW,
        };
        format!("{name} {ttl} A {}\n{name} {ttl} AAAA {}\n", v4(host), v6(host))
    }

    /// The addresses that a zone has of its own server, if it has one.
    fn glue(self, zone: &str, ttl: u32) -> String {
        if zone == MOVING[1] { self.addresses(&self.server_of(zone), ttl) } else { String::new() }
    }
}

/// A zone with any number of hosts, and its NS set.
fn child(zone: &str, serial: u32, provider: Provider) -> String {
    let ns = provider.server_of(zone);
    let zone_file = format!(
        "$ORIGIN {zone}.\n@ 300 SOA {ns} hostmaster.example. {serial} 3600 900 604800 5\n@ {NS_TTL} NS {ns}\n\
         * 2 A 198.51.100.1\n"
    );
    zone_file + &provider.glue(zone, NS_TTL)
}

/// The parent zone, which delegates.
fn parent(serial: u32, provider: Provider) -> String {
    let mut zone = format!(
        "$ORIGIN example.\n$TTL 300\n@ SOA ns.registry hostmaster {serial} 3600 900 604800 5\n@ NS ns.registry\n\
         {STAYING}. NS {}\n",
        Provider::Old.server()
    );
    zone += &format!("ns.registry A {}\nns.registry AAAA {}\n", v4(PARENT), v6(PARENT));
    for provider in [Provider::Old, Provider::New] {
        zone += &provider.addresses(provider.server(), PARENT_TTL);
    }
    for moving in MOVING {
        zone += &format!("{moving}. {PARENT_TTL} NS {}\n", provider.server_of(moving));
        zone += &provider.glue(moving, PARENT_TTL);
    }
    zone
}

/// The records of the root: all that resolvers are told by hand.
pub fn hints() -> String {
    let (v4, v6) = (v4(PARENT), v6(PARENT));
    format!(
        ". 3600 NS ns.registry.example.\nns.registry.example. 3600 A {v4}\nns.registry.example. 3600 AAAA {v6}\n"
    )
}

/// What a server answers, in kdig's words; empty when it does not.
pub fn dig(server: IpAddr, name: &str, qtype: &str) -> String {
    let mut command = Command::new(program("kdig", "knot-dnsutils"));
    command.args([&format!("@{server}"), "+norec", "+time=2", "+retry=0", name, qtype]);
    let output = command.output().unwrap();
    if output.status.success() { String::from_utf8_lossy(&output.stdout).into_owned() } else { String::new() }
}

/// An authority in its namespace.
pub struct Authority {
    party: Party,
    folder: TempDir,
    process: Process,
    configuration: PathBuf,
}

impl Authority {
    /// Knot as authority of the root and of the parent zone.
    pub fn parent(world: &World) -> Self {
        let root = format!(
            "$ORIGIN .\n{}. 3600 SOA ns.registry.example. hostmaster.example. 1 3600 900 604800 5\n\
             example. 300 NS ns.registry.example.\n",
            hints()
        );
        Self::knot(world, Party::Parent, PARENT, &[(".", root), ("example", parent(1, Provider::Old))])
    }

    /// Knot as the new provider, whose zones name itself.
    pub fn new_provider(world: &World) -> Self {
        Self::knot(world, Party::New, NEW, &MOVING.map(|zone| (zone, child(zone, 2, Provider::New))))
    }

    fn knot(world: &World, party: Party, host: u8, zones: &[(&str, String)]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        let [v4, v6] = both(host);
        let mut text = format!(
            "
server:
    rundir: {path}
    listen: [{v4}@53, {v6}@53]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {path}
log:
  - target: stderr
    any: info
template:
  - id: default
    storage: {path}
    file: \"%s.zone\"
    zonefile-sync: -1
    journal-content: none
zone:
"
        );
        for (zone, content) in zones {
            text += &format!("  - domain: {zone}\n    file: \"{zone}.zone\"\n");
            fs::write(folder.path().join(format!("{zone}.zone")), content).unwrap();
        }
        let configuration = folder.path().join("knot.conf");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(server_program("knotd", "knot", folder.path()));
        command.arg("-c").arg(&configuration);
        Self::start(world, party, folder, &command, configuration, zones[0].0)
    }

    /// NSD as the old provider.
    pub fn old_provider(world: &World) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        let [v4, v6] = both(OLD);
        let mut text = format!(
            "
server:
    server-count: 1
    ip-address: {v4}
    ip-address: {v6}
    username: \"\"
    chroot: \"\"
    zonesdir: {path}
    database: \"\"
    pidfile: {path}/nsd.pid
    xfrdfile: {path}/xfrd.state
    zonelistfile: {path}/zone.list
    xfrdir: {path}
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    # Resolvers learn the NS set from the authority section of whatever they ask for.
    minimal-responses: no
remote-control:
    control-enable: yes
    control-interface: {path}/control
"
        );
        for zone in MOVING.into_iter().chain([STAYING]) {
            text += &format!("zone:\n    name: {zone}\n    zonefile: {zone}.zone\n");
            fs::write(folder.path().join(format!("{zone}.zone")), child(zone, 1, Provider::Old)).unwrap();
        }
        let configuration = folder.path().join("nsd.conf");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(server_program("nsd", "nsd", folder.path()));
        command.arg("-d").arg("-c").arg(&configuration);
        Self::start(world, Party::Old, folder, &command, configuration, MOVING[0])
    }

    fn start(
        world: &World,
        party: Party,
        folder: TempDir,
        command: &Command,
        configuration: PathBuf,
        zone: &str,
    ) -> Self {
        let process = world.at(party, || {
            let mut process = Process::start(command, &folder.path().join("log"));
            let host = match party {
                Party::Parent => PARENT,
                Party::Old => OLD,
                _ => NEW,
            };
            process.ready(|| both(host).into_iter().all(|at| dig(at, zone, "SOA").contains("NOERROR")));
            process
        });
        Self { party, folder, process, configuration }
    }

    fn control(&self, name: &str, package: &str, arguments: &[&str]) {
        let mut command = Command::new(program(name, package));
        output(command.arg("-c").arg(&self.configuration).args(arguments));
    }

    /// Puts another zone file into the place of one.
    fn write(&self, zone: &str, content: &str) {
        fs::write(self.folder.path().join(format!("{zone}.zone")), content).unwrap();
    }

    /// The swap: the parent delegates to the new provider. When this returns, it gives the old NS set to nobody any more.
    pub fn delegate_to_new(&self, world: &World) {
        self.write("example", &parent(2, Provider::New));
        self.control("knotc", "knot", &["zone-reload", "example"]);
        self.wait_for_new(world, v4(PARENT).into());
    }

    /// The old provider's copies of the zones name the new provider, at last.
    pub fn name_new(&self, world: &World) {
        for zone in MOVING {
            self.write(zone, &child(zone, 2, Provider::New));
            self.control("nsd-control", "nsd", &["reload", zone]);
        }
        self.wait_for_new(world, v4(OLD).into());
    }

    /// Waits until it leads to the new provider alone.
    fn wait_for_new(&self, world: &World, at: IpAddr) {
        let [by_name, by_address] = MOVING;
        let is_new = || {
            dig(at, by_name, "NS").contains(Provider::New.server())
                && dig(at, &format!("ns1.{by_address}"), "A").contains(&v4(NEW).to_string())
        };
        world.at(self.party, || assert!(wait_until(PATIENCE, is_new), "{}", self.process.log()));
    }

    /// `nsd-control stop`: the old provider is off.
    pub fn switch_off(&mut self) {
        self.control("nsd-control", "nsd", &["stop"]);
        assert!(self.process.end(PATIENCE).is_some(), "{}", self.process.log());
    }
}
