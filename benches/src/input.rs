//! Which capture a benchmark runs on, and its command line.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use clap::Parser;
use tempfile::NamedTempFile;

use crate::Traffic;

/// The capture of a million messages that lies beside some checkouts of the project.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/load/dns-1m.pcap.zst");

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What every benchmark takes.
#[derive(Debug, Parser)]
pub struct Options {
    /// The capture to run on [default: LOWTIDE_BENCH_FILE, else ../shared/load/dns-1m.pcap.zst if it is there, else traffic
    /// made up]
    pub file: Option<PathBuf>,
    /// Make the traffic up, whatever lies beside
    #[arg(long, conflicts_with = "file")]
    pub generate: bool,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// The program to measure, instead of building it
    #[arg(long, value_name = "PATH")]
    pub lowtide: Option<PathBuf>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// The capture, unpacked.
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Where it comes from, for people.
    pub origin: String,
    /// Removes it in the end.
    _temporary: Option<NamedTempFile>,
}

impl Input {
    /// Finds, unpacks or makes it.
    ///
    /// # Errors
    /// It cannot be read, or a temporary file cannot be written.
    pub fn find(options: &Options) -> io::Result<Self> {
        let named = || std::env::var_os("LOWTIDE_BENCH_FILE").map(PathBuf::from);
        let shared = || Some(PathBuf::from(SHARED)).filter(|path| path.exists());
        match options.file.clone().or_else(named).or_else(shared) {
            Some(path) if !options.generate => Self::unpack(path),
            _ => Self::make(&Traffic { queries: 500_000, names: 80_000, rate: 10_000 }),
        }
    }

    /// Makes traffic up.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub fn make(traffic: &Traffic) -> io::Result<Self> {
        let file = temporary()?;
        traffic.write(BufWriter::new(file.as_file()))?;
        let origin = format!("made up: {} transactions of {} names", traffic.queries, traffic.names);
        Ok(Self { path: file.path().to_owned(), origin, _temporary: Some(file) })
    }

    fn unpack(path: PathBuf) -> io::Result<Self> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let name = path.file_name().unwrap_or(path.as_os_str()).display().to_string();
        if !is_zstd(&path).map_err(failed)? {
            return Ok(Self { path, origin: name, _temporary: None });
        }
        let file = temporary()?;
        zstd::stream::copy_decode(File::open(&path)?, BufWriter::new(file.as_file())).map_err(failed)?;
        Ok(Self { path: file.path().to_owned(), origin: format!("{name}, unpacked"), _temporary: Some(file) })
    }

    /// Octets of the file.
    ///
    /// # Errors
    /// It is not there any more.
    pub fn octets(&self) -> io::Result<u64> {
        Ok(self.path.metadata()?.len())
    }
}

fn temporary() -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix("lowtide-bench-").suffix(".pcap").tempfile()
}

fn is_zstd(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == ZSTD_MAGIC)
}
