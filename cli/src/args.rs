//! The command line.

pub mod clickhouse;
pub mod drain;
pub mod report;
pub mod run;

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use lowtide_proto::NameBuf;

use clickhouse::{ConnectionArgs, DeliveryArgs, RecordArgs, SchemaArgs, ShipArgs};

use drain::DrainArgs;
use report::ReportArgs;
use run::{CheckConfigArgs, RunArgs};

use crate::config::options::ReplaySettings;
use crate::duration;
use crate::error::Error;
use crate::local::ClickHouseArgs;
use crate::pipeline::ReplayOptions;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Cyan.on_default().bold())
    .usage(AnsiColor::Cyan.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Green.on_default());

const EXAMPLES: &str = "\
Examples:
  lowtide replay capture.pcap
  lowtide replay --json monday/*.pcapng.zst > monday.json
  lowtide replay --help";

const REPLAY_EXAMPLES: &str = "\
Examples:
  Everything that one capture says, for people:
    lowtide replay capture.pcap

  Rotated captures of a day as one timeline, the names that fail most, for programs:
    lowtide replay --json day-*.pcap.gz | jq '.failing_qnames[] | {qname, servfail}'

  What a server sees right now, from another machine:
    ssh ns1 tcpdump -i eth0 -w - -c 100000 port 53 | lowtide replay -

  dnstap of a resolver, with your own zones kept apart:
    lowtide replay --zone example.org --zone example.net resolver.dnstap

  A server on port 5353 whose clients wait for two seconds:
    lowtide replay --port 5353 --query-timeout 2s capture.pcap

  With the verdict on migrations, who asks their servers among the rows:
    lowtide replay --config lowtide.toml --clickhouse http://127.0.0.1:8123/lowtide ns1/*.pcap

  The same into ClickHouse, where it can be asked with SQL; to be repeated without doubles:
    lowtide replay --clickhouse http://127.0.0.1:8123/lowtide --run monday monday/*.pcap";

const REPLAY_EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, an input is damaged (unless --lenient), or rows were not delivered; standard error says what and where
  2  the command line is wrong";

/// Watches DNS traffic without touching it and answers, with evidence: are the servers reachable, are their answers
/// correct, is anything slower or failing, and is the old provider drained?
#[derive(Debug, Parser)]
#[command(name = "lowtide", version, about = "Passive DNS traffic analyzer", long_about, styles = STYLES)]
#[command(after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// When to use colours; `auto` is on a terminal, and respects NO_COLOR, CLICOLOR and CLICOLOR_FORCE
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", display_order = 90)]
    pub color: ColorChoice,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that capture files tell about DNS
    ///
    /// How many queries and responses there were for every name, which failed and how long they took, with accounts
    /// that balance to the frame. Nothing is changed and nothing is sent.
    Replay(Box<ReplayArgs>),
    /// Watch a server live, around the clock: dnstap over sockets, packets of interfaces, rows to ClickHouse
    ///
    /// It never makes the server wait: what it cannot take it discards, counts and says. What was not seen is in the rows as well.
    Run(Box<RunArgs>),
    /// Say whether the configuration of a live run is right, and what would be run
    ///
    /// Nothing is opened but the files that it names, and nothing is changed.
    CheckConfig(CheckConfigArgs),
    /// Say whether an old DNS provider is still asked, by whom, and whether it is safe to switch it off
    ///
    /// The verdict per zone and old server, from captures: drained only with proof, and unknown where the evidence has a hole.
    Drain(DrainArgs),
    /// Answer the four questions over a time range, from ClickHouse
    ///
    /// The report of a replay, over any range, all sensors or some: sums of their rows, and latencies whose histograms are
    /// added bucket by bucket. It also says what the sensors did not see. Nothing is changed.
    Report(ReportArgs),
    /// Deliver the rows that wait in a spool to ClickHouse
    ///
    /// Rows that ClickHouse has already are recognised there: nothing is doubled, however often this is done.
    Ship(ShipArgs),
    /// Print ClickHouse's schema, or create it and bring it up to date
    Schema(SchemaArgs),
    /// Run a local ClickHouse server: for laptops, demos and tests
    ///
    /// A single node in this process, out of libchdb. It prints its URL when it answers, and runs until it is stopped.
    #[command(name = "clickhouse")]
    ClickHouse(ClickHouseArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  lowtide completions bash > ~/.local/share/bash-completion/completions/lowtide
  lowtide completions zsh > \"${fpath[1]}/_lowtide\"
  lowtide completions fish > ~/.config/fish/completions/lowtide.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page (roff)
    #[command(after_help = "\
Examples:
  lowtide man replay | man -l -
  lowtide man > /usr/local/share/man/man1/lowtide.1")]
    Man {
        /// The command to print the page of, instead of that of lowtide itself
        command: Option<String>,
    },
}

/// What `lowtide replay` takes.
#[derive(Args, Debug)]
#[command(after_help = REPLAY_EXAMPLES)]
#[command(after_long_help = format!("{REPLAY_EXAMPLES}\n\n{REPLAY_EXIT_CODES}"))]
pub struct ReplayArgs {
    /// Files to read as one timeline; `-` is standard input
    ///
    /// pcap, pcapng or dnstap (Frame Streams), as they are or compressed by gzip, zstd, xz, bzip2 or lz4; each is known
    /// by its content, not its name. Files are merged by time, in whatever order they are given:
    /// a response may stand in another file than its query.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A configuration (TOML), as deploy/lowtide.toml explains it: of it, migrations, ports and zones are taken
    ///
    /// Migrations are judged as `lowtide drain` does; --port and --zone add to what the file says.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the report as JSON (schema lowtide.report/1) instead of text
    #[arg(long)]
    pub json: bool,

    /// Rows in each table
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,

    /// How long a query waits for its response until it counts as unanswered, in traffic time [e.g. 500ms, 5s]
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    query_timeout: Duration,

    /// The length of the intervals that traffic time is divided into [e.g. 10s, 1m30s, 1h]
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub interval: Duration,

    /// A port to look for DNS on, besides 53; may be given more than once
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// A zone to keep an exact account of; may be given more than once
    ///
    /// A name belongs to the longest of these zones that it is in. Names in none of them belong to the zone that
    /// authoritative answers show, else to their registrable domain (public suffix list).
    #[arg(long = "zone", value_name = "NAME", value_parser = zone)]
    zones: Vec<NameBuf>,

    /// How long a file may show no frame at all until that is a hole in the evidence on migrations [e.g. 30s, 1h]
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration::parse, requires = "config")]
    max_silence: Duration,

    /// Names and types that get counters of their own, about; the least asked beyond are counted in their zone alone
    ///
    /// A million with a few answers each take 256 MiB.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = at_least_one)]
    max_names: usize,

    /// Threads to use [default: one per core]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<usize>,

    #[command(flatten)]
    pub connection: ConnectionArgs,

    #[command(flatten)]
    pub record: RecordArgs,

    #[command(flatten)]
    pub delivery: DeliveryArgs,

    /// Exit with 0 although an input is damaged; the damage is reported all the same
    #[arg(long)]
    pub lenient: bool,

    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

impl ReplayArgs {
    /// What the pipeline is asked to do, with what a configuration says beside the command line.
    ///
    /// # Errors
    /// [`Error::Usage`] when standard input is asked for twice.
    pub fn options(&self, settings: ReplaySettings) -> Result<ReplayOptions, Error> {
        if self.files.iter().filter(|path| *path == Path::new("-")).count() > 1 {
            return Err(Error::Usage("standard input ('-') can be read only once".to_owned()));
        }
        let mut ports = self.ports.clone();
        ports.push(53);
        ports.extend(settings.ports);
        ports.sort_unstable();
        ports.dedup();
        let mut zones = self.zones.clone();
        for zone in settings.zones {
            if !zones.iter().any(|known| known.as_name().is_same(zone.as_name())) {
                zones.push(zone);
            }
        }
        Ok(ReplayOptions {
            files: self.files.clone(),
            top: self.top,
            query_timeout: self.query_timeout,
            interval: self.interval,
            ports,
            threads: self.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
            max_names: self.max_names,
            zones,
            migrations: settings.migrations,
            max_silence: self.max_silence,
        })
    }
}

fn zone(text: &str) -> Result<NameBuf, &'static str> {
    NameBuf::parse(text)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn replay(line: &str) -> Result<ReplayOptions, clap::Error> {
        let words = ["lowtide", "replay"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Replay(args) => Ok(args.options(ReplaySettings::default()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let options = replay("x.pcap").unwrap();
        assert_eq!(options.files, [PathBuf::from("x.pcap")]);
        assert_eq!((options.top, options.max_names), (20, 1_000_000));
        assert_eq!(options.query_timeout, Duration::from_secs(5));
        assert_eq!(options.interval, Duration::from_secs(60));
        assert_eq!(options.ports, [53]);
        assert!(options.threads >= 1);
        assert!(options.zones.is_empty());
    }

    #[test]
    fn options_reach_the_pipeline() {
        let options = replay(
            "--port 5353 --port 53 --port 853 --zone Example.ORG --query-timeout 1m30s --threads 3 --top 0 --max-names 7 a - b",
        )
        .unwrap();
        assert_eq!(options.ports, [53, 853, 5353]);
        assert_eq!(
            options.zones.iter().map(|zone| zone.as_name().to_string()).collect::<Vec<_>>(),
            ["example.org."]
        );
        assert_eq!(options.query_timeout, Duration::from_secs(90));
        assert_eq!((options.threads, options.top, options.max_names), (3, 0, 7));
        assert_eq!(options.files.len(), 3);
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for line in [
            "",
            "--port 0 x",
            "--port 65536 x",
            "--threads 0 x",
            "--max-names 0 x",
            "--interval 60 x",
            "--query-timeout 0s x",
            "--zone a..b x",
            "--color mauve x",
            "--frobnicate x",
        ] {
            let error = replay(line).map(|options| format!("{options:?}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        let cli = Cli::try_parse_from(["lowtide", "replay", "-", "-"]).unwrap();
        let Command::Replay(args) = cli.command else { panic!("{cli:?}") };
        assert!(matches!(args.options(ReplaySettings::default()), Err(Error::Usage(_))));
    }

    #[test]
    fn help_shows_examples_units_and_exit_codes() {
        let mut cli = Cli::command();
        assert!(cli.render_help().to_string().contains("Examples:\n  lowtide replay capture.pcap"));
        let replay = cli.find_subcommand_mut("replay").unwrap();
        for help in [replay.render_help().to_string(), replay.render_long_help().to_string()] {
            for part in ["Examples:", "lowtide replay --zone example.org", "500ms", "[default: 20]"] {
                assert!(help.contains(part), "{part} is missing in:\n{help}");
            }
        }
        assert!(replay.render_long_help().to_string().contains("Exit codes:\n  0  done"));
    }

    #[test]
    fn every_argument_has_a_help_text() {
        for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
