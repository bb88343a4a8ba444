//! Durations and sizes as people write them: `250ms`, `30s`, `1h30m`, `16MiB`.

use std::time::Duration;

/// A text that is neither duration nor size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {what}, which is written as {form}")]
pub struct BadUnit {
    /// The given text.
    pub text: String,
    /// The kind that was expected.
    pub what: &'static str,
    /// How that is written.
    pub form: &'static str,
}

/// Milliseconds of each unit, the largest first.
const TIME: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Bytes of each unit, the largest first. `K`, `KB` and `KiB` all mean 1024.
const SIZE: &[(&str, u64)] = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads a duration: one or more whole numbers with a unit (`d`, `h`, `m`, `s`, `ms`), at most one of them
/// with a fraction, or `0`.
///
/// # Errors
/// When the text is something else, has no unit, or is too long to count in milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    let bad = || BadUnit {
        text: text.to_owned(),
        what: "duration",
        form: "numbers with units, such as 250ms, 30s or 1h30m",
    };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = 0u64;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, tail) = split_at(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, tail) = split_at(tail, |c| !c.is_ascii_alphabetic());
        let (_, scale) = TIME.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        if *scale >= smallest {
            return Err(bad()); // 5s1h and 1m1m are typing errors.
        }
        smallest = *scale;
        total = scaled(number, *scale).and_then(|ms| total.checked_add(ms)).ok_or_else(bad)?;
        rest = tail;
    }
    if smallest == u64::MAX { Err(bad()) } else { Ok(Duration::from_millis(total)) }
}

/// Writes a duration so that [`parse_duration`] reads it back; parts of a millisecond are dropped.
pub(crate) fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, scale) in TIME {
        if ms >= *scale {
            text.push_str(&format!("{}{unit}", ms / scale));
            ms %= scale;
        }
    }
    text
}

/// Reads a size: whole bytes, or a number with `KiB`, `MiB`, `GiB` or `TiB` (also `K`, `KB`, …).
pub(crate) fn parse_size(text: &str) -> Result<u64, BadUnit> {
    let bad = || BadUnit {
        text: text.to_owned(),
        what: "size",
        form: "bytes or a number with a unit, such as 16MiB",
    };
    let (number, unit) = split_at(text.trim(), |c| !c.is_ascii_digit() && c != '.');
    let unit = unit.trim_start().to_ascii_lowercase();
    if unit.is_empty() || unit == "b" {
        return number.parse().map_err(|_| bad());
    }
    let whole = SIZE.iter().find(|(name, _)| {
        let name = name.to_ascii_lowercase();
        [&name[..1], &name.replace('i', ""), &name].contains(&unit.as_str())
    });
    whole.and_then(|(_, scale)| scaled(number, *scale)).ok_or_else(bad)
}

/// Writes a size so that [`parse_size`] reads it back: in the largest unit that leaves no fraction.
pub(crate) fn format_size(bytes: u64) -> String {
    match SIZE.iter().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", bytes / scale),
        None => bytes.to_string(),
    }
}

fn split_at(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// Multiplies a decimal number such as `1.5` by the parts of a unit; the fraction has at most three digits.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if number.contains('.') && !(1..=3).contains(&fraction.len()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u64>().ok()?;
    whole.checked_add(thousandths.checked_mul(scale)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn duration_round_trip(ms in 0u64..10_000_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn size_round_trip(bytes in 0u64..1 << 50) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn units_any_text(text in "\\PC{0,20}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }

    #[test]
    fn parse_duration_forms() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("250ms"), Ok(250));
        assert_eq!(ms(" 30s "), Ok(30_000));
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("1.5s"), Ok(1500));
        assert_eq!(ms("0"), Ok(0));
        for wrong in
            ["", "10", "s", "5 s", "5x", "1m1m", "5s1h", "-1s", "1.s", "1.2345s", "99999999999999999999d"]
        {
            assert!(ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parse_size_forms() {
        assert_eq!(parse_size("4194304"), Ok(4 << 20));
        for four in ["4MiB", "4M", "4mb", "4 MiB", "4194304B", "4096K"] {
            assert_eq!(parse_size(four), Ok(4 << 20), "{four}");
        }
        assert_eq!(parse_size("1.5KiB"), Ok(1536));
        for wrong in ["", "MiB", "4XiB", "4Mi", "-1", "1.5", "4MiBB", "99999999999T"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
