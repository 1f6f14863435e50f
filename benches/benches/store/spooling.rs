//! Encoding rows and spooling them, beside what no spool of compressed and safely stored blocks can do without.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use lowtide_aggregate::drain::DrainRows;
use lowtide_benches::figures::{Rounds, Table, count, cpu_time, nanos, seconds, times, verdict};
use lowtide_benches::rows::{Minutes, rows};
use lowtide_store::recorder::{Draft, Recorded, Recorder, SegmentSink};
use lowtide_store::run::{Kind, RunKey};
use lowtide_store::schema;
use lowtide_store::segment::{self, Header};
use lowtide_store::spool::{Spool, SpoolOptions};
use tempfile::TempDir;
use zstd::zstd_safe::CParameter;

use super::{Options, Outcome, Part};

/// Rows a second, of one core.
const MARK: f64 = 1e6;

/// As in a segment.
const COMPRESSION_LEVEL: i32 = 1;

/// What some work took.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    cpu: Duration,
    wall: Duration,
}

impl Taken {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let (cpu, result) = cpu_time(work);
        self.cpu += cpu;
        self.wall += begin.elapsed();
        result
    }

    fn without(self, other: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(other.cpu), wall: self.wall.saturating_sub(other.wall) }
    }

    fn and(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, wall: self.wall + other.wall }
    }
}

/// What is in a spool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents {
    pub segments: u64,
    pub rows: u64,
    pub queries: u64,
    pub responses: u64,
    /// Octets of the blocks.
    pub blocks: u64,
    /// Octets of the segments.
    pub octets: u64,
}

/// A full spool.
pub struct Filled {
    dir: TempDir,
    pub run: RunKey,
    pub contents: Contents,
}

impl Filled {
    /// The same spool, to be emptied: its segments under other names, which take no room.
    pub fn copy(&self) -> Outcome<TempDir> {
        let copy = directory()?;
        for segment in segments(self.dir.path())? {
            if let Some(name) = segment.file_name() {
                fs::hard_link(&segment, copy.path().join(name))?;
            }
        }
        Ok(copy)
    }
}

/// Where spools are, so that they are on one file system.
pub fn directory() -> Outcome<TempDir> {
    Ok(tempfile::Builder::new().prefix("lowtide-bench-").tempdir()?)
}

fn segments(dir: &Path) -> Outcome<Vec<std::path::PathBuf>> {
    let files = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    let is_segment = |file: &Path| file.extension().is_some_and(|extension| extension == segment::EXTENSION);
    Ok(files.into_iter().filter(|file| is_segment(file)).collect())
}

/// Spools each segment and, in turn, does less with the same block.
struct Contenders {
    run: RunKey,
    spool: Spool,
    bare: TempDir,
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
    contents: Contents,
    put: Taken,
    stored: Taken,
    compress: Taken,
}

impl Contenders {
    fn new(run: RunKey, dir: &Path) -> Outcome<Self> {
        let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self {
            run,
            spool: Spool::open(dir, SpoolOptions::default())?,
            bare: directory()?,
            compressor,
            compressed: Vec::new(),
            contents: Contents::default(),
            put: Taken::default(),
            stored: Taken::default(),
            compress: Taken::default(),
        })
    }

    fn put_segment(&mut self, draft: &Draft<'_>) -> Outcome<()> {
        let header = header(&self.run, draft).ok_or("a table without segments")?;
        let _ = self.put.add(|| self.spool.put(&header, draft.block))?;
        Ok(())
    }

    fn store_bare(&mut self, draft: &Draft<'_>) -> Outcome<()> {
        let Self { compressor, compressed, compress, stored, bare, .. } = self;
        let path = bare.path().join(draft.sequence.to_string());
        stored.add(|| {
            compressed.clear();
            compressed.reserve(zstd::zstd_safe::compress_bound(draft.block.len()));
            compress.add(|| compressor.compress_to_buffer(draft.block, compressed))?;
            let mut file = File::create(path)?;
            file.write_all(compressed)?;
            Ok(file.sync_all()?)
        })
    }

    fn all(&self) -> Taken {
        self.put.and(self.stored)
    }
}

impl SegmentSink for Contenders {
    type Error = Box<dyn Error>;

    fn put(&mut self, draft: &Draft<'_>) -> Outcome<()> {
        let contents = &mut self.contents;
        contents.segments += 1;
        contents.rows += draft.rows;
        contents.queries += draft.queries;
        contents.responses += draft.responses;
        contents.blocks += draft.block.len() as u64;
        // Whoever comes second finds the block in the caches.
        if draft.sequence.is_multiple_of(2) {
            self.put_segment(draft)?;
            self.store_bare(draft)
        } else {
            self.store_bare(draft)?;
            self.put_segment(draft)
        }
    }
}

fn header(run: &RunKey, draft: &Draft<'_>) -> Option<Header> {
    Some(Header {
        table: segment::Table::from_name(draft.table)?,
        columns: draft.columns.iter().map(|&column| column.to_owned()).collect(),
        sensor: run.sensor.clone(),
        run: run.run.clone(),
        sequence: draft.sequence,
        rows: draft.rows,
        queries: draft.queries,
        responses: draft.responses,
        from: draft.intervals.0,
        to: draft.intervals.1,
        schema_version: schema::VERSION,
    })
}

/// One line of the table.
#[derive(Default)]
struct Line {
    cpu: Rounds,
    wall: Rounds,
}

impl Line {
    fn push(&mut self, taken: Taken) {
        self.cpu.push(taken.cpu.as_secs_f64());
        self.wall.push(taken.wall.as_secs_f64());
    }
}

/// Fills a spool in each round; the last one is kept.
pub fn run(options: &Options) -> Outcome<Filled> {
    let run = RunKey { sensor: "bench".to_owned(), run: "bench".to_owned(), kind: Kind::Replay };
    let mut lines: [Line; 5] = Default::default();
    let mut last = None;
    let rounds = if options.wants(Part::Spooling) { options.all.rounds } else { 1 };
    for _ in 0..rounds {
        drop(last.take());
        let dir = directory()?;
        let sink = Contenders::new(run.clone(), dir.path())?;
        let mut recorder = Recorder::new(run.clone(), Vec::new(), options.segment_rows, sink);
        let mut whole = Taken::default();
        let (mut minutes, mut made) = (Minutes::default(), 0);
        while made < options.rows
            && let Some(minute) = minutes.next()
        {
            made += rows(&minute);
            whole.add(|| -> Outcome<()> {
                recorder.record(Recorded::Coverage(Vec::new(), DrainRows::default()))?;
                minute.into_iter().try_for_each(|closed| recorder.record(Recorded::Windows(closed)))
            })?;
        }
        whole.add(|| recorder.cut())?;
        let sink = recorder.sink();
        let encode = whole.without(sink.all());
        let taken = [encode.and(sink.put), encode, sink.put, sink.stored, sink.compress];
        lines.iter_mut().zip(taken).for_each(|(line, taken)| line.push(taken));
        let contents = Contents { octets: sink.spool.backlog().octets, ..sink.contents };
        last = Some(Filled { dir, run: run.clone(), contents });
    }
    let filled = last.ok_or("no round")?;
    if options.wants(Part::Spooling) {
        print(options, &filled.contents, &lines);
    }
    Ok(filled)
}

fn print(options: &Options, contents: &Contents, lines: &[Line; 5]) {
    let Contents { segments, rows, queries, blocks, octets, .. } = *contents;
    let each = |octets: u64| format!("{:.1}", octets as f64 / rows as f64);
    println!("## Encoding and spooling\n");
    println!("{} rows ({} queries) in {segments} segments, one thread", count(rows), count(queries));
    println!("a row: {} octets in its block, {} in the segment", each(blocks), each(octets));
    println!("{} rounds; least (median) of each figure\n", options.all.rounds);
    let names = [
        "encoding and spooling",
        "· encoding: rows to a block",
        "· spooling: a block to a segment",
        "a block compressed, written, synchronised",
        "· compressed",
    ];
    let [all, _, put, bare, _] = lines;
    let both = |rounds: &Rounds, unit: fn(f64) -> String| {
        format!("{} ({})", unit(rounds.min()), unit(rounds.median()))
    };
    let mut table = Table::new(&["one core", "CPU time", "time", "CPU a row", "rows a second of CPU"]);
    for (name, line) in names.iter().zip(lines) {
        table.row([
            (*name).to_owned(),
            both(&line.cpu, seconds),
            both(&line.wall, seconds),
            nanos(line.cpu.min() * 1e9 / rows as f64),
            count((rows as f64 / line.cpu.min()) as u64),
        ]);
    }
    println!("{table}");
    println!(
        "spooling : compressed, written, synchronised: CPU time {} ({}), time {} ({})",
        times(put.cpu.min() / bare.cpu.min()),
        times(put.cpu.over(&bare.cpu).median()),
        times(put.wall.min() / bare.wall.min()),
        times(put.wall.over(&bare.wall).median()),
    );
    for (what, rounds) in [("of CPU time", &all.cpu), ("of time, waiting for the disk included", &all.wall)] {
        let rate = rows as f64 / rounds.min();
        println!(
            "encoding and spooling: {} rows in a second {what}: {}",
            count(MARK as u64),
            verdict(rate >= MARK)
        );
    }
    println!();
}
