//! What ClickHouse is told to do, and what it answers to it.

use std::fmt::Write;

/// How often running queries are counted at the end, every tenth of a second.
const COUNTS: usize = 50;

/// What the script tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// ClickHouse listens; its version.
    Ready(String),
    /// So many queries are running.
    Running(u64),
}

/// The statements of a server's life: they start the listeners, wait for the end of what can be read from the file
/// descriptor `waits_on`, stop the listeners, cancel queries, and count what is still running. They tell of it on the
/// file descriptor `tells_on`.
///
/// Reading a pipe waits without an end and without waking up. All of this could not be done over HTTP: no new
/// connections are taken while the running queries go on, and users may be configured.
pub fn text(waits_on: i32, tells_on: i32, tcp: bool) -> String {
    let tell = format!("INSERT INTO FUNCTION file({tells_on}, TSV, 'what String, value String')");
    let mut text = "SYSTEM START LISTEN HTTP; ".to_owned();
    if tcp {
        text.push_str("SYSTEM START LISTEN TCP; ");
    }
    let _ = write!(
        text,
        "{tell} SELECT 'ready', version(); \
         SELECT * FROM file({waits_on}, LineAsString) FORMAT Null; \
         SYSTEM STOP LISTEN HTTP; "
    );
    if tcp {
        text.push_str("SYSTEM STOP LISTEN TCP; ");
    }
    text.push_str("KILL QUERY WHERE query_kind = 'Select' AND query_id != queryID() ASYNC FORMAT Null; ");
    for _ in 0..COUNTS {
        let _ = write!(
            text,
            "{tell} SELECT 'running', toString(count()) FROM system.processes WHERE query_id != queryID(); \
             SELECT sleep(0.1) FORMAT Null; "
        );
    }
    text
}

/// What a line means that the script wrote.
pub fn told(line: &str) -> Option<Told> {
    match line.split_once('\t')? {
        ("ready", version) => Some(Told::Ready(version.to_owned())),
        ("running", queries) => queries.parse().ok().map(Told::Running),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        assert_eq!(told("ready\t26.7.2.1"), Some(Told::Ready("26.7.2.1".to_owned())));
        assert_eq!(told("running\t3"), Some(Told::Running(3)));
        for line in ["", "Ok.", "running\tmany", "ready"] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn the_native_port_is_opened_and_closed_only_when_asked_for() {
        assert!(!text(7, 8, false).contains("TCP"));
        assert_eq!(text(7, 8, true).matches(" LISTEN TCP").count(), 2);
        assert!(text(7, 8, true).contains("FROM file(7, ") && text(7, 8, true).contains("FUNCTION file(8, "));
    }
}
