//! The commands: from arguments to standard output and an exit code.

use std::io::{BufWriter, IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use lowtide_aggregate::drain::Verdict;
use lowtide_aggregate::report::Report;
use lowtide_proto::Timestamp;

use crate::args::drain::DrainArgs;
use crate::args::report::ReportArgs;
use crate::args::run::{CheckConfigArgs, RunArgs};
use crate::args::{Cli, Command, ReplayArgs};
use crate::complaint::complain;
use crate::config::options::ReplaySettings;
use crate::config::place::Fault;
use crate::config::{self, Loaded, Settled};
use crate::error::Error;
use crate::pipeline::Drained;
use crate::query;
use crate::recording::{self, Beginning};
use crate::report::drain::drain as drain_page;
use crate::report::text::{input_name, printable};
use crate::report::{Layout, render};
use crate::{connection, live, local, pages, pipeline, progress, schema, ship};

/// Runs what the command line asks for. Reports go to standard output, everything else to standard error.
pub fn run(cli: Cli) -> ExitCode {
    let color = match cli.color {
        clap::ColorChoice::Auto => AutoStream::choice(&stdout()),
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    };
    let done = match &cli.command {
        Command::Replay(args) => replay(args, color),
        Command::Run(args) => run_live(args),
        Command::CheckConfig(args) => check_config(args),
        Command::Drain(args) => drain(args, color),
        Command::Report(args) => report(args, color),
        Command::Ship(args) => ship::run(args).map(|line| {
            complain(&line);
            ExitCode::SUCCESS
        }),
        Command::Schema(args) => schema::run(args).and_then(|text| print(text.as_bytes())),
        Command::ClickHouse(args) => local::run(args),
        Command::Completions { shell } => print(&pages::completions(*shell)),
        Command::Man { command } => pages::manual(command.as_deref()).and_then(|page| print(&page)),
    };
    match done {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            error.to_string().lines().for_each(complain);
            error.exit_code()
        }
    }
}

fn replay(args: &ReplayArgs, color: ColorChoice) -> Result<ExitCode, Error> {
    let settings = match &args.config {
        Some(path) => {
            let Settled { options, warnings } = config::replay(path)?;
            warn(&warnings);
            options
        }
        None => ReplaySettings::default(),
    };
    let options = args.options(settings)?;
    not_a_terminal(&options.files)?;
    let recording = match &args.connection.clickhouse {
        None => None,
        Some(_) => match recording::begin(&args.connection, &args.delivery, &args.record, &options)? {
            Beginning::Open(recording) => Some(recording),
            Beginning::Complete(line) => {
                complain(&line);
                None
            }
        },
    };
    let progress = progress::on_terminal(args.quiet);
    let rows = recording.as_ref().map(|recording| recording.recording());
    let report = pipeline::replay(&options, rows, &*progress);
    progress.finish();
    let report = match (report, recording) {
        (report, None) => report?,
        (Err(error), Some(recording)) => {
            complain(&error.to_string());
            return recording.finish(None, args.quiet).and(Ok(ExitCode::from(1)));
        }
        (Ok(report), Some(recording)) => {
            let printed = print_report(&report, args, color);
            complain(&recording.finish(Some(&report), args.quiet)?);
            return printed.map(|()| exit_code(&report, args));
        }
    };
    print_report(&report, args, color)?;
    Ok(exit_code(&report, args))
}

fn run_live(args: &RunArgs) -> Result<ExitCode, Error> {
    let Loaded { options, warnings, reloader } = config::load(args)?;
    warn(&warnings);
    live::run(&options, &reloader)
}

fn check_config(args: &CheckConfigArgs) -> Result<ExitCode, Error> {
    let Settled { options, warnings } = config::check(&args.file)?;
    warn(&warnings);
    print(config::summary(&args.file, &options).as_bytes())
}

fn drain(args: &DrainArgs, color: ColorChoice) -> Result<ExitCode, Error> {
    let Settled { options, warnings } = config::drain(&args.config)?;
    warn(&warnings);
    let origins = args.origins(&options)?;
    let options = args.options(options)?;
    not_a_terminal(&options.files)?;
    let drained = if args.connection.clickhouse.is_some() {
        let server = connection::server(&args.connection)?;
        connection::warning(&args.connection).iter().for_each(|warning| complain(warning));
        let now = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        pipeline::stored(&options, &args.sensors, &server, Timestamp(now), &origins)
    } else {
        let progress = progress::on_terminal(args.quiet);
        let drained = pipeline::drain(&options, &origins, &*progress);
        progress.finish();
        drained
    };
    let Drained { report, verdicts, inputs, notes } = drained?;
    for note in &notes {
        complain(&printable(note));
    }
    let written = if args.json {
        write_json(&report)
    } else {
        write_text(&drain_page(&report, &inputs, terminal_width(), args.top), color)
    };
    match written {
        Err(error) if !error.is_broken_pipe() => return Err(error),
        _ => {}
    }
    let mut is_damaged = false;
    for input in &inputs {
        if let Some(damage) = &input.summary.damaged {
            is_damaged = true;
            complain_of(&input.path.to_string_lossy(), damage.offset, &damage.reason.to_string());
        }
    }
    Ok(match verdicts.iter().max() {
        _ if is_damaged && !args.lenient => ExitCode::from(1),
        Some(Verdict::Drained) => ExitCode::SUCCESS,
        Some(Verdict::Unknown) | None => ExitCode::from(4),
        Some(Verdict::Draining | Verdict::Active | Verdict::NotClosing) => ExitCode::from(3),
    })
}

fn not_a_terminal(files: &[PathBuf]) -> Result<(), Error> {
    if files.iter().any(|path| path == Path::new("-")) && stdin().is_terminal() {
        return Err(Error::Usage(
            "standard input is a terminal: pipe a capture into it, as in 'tcpdump -w - | lowtide replay -'"
                .to_owned(),
        ));
    }
    Ok(())
}

fn warn(warnings: &[Fault]) {
    for warning in warnings {
        complain(&format!("warning: {}", printable(&warning.to_string())));
    }
}

fn report(args: &ReportArgs, color: ColorChoice) -> Result<ExitCode, Error> {
    let report = query::ask(args)?;
    if args.json {
        write_json(&query::told(&report)?)?;
    } else {
        let interval = Duration::try_from_secs_f64(report.interval_s).unwrap_or_default();
        let layout = Layout { width: terminal_width(), top: args.top, interval };
        write_text(&render(&report, &layout), color)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_report(report: &Report, args: &ReplayArgs, color: ColorChoice) -> Result<(), Error> {
    let written = if args.json {
        write_json(report)
    } else {
        let interval = Duration::try_from_secs_f64(report.interval_s).unwrap_or(args.interval);
        let layout = Layout { width: terminal_width(), top: args.top, interval };
        write_text(&render(report, &layout), color)
    };
    match written {
        Err(error) if !error.is_broken_pipe() => Err(error),
        _ => Ok(()),
    }
}

fn exit_code(report: &Report, args: &ReplayArgs) -> ExitCode {
    if complain_of_damage(report) && !args.lenient { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn write_json(report: &impl serde::Serialize) -> Result<(), Error> {
    let mut out = BufWriter::new(stdout().lock());
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(Error::Output)
}

fn write_text(text: &str, color: ColorChoice) -> Result<(), Error> {
    let mut out = AutoStream::new(stdout().lock(), color);
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}

fn print(bytes: &[u8]) -> Result<ExitCode, Error> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// One line for each damaged input; whether there was one.
fn complain_of_damage(report: &Report) -> bool {
    let mut any = false;
    for input in &report.inputs {
        if let Some(damaged) = &input.damaged {
            any = true;
            complain_of(&input.path, damaged.offset, &damaged.reason);
        }
    }
    any
}

fn complain_of(path: &str, offset: u64, reason: &str) {
    complain(&format!(
        "{}: damaged at offset {offset}: {}; everything before it is counted",
        input_name(path),
        printable(reason)
    ));
}

/// The terminal's width, 100 when there is none; very wide terminals do not make long lines easier to read.
fn terminal_width() -> usize {
    terminal_size::terminal_size_of(stdout()).map_or(100, |(width, _)| usize::from(width.0))
}
