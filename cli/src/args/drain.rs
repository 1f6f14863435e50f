//! The options of `lowtide drain`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lowtide_aggregate::drain::Migration;
use lowtide_proto::Timestamp;

use super::clickhouse::ConnectionArgs;
use super::report::absolute;
use crate::config::options::DrainSettings;
use crate::config::place::{Fault, Given};
use crate::duration;
use crate::error::Error;
use crate::origin::Origins;
use crate::pipeline::DrainOptions;

const EXAMPLES: &str = "\
Examples:
  Is the old provider still asked, by what was captured beside its servers:
    lowtide drain --config migration.toml ns1/*.pcap.gz ns2/*.pcap.gz

  The verdict as it was at a moment, in a script:
    lowtide drain --config migration.toml --at 2026-03-08T12:00:00Z --json ns1/*.pcap |
      jq -r '.migrations[] | .name, .verdict'

  Before the cutover: from when on it is safe, by the TTLs that old servers were seen to serve:
    lowtide drain --config migration.toml --json ns1/*.pcap |
      jq -r '.migrations[].ttl_lowering.earliest_safe_change'

  Who still asks, and whose networks these are, of one migration in a file of several:
    lowtide drain --config /etc/lowtide/lowtide.toml --migration to-provider-b --top 50 \\
      --mmdb GeoLite2-ASN.mmdb --mmdb GeoLite2-Country.mmdb ns1.dnstap.zst

  Who asks although no cache leads him there, and for what:
    lowtide drain --config migration.toml --json ns1/*.pcap |
      jq -c '.migrations[].servers[].residual_clients[]
        | select(.class == \"resolver-past-horizon\") | [.address, .as_org, .last_qname]'

  The verdict across all sensors, from what they delivered:
    lowtide drain --config migration.toml --clickhouse http://127.0.0.1:8123/lowtide

  A migration, as deploy/lowtide.toml explains it:
    [[migration]]
    name = \"to-provider-b\"
    zones = [\"example.net\"]
    old = [\"ns1.old.example=192.0.2.53\"]
    new = [\"ns1.new.example=198.51.100.53\"]
    cutover = \"2026-03-01T09:30:00Z\"
    parent_ns_ttl = \"2d\"
    target_ttl = \"5m\"";

const NOTES: &str = "\
Verdicts, for each zone and old server; a migration's is the worst of them:
  drained      no cache leads there any more, and nobody asked for the quiet period, all of
               which was watched
  draining     it is still asked, or may be, and that will pass
  not-closing  a server still serves what leads resolvers there; it is named
  active       there was no cutover yet
  unknown      nobody was seen to ask, but the evidence has holes; they are named

Before the cutover:
  What leads resolvers to the old servers (NS sets, their addresses, DS sets) gets a low TTL
  first. A change takes effect everywhere within that only when no cache holds an answer with
  a higher one: after the last time that an old server was seen to serve it, plus that TTL.
  What was served before the captures begin is not known. target_ttl is the TTL that is
  planned; what is above it is named. A cutover before that moment is told afterwards, too
  (cutover-before-ttl), as it makes the cache horizon late.

Who still asks, by what it does:
  resolver-within-horizon  its cache may still have led it there
  resolver-past-horizon    it asks although no compliant cache leads there any more
  hard-coded               it asks for recursion: it was told the address by hand, or
                           forwards to it
  monitor                  it comes at a fixed period
  scanner                  it came for a short time and asked for what nobody needs
  Clients add up by network (/24 and /48), and with --mmdb by autonomous system and country.
  Names are those since the cutover. Of each old server and zone the 1,024 asked for most are
  kept (fewer where these are more than 256): up to a thousandth of all queries may be missing
  from a name, and is in (others).

What counts as watched:
  A file saw from its first frame to its last, whatever these are; a longer silence than
  --max-silence is a hole, as a tap that shows nothing may be dead. So the capture of an old
  server should hold more than its DNS traffic: at least what keeps it from being silent.
  What is cut off by damage or by the snap length is a hole. A sensor watches a server when it
  ever shows a message of it, at the server's side: a resolver's dnstap does not. All sensors
  that watch a server have to be whole, as they may be sites of one address.
  The files of one folder are one sensor's rotated capture, unless they overlap in time or
  differ in kind: then each stands for itself.
  With --clickhouse, a live sensor watched the seconds of which it has a heartbeat for the
  server; whatever it lost is a hole. Replayed files are as above, those of each sensor for
  themselves; a replay that did not come to its end proves nothing.

Exit codes:
  0  all migrations are drained
  1  failed, or an input is damaged (unless --lenient); the verdict is printed all the same
  2  the command line or the configuration is wrong, or a database cannot be read
  3  at least one migration is not drained
  4  at least one is unknown, and all others are drained";

/// What `lowtide drain` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{NOTES}"))]
pub struct DrainArgs {
    /// Captures to read as one timeline; `-` is standard input
    ///
    /// pcap, pcapng or dnstap (Frame Streams), as they are or compressed, in any order.
    #[arg(required_unless_present = "clickhouse", conflicts_with = "clickhouse", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The configuration with the migrations (TOML), as deploy/lowtide.toml explains it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Only this migration; may be given more than once
    #[arg(long = "migration", value_name = "NAME")]
    migrations: Vec<String>,

    /// The moment of the verdict: RFC 3339 or a date (UTC) [default: that of the last frame; with --clickhouse now, if any sensor is live]
    ///
    /// What was captured later is not looked at. After the end of all files nobody looked, so that nothing is drained.
    #[arg(long, value_name = "TIME", value_parser = at)]
    at: Option<Timestamp>,

    /// How long a file may show no frame at all until that is a hole in the evidence [e.g. 30s, 1h]
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration::parse)]
    max_silence: Duration,

    /// A database of where clients are (.mmdb: GeoLite2, DB-IP, IPinfo), for their ASN and country; may be given more than once
    ///
    /// Of several the first that knows an address has the word. They replace those of the file (mmdb of the section drain).
    #[arg(long, value_name = "FILE")]
    mmdb: Vec<PathBuf>,

    /// Only this sensor's silence is asked to prove something; may be given more than once [default: all sensors']
    ///
    /// Who ever watched an old server has to be whole: a sensor that was taken out of service is left out by naming the others. What it saw
    /// counts all the same.
    #[arg(long = "sensor", value_name = "NAME", requires = "clickhouse")]
    pub sensors: Vec<String>,

    /// Clients, networks and names that are listed, of each migration
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// Print the verdicts as JSON (schema lowtide.drain/1) instead of text
    #[arg(long)]
    pub json: bool,

    /// Let a damaged input not decide on the exit code; it is a hole in the evidence all the same
    #[arg(long)]
    pub lenient: bool,

    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl DrainArgs {
    /// The databases of the command line, or else of the file.
    ///
    /// # Errors
    /// [`Error::Config`] for each that cannot be read.
    pub fn origins(&self, settings: &DrainSettings) -> Result<Origins, Error> {
        let given = self.mmdb.iter().map(|path| Given::by("--mmdb", path.clone()));
        let given: Vec<_> = if self.mmdb.is_empty() { settings.mmdb.clone() } else { given.collect() };
        let (mut origins, mut faults) = (Origins::default(), Vec::new());
        for Given { value, place } in given {
            if let Err(text) = origins.read(&value) {
                faults.push(Fault { place, text });
            }
        }
        if faults.is_empty() { Ok(origins) } else { Err(Error::Config(faults)) }
    }

    /// What the pipeline is asked to do.
    ///
    /// # Errors
    /// [`Error::Usage`] for a migration that there is not, and when standard input is asked for twice.
    pub fn options(&self, settings: DrainSettings) -> Result<DrainOptions, Error> {
        if self.files.iter().filter(|path| *path == Path::new("-")).count() > 1 {
            return Err(Error::Usage("standard input ('-') can be read only once".to_owned()));
        }
        let DrainSettings { migrations, ports, .. } = settings;
        for name in &self.migrations {
            if !migrations.iter().any(|migration| migration.name == *name) {
                let all: Vec<&str> = migrations.iter().map(|migration| migration.name.as_str()).collect();
                let text = format!("--migration {name}: the configuration has {}", all.join(", "));
                return Err(Error::Usage(text));
            }
        }
        let is_asked =
            |migration: &Migration| self.migrations.is_empty() || self.migrations.contains(&migration.name);
        Ok(DrainOptions {
            files: self.files.clone(),
            migrations: migrations.into_iter().filter(is_asked).collect(),
            ports,
            at: self.at,
            max_silence: self.max_silence,
        })
    }
}

fn at(text: &str) -> Result<Timestamp, String> {
    let time = absolute(text.trim()).ok_or_else(|| {
        "write a time such as 2026-03-01T09:30:00Z, or a date such as 2026-03-01".to_owned()
    })?;
    u64::try_from(time.as_nanosecond()).map(Timestamp).map_err(|_| "must be from 1970 to 2554".to_owned())
}
