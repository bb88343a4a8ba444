//! Durations, ages, sizes and counts in their one text form: `1.1 s`, `35 min 29 s`, `18 min ago`, `21.0
//! MiB`, `2 jobs`.
//!
//! Reports have milliseconds and bytes; the configuration has the form that
//! [`parse_duration`](super::parse_duration) reads. The page formats the same with
//! `commands/src/http/page/format.js`; a test compares the two.

use std::time::Duration;

use super::Timestamp;

/// The units of a long duration, in milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];

/// A duration in milliseconds: with milliseconds below a second, with tenths below ten seconds, otherwise in
/// its two largest units.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..10_000 if ms % 1000 >= 100 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => in_units(ms),
    }
}

/// The same of a [`Duration`].
pub fn span(span: Duration) -> String {
    duration(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// How long ago something was, or `in` what time it will be: in the largest unit of which there are at least two,
/// and in no other, so that a line seldom changes.
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    let ms = now.millis_since(at);
    let far = ms.unsigned_abs();
    if far < 1000 {
        return "now".to_owned();
    }
    let distance = about(far);
    if ms < 0 { format!("in {distance}") } else { format!("{distance} ago") }
}

/// An estimated duration in milliseconds: whole units, in the largest unit of which there are at least two.
pub fn about(ms: u64) -> String {
    let (unit, scale) = UNITS.into_iter().find(|(_, scale)| ms >= 2 * scale).unwrap_or(("s", 1000));
    format!("{} {unit}", ms / scale)
}

/// Bytes in the largest binary unit, with a tenth below a hundred of it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (unit, tenths) = (unit + 1, tenths / 1024);
    }
    match tenths {
        0..1000 => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{} {}", tenths / 10, UNITS[unit]),
    }
}

/// A number with its noun: `1 job`, `2 jobs`, `2 entries`.
pub fn count(n: impl TryInto<u64>, noun: &str) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        n => format!("{n} {}", plural(noun)),
    }
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

/// Numbered things as the subject of a sentence: `record 3 is`, `records 3 to 5 are`.
pub(crate) fn numbers(noun: &str, first: u64, last: u64) -> String {
    match first == last {
        true => format!("{noun} {first} is"),
        false => format!("{} {first} to {last} are", plural(noun)),
    }
}

/// A number with a unit that is written in the plural: `1 job` of `jobs`, `2 entries` of `entries`.
pub fn of_unit(n: u64, unit: &str) -> String {
    match (n, unit.strip_suffix("ies"), unit.strip_suffix('s')) {
        (1, Some(stem), _) => format!("1 {stem}y"),
        (1, None, Some(one)) => format!("1 {one}"),
        _ => format!("{n} {unit}"),
    }
}

/// In the two largest units, the second only where it is not 0.
fn in_units(ms: u64) -> String {
    let first = UNITS.iter().position(|(_, scale)| ms >= *scale).unwrap_or(UNITS.len() - 1);
    let (unit, scale) = UNITS[first];
    let text = format!("{} {unit}", ms / scale);
    match UNITS.get(first + 1).map(|(second, smaller)| (second, ms % scale / smaller)) {
        Some((second, n)) if n > 0 => format!("{text} {n} {second}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_at_most_two_units() {
        let said = [0, 412, 1100, 2000, 59_999, 240_000, 2_129_000, 7_500_000, 180_000_000].map(duration);
        let expected =
            ["0 ms", "412 ms", "1.1 s", "2 s", "59 s", "4 min", "35 min 29 s", "2 h 5 min", "2 d 2 h"];
        assert_eq!(said, expected);
    }

    #[test]
    fn age_has_one_unit() {
        let now = Timestamp::from_millis(1_000_000_000);
        let said =
            [0, -119_900, -192_345, -7_200_000, 90_061_000, 1000].map(|ms| ago(now, now.plus_millis(ms)));
        assert_eq!(said, ["now", "119 s ago", "3 min ago", "2 h ago", "in 25 h", "in 1 s"]);
    }

    #[test]
    fn size_has_three_digits() {
        let said = [0, 1023, 1024, 123_456, 22_032_384, 3 << 30, 5 << 40].map(size);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "120 KiB", "21.0 MiB", "3.0 GiB", "5.0 TiB"]);
    }

    #[test]
    fn nouns_agree_with_number() {
        assert_eq!([count(0, "job"), count(1, "job"), count(2, "job")], ["0 jobs", "1 job", "2 jobs"]);
        assert_eq!(
            [count(1, "entry"), count(2, "entry"), count(2, "day")],
            ["1 entry", "2 entries", "2 days"]
        );
        let of_units = [of_unit(1, "deliveries"), of_unit(1, "jobs"), of_unit(0, "jobs")];
        assert_eq!(of_units, ["1 delivery", "1 job", "0 jobs"]);
        assert_eq!([numbers("entry", 1, 1), numbers("entry", 1, 2)], ["entry 1 is", "entries 1 to 2 are"]);
    }
}
