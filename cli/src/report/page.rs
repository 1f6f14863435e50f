//! A page of styled lines of a fixed width.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::text::{shorten, width};

/// Plain text.
pub const PLAIN: Style = Style::new();
/// Labels and what matters less.
pub const DIM: Style = Style::new().dimmed();
/// What matters more.
pub const BOLD: Style = Style::new().bold();
/// Headings.
pub const HEADING: Style = AnsiColor::Cyan.on_default().bold();
/// Bars and sparklines.
pub const CHART: Style = AnsiColor::Blue.on_default();
/// What is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a look.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// Styled text that stays together when a line is broken.
pub struct Piece {
    /// The text.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

/// A [`Piece`].
pub fn piece(text: impl Into<String>, style: Style) -> Piece {
    Piece { text: text.into(), style }
}

/// Lines of at most a width.
pub struct Page {
    out: String,
    width: usize,
    /// Whether the last line is a heading.
    fresh: bool,
}

impl Page {
    /// An empty page. Widths that no table can be drawn in, or no eye can follow, are not taken.
    pub fn new(width: usize) -> Self {
        Self { out: String::new(), width: width.clamp(72, 120), fresh: false }
    }

    /// Columns of a line.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The whole text, with escape sequences for the styles.
    pub fn into_text(self) -> String {
        self.out
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A heading behind an empty line, with a remark and a rule to the end of the line.
    pub fn heading(&mut self, title: &str, remark: &str) {
        let room = self.width.saturating_sub(width(title) + 3);
        let remark = shorten(remark, room);
        let gap = if remark.is_empty() { "" } else { "  " };
        let rule = "─".repeat(room.saturating_sub(width(&remark) + width(gap)));
        self.blank();
        self.line(&[
            piece(title, HEADING),
            piece(gap, PLAIN),
            piece(remark, DIM),
            piece("  ", PLAIN),
            piece(rule, DIM),
        ]);
        self.fresh = true;
    }

    /// A heading within a section, behind an empty line unless it is the first.
    pub fn subheading(&mut self, title: &str) {
        if !self.fresh {
            self.blank();
        }
        self.line(&[piece("  ", PLAIN), piece(title, BOLD)]);
    }

    /// One line; what is wider than the page is cut off.
    pub fn line(&mut self, pieces: &[Piece]) {
        self.fresh = false;
        let mut left = self.width;
        for Piece { text, style } in pieces {
            let text = shorten(text, left);
            left -= width(&text);
            if *style == PLAIN || text.trim().is_empty() {
                self.out.push_str(&text);
            } else {
                let _ = write!(self.out, "{style}{text}{style:#}");
            }
        }
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
    }

    /// A label and pieces in as many lines as they need; `between` stands between two pieces of a line.
    pub fn entry(&mut self, label: &str, between: &str, pieces: Vec<Piece>) {
        const LABEL: usize = 16;
        let first = piece(format!("  {label:<0$}", LABEL - 2), DIM);
        self.flow(first, LABEL, between, pieces);
    }

    /// `first`, then pieces in as many lines as they need, the further ones indented.
    pub fn flow(&mut self, first: Piece, indent: usize, between: &str, pieces: Vec<Piece>) {
        let mut used = width(&first.text);
        let mut line = vec![first];
        let mut empty = true;
        for next in pieces {
            let needed = width(&next.text) + if empty { 0 } else { width(between) };
            if !empty && used + needed > self.width {
                line.push(piece(between.trim_end(), DIM));
                self.line(&line);
                line = vec![piece(" ".repeat(indent), PLAIN)];
                used = indent;
            } else if !empty {
                line.push(piece(between, DIM));
                used += width(between);
            }
            used += width(&next.text);
            line.push(next);
            empty = false;
        }
        self.line(&line);
    }

    /// Words in as many lines as they need, the further ones indented.
    pub fn paragraph(&mut self, first: Piece, indent: usize, text: &str, style: Style) {
        let mut start = first;
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && width(&start.text) + width(&line) + 1 + width(word) > self.width {
                self.line(&[start, piece(std::mem::take(&mut line), style)]);
                start = piece(" ".repeat(indent), PLAIN);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&[start, piece(line, style)]);
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn what_does_not_fit_goes_to_the_next_line() {
        let mut page = Page::new(0);
        let words = (0..20).map(|number| piece(format!("{number} words"), BOLD)).collect();
        page.entry("label", " · ", words);
        let text = strip_str(&page.into_text()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 2 && lines.iter().all(|line| width(line) <= 72), "{text}");
        assert!(lines[0].starts_with("  label         0 words · 1 words"));
        assert!(lines[1].starts_with("                "));
        assert_eq!(text.matches("words").count(), 20);
    }

    #[test]
    fn paragraphs_break_between_words() {
        let mut page = Page::new(72);
        page.paragraph(piece("! ", BAD), 2, &"word ".repeat(30), WARNING);
        let text = strip_str(&page.into_text()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0].len(), &lines[1][..6]), (3, 71, "  word"), "{text}");
    }

    #[test]
    fn headings_fill_the_line_and_long_remarks_give_way() {
        for remark in ["", "short", &"long ".repeat(50)] {
            let mut page = Page::new(80);
            page.heading("Reachable?", remark);
            let text = strip_str(&page.into_text()).to_string();
            assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        }
    }
}
