//! Which word was meant.

/// The word that differs least, when it is near enough that it may have been meant: one letter in three wrong, left out, too many or
/// with its neighbour exchanged; or the same but for its separators.
pub fn nearest<'w>(written: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let written = plain(written);
    words
        .map(|word| (distance(&written, &plain(word)), word))
        .filter(|&(distance, word)| distance * 3 <= word.chars().count().max(3))
        .min()
        .map(|(_, word)| word)
}

fn plain(word: &str) -> Vec<char> {
    word.chars()
        .filter(|&letter| letter != '_' && letter != '-')
        .flat_map(char::to_lowercase)
        .take(64)
        .collect()
}

/// Edits from one word to the other, where an exchange of neighbours is one (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut left_before = None;
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut right_before = None;
        for (column, &b) in right.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = at(&last, column) + usize::from(a != b);
            best = best.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            if left_before == Some(b) && right_before == Some(a) {
                best = best.min(at(&before, column.wrapping_sub(1)) + 1);
            }
            current.push(best);
            right_before = Some(b);
        }
        left_before = Some(a);
        before = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_other_words_are_not() {
        let words = ["interval", "lateness", "max_rows", "query_timeout", "ca", "key"];
        for (written, meant) in [
            ("intervall", Some("interval")),
            ("Interval", Some("interval")),
            ("intreval", Some("interval")),
            ("max-rows", Some("max_rows")),
            ("maxrow", Some("max_rows")),
            ("query_timout", Some("query_timeout")),
            ("kye", Some("key")),
            ("cb", Some("ca")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, words.into_iter()), meant, "{written}");
        }
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        let of = |left: &str, right: &str| distance(&plain(left), &plain(right));
        for (left, right, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("abcd", "acbd", 1),
        ] {
            assert_eq!(of(left, right), edits, "{left} {right}");
        }
    }
}
