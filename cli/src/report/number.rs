//! Numbers with their units, as people read them.

use jiff::Timestamp;

/// What stands for a figure that there is not.
pub const NONE: &str = "–";

/// `1,058,863`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 frame`, `2 frames`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `171.9 MiB`
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return counted(number, "byte", "bytes");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in UNITS.into_iter().skip(1) {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// The part of `whole` in per cent, rounded so that neither a little looks like nothing nor almost all like all;
/// [`NONE`] when there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NONE.to_owned();
    }
    let value = share(part, whole) * 100.0;
    if part == 0 {
        "0 %".to_owned()
    } else if part == whole {
        "100 %".to_owned()
    } else if value < 0.01 {
        "<0.01 %".to_owned()
    } else if value < 0.995 {
        format!("{value:.2} %")
    } else if part < whole && value >= 99.95 {
        ">99.9 %".to_owned()
    } else {
        format!("{value:.1} %")
    }
}

/// The part of `whole`; 0 when there is no whole.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Microseconds in the unit that suits them, three digits: `91 µs`, `9.12 ms`, `1.50 s`; [`NONE`] for none.
pub fn latency(micros: Option<f64>) -> String {
    match micros {
        None => NONE.to_owned(),
        Some(micros) if micros < 9.95 && micros.fract() > 0.0 => format!("{micros:.1} µs"),
        Some(micros) if micros < 999.5 => format!("{micros:.0} µs"),
        Some(micros) if micros < 999_500.0 => format!("{} ms", three_digits(micros / 1e3)),
        Some(micros) => format!("{} s", three_digits(micros / 1e6)),
    }
}

/// A bound between latencies, which is a round number: `500 µs`, `2 ms`, `10 s`.
pub fn bound(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{} s", micros / 1_000_000),
    }
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A number of queries each second.
pub fn rate(number: u64, seconds: f64) -> String {
    let value = number as f64 / seconds;
    if value < 99.95 {
        format!("{}/s", three_digits(value))
    } else {
        format!("{}/s", count(value.round() as u64))
    }
}

/// A length of time in its two largest units: `412 ms`, `9 min 58 s`, `3 d 4 h`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 0.9995 => latency(Some(seconds * 1e6)),
        _ if seconds < 59.95 && seconds.fract() == 0.0 => format!("{whole} s"),
        _ if seconds < 59.95 => format!("{} s", three_digits(seconds)),
        0..3_600 => two_units(whole, 60, "min", 1, "s"),
        3_600..86_400 => two_units(whole, 3_600, "h", 60, "min"),
        _ => two_units(whole, 86_400, "d", 3_600, "h"),
    }
}

fn two_units(seconds: u64, large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match seconds % large / small {
        0 => format!("{} {large_unit}", seconds / large),
        rest => format!("{} {large_unit} {rest} {small_unit}", seconds / large),
    }
}

/// `2026-03-01 09:58:07 UTC`
pub fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The time of day, `09:58:07`, or with the day where `seconds` of time are told about: `03-01 09:58`.
pub fn clock(time: Timestamp, seconds: f64) -> String {
    time.strftime(if seconds < 86_400.0 { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_separated_in_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_058_863, "1,058,863"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(0, "file", "files"), "0 files");
    }

    #[test]
    fn bytes_have_binary_units() {
        for (number, text) in [
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (1024, "1.0 KiB"),
            (180_213_456, "171.9 MiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn percentages_never_round_to_nothing_or_all() {
        for (part, whole, text) in [
            (0, 5, "0 %"),
            (5, 5, "100 %"),
            (1, 1_000_000, "<0.01 %"),
            (999_999, 1_000_000, ">99.9 %"),
            (1577, 528_873, "0.30 %"),
            (52_897, 528_873, "10.0 %"),
            (6, 500, "1.2 %"),
            (0, 0, "–"),
        ] {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn latencies_have_the_unit_that_suits_them() {
        for (micros, text) in [
            (0.0, "0 µs"),
            (0.25, "0.2 µs"),
            (7.0, "7 µs"),
            (91.4, "91 µs"),
            (999.4, "999 µs"),
            (999.6, "1.00 ms"),
            (9118.0, "9.12 ms"),
            (38_080.0, "38.1 ms"),
            (436_647.0, "437 ms"),
            (999_600.0, "1.00 s"),
            (4_980_000.0, "4.98 s"),
            (60_000_000.0, "60.0 s"),
        ] {
            assert_eq!(latency(Some(micros)), text);
        }
        assert_eq!(latency(None), "–");
        assert_eq!(
            (bound(500), bound(2_000), bound(10_000_000)),
            ("500 µs".into(), "2 ms".into(), "10 s".into())
        );
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0.0, "0 µs"),
            (0.412, "412 ms"),
            (5.0, "5 s"),
            (5.25, "5.25 s"),
            (59.94, "59.9 s"),
            (598.4, "9 min 58 s"),
            (600.0, "10 min"),
            (7_260.0, "2 h 1 min"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(rate(529_990, 600.0), "883/s");
        assert_eq!(rate(3, 60.0), "0.05/s");
        assert_eq!(rate(5_000_000, 2.0), "2,500,000/s");
    }
}
