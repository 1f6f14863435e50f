//! When files saw, and when they did not: a quiet tap proves nothing.
//!
//! A file saw from its first frame to its last, whatever these frames were. A silence longer than allowed is a hole: nobody can
//! tell a tap that shows nothing from one that is dead. What a file lost by damage is a hole from there on.
//!
//! The files of one folder are taken for one sensor's whose capture was rotated, so that one of them goes on where another ended. Only
//! where that is so: they are of one kind, do not overlap in time, and show servers that were shown before. Else each file stands for
//! itself, and no file fills another's holes: one tap's silence must not be filled by another tap that sees another server.
//!
//! Files of several runs may be in one folder, since a capture may be replayed file by file. But where two runs have a path in common and
//! not the same file under it, nobody knows of how many machines these paths are.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use lowtide_aggregate::drain::Cover;
use lowtide_proto::Timestamp;

/// Writers are out of order by this much: nanoseconds.
const DISORDER: u64 = 1_000_000_000;

/// Stretches of time that are kept of a file. Files have few; one whose times leap about is looked at in this many.
const MAX_SPANS: usize = 4_096;

/// Servers of a file that are kept.
const MAX_SERVERS: usize = 4_096;

/// Losses of one kind that are closer than this are one.
const ONE_LOSS: u64 = 60_000_000_000;

type Span = (Timestamp, Timestamp);

/// What one file saw.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    spans: Vec<Span>,
    /// When it may have seen besides, of which there is no proof.
    claimed: Option<Span>,
    lost: Vec<(Span, &'static str)>,
    servers: HashSet<Ipv6Addr>,
    /// Of those, the ones shown last, two at each place that a hash says.
    recent: [[u128; 2]; 16],
}

/// One file with what is known of it at its end.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its path; `-` is standard input.
    pub path: PathBuf,
    /// Format and link types: what a rotation does not change.
    pub kind: String,
    /// Why it ends before its end, if it does.
    pub damaged: Option<String>,
    /// What it says itself was dropped before it was written.
    pub dropped: Vec<Dropped>,
    /// What it saw.
    pub sight: Sight,
}

/// A loss before a file was written.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// Not before this; `None` = since the file's beginning.
    pub from: Option<Timestamp>,
    /// Not after this; `None` = until its end.
    pub to: Option<Timestamp>,
    /// What, and who says it.
    pub text: String,
}

/// Which source each file is of.
#[derive(Debug)]
pub struct Sources {
    /// The names of the sources, by file.
    pub names: Vec<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Sight {
    /// What is known of a file without reading it.
    pub fn of(spans: &[Span], servers: &[Ipv6Addr]) -> Self {
        Self { spans: spans.to_vec(), servers: servers.iter().copied().collect(), ..Self::default() }
    }

    /// It had frames from one moment to another, which proves nothing of the time between them.
    pub const fn claim(&mut self, span: Option<Span>) {
        self.claimed = span;
    }

    /// A frame was seen; `silence` are the nanoseconds that may pass without one.
    #[inline]
    pub fn frame(&mut self, time: Timestamp, silence: u64) {
        if let Some(last) = self.spans.last_mut() {
            // Nearly always, time goes on a little.
            if let Some(since) = time.0.checked_sub(last.1.0)
                && since <= silence
            {
                last.1 = time;
                return;
            }
            if join(last, (time, time), silence) {
                return;
            }
        }
        self.begin(time, silence);
    }

    #[cold]
    fn begin(&mut self, time: Timestamp, silence: u64) {
        if self.spans.len() >= MAX_SPANS {
            self.spans = joined(std::mem::take(&mut self.spans), silence);
            // What is left leaps about: the earliest stretches are given up, which makes holes and fills none.
            if self.spans.len() > MAX_SPANS / 2 {
                self.spans.drain(..MAX_SPANS / 4);
            }
        }
        self.spans.push((time, time));
    }

    /// A frame was there that could not be looked into.
    #[cold]
    pub fn lost(&mut self, time: Timestamp, reason: &'static str) {
        let is_full = self.lost.len() >= MAX_SPANS;
        match self.lost.last_mut() {
            Some((last, why)) if is_full || *why == reason => {
                if !join(last, (time, time), if is_full { u64::MAX } else { ONE_LOSS }) {
                    self.lost.push(((time, time), reason));
                }
            }
            _ => self.lost.push(((time, time), reason)),
        }
    }

    /// A message from or to a server was seen, beside it.
    #[inline]
    pub fn server(&mut self, server: Ipv6Addr) {
        // Servers of one site often end in the same bits, so that all bits have to tell.
        let bits = server.to_bits();
        let place = (bits as u64 ^ (bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        if let Some(recent) = self.recent.get_mut(place as usize)
            && !recent.contains(&bits)
        {
            let [latest, before] = recent;
            *before = std::mem::replace(latest, bits);
            self.show(server);
        }
    }

    #[cold]
    fn show(&mut self, server: Ipv6Addr) {
        if self.servers.len() < MAX_SERVERS {
            self.servers.insert(server);
        }
    }

    fn first(&self) -> Option<Timestamp> {
        self.spans.iter().chain(&self.claimed).map(|&(from, _)| from).min()
    }

    /// Its latest frame.
    pub fn last(&self) -> Option<Timestamp> {
        self.spans.iter().chain(&self.claimed).map(|&(_, to)| to).max()
    }
}

/// Makes one stretch of two when no more than `silence` is between them; whether it did.
fn join(span: &mut Span, other: Span, silence: u64) -> bool {
    let near = other.0.0 <= span.1.0.saturating_add(silence) && span.0.0 <= other.1.0.saturating_add(silence);
    if near {
        *span = (span.0.min(other.0), span.1.max(other.1));
    }
    near
}

fn joined(mut spans: Vec<Span>, silence: u64) -> Vec<Span> {
    spans.sort_unstable();
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        if !all.last_mut().is_some_and(|last| join(last, span, silence)) {
            all.push(span);
        }
    }
    all
}

/// The source of each file.
pub fn sources(files: &[Seen]) -> Sources {
    sources_of_runs(files, &[])
}

/// The same for files that were read by these runs, each in its place.
pub fn sources_of_runs(files: &[Seen], runs: &[&str]) -> Sources {
    let mut folders: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        folders.entry(folder(&file.path)).or_default().push(number);
    }
    let run = |number: usize| runs.get(number).copied().unwrap_or_default();
    let mut paths: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        paths.entry(&file.path).or_default().insert(run(number));
    }
    let is_shared = |path: &Path| paths.get(path).is_some_and(|runs| runs.len() > 1);
    let name = |(number, file): (usize, &Seen)| {
        let name = file_name(&file.path);
        if is_shared(&file.path) { format!("{name} of run {}", run(number)) } else { name }
    };
    let mut names: Vec<String> = files.iter().enumerate().map(name).collect();
    let mut notes = Vec::new();
    for (folder, numbers) in folders {
        if numbers.len() < 2 {
            continue;
        }
        let of_folder: Vec<&Seen> = numbers.iter().filter_map(|&number| files.get(number)).collect();
        let shown = of_folder.first().map_or(&*folder, |file| parent(&file.path)).display().to_string();
        let shared = of_folder.iter().find(|file| is_shared(&file.path));
        let one = shared.map_or(Ok(()), |file| Err(not_the_same(&file.path, &paths)));
        match one.and_then(|()| rotation(&of_folder)) {
            Ok(()) => {
                let name = format!("{} files of {shown}", numbers.len());
                for number in numbers {
                    if let Some(slot) = names.get_mut(number) {
                        slot.clone_from(&name);
                    }
                }
            }
            Err(reason) => notes.push(format!(
                "{shown}: not one sensor's rotated capture, as {reason}: each file stands for itself; put each sensor's into a folder \
                 of its own"
            )),
        }
    }
    Sources { names, notes }
}

/// That runs read different files under one path.
fn not_the_same(path: &Path, runs: &BTreeMap<&Path, BTreeSet<&str>>) -> String {
    let runs: Vec<String> =
        runs.get(path).into_iter().flatten().take(3).map(|run| format!("of run {run}")).collect();
    format!("{} {} are not the same file", file_name(path), runs.join(" and "))
}

/// Whether files may be one capture that was rotated, or why not.
fn rotation(files: &[&Seen]) -> Result<(), String> {
    let mut known: HashSet<Ipv6Addr> = HashSet::new();
    let mut before: Option<&Seen> = None;
    for file in in_time(files) {
        if let Some(before) = before {
            let (one, other) = (file_name(&before.path), file_name(&file.path));
            if before.kind != file.kind {
                return Err(format!("{one} is {} and {other} is {}", before.kind, file.kind));
            }
            let ends = before.sight.last().unwrap_or_default();
            if file.sight.first().is_some_and(|begins| begins.0.saturating_add(DISORDER) < ends.0) {
                return Err(format!("{one} and {other} overlap in time"));
            }
            if known.is_disjoint(&file.sight.servers) {
                return Err(format!("{other} shows no server that those before it show"));
            }
        }
        known.extend(&file.sight.servers);
        before = Some(file);
    }
    Ok(())
}

/// The files that hold frames, or say so, by their beginning.
fn in_time<'a>(files: &[&'a Seen]) -> Vec<&'a Seen> {
    let mut files: Vec<&Seen> = files.iter().copied().filter(|file| file.sight.first().is_some()).collect();
    files.sort_by_key(|file| (file.sight.first(), file.sight.last()));
    files
}

/// Adds to `cover` when the sources saw.
pub fn cover(cover: &mut Cover, files: &[Seen], sources: &Sources, silence: u64) {
    let mut of: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for (file, name) in files.iter().zip(&sources.names) {
        of.entry(name).or_default().push(file);
    }
    for (name, files) in of {
        let spans = files.iter().flat_map(|file| file.sight.spans.iter().copied()).collect();
        for (from, to) in joined(spans, silence) {
            cover.seen(name, from, to);
        }
        for file in &files {
            for &((from, to), reason) in &file.sight.lost {
                cover.lost(name, from, to, reason);
            }
            // Nobody knows what would have come, until another file goes on.
            let from = file.sight.last().map_or(0, |last| last.0.saturating_sub(DISORDER));
            let others = files.iter().filter_map(|other| other.sight.first()).filter(|first| first.0 > from);
            let next = others.min().filter(|_| !file.sight.spans.is_empty());
            for dropped in &file.dropped {
                let from = dropped.from.or(file.sight.first()).unwrap_or_default();
                let to = dropped.to.or(next).or(file.sight.last()).unwrap_or(Timestamp(u64::MAX));
                cover.lost(name, from, to, &format!("{}: {}", file_name(&file.path), dropped.text));
            }
            let Some(damage) = &file.damaged else { continue };
            let to = next.unwrap_or(Timestamp(u64::MAX));
            cover.lost(name, Timestamp(from), to, &format!("{}: {damage}", file_name(&file.path)));
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The folder that a file is in, however it is written; standard input is in one of its own.
fn folder(path: &Path) -> PathBuf {
    if path.as_os_str() == "-" {
        return PathBuf::from("-");
    }
    let parent = parent(path);
    parent.canonicalize().unwrap_or_else(|_| parent.to_owned())
}

fn file_name(path: &Path) -> String {
    crate::report::text::input_name(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests;
