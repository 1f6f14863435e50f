//! What ClickHouse has of runs.

use crate::support::Server;

/// A database of its own server, or another's.
pub struct Rows<'a> {
    pub server: &'a Server,
    pub database: &'a str,
}

impl Rows<'_> {
    /// What a statement answers.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|failure| panic!("{failure}\n{sql}"))
    }

    /// The same, as rows of fields.
    #[track_caller]
    pub fn query_rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.query(sql).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// The same, unless it fails.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let answer = self.server.request(sql).database(self.database).send();
        answer.map_err(|failure| format!("{failure:?}"))
    }

    /// A number that a statement answers.
    #[track_caller]
    pub fn number(&self, sql: &str) -> u64 {
        let answer = self.query(sql);
        answer.trim().parse().unwrap_or_else(|_| panic!("{answer:?}: {sql}"))
    }

    /// The same, or 0 while there is no such table.
    pub fn number_so_far(&self, sql: &str) -> u64 {
        self.try_query(sql).ok().and_then(|answer| answer.trim().parse().ok()).unwrap_or(0)
    }

    /// The sum of a counter of `traffic`.
    #[track_caller]
    pub fn traffic(&self, counter: &str) -> u64 {
        self.number(&format!("SELECT sum({counter}) FROM traffic"))
    }

    /// The sum of what was lost for a reason.
    #[track_caller]
    pub fn lost(&self, reason: &str) -> u64 {
        self.number(&format!("SELECT sum(lost['{reason}']) FROM coverage WHERE server = ''"))
    }

    /// Counters of `traffic` in a line: queries, responses, answered, unanswered, pending, retransmissions, duplicates, orphans.
    #[track_caller]
    pub fn account(&self, condition: &str) -> Vec<u64> {
        let sql = format!(
            "SELECT sum(queries), sum(responses), sum(answered), sum(unanswered), sum(pending), sum(retransmissions), \
             sum(duplicate_responses), sum(orphan_responses) FROM traffic WHERE {condition}"
        );
        self.query(&sql).split_whitespace().map(|field| field.parse().unwrap()).collect()
    }
}
