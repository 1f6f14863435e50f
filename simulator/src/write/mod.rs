//! Simulations as files: what each sensor saw as dnstap or pcap, the truth and the coverage as JSON, and lowtide's configuration.

mod configuration;
mod coverage;
mod dnstap;
mod pcap;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use configuration::configuration;

use coverage::Told;

use crate::parameters::Parameters;
use crate::simulation::Simulation;
use crate::sink::{CoverageFact, Seen, Sink};
use crate::truth::Truth;

/// What the sensors' files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// dnstap in Frame Streams: AUTH_QUERY and AUTH_RESPONSE.
    #[default]
    Dnstap,
    /// Packets: Ethernet, IP, UDP.
    Pcap,
}

impl Format {
    const fn extension(self) -> &'static str {
        match self {
            Format::Dnstap => "dnstap",
            Format::Pcap => "pcap",
        }
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The files of the sensors.
    pub files: Vec<PathBuf>,
    /// Messages in all of them.
    pub messages: u64,
    /// The truth, as in `truth.json`.
    pub truth: Truth,
}

/// Runs a simulation and writes into `directory`, which is made: a file for each sensor, `truth.json`, `coverage.json` and
/// `lowtide.toml`.
///
/// # Errors
/// Those of the file system, with the path.
pub fn write(parameters: Parameters, directory: &Path, format: Format) -> io::Result<Written> {
    fs::create_dir_all(directory).map_err(|error| with_path(directory, &error))?;
    let configuration = configuration(&parameters);
    let mut files = Files { format, ..Files::default() };
    for sensor in &parameters.sensors {
        let path = directory.join(format!("{}.{}", sensor.name, format.extension()));
        let file = File::create(&path).map_err(|error| with_path(&path, &error))?;
        files.add(path, &sensor.name, file)?;
    }
    let truth = Simulation::new(parameters).run(&mut files);
    let messages = files.messages;
    let told = json(&files.told)?;
    let paths = files.finish()?;
    let text = json(&truth)?;
    for (name, octets) in [("truth.json", text), ("coverage.json", told), ("lowtide.toml", configuration)] {
        let path = directory.join(name);
        fs::write(&path, octets).map_err(|error| with_path(&path, &error))?;
    }
    Ok(Written { files: paths, messages, truth })
}

fn json(of: &impl serde::Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(of)? + "\n")
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// One sensor's file.
struct Out {
    path: PathBuf,
    name: String,
    file: BufWriter<File>,
}

/// The files of all sensors. A sink cannot fail: the first error is kept for the end.
#[derive(Default)]
struct Files {
    format: Format,
    outs: Vec<Out>,
    told: Vec<Told>,
    messages: u64,
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

impl Files {
    fn add(&mut self, path: PathBuf, name: &str, file: File) -> io::Result<()> {
        let mut file = BufWriter::new(file);
        self.buffer.clear();
        match self.format {
            Format::Dnstap => dnstap::begin(&mut self.buffer),
            Format::Pcap => pcap::begin(&mut self.buffer),
        }
        file.write_all(&self.buffer).map_err(|error| with_path(&path, &error))?;
        self.told.push(Told::new(name));
        self.outs.push(Out { path, name: name.to_owned(), file });
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<PathBuf>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for out in &mut self.outs {
            self.buffer.clear();
            if self.format == Format::Dnstap {
                dnstap::end(&mut self.buffer);
            }
            let ended = out.file.write_all(&self.buffer).and_then(|()| out.file.flush());
            ended.map_err(|error| with_path(&out.path, &error))?;
        }
        Ok(self.outs.into_iter().map(|out| out.path).collect())
    }
}

impl Sink for Files {
    fn message(&mut self, message: &Seen<'_>) {
        let out = &mut self.outs[message.sensor];
        self.buffer.clear();
        match self.format {
            Format::Dnstap => dnstap::put(&mut self.buffer, message, &out.name),
            Format::Pcap => pcap::put(&mut self.buffer, message),
        }
        self.messages += 1;
        if let Err(error) = out.file.write_all(&self.buffer) {
            self.error.get_or_insert_with(|| with_path(&out.path, &error));
        }
    }

    fn coverage(&mut self, fact: &CoverageFact) {
        match *fact {
            CoverageFact::Alive { sensor, from, to } => self.told[sensor].alive(from, to),
            CoverageFact::Lost { sensor, from, to, frames } => self.told[sensor].lost(from, to, frames),
        }
    }
}
