//! Writes simulated migrations as files.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lowtide_simulator::write::{Format, Written, write};
use lowtide_simulator::{DAY, Parameters, SCENARIOS};

/// Simulates migrations between DNS providers.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulates one migration and writes what the sensors saw, the truth, and the configuration.
    Write(WriteArgs),
    /// Lists the scenarios.
    Scenarios,
}

#[derive(Debug, Args)]
struct WriteArgs {
    /// The scenario; without it everything is drawn at random from the seed.
    #[arg(long, value_name = "NAME", required_unless_present = "seed")]
    scenario: Option<String>,
    /// The seed: the same one gives the same files.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The directory to write into.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// What the sensors' files are.
    #[arg(long, value_enum, default_value_t = FileFormat::Dnstap)]
    format: FileFormat,
    /// Days of evidence, instead of the scenario's.
    #[arg(long, value_name = "N")]
    days: Option<u64>,
    /// Resolvers, instead of the scenario's.
    #[arg(long, value_name = "N")]
    resolvers: Option<usize>,
    /// Queries of clients per resolver and day, instead of the scenario's.
    #[arg(long, value_name = "N")]
    queries_per_day: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    Dnstap,
    Pcap,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Write(args) => simulate(args),
        Command::Scenarios => {
            let lines = SCENARIOS.iter().map(|(name, about)| format!("{name:22} {about}\n"));
            Ok(lines.collect())
        }
    };
    match done.and_then(|text| say(&mut io::stdout(), &text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when this fails.
            let _ = say(&mut io::stderr(), &format!("lowtide-simulator: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn say(to: &mut impl Write, text: &str) -> Result<(), String> {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).map_err(|error| error.to_string())
}

fn simulate(args: &WriteArgs) -> Result<String, String> {
    let mut parameters = match &args.scenario {
        None => Parameters::random(args.seed.unwrap_or_default()),
        Some(name) => Parameters::scenario(name, args.seed.unwrap_or(1)).ok_or_else(|| {
            format!("there is no scenario {name:?}; `lowtide-simulator scenarios` lists them")
        })?,
    };
    if let Some(days) = args.days {
        parameters.length = days * DAY;
        if parameters.length <= parameters.plan.cutover {
            let cutover = parameters.plan.cutover as f64 / DAY as f64;
            return Err(format!("--days {days}: the cutover comes after {cutover:.1} days"));
        }
    }
    if let Some(resolvers) = args.resolvers {
        parameters.population.resolvers = resolvers;
    }
    if let Some(queries) = args.queries_per_day {
        parameters.population.queries_per_day = queries;
    }
    let format = match args.format {
        FileFormat::Dnstap => Format::Dnstap,
        FileFormat::Pcap => Format::Pcap,
    };
    let written = write(parameters, &args.dir, format).map_err(|error| error.to_string())?;
    Ok(summary(args, &written))
}

fn summary(args: &WriteArgs, written: &Written) -> String {
    let truth = &written.truth;
    let never = truth.servers.iter().filter(|server| server.drained_from.is_none()).count();
    format!(
        "{}: {} messages in {} files, {} holes in the evidence, {} of {} zones at servers never drained\n",
        args.dir.display(),
        written.messages,
        written.files.len(),
        truth.holes.len(),
        never,
        truth.servers.len(),
    )
}
