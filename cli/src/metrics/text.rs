//! A scrape's text.
//!
//! OpenMetrics text, written by prometheus-client. Labels can hold what a stranger sent (the identity in a dnstap frame), and one bad
//! line makes Prometheus refuse the whole page. So label values are cut and made printable before they are escaped; and when two series
//! come to have the same labels, they become one.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::report::text::{printable, shorten};

/// Columns of a label's value at most: the longest identity worth reading.
const MAX_VALUE: usize = 200;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Integer(u64),
    /// A measure.
    Float(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl Value {
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Value::Integer(a), Value::Integer(b)) => Value::Integer(a.saturating_add(b)),
            (a, b) => Value::Float(a.float() + b.float()),
        }
    }

    fn float(self) -> f64 {
        match self {
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Counter,
    Gauge,
}

type Labels = Vec<(&'static str, String)>;

/// One metric with all its series, in the order of their labels.
#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: Kind,
    series: BTreeMap<Labels, Value>,
}

/// The metrics of one scrape, in the order of their names. All names get the prefix `lowtide_`.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, Family>,
}

impl Page {
    /// One without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to a counter, which is shown as `lowtide_NAME_total`. Counters with the same labels are added up.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Into<Value>,
    ) {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let series = self.family(name, help, Kind::Counter);
        let value = value.into();
        series.entry(owned(labels)).and_modify(|sum| *sum = sum.plus(value)).or_insert(value);
    }

    /// Sets a gauge, `lowtide_NAME`. Of gauges with the same labels the last one stays.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Into<Value>,
    ) {
        self.family(name, help, Kind::Gauge).insert(owned(labels), value.into());
    }

    /// The page as text.
    pub fn text(self) -> String {
        let mut registry = Registry::with_prefix("lowtide");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string does not fail. Should it, the page lacks its end, and Prometheus says so.
        let _ = encode(&mut text, &registry);
        text
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: Kind) -> &mut BTreeMap<Labels, Value> {
        let family =
            self.families.entry(name).or_insert_with(|| Family { help, kind, series: BTreeMap::new() });
        debug_assert_eq!(family.kind, kind, "{name} is of one kind");
        &mut family.series
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    labels.iter().map(|&(name, value)| (name, shorten(&printable(value), MAX_VALUE).into_owned())).collect()
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (name, family) in &self.families {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(name, family.help, None, kind)?;
            for (labels, value) in &family.series {
                let one = metric.encode_family(labels)?;
                match (family.kind, *value) {
                    (Kind::Counter, Value::Integer(value)) => ConstCounter::new(value).encode(one)?,
                    (Kind::Counter, Value::Float(value)) => ConstCounter::new(value).encode(one)?,
                    (Kind::Gauge, Value::Integer(value)) => ConstGauge::new(value).encode(one)?,
                    (Kind::Gauge, Value::Float(value)) => ConstGauge::new(value).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_with_labels_in_their_order() {
        let mut page = Page::new();
        page.gauge("up_seconds", "Time since the start.", &[], 1.5);
        for (source, fate, frames) in
            [("eth0", "udp_message", 7_u64), ("eth0", "not_dns", 2), ("any", "not_dns", 3)]
        {
            page.counter("frames", "Frames by fate.", &[("source", source), ("fate", fate)], frames);
        }
        page.counter("scrapes_total", "Scrapes.", &[], u64::MAX);
        page.gauge("queue", "Batches in the queue.", &[("shard", "0")], 0_u64);
        assert_eq!(
            page.text(),
            "# HELP lowtide_frames Frames by fate.\n\
             # TYPE lowtide_frames counter\n\
             lowtide_frames_total{source=\"any\",fate=\"not_dns\"} 3\n\
             lowtide_frames_total{source=\"eth0\",fate=\"not_dns\"} 2\n\
             lowtide_frames_total{source=\"eth0\",fate=\"udp_message\"} 7\n\
             # HELP lowtide_queue Batches in the queue.\n\
             # TYPE lowtide_queue gauge\n\
             lowtide_queue{shard=\"0\"} 0\n\
             # HELP lowtide_scrapes Scrapes.\n\
             # TYPE lowtide_scrapes counter\n\
             lowtide_scrapes_total 18446744073709551615\n\
             # HELP lowtide_up_seconds Time since the start.\n\
             # TYPE lowtide_up_seconds gauge\n\
             lowtide_up_seconds 1.5\n\
             # EOF\n"
        );
    }

    #[test]
    fn a_hostile_identity_stays_one_value_of_one_label() {
        let text = |identity: &str| {
            let mut page = Page::new();
            page.counter("frames", "Frames.", &[("identity", identity)], 1_u64);
            page.text()
        };
        let line = |value: &str| {
            format!(
                "# HELP lowtide_frames Frames.\n# TYPE lowtide_frames counter\n\
                 lowtide_frames_total{{identity=\"{value}\"}} 1\n# EOF\n"
            )
        };
        assert_eq!(text(r#"a"} 9 # {"#), line(r#"a\"} 9 # {"#));
        assert_eq!(
            text("a\nlowtide_frames_total 9\n# EOF\n"),
            line(r"a\\nlowtide_frames_total 9\\n# EOF\\n")
        );
        assert_eq!(text(r"c:\dns\"), line(r"c:\\dns\\"));
        assert_eq!(text("\r\0\x1b[31m"), line(r"\\r\\u{0}\\u{1b}[31m"));
        assert_eq!(text("сервер 東京 🌊"), line("сервер 東京 🌊"));
        assert_eq!(text(""), line(""));
        let long = text(&"x\n".repeat(100_000));
        assert!(long.len() < 1000, "{} octets", long.len());
    }

    #[test]
    fn series_of_the_same_labels_become_one() {
        let mut page = Page::new();
        // The two differ before they are cut.
        let identity = |middle: &str| format!("{}{middle}{}", "x".repeat(300), "x".repeat(300));
        for (middle, count) in [("one", 3_u64), ("two", 4)] {
            page.counter("frames", "Frames.", &[("identity", &identity(middle))], count);
            page.gauge("open", "Open.", &[("identity", &identity(middle))], count);
        }
        let text = page.text();
        assert_eq!(text.matches("lowtide_frames_total{").count(), 1, "{text}");
        assert!(text.contains("x\"} 7\n"), "{text}");
        assert!(text.contains("x\"} 4\n"), "{text}");
    }

    #[test]
    fn a_page_without_metrics_is_whole() {
        assert_eq!(Page::new().text(), "# EOF\n");
    }
}
