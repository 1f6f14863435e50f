//! The memory of a process, looked at once a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lowtide_benches::figures::{Rounds, Table, mebibytes};
use lowtide_benches::{clock, machine};

use super::Outcome;

/// Looks until it is finished.
pub struct Samples {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<Rounds>>,
}

impl Samples {
    /// Looks at a process from now on.
    pub fn start(process: u32) -> Outcome<Self> {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let look = move || {
            let (begin, mut minutes) = (Instant::now(), Vec::<Rounds>::new());
            for second in 0.. {
                clock::wait_until(begin + Duration::from_secs(second));
                let (false, Some(resident)) =
                    (stopped.load(Ordering::Acquire), machine::resident_of(process))
                else {
                    break;
                };
                if second % 60 == 0 {
                    minutes.push(Rounds::default());
                }
                if let Some(minute) = minutes.last_mut() {
                    minute.push(resident as f64);
                }
            }
            minutes
        };
        Ok(Self { stop, looking: thread::Builder::new().name("memory".to_owned()).spawn(look)? })
    }

    /// Least, median and greatest of each minute.
    pub fn finish(self) -> Outcome<Minutes> {
        self.stop.store(true, Ordering::Release);
        Ok(Minutes(self.looking.join().map_err(|_| "the memory was not looked at")?))
    }
}

/// Minute by minute.
pub struct Minutes(Vec<Rounds>);

impl Minutes {
    /// The table of them.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["minute", "least", "median", "greatest"]);
        for (number, minute) in (1..).zip(&self.0) {
            let figures =
                [minute.min(), minute.median(), minute.max()].map(|octets| mebibytes(octets as u64));
            table.row(std::iter::once(format!("{number}")).chain(figures));
        }
        table
    }

    /// How many minutes count as warming up: a sixth, one at least and five at most.
    pub fn warm_up(&self) -> usize {
        (self.0.len() / 6).clamp(1, 5)
    }

    /// By how much the greatest peak of some minutes is above the least, once warm; `None` where there are no two of them. Memory goes up
    /// and down with the intervals that are open, every minute and in no step with the minutes here: so peaks of several are compared,
    /// of five or of half of what there is.
    pub fn growth(&self) -> Option<f64> {
        let warm = self.0.get(self.warm_up()..)?;
        let some = (warm.len() / 2).clamp(1, 5);
        let peak = |minutes: &[Rounds]| minutes.iter().map(Rounds::max).reduce(f64::max);
        let peaks: Vec<f64> = warm.chunks_exact(some).filter_map(peak).collect();
        let least = peaks.iter().copied().reduce(f64::min)?;
        let greatest = peaks.iter().copied().reduce(f64::max)?;
        (peaks.len() > 1).then_some(greatest / least - 1.0)
    }
}
