//! Figures with their units, and tables of them.

use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One figure from each round.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds a round's figure.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The smallest: what the work takes when nothing disturbs it.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().reduce(f64::min).unwrap_or(f64::NAN)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().reduce(f64::max).unwrap_or(f64::NAN)
    }

    /// The one in the middle, or the upper of the two that are.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Round by round, how many times `other` this is.
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }
}

/// CPU time of this thread while it does some work: what else runs on the machine does not count, but for what it
/// takes of caches and memory.
pub fn cpu_time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = thread_cpu_time();
    let result = work();
    (thread_cpu_time().saturating_sub(begin), result)
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Nanoseconds of each of `count` things.
pub fn nanos_each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// `0.283 s`.
pub fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

/// `117 ns`, or `2.4 ns` where a decimal says something.
pub fn nanos(nanos: f64) -> String {
    if nanos.abs() < 20.0 { format!("{nanos:.1} ns") } else { format!("{nanos:.0} ns") }
}

/// `45.1 MiB`.
pub fn mebibytes(octets: u64) -> String {
    format!("{:.1} MiB", octets as f64 / f64::from(1 << 20))
}

/// `1.25 ×`.
pub fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

/// `1 058 863`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// `holds` or `does not hold`.
pub const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "does not hold" }
}

/// A Markdown table, so that it can be stored as it is printed: the first column to the left, the others to the right.
#[derive(Clone, Debug)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// With the names of its columns.
    pub fn new(columns: &[&str]) -> Self {
        Self(vec![columns.iter().map(ToString::to_string).collect()])
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.0.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(f, "| {cell:<width$} |")?;
                } else {
                    write!(f, " {cell:>width$} |")?;
                }
            }
            writeln!(f)?;
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let line = "-".repeat(*width);
                    if column == 0 { write!(f, "|-{line}-|") } else { write!(f, "-{line}:|") }?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units_and_columns_line_up() {
        let mut table = Table::new(&["what", "time"]);
        table.row(["a".to_owned(), nanos(2.44)]);
        table.row(["more".to_owned(), nanos(1234.5)]);
        let expected = "| what |    time |\n|------|--------:|\n| a    |  2.4 ns |\n| more | 1234 ns |\n";
        assert_eq!(table.to_string(), expected);
        assert_eq!(count(1_058_863), "1 058 863");
        assert_eq!(count(999), "999");
        assert_eq!(mebibytes(3 << 19), "1.5 MiB");
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (mut one, mut other) = (Rounds::default(), Rounds::default());
        for (a, b) in [(2.0, 1.0), (9.0, 3.0), (4.0, 4.0)] {
            one.push(a);
            other.push(b);
        }
        let ratio = one.over(&other);
        assert_eq!((ratio.min(), ratio.median(), ratio.max()), (1.0, 2.0, 3.0));
    }
}
