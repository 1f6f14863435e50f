//! Sizes as people write them: `500MB`, `10GiB`.

/// Octets of a size: a number with B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB or TiB (powers of 1024).
///
/// # Errors
/// What is wrong, in words.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default().trim() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => return Err("a size needs its unit, as in 500MB or 10GiB".to_owned()),
        other => {
            return Err(format!(
                "'{other}' is no unit of size; B, kB, MB, GB, TB, KiB, MiB, GiB and TiB are"
            ));
        }
    };
    let number: u64 =
        digits.parse().map_err(|_| "a size is a whole number with a unit, as in 500MB or 10GiB")?;
    number.checked_mul(unit).filter(|&octets| octets > 0).ok_or_else(|| "that size cannot be".to_owned())
}

/// A size as [`parse`] reads it, in the largest unit that it is a whole number of.
pub fn shown(octets: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.into_iter().find(|&(_, bits)| octets > 0 && octets.trailing_zeros() >= bits);
    match whole {
        Some((unit, bits)) => format!("{}{unit}", octets >> bits),
        None => format!("{octets}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse("500MB"), Ok(500_000_000));
        assert_eq!(parse("10GiB"), Ok(10 << 30));
        assert_eq!(parse("1 KiB"), Ok(1024));
        for text in ["1B", "1000B", "3KiB", "64MiB", "10GiB", "2TiB"] {
            assert_eq!(parse(text).map(shown).as_deref(), Ok(text));
        }
        for wrong in ["", "10", "GiB", "0MB", "-1MB", "1.5GB", "10gigs", "99999999999TiB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
