//! Windows to rows of the table `traffic`.

use std::io::Write;
use std::net::Ipv6Addr;

use lowtide_aggregate::summary::OTHERS;
use lowtide_aggregate::window::{Counter, OTHER_SERVERS, Row, Window};
use lowtide_proto::time::NANOS_PER_SECOND;
use lowtide_proto::{Name, Qtype, Role, Transport};

use crate::native::{self, Column, Dictionary, Map, NullableNumbers, Numbers, Shown, Texts};
use crate::run::{RunColumns, RunKey};

/// Rows of `traffic` on their way into one segment.
#[derive(Debug)]
pub struct TrafficBlock {
    rows: usize,
    run: RunColumns,
    server: Dictionary<Ipv6Addr>,
    role: Dictionary<Role>,
    transport: Dictionary<Transport>,
    zone: Texts,
    qname: Texts,
    qtype: Dictionary<QtypeText>,
    counters: Vec<Numbers>,
    rcodes: Map<Shown<lowtide_proto::Rcode>>,
    response_octets_max: Numbers,
    latency: Map<u16>,
    latency_sum: Numbers,
    latency_min: NullableNumbers,
    latency_max: NullableNumbers,
    clients: Map<Ipv6Addr>,
    other_names: Numbers,
    queries: u64,
    responses: u64,
    /// Scratch memory for a name.
    text: Vec<u8>,
}

/// What stands in the column `qtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum QtypeText {
    Type(Qtype),
    Others,
    NoQuestion,
}

impl TrafficBlock {
    /// No rows yet, of a run.
    pub fn new(run: &RunKey) -> Self {
        Self {
            rows: 0,
            run: RunColumns::new(run),
            server: Dictionary::default(),
            role: Dictionary::default(),
            transport: Dictionary::default(),
            zone: Texts::default(),
            qname: Texts::default(),
            qtype: Dictionary::default(),
            counters: Counter::ALL.iter().map(|_| Numbers::default()).collect(),
            rcodes: Map::default(),
            response_octets_max: Numbers::default(),
            latency: Map::default(),
            latency_sum: Numbers::default(),
            latency_min: NullableNumbers::default(),
            latency_max: NullableNumbers::default(),
            clients: Map::default(),
            other_names: Numbers::default(),
            queries: 0,
            responses: 0,
            text: Vec::new(),
        }
    }

    /// Rows held.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Queries and responses that the rows count.
    pub const fn messages(&self) -> (u64, u64) {
        (self.queries, self.responses)
    }

    /// Appends row number `at` of a closed window.
    pub fn push(&mut self, window: &Window, at: usize, row: &Row) {
        self.rows += 1;
        let key = &row.key;
        self.run.push(interval_seconds(window));
        self.server.push(key.server, || match key.server {
            OTHER_SERVERS if key.folded => OTHERS.to_owned(),
            address => address.to_canonical().to_string(),
        });
        self.role.push(key.role, || key.role.to_string());
        self.transport.push(key.transport, || key.transport.to_string());
        self.push_name(window, row);
        for (column, &counter) in self.counters.iter_mut().zip(Counter::ALL) {
            column.push(row.counts.get(counter));
        }
        self.queries += row.counts.get(Counter::Queries);
        self.responses += row.counts.get(Counter::Responses);
        self.rcodes.push(window.rcodes(at, row).map(|(rcode, count)| (Shown(rcode), count)));
        self.response_octets_max.push(u64::from(row.response_octets_max));
        let has_latency = window.latency(row).next().is_some();
        self.latency.push(window.latency(row));
        self.latency_sum.push(row.latency.sum);
        self.latency_min.push(has_latency.then_some(row.latency.min));
        self.latency_max.push(has_latency.then_some(row.latency.max));
        self.clients.push(window.clients(row));
        self.other_names.push(window.folded_names(at));
    }

    fn push_name(&mut self, window: &Window, row: &Row) {
        let name = window.name(row);
        self.text.clear();
        let zone = present(name, window.zone_labels(row), &mut self.text);
        let zone = self.text.get(zone..).unwrap_or_default();
        if row.key.folded {
            self.zone.push(if name.0.is_empty() { OTHERS.as_bytes() } else { zone });
            self.qname.push(OTHERS.as_bytes());
            self.qtype.push(QtypeText::Others, || OTHERS.to_owned());
            return;
        }
        self.zone.push(zone);
        self.qname.push(&self.text);
        let qtype = row.key.qtype;
        match name.0.is_empty() {
            true => self.qtype.push(QtypeText::NoQuestion, String::new),
            false => self.qtype.push(QtypeText::Type(qtype), || qtype.to_string()),
        }
    }

    fn columns(&self) -> Vec<(&'static str, &dyn Column)> {
        let mut columns = self.run.columns().to_vec();
        columns.extend::<[(&'static str, &dyn Column); 14]>([
            ("server", &self.server),
            ("role", &self.role),
            ("transport", &self.transport),
            ("zone", &self.zone),
            ("qname", &self.qname),
            ("qtype", &self.qtype),
            ("rcodes", &self.rcodes),
            ("response_octets_max", &self.response_octets_max),
            ("latency", &self.latency),
            ("latency_sum_ns", &self.latency_sum),
            ("latency_min_ns", &self.latency_min),
            ("latency_max_ns", &self.latency_max),
            ("clients", &self.clients),
            ("other_names", &self.other_names),
        ]);
        let counters = Counter::ALL.iter().zip(&self.counters);
        columns.extend(counters.map(|(counter, column)| (counter.as_str(), column as &dyn Column)));
        columns
    }

    /// The names of the columns, in the order of the block.
    pub fn column_names(&self) -> Vec<&'static str> {
        self.columns().into_iter().map(|(name, _)| name).collect()
    }

    /// Appends the block in Native form.
    pub fn write(&self, out: &mut Vec<u8>) {
        native::block(self.rows, &self.columns(), out);
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.queries = 0;
        self.responses = 0;
        self.run.clear();
        self.server.clear();
        self.role.clear();
        self.transport.clear();
        self.zone.clear();
        self.qname.clear();
        self.qtype.clear();
        self.counters.iter_mut().for_each(Column::clear);
        self.rcodes.clear();
        self.response_octets_max.clear();
        self.latency.clear();
        self.latency_sum.clear();
        self.latency_min.clear();
        self.latency_max.clear();
        self.clients.clear();
        self.other_names.clear();
    }
}

/// The start of a window's interval in seconds since 1970; ClickHouse's `DateTime` ends in 2106.
pub fn interval_seconds(window: &Window) -> u32 {
    u32::try_from(window.start().0 / NANOS_PER_SECOND).unwrap_or(u32::MAX)
}

/// Appends a name in presentation form, as [`Name`] prints; where in `out` its rightmost `zone_labels` labels begin.
fn present(name: Name<'_>, zone_labels: usize, out: &mut Vec<u8>) -> usize {
    if name.0 == Name::ROOT.0 {
        out.push(b'.');
        return 0;
    }
    let before_zone = name.label_count().saturating_sub(zone_labels);
    let mut zone = 0;
    let mut rest = name.0;
    for (number, label) in name.labels().enumerate() {
        if number == before_zone {
            zone = out.len();
        }
        if label.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')) {
            out.extend_from_slice(label);
            out.push(b'.');
        } else {
            // Only what needs escapes takes the long way.
            let _ = write!(out, "{}", Name(rest.get(..=label.len()).unwrap_or_default()));
        }
        rest = rest.get(label.len() + 1..).unwrap_or_default();
    }
    if zone_labels == 0 && !name.0.is_empty() {
        // The zone is the root, whose text stands in no other name's.
        zone = out.len() - 1;
    }
    zone
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowtide_proto::NameBuf;

    #[test]
    fn names_and_zones_are_written_as_names_print() {
        for (text, labels, zone) in [
            ("www.corp.example.", 2, "corp.example."),
            ("corp.example.", 2, "corp.example."),
            (r"a\.b.c\032d.\$x.net.", 2, r"\$x.net."),
            ("com.", 0, "."),
            (".", 0, "."),
            (r"_sip._tcp.\200\255.", 1, r"\200\255."),
        ] {
            let name = NameBuf::parse(text).unwrap();
            let mut out = Vec::new();
            let start = present(name.as_name(), labels, &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), name.as_name().to_string());
            assert_eq!(std::str::from_utf8(&out[start..]).unwrap(), zone, "{text}");
        }
        let mut out = Vec::new();
        assert_eq!((present(Name(&[]), 0, &mut out), out.len()), (0, 0));
    }
}
