//! The statements as they are sent: `$words` filled in, quoted, one by one.

use super::{AGEING, Grain, MIGRATIONS, Options, Retention, SCHEMA_VERSION, SHARED};

/// A name as ClickHouse quotes identifiers.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as ClickHouse quotes strings.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl Options {
    /// The options of a single server.
    pub fn single(database: &str) -> Self {
        Self { database: database.to_owned(), ..Self::default() }
    }

    /// The statements that lead from version `from` (0 = none) to [`VERSION`](super::VERSION), without those of retention.
    pub fn statements(&self, from: u32) -> Vec<String> {
        let mut statements = Vec::new();
        if from == 0 {
            statements.push(self.create_database());
            self.render(SCHEMA_VERSION, &mut statements);
        }
        for (version, files) in (1..).zip(MIGRATIONS).skip(from as usize) {
            for file in files {
                self.render(file, &mut statements);
            }
            statements.push(format!(
                "INSERT INTO {}.schema_version (version, applied_by) VALUES ({version}, {})",
                quoted(&self.database),
                literal(concat!("lowtide ", env!("CARGO_PKG_VERSION"))),
            ));
        }
        statements
    }

    /// The statements that set [`Self::retention`] in a new database; none for tables whose rows are kept for ever.
    pub fn retention_statements(&self) -> Vec<(&'static str, String)> {
        self.ages()
            .filter_map(|(table, ttl)| {
                let modify = |ttl| format!("ALTER TABLE {} MODIFY TTL {ttl}", self.stored(table));
                Some((table, ttl.map(modify)?))
            })
            .collect()
    }

    /// The tables whose rows grow old, with the TTL asked for.
    pub(super) fn ages(&self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        let retention = self.retention;
        AGEING
            .into_iter()
            .filter_map(move |(table, grain)| retention.map(|retention| (table, retention.ttl(grain))))
    }

    pub(super) fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {}{}", quoted(&self.database), self.on_cluster())
    }

    fn on_cluster(&self) -> String {
        self.cluster.as_ref().map_or_else(String::new, |cluster| format!(" ON CLUSTER {}", quoted(cluster)))
    }

    pub(super) const fn local(&self) -> &'static str {
        if self.cluster.is_some() { "_local" } else { "" }
    }

    /// The table that holds the rows, for ALTER.
    pub(super) fn stored(&self, table: &str) -> String {
        format!("{}.{table}{}{}", quoted(&self.database), self.local(), self.on_cluster())
    }

    pub(super) fn render(&self, file: &str, into: &mut Vec<String>) {
        let (replicated, window) = match self.cluster {
            Some(_) => ("Replicated", "replicated_deduplication_window"),
            None => ("", "non_replicated_deduplication_window"),
        };
        for template in split(file) {
            let mut sql = template.to_owned();
            for (word, text) in SHARED {
                sql = sql.replace(word, text.trim_end());
            }
            sql = sql
                .replace("$db", &quoted(&self.database))
                .replace("$local", self.local())
                .replace(" $on_cluster", &self.on_cluster())
                .replace("ENGINE = $", &format!("ENGINE = {replicated}"))
                .replace("$deduplication_window", window);
            let over_all = (self.cluster.is_some() && template.starts_with("ALTER TABLE "))
                .then(|| sql.replacen("_local ON CLUSTER", " ON CLUSTER", 1));
            into.push(sql);
            into.extend(over_all);
            if let Some(cluster) = &self.cluster
                && let Some((table, _)) = template
                    .strip_prefix("CREATE TABLE IF NOT EXISTS $db.")
                    .and_then(|rest| rest.split_once("$local"))
            {
                into.push(self.distributed(table, cluster));
            }
        }
    }

    /// Rows go to shards by sensor: a segment then stays one block, on one shard, and rows of one key meet there.
    fn distributed(&self, table: &str, cluster: &str) -> String {
        let key = if table == "schema_version" { "version" } else { "cityHash64(sensor)" };
        let database = quoted(&self.database);
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{table}{} AS {database}.{table}_local\n\
             ENGINE = Distributed({}, {database}, {table}_local, {key})",
            self.on_cluster(),
            quoted(cluster),
        )
    }
}

impl Retention {
    /// `None` = for ever.
    fn ttl(self, grain: Grain) -> Option<String> {
        let days = match grain {
            Grain::Interval => self.intervals,
            Grain::Hour => self.hours,
            Grain::Day => self.days,
        }?;
        // An expression that is far away for replays, and not DELETE WHERE: with that ClickHouse rewrites parts row by row
        // instead of dropping them, the parts of replays too.
        Some(if self.replays {
            format!("interval + toIntervalDay({days})")
        } else {
            format!(
                "if(kind = 'live', interval + toIntervalDay({days}), toDateTime('2106-01-01 00:00:00', 'UTC'))"
            )
        })
    }
}

/// Parts a file into its statements, at the semicolons outside quotes and comments.
pub(super) fn split(file: &str) -> impl Iterator<Item = &str> {
    let mut rest = file;
    std::iter::from_fn(move || {
        let mut quote = None;
        let mut comment = false;
        let mut escaped = false;
        let mut dash = false;
        let end = rest.find(|c: char| {
            if comment {
                comment = c != '\n';
            } else if let Some(open) = quote {
                if escaped {
                    escaped = false;
                } else if c == '\\' {
                    escaped = true;
                } else if c == open {
                    quote = None;
                }
            } else {
                match c {
                    '\'' | '"' | '`' => quote = Some(c),
                    '-' if dash => comment = true,
                    ';' => return true,
                    _ => {}
                }
                dash = c == '-';
            }
            false
        });
        let (statement, after) =
            end.and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?))).unwrap_or((rest, ""));
        rest = after;
        let statement = statement.trim();
        (!statement.is_empty()).then_some(statement)
    })
}
