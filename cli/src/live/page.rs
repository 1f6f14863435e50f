//! What a running sensor shows: its accounts as metrics, and whether it is well.

use std::sync::Arc;
use std::time::Duration;

use lowtide_capture::tap::TapHandle;
use lowtide_store::deliver::Progress;
use lowtide_store::sensor_run::SensorRun;

use super::rows::{Rows, Watcher};
use super::shared::Shared;
use crate::metrics::text::Page as Text;

/// A producer that said nothing for so long is ill.
const ILL: Duration = Duration::from_secs(10);

/// Makes the page out of what the threads have published.
#[derive(Clone)]
pub struct Page {
    shared: Arc<Shared>,
    rows: Watcher,
    progress: Option<Arc<Progress>>,
    taps: Vec<(String, Arc<TapHandle>)>,
    sensor: String,
    started: f64,
}

impl Page {
    /// The page of a run.
    pub fn new(
        shared: &Arc<Shared>,
        rows: &Rows,
        taps: Vec<(String, Arc<TapHandle>)>,
        run: &SensorRun,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            rows: rows.watcher(),
            progress: rows.progress(),
            taps,
            sensor: run.key.sensor.clone(),
            started: run.started as f64 / 1e9,
        }
    }

    /// One scrape.
    pub fn text(&self) -> String {
        let mut page = Text::new();
        let version = [("version", env!("CARGO_PKG_VERSION")), ("sensor", self.sensor.as_str())];
        page.gauge("build_info", "The version that runs, and the sensor's name", &version, 1.0);
        page.gauge("start_time_seconds", "When the run began, seconds since 1970", &[], self.started);
        self.producers(&mut page);
        self.sources(&mut page);
        self.tap(&mut page);
        self.delivery(&mut page);
        page.text()
    }

    fn producers(&self, page: &mut Text) {
        for (counted, age) in self.shared.counted() {
            let reader = counted.name.as_str();
            for (&fate, &count) in &counted.fates {
                let labels = [("reader", reader), ("fate", fate)];
                page.counter("frames", "Frames, each in exactly one fate", &labels, count);
            }
            for (&defect, &count) in &counted.defects {
                let labels = [("reader", reader), ("defect", defect)];
                page.counter(
                    "malformed_frames",
                    "Frames of the fate malformed, by what is wrong",
                    &labels,
                    count,
                );
            }
            for (&reason, &count) in &counted.malformed {
                let labels = [("reader", reader), ("reason", reason)];
                page.counter(
                    "malformed_messages",
                    "DNS messages that could not be read to their end, which are counted as messages too",
                    &labels,
                    count,
                );
            }
            for (direction, count) in [("query", counted.queries), ("response", counted.responses)] {
                page.counter(
                    "messages",
                    "DNS messages",
                    &[("reader", reader), ("direction", direction)],
                    count,
                );
            }
            for (role, t) in &counted.transactions {
                let role = role.to_string();
                let outcomes = [
                    ("answered", t.answered),
                    ("unanswered", t.unanswered),
                    ("pending", t.pending),
                    ("retransmission", t.retransmissions),
                    ("duplicate_response", t.duplicate_responses),
                    ("orphan_response", t.orphan_responses),
                ];
                for (outcome, count) in outcomes {
                    let labels = [("reader", reader), ("role", &role), ("outcome", outcome)];
                    page.counter(
                        "transactions",
                        "What became of queries and responses, by role",
                        &labels,
                        count,
                    );
                }
            }
            for ((role, rcode), &count) in &counted.rcodes {
                let role = role.to_string();
                let labels = [("reader", reader), ("role", &role), ("rcode", rcode)];
                page.counter("responses", "Responses by role and response code", &labels, count);
            }
            let labels = [("reader", reader)];
            page.counter("clock_steps", "Steps of the sources' clocks", &labels, counted.clock_steps);
            page.gauge(
                "outstanding_messages",
                "Messages that wait for their counterpart",
                &labels,
                counted.outstanding as f64,
            );
            page.gauge(
                "reader_age_seconds",
                "For how long a reader has given no sign of life",
                &labels,
                age.as_secs_f64(),
            );
        }
    }

    fn sources(&self, page: &mut Text) {
        for source in self.shared.sources.all() {
            let name = source.name.as_str();
            let up = if source.ways > 0 { 1.0 } else { 0.0 };
            page.gauge(
                "source_up",
                "Whether a source can be seen through at the moment",
                &[("source", name)],
                up,
            );
            page.counter("source_frames", "Frames that a source showed", &[("source", name)], source.frames);
            page.counter("source_octets", "Octets of those frames", &[("source", name)], source.octets);
            for (&reason, &count) in &source.lost {
                let labels = [("source", name), ("reason", reason)];
                page.counter(
                    "source_lost",
                    "What was lost of a source: frames, milliseconds where the reason ends in _ms, else what the reason says",
                    &labels,
                    count,
                );
            }
        }
    }

    fn tap(&self, page: &mut Text) {
        for (socket, tap) in &self.taps {
            let counters = tap.counters();
            let single: [(&'static str, &'static str, u64); 6] = [
                ("dnstap_connections", "Connections that were accepted", counters.accepted),
                ("dnstap_connections_refused", "Connections past the limit", counters.refused),
                (
                    "dnstap_accept_errors",
                    "Connections that the system could not give",
                    counters.accept_errors,
                ),
                ("dnstap_streams", "Connections that began to send dnstap", counters.begun),
                (
                    "dnstap_frames_read",
                    "Frames read from sockets: those counted and those discarded",
                    counters.frames,
                ),
                (
                    "dnstap_frames_discarded",
                    "Frames read and discarded, because the queue was full",
                    counters.discarded_frames,
                ),
            ];
            for (name, help, count) in single {
                page.counter(name, help, &[("socket", socket)], count);
            }
            for (reason, count) in counters.closes() {
                let labels = [("socket", socket.as_str()), ("reason", reason)];
                page.counter("dnstap_closed", "Connections closed, by reason", &labels, count);
            }
        }
    }

    fn delivery(&self, page: &mut Text) {
        let backlog = self.rows.backlog();
        page.gauge("spool_segments", "Segments that wait for ClickHouse", &[], backlog.segments as f64);
        page.gauge("spool_bytes", "Octets of those segments", &[], backlog.octets as f64);
        for (reason, count) in self.rows.dropped() {
            page.counter(
                "dropped",
                "What was counted and dropped by the spool",
                &[("reason", reason)],
                count,
            );
        }
        if let Some(progress) = &self.progress {
            page.counter(
                "delivered_segments",
                "Segments that ClickHouse acknowledged",
                &[],
                progress.segments(),
            );
            let failing = if progress.is_failing() { 1.0 } else { 0.0 };
            page.gauge("clickhouse_failing", "Whether ClickHouse takes nothing at the moment", &[], failing);
        }
    }

    /// Whether everything that must go on goes on. ClickHouse may be away: rows wait for it.
    ///
    /// # Errors
    /// What does not go on.
    pub fn health(&self) -> Result<String, String> {
        if !self.rows.is_recording() {
            return Err("rows are no longer recorded".to_owned());
        }
        for (counted, age) in self.shared.counted() {
            if age > ILL {
                return Err(format!(
                    "{} has given no sign of life for {:.0} s",
                    counted.name,
                    age.as_secs_f64()
                ));
            }
        }
        let sources = self.shared.sources.all();
        let up = sources.iter().filter(|source| source.ways > 0).count();
        Ok(format!("ok: {up} of {} sources up", sources.len()))
    }
}
