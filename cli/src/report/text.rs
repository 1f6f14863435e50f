//! Text that is safe and of the right width for a terminal.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text with everything escaped that would act on the terminal instead of being seen: control characters, and
/// the invisible ones that reorder or join what stands around them.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(acts_on_terminal) {
        let mut safe = String::with_capacity(text.len() + 16);
        for character in text.chars() {
            if acts_on_terminal(character) {
                safe.extend(character.escape_default());
            } else {
                safe.push(character);
            }
        }
        Cow::Owned(safe)
    } else {
        Cow::Borrowed(text)
    }
}

/// An input's path as people know it.
pub fn input_name(path: &str) -> Cow<'_, str> {
    if path == "-" { Cow::Borrowed("standard input") } else { printable(path) }
}

fn acts_on_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text within `room` columns: the middle of what is longer gives way to `…`, since both ends of a name tell most.
pub fn shorten(text: &str, room: usize) -> Cow<'_, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let keep = room.saturating_sub(1);
    let head: String = within(text.chars(), keep / 2).collect();
    let tail: Vec<char> = within(text.chars().rev(), keep - keep / 2).collect();
    let ellipsis = if room == 0 { "" } else { "…" };
    Cow::Owned(head.chars().chain(ellipsis.chars()).chain(tail.into_iter().rev()).collect())
}

/// As many characters as fit into `room` columns.
fn within(characters: impl Iterator<Item = char>, room: usize) -> impl Iterator<Item = char> {
    characters.scan(room, |left, character| {
        *left = left.checked_sub(character.width().unwrap_or(0))?;
        Some(character)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_the_terminal_remains() {
        assert_eq!(printable("day-1.pcap"), "day-1.pcap");
        assert_eq!(printable("\x1b[2J\r\n\u{9b}x"), r"\u{1b}[2J\r\n\u{9b}x");
        assert_eq!(printable("a\u{202e}pacp"), r"a\u{202e}pacp");
        assert_eq!(printable("Zürich 東京"), "Zürich 東京");
    }

    #[test]
    fn the_middle_gives_way() {
        assert_eq!(shorten("www.example.org.", 16), "www.example.org.");
        assert_eq!(shorten("www.example.org.", 15), "www.exa…le.org.");
        assert_eq!(shorten("www.example.org.", 4), "w…g.");
        assert_eq!(shorten("www.example.org.", 1), "…");
        assert_eq!(shorten("www.example.org.", 0), "");
    }

    #[test]
    fn wide_characters_never_take_more_than_the_room() {
        for room in 0..12 {
            assert!(width(&shorten("東京都.example", room)) <= room);
        }
    }
}
