//! What files tell of migrations, and the verdict on it: the same for `lowtide drain` and for a replay.

use std::net::IpAddr;

use lowtide_aggregate::drain::report::{Reason, SCHEMA};
use lowtide_aggregate::drain::watch::is_beside_server;
use lowtide_aggregate::drain::{DrainReport, Origin, Verdict, Watch, judge_located};
use lowtide_aggregate::summary::rfc3339;
use lowtide_capture::Input;
use lowtide_decode::Decoder;
use lowtide_proto::{Observation, Timestamp};

use super::dropped;
use super::sight::{self, Seen, Sight, Sources};

/// Sees the messages of files, and when files saw.
pub struct Witness {
    /// Who asked whom, and what was served.
    pub watch: Watch,
    sights: Vec<Sight>,
    /// The file that is read.
    input: usize,
    /// Messages later than this are not looked at.
    until: Timestamp,
    /// How long a file may show nothing until it proves nothing, nanoseconds.
    silence: u64,
    /// Frames that could not be read.
    blind: u64,
}

/// The verdicts, and what the operator should know of the files.
pub struct Told {
    /// The report.
    pub report: DrainReport,
    /// The verdicts in its order.
    pub verdicts: Vec<Verdict>,
    /// Of the files.
    pub notes: Vec<String>,
}

impl Witness {
    /// Nothing seen yet of so many files.
    pub fn new(watch: Watch, files: usize, until: Option<Timestamp>, silence: u64) -> Self {
        Self {
            watch,
            sights: vec![Sight::default(); files],
            input: 0,
            until: until.unwrap_or(Timestamp(u64::MAX)),
            silence,
            blind: 0,
        }
    }

    /// What is seen from now on is of file number `input`.
    pub const fn turn_to(&mut self, input: usize) {
        self.input = input;
    }

    /// A message was seen.
    #[inline]
    pub fn observe(&mut self, observation: &Observation<'_>) {
        if observation.time > self.until {
            return;
        }
        // Which files showed a server that is watched, the watch itself knows.
        if !self.watch.observe(self.input, observation) {
            self.show(observation);
        }
    }

    /// A message of a server that is not watched was seen.
    #[inline(never)]
    fn show(&mut self, observation: &Observation<'_>) {
        if is_beside_server(observation.role)
            && let Some(sight) = self.sights.get_mut(self.input)
        {
            sight.server(observation.server.address);
        }
    }

    /// A frame was read, and decoded by `decoder`; how many since the last could not be read.
    #[inline]
    pub fn frame(&mut self, time: Timestamp, decoder: &Decoder) -> u64 {
        let blind = decoder.counts().unreadable();
        let more = blind - std::mem::replace(&mut self.blind, blind);
        if let Some(sight) = self.sights.get_mut(self.input) {
            sight.frame(time, self.silence);
            if more > 0 {
                sight.lost(time, "frames that cannot be read (snap length or link type)");
            }
        }
        more
    }

    /// The verdicts as of `at`, or of the last frame; `locate` says where clients are.
    pub fn judged(&self, inputs: &[Input], at: Option<Timestamp>, locate: &dyn Fn(IpAddr) -> Origin) -> Told {
        let at = at.or_else(|| self.sights.iter().filter_map(Sight::last).max());
        let mut files: Vec<Seen> =
            inputs.iter().zip(&self.sights).map(|(input, sight)| seen(input, sight)).collect();
        for (input, server) in self.watch.shown() {
            if let Some(file) = files.get_mut(input) {
                file.sight.server(server);
            }
        }
        let sources: Sources = sight::sources(&files);
        let mut verdicts = Vec::new();
        let mut migrations = Vec::new();
        for (migration, mut evidence) in
            self.watch.migrations().iter().zip(self.watch.evidence(&sources.names))
        {
            sight::cover(&mut evidence.cover, &files, &sources, self.silence);
            let (verdict, mut report) = judge_located(migration, &evidence, at.unwrap_or_default(), locate);
            if at.is_none() {
                let text = "the files hold no frame: nothing was seen at any time".to_owned();
                report.reasons = vec![Reason { code: "no-frame", text }];
            }
            verdicts.push(verdict);
            migrations.push(report);
        }
        Told {
            report: DrainReport { schema: SCHEMA, evaluated_at: at.map(rfc3339), migrations },
            verdicts,
            notes: sources.notes,
        }
    }
}

fn seen(input: &Input, sight: &Sight) -> Seen {
    let summary = &input.summary;
    Seen {
        path: input.path.clone(),
        kind: format!("{} {}", summary.format.as_str(), summary.link_type_names()).trim().to_owned(),
        damaged: summary
            .damaged
            .map(|damage| format!("damaged at offset {}: {}", damage.offset, damage.reason)),
        dropped: dropped::told(&summary.dropped),
        sight: sight.clone(),
    }
}
