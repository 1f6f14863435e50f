//! Durations as people write them: `5s`, `1m30s`, `500ms`, `2 hours`.

use std::time::Duration;

use jiff::SignedDuration;

/// Longer than this is a slip of the keyboard, and would overflow sums of nanoseconds further on.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// Reads a duration of at least a microsecond and at most a year.
///
/// # Errors
/// A sentence for the user.
pub fn parse(text: &str) -> Result<Duration, String> {
    // Days are not a unit of fixed length to jiff; here they are 24 hours.
    let days = text.strip_suffix('d').and_then(|number| number.trim().parse::<u32>().ok());
    let hours = days.map(|days| format!("{}h", u64::from(days) * 24));
    let signed: SignedDuration = hours
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "write a number and its unit, such as 500ms, 5s, 1m30s or 24h".to_owned())?;
    let duration = Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())?;
    if duration < Duration::from_micros(1) {
        return Err("must be at least 1us".to_owned());
    }
    if duration > LONGEST {
        return Err("must be at most 366 days (8784h)".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        for (text, millis) in [
            ("5s", 5_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("24h", 86_400_000),
            ("2.5s", 2_500),
            ("10 minutes", 600_000),
            ("PT5S", 5_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        for (text, reason) in [
            ("5", "number and its unit"),
            ("", "number and its unit"),
            ("five", "number and its unit"),
            ("-5s", "negative"),
            ("0s", "at least 1us"),
            ("9000h", "at most"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
