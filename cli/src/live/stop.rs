//! The end of a live run: in the order of the data, so that everything that was read is in a row.

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::Receiver;
use lowtide_proto::Timestamp;
use lowtide_store::sensor_run::{SensorRun, State};
use tracing::{error, info, warn};

use super::account::Totals;
use super::shared::Happening;
use super::{Running, alive, clock};
use crate::config::options::RunOptions;
use crate::error::Error;

impl Running {
    /// Reads what is there, counts it, records it, and delivers what can be delivered in the time that is left.
    pub(super) fn stop(
        mut self,
        options: &RunOptions,
        happenings: &Receiver<Happening>,
        mut run: SensorRun,
    ) -> Result<ExitCode, Error> {
        // Before the sockets are closed, which is no gap.
        self.watch.tell_gaps();
        self.shared.stopping.store(true, Ordering::Release);
        self.attend(happenings);
        let producers = std::mem::take(&mut self.producers);
        let mut failed = 0;
        for producer in producers {
            failed += usize::from(producer.join().is_err());
        }
        self.watch.close(Timestamp(u64::MAX));
        let balanced = self.balance();
        self.say(&mut run, if failed == 0 { State::Finished } else { State::Failed });
        let Self { shared, shards, watch, rows, metrics, .. } = self;
        drop(watch);
        for shard in shards {
            failed += usize::from(shard.join().is_err());
        }
        if let Some(metrics) = metrics {
            metrics.stop();
        }
        let (rest, recorded) = rows.recorded();
        // What a thread counted that failed is in no row, nor what was dropped and not told: the next run is to say so.
        if recorded == Ok(true) && failed == 0 {
            alive::leave(&shared, options, clock::now());
        }
        let left = rest.finish(options.process.stop_timeout / 2);
        if let Some(outcome) = &left.outcome {
            info!("ClickHouse: {outcome}");
        }
        if left.backlog.segments > 0 {
            warn!(
                "{} segments wait in {}; the next run delivers them, or 'lowtide ship' does",
                left.backlog.segments,
                options.spool.dir.display()
            );
        }
        match recorded {
            Err(wrong) => Err(Error::Failed(wrong)),
            Ok(_) if failed > 0 => Err(Error::Failed("a thread failed; its counts are lost".to_owned())),
            Ok(_) if !balanced => Err(Error::Failed("the accounts do not balance".to_owned())),
            Ok(_) => Ok(ExitCode::SUCCESS),
        }
    }

    /// Does what producers ask for until the last of them has read what there was.
    fn attend(&mut self, happenings: &Receiver<Happening>) {
        while !self.producers.iter().all(JoinHandle::is_finished) {
            if let Ok(Happening::Crowded(done)) = happenings.recv_timeout(ATTENTION) {
                self.watch.close(Timestamp(u64::MAX));
                let _ = done.send(());
            }
        }
    }

    /// Says the accounts; whether they balance.
    fn balance(&self) -> bool {
        let counted: Vec<_> = self.shared.counted().into_iter().map(|(counted, _)| counted).collect();
        let sources = self.shared.sources.all();
        let lines = Totals::of(&counted).balance(sources.iter().map(|source| source.frames).sum());
        let mut balanced = true;
        for line in lines {
            if line.starts_with("accounts balance") {
                info!("{line}");
            } else {
                balanced = false;
                error!("{line}");
            }
        }
        for source in sources {
            let lost: Vec<_> =
                source.lost.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            if !lost.is_empty() {
                warn!("{}: lost {}", source.name, lost.join(", "));
            }
        }
        balanced
    }
}

/// How often it is looked whether producers have ended.
const ATTENTION: Duration = Duration::from_millis(5);

/// What remains of the time to stop in when the hard end is near.
pub const GRACE: Duration = Duration::from_secs(5);
