//! Times as people and programs read them.

use std::collections::BTreeMap;

use jiff::fmt::temporal::DateTimePrinter;
use lowtide_proto::Timestamp;
use serde::{Serialize, Serializer};

use crate::sink::Class;

/// A moment in RFC 3339 form, UTC, with nanoseconds.
pub(crate) fn text(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(time) => DateTimePrinter::new().precision(Some(9)).timestamp_to_string(&time),
        Err(_) => String::new(),
    }
}

pub(crate) fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*time))
}

pub(crate) fn rfc3339_option<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(text).serialize(serializer)
}

pub(crate) fn rfc3339_map<S: Serializer>(
    times: &BTreeMap<Class, Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(times.iter().map(|(class, time)| (class, text(*time))))
}
