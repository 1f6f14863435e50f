//! Everything that runs in the lab, and what can be asked of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::authority::{Authority, MOVING, PARENT_TTL};
use crate::load::{ENDLESS, Load, Names};
use crate::resolver::Resolver;
use crate::sensor::Sensor;
use crate::support::Server;
use crate::verdict::{Evidence, Said};
use crate::witness::{self, Asked, Dump, Key};
use crate::world::{NEW, OLD, Party, RESOLVERS, World, both};

/// How long nobody may have asked, seconds.
const QUIET: u64 = 30;

/// How long a verdict may take to come about: the longest wait is a quiet period, and machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// All that runs.
pub struct Bench {
    // In the order in which it ends.
    clients: Vec<Load>,
    _resolvers: Vec<Resolver>,
    /// The parent.
    pub parent: Authority,
    /// The old provider.
    pub old: Authority,
    _new: Authority,
    /// lowtide at the old provider.
    pub at_old: Sensor,
    /// lowtide at the new provider.
    pub at_new: Sensor,
    witnesses: [(u8, Dump); 2],
    server: Server,
    plan: PathBuf,
    _folder: TempDir,
    /// Where it runs.
    pub world: World,
}

impl Bench {
    /// Starts it all; the cutover is far away.
    #[track_caller]
    pub fn start() -> Self {
        let world = World::new();
        // Not the one that tests of a process share: it would be in another's namespace.
        let server = Server::start();
        let url = server.url("lowtide");
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("plan.toml");
        plan(&path, jiff::Timestamp::now() + Duration::from_secs(86_400));
        let parent = Authority::parent(&world);
        let (old, new) = (Authority::old_provider(&world), Authority::new_provider(&world));
        let witnesses = [(Party::Old, OLD), (Party::New, NEW)].map(|(party, host)| {
            let file = folder.path().join(format!("{}.pcap", party.wire()));
            (host, world.at(party, || Dump::start("eth0", &file)))
        });
        let at_old = Sensor::start(Party::Old, &path, &url);
        let at_new = Sensor::start(Party::New, &path, &url);
        let resolvers = Resolver::all(&world);
        let ask = |host| Load::at_resolver(&world, host, Names::All, "host", ENDLESS);
        let clients = RESOLVERS.map(ask).into();
        Self {
            clients,
            _resolvers: resolvers,
            parent,
            old,
            _new: new,
            at_old,
            at_new,
            witnesses,
            server,
            plan: path,
            _folder: folder,
            world,
        }
    }

    /// The clients stop. All that they asked was answered, without an error.
    #[track_caller]
    pub fn end_clients(&mut self) {
        for load in self.clients.drain(..) {
            let sent = load.end();
            assert!(sent > 200, "{sent}");
        }
    }

    /// Clients ask every resolver for names that nobody asked for before, for longer than all TTLs. All is answered, without an error.
    #[track_caller]
    pub fn nobody_misses_it(&self) {
        let ask = |host| Load::at_resolver(&self.world, host, Names::Moving, "later", 200);
        for load in RESOLVERS.map(ask) {
            load.finish();
        }
    }

    /// The plan says that the cutover was now.
    pub fn cut_over(&self) -> jiff::Timestamp {
        let now = jiff::Timestamp::now();
        plan(&self.plan, now);
        now
    }

    /// Waits for a verdict from all evidence; until then it may be one of others.
    #[track_caller]
    pub fn until(&self, before: &[&str], verdict: &str, reason: &str) -> Vec<Said> {
        let files = self.at_old.files.iter().chain(&self.at_new.files).cloned().collect();
        let evidence = [Evidence::Files(files), Evidence::ClickHouse(self.server.url("lowtide"))];
        evidence.iter().map(|one| one.until(&self.plan, before, verdict, reason, PATIENCE)).collect()
    }

    /// What tcpdump saw at a provider, at its own end of the wire.
    #[track_caller]
    pub fn witness(&mut self, host: u8) -> Asked {
        let (_, dump) = self.witnesses.iter_mut().find(|(of, _)| *of == host).unwrap();
        dump.end();
        witness::read(&dump.file)
    }

    /// Queries to a host for zones that move, in the rows of traffic.
    #[track_caller]
    pub fn rows(&self, host: u8) -> BTreeMap<Key, u64> {
        let mut counts = BTreeMap::new();
        for zone in MOVING {
            let [v4, v6] = both(host);
            let sql = format!(
                "SELECT server, lowtideAddress(client), sum(asked)
                 FROM traffic ARRAY JOIN mapKeys(clients) AS client, mapValues(clients) AS asked
                 WHERE server IN ('{v4}', '{v6}') AND (qname = '{zone}.' OR endsWith(qname, '.{zone}.'))
                 GROUP BY ALL"
            );
            // The tables come with the first rows.
            let Ok(rows) = self.server.request(&sql).database("lowtide").send() else { continue };
            for row in rows.lines() {
                let fields: Vec<&str> = row.split('\t').collect();
                let [server, client, asked] = fields[..] else { panic!("{row}") };
                let key = (format!("{zone}."), server.to_owned(), client.to_owned());
                counts.insert(key, asked.parse().unwrap());
            }
        }
        counts
    }
}

/// Writes the plan of the migration.
fn plan(path: &Path, cutover: jiff::Timestamp) {
    let servers =
        |name: &str, host| both(host).map(|address| format!("\"{name}.example={address}\"")).join(", ");
    let text = format!(
        "[[migration]]\nname = \"lab\"\nzones = {MOVING:?}\nold = [{}]\nnew = [{}]\ncutover = \"{cutover}\"\n\
         parent_ns_ttl = \"{PARENT_TTL}s\"\nquiet_period = \"{QUIET}s\"\n",
        servers("ns1.old", OLD),
        servers("ns1.new", NEW)
    );
    fs::write(path, text).unwrap();
}
