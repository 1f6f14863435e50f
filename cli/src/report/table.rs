//! Tables that fit: numbers to the right, one column that gives way, and columns that are left out when there is no
//! room for them.

use anstyle::Style;

use super::page::{DIM, PLAIN, Page, Piece, piece};
use super::text::{shorten, width};

/// The narrowest that the first column becomes before other columns are left out.
const NARROWEST: usize = 24;
const INDENT: usize = 2;
const GAP: usize = 2;

/// A column after the first.
struct Column {
    header: &'static str,
    to_the_right: bool,
    /// Columns of the largest rank are left out first.
    rank: u8,
}

/// A table whose first column is text that may be shortened.
pub struct Table {
    first_header: &'static str,
    narrowest: usize,
    columns: Vec<Column>,
    rows: Vec<(Piece, Vec<Piece>)>,
}

impl Table {
    /// A table with nothing but its first column.
    pub fn new(first_header: &'static str) -> Self {
        Self { first_header, narrowest: NARROWEST, columns: Vec::new(), rows: Vec::new() }
    }

    /// Lets the first column become narrower, or less narrow, before other columns are left out.
    pub fn narrowest(mut self, columns: usize) -> Self {
        self.narrowest = columns;
        self
    }

    /// Adds a column of text. Rank 0 is never left out.
    pub fn text(mut self, header: &'static str, rank: u8) -> Self {
        self.columns.push(Column { header, to_the_right: false, rank });
        self
    }

    /// Adds a column of figures. Rank 0 is never left out.
    pub fn figures(mut self, header: &'static str, rank: u8) -> Self {
        self.columns.push(Column { header, to_the_right: true, rank });
        self
    }

    /// Adds a row: as many cells as there are columns after the first.
    pub fn row(&mut self, first: Piece, cells: Vec<Piece>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push((first, cells));
    }

    /// Draws the table.
    pub fn draw(&self, page: &mut Page) {
        let widths = self.widths();
        let wanted = self
            .rows
            .iter()
            .map(|(first, _)| width(&first.text))
            .max()
            .unwrap_or(0)
            .max(width(self.first_header));
        let room = page.width() - INDENT;
        let taken = |shown: &[bool]| -> usize {
            widths.iter().zip(shown).filter(|(_, shown)| **shown).map(|(width, _)| width + GAP).sum()
        };

        let mut shown = vec![true; widths.len()];
        let ranks = self.columns.iter().map(|column| column.rank);
        for rank in (1..=ranks.max().unwrap_or(0)).rev() {
            if taken(&shown) + wanted.min(self.narrowest) <= room {
                break;
            }
            for (column, shown) in self.columns.iter().zip(&mut shown) {
                *shown &= column.rank != rank;
            }
        }
        let first_width = wanted.min(room.saturating_sub(taken(&shown)));

        let header = self.columns.iter().map(|column| piece(column.header, DIM)).collect::<Vec<_>>();
        self.draw_row(page, &piece(self.first_header, DIM), &header, first_width, &widths, &shown);
        for (first, cells) in &self.rows {
            self.draw_row(page, first, cells, first_width, &widths, &shown);
        }
    }

    /// The widest of each column.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| width(column.header)).collect();
        for (_, cells) in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(cells) {
                *widest = width(&cell.text).max(*widest);
            }
        }
        widths
    }

    fn draw_row(
        &self,
        page: &mut Page,
        first: &Piece,
        cells: &[Piece],
        first_width: usize,
        widths: &[usize],
        shown: &[bool],
    ) {
        let text = shorten(&first.text, first_width);
        let padding = first_width - width(&text);
        let mut line = vec![blank(INDENT), piece(text, first.style), blank(padding)];
        for (((column, cell), widest), _) in
            self.columns.iter().zip(cells).zip(widths).zip(shown).filter(|(_, shown)| **shown)
        {
            let padding = widest.saturating_sub(width(&cell.text));
            let (before, after) = if column.to_the_right { (padding, 0) } else { (0, padding) };
            line.extend([blank(GAP + before), piece(cell.text.as_str(), cell.style), blank(after)]);
        }
        page.line(&line);
    }
}

fn blank(columns: usize) -> Piece {
    piece(" ".repeat(columns), PLAIN)
}

/// A cell of plain text.
pub fn plain(text: impl Into<String>) -> Piece {
    piece(text, PLAIN)
}

/// A cell of a style.
pub fn styled(text: impl Into<String>, style: Style) -> Piece {
    piece(text, style)
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn drawn(first: &str, page_width: usize) -> Vec<String> {
        let mut table = Table::new("name")
            .text("type", 0)
            .figures("queries", 0)
            .figures("p50", 2)
            .figures("p99 of all", 1);
        table.row(plain(first), vec![plain("AAAA"), plain("1,234"), plain("7 µs"), plain("91 µs")]);
        table.row(plain("b."), vec![plain("A"), plain("5"), plain("–"), plain("–")]);
        let mut page = Page::new(page_width);
        table.draw(&mut page);
        strip_str(&page.into_text()).to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn figures_are_aligned_to_the_right() {
        assert_eq!(
            drawn("a.example.", 80),
            [
                "  name        type  queries   p50  p99 of all",
                "  a.example.  AAAA    1,234  7 µs       91 µs",
                "  b.          A           5     –           –",
            ]
        );
    }

    #[test]
    fn long_names_are_shortened_in_the_middle() {
        let lines = drawn(&format!("{}.example.", "x".repeat(200)), 80);
        assert!(lines.iter().all(|line| width(line) <= 80), "{lines:?}");
        assert!(lines[1].contains("xx…xx") && lines[1].contains(".example."), "{lines:?}");
        assert!(lines[0].contains("p50"));
    }

    #[test]
    fn columns_of_the_largest_rank_are_left_out_first() {
        let mut table = Table::new("name").figures(WIDE, 1).figures("p50", 2).figures("queries", 0);
        table.row(plain("n".repeat(60)), vec![plain("1"), plain("2"), plain("3")]);
        let mut page = Page::new(72);
        table.draw(&mut page);
        let text = strip_str(&page.into_text()).to_string();
        assert!(text.contains(WIDE) && !text.contains("p50") && text.contains("queries"), "{text}");
    }

    const WIDE: &str = "a header of thirty-two columns..";
}
