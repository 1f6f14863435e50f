//! The log of a live run: lines on standard error, as text for people and journals or as JSON for programs.
//!
//! It counts always and logs rarely: nothing is said per message, a condition when it starts and when it ends. ERROR means that
//! data was lost.

use std::io::stderr;
use std::sync::Arc;

use lowtide_store::spool::{Condition, Report as Told};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::config::options::{LogFormat, LogOptions};

/// Changes what is worth a line.
pub struct Level(Handle<LevelFilter, Registry>);

impl Level {
    /// From now on this is worth a line.
    pub fn set(&self, level: LevelFilter) {
        // It fails only when the subscriber is gone, and with it the log.
        let _ = self.0.reload(level);
    }
}

/// Begins to log. Called once.
pub fn begin(options: &LogOptions) -> Level {
    let (level, handle) = reload::Layer::new(options.level);
    let lines = fmt::layer().with_target(false).with_writer(stderr).with_ansi(false);
    let lines = match options.format {
        LogFormat::Text => lines.compact().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    // It fails only when somebody has begun already.
    let _ = tracing_subscriber::registry().with(level).with(lines).try_init();
    Level(handle)
}

/// What the spool and delivery say goes to the log.
pub fn conditions() -> Told {
    Arc::new(|condition: &Condition| match condition {
        _ if condition.is_loss() => error!("{condition}"),
        Condition::ServerAnswers { .. }
        | Condition::SpoolHasRoom { .. }
        | Condition::SpoolWritable { .. } => {
            info!("{condition}");
        }
        _ => warn!("{condition}"),
    })
}
