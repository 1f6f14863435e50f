//! How far a replay has come, shown on a terminal when it takes long.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is over sooner than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);
const BAR: &str = "{bar:30.cyan/dim} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
const SPINNER: &str = "{spinner:.cyan} {bytes}  {bytes_per_sec}  {elapsed}";

const DELIVERY: &str = "{bar:30.cyan/dim} {pos} of {len} segments delivered  {elapsed}  {msg}";

/// Where the pipeline says how far it has come. Calls are cheap, but meant for every few mebibytes.
pub trait Progress: Sync {
    /// The octets to read of all inputs, as stored; `None` when one of them does not tell, such as a pipe.
    fn set_total(&self, octets: Option<u64>);
    /// The octets read so far of all inputs.
    fn set(&self, octets: u64);
    /// There is nothing more to read. May be called more than once.
    fn finish(&self);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn set_total(&self, _octets: Option<u64>) {}
    fn set(&self, _octets: u64) {}
    fn finish(&self) {}
}

/// A bar with octets, rate and time left on standard error; a spinner when the total is not known.
pub struct Bar {
    bar: ProgressBar,
    started: Instant,
    shown: AtomicBool,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style(SPINNER));
        Self { bar, started: Instant::now(), shown: AtomicBool::new(false) }
    }
}

impl Progress for Bar {
    fn set_total(&self, octets: Option<u64>) {
        if let Some(octets) = octets {
            self.bar.set_style(style(BAR));
            self.bar.set_length(octets);
        }
    }

    fn set(&self, octets: u64) {
        if self.started.elapsed() > PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(octets);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The progress to show: none when it is not wanted or nobody would see it.
pub fn on_terminal(quiet: bool) -> Box<dyn Progress> {
    if quiet || !stderr().is_terminal() { Box::new(Silent) } else { Box::new(Bar::new()) }
}

/// How far a delivery has come.
pub struct Delivered {
    bar: Option<ProgressBar>,
    started: Instant,
}

/// The progress of delivering `segments` segments: a bar on a terminal, unless it is not wanted.
pub fn delivery(quiet: bool, segments: u64) -> Delivered {
    let bar = (!quiet && stderr().is_terminal()).then(|| {
        let bar = ProgressBar::with_draw_target(Some(segments), ProgressDrawTarget::hidden());
        bar.set_style(style(DELIVERY));
        bar
    });
    Delivered { bar, started: Instant::now() }
}

impl Delivered {
    /// How many segments were acknowledged, and whether ClickHouse takes none at the moment.
    pub fn set(&self, segments: u64, failing: bool) {
        let Some(bar) = &self.bar else { return };
        if self.started.elapsed() > PATIENCE && bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_message(if failing { "ClickHouse does not answer, trying again" } else { "" });
        bar.set_position(segments);
    }

    /// There is nothing more to deliver.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_ones_that_indicatif_knows() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn what_is_over_soon_is_not_shown() {
        let bar = Bar::new();
        bar.set_total(Some(10));
        bar.set(10);
        bar.finish();
        assert!(!bar.shown.load(Ordering::Relaxed));
    }
}
