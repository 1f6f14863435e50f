//! Bars and sparklines of block characters.

use std::iter;

const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const HEIGHTS: [char; 7] = ['▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of at most `room` columns for a share of 0 to 1; what is not 0 is seen.
pub fn bar(share: f64, room: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * room as f64 * 8.0).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { eighths };
    iter::repeat_n('█', eighths / 8)
        .chain(eighths.checked_rem(8).and_then(|rest| EIGHTHS.get(rest.wrapping_sub(1)).copied()))
        .collect()
}

/// One column for each value, from 0 to the largest of them. 0 is the base line, what is more stands above it, and a
/// value that is not known is blank.
pub fn sparkline(values: &[Option<f64>]) -> String {
    let top = values.iter().flatten().copied().fold(0.0, f64::max);
    values
        .iter()
        .map(|value| match value {
            None => ' ',
            Some(value) if *value > 0.0 => {
                let step = (value / top * HEIGHTS.len() as f64).ceil() as usize;
                HEIGHTS.get(step.saturating_sub(1)).copied().unwrap_or('█')
            }
            Some(_) => '▁',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_eighths_and_show_what_is_little() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 5), "██▌");
        assert_eq!(bar(1e-9, 4), "▏");
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(7.0, 3), "███");
        assert_eq!(bar(f64::NAN, 3), "");
    }

    #[test]
    fn sparklines_tell_nothing_little_and_unknown_apart() {
        assert_eq!(sparkline(&[Some(0.0), Some(0.01), None, Some(3.5), Some(7.0)]), "▁▂ ▅█");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
