//! Text from outside, made safe for a terminal and cut to a width.

use ratatui::style::Style;
use ratatui::text::Span;
use recovery::state::Timestamp;

/// The text with nothing in it that a terminal would obey: control characters become their pictures,
/// and what turns the direction of writing around is replaced.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(safe_char).collect()
}

fn safe_char(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ => c,
    }
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The safe text, at most so many columns wide, with `…` where something is left out.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = safe(text);
    if width(&text) <= columns {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in Span::raw(&text).styled_graphemes(Style::default()) {
        used += width(grapheme.symbol);
        if used + 1 > columns {
            break;
        }
        out.push_str(grapheme.symbol);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The safe text in exactly so many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut text = fit(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// The time of the day, to the second: `05:12:33 UTC`.
pub(crate) fn clock(at: Timestamp) -> String {
    let whole = at.to_string();
    whole.get(11..19).map_or_else(|| whole.clone(), |time| format!("{time} UTC"))
}

/// A duration in at most seven columns: `0.4 s`, `59.9 s`, `3m 07s`, `2h 05m`.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Bytes in at most eight columns: `512 B`, `1.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
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

/// How long ago, in the largest unit; a moment of the future as `in …`. Coarse, so that a line that nothing
/// happens to seldom changes.
pub(crate) fn ago(now: Timestamp, at: Timestamp) -> String {
    let ms = now.millis_since(at);
    let seconds = ms.unsigned_abs() / 1000;
    let distance = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    };
    if ms < 0 { format!("in {distance}") } else { format!("{distance} ago") }
}

/// The safe text in lines of at most so many columns, broken between words where there are any; the lines
/// after the first stand in by `indent`.
pub(crate) fn wrapped(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let columns = columns.max(1);
    let indent = if indent * 2 + 2 > columns { 0 } else { indent };
    let text = safe(&text.replace('\t', "    "));
    if width(&text) <= columns {
        return vec![text];
    }
    let mut lines = Vec::new();
    let (mut line, mut used, mut blank) = (String::new(), 0, None::<usize>);
    for grapheme in Span::raw(&text).styled_graphemes(Style::default()) {
        let symbol = grapheme.symbol;
        let wide = width(symbol);
        if used + wide > columns && !line.is_empty() {
            // What stands behind the last blank goes to the next line.
            let at = blank.filter(|at| *at > indent).unwrap_or(line.len());
            let rest = line.split_off(at);
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            line = " ".repeat(indent);
            line.push_str(rest.trim_start());
            used = width(&line);
            blank = None;
        }
        if symbol == " " && used + wide > columns {
            continue;
        }
        line.push_str(symbol);
        used += wide;
        if symbol == " " && line.trim_start().len() > 1 {
            blank = Some(line.len());
        }
    }
    if !line.trim().is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(safe("a\x1b[2Jb\r\n\x07\u{9b}1m\x7f\u{202e}"), "a␛[2Jb␍␊␇�1m␡�");
    }

    #[test]
    fn wide_characters_are_cut_whole() {
        assert_eq!(fit("日本語日本語", 6), "日本…");
        assert_eq!(width(&pad("日本語日本語", 6)), 6);
        assert_eq!(
            (fit("abc", 3).as_str(), fit("abcd", 3).as_str(), fit("abc", 0).as_str()),
            ("abc", "ab…", "")
        );
    }

    #[test]
    fn lines_are_broken_between_words_and_never_too_wide() {
        assert_eq!(wrapped("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrapped("abcdefghij", 4, 0), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4, 0), [""]);
        assert_eq!(wrapped("日本語日本語", 5, 0), ["日本", "語日", "本語"]);
        for columns in 1..30 {
            for indent in 0..12 {
                let text = "a word, averyverylongword 日本語 and\tmore  blanks   here e\u{301}\x1b[2J";
                for line in wrapped(text, columns, indent) {
                    assert!(width(&line) <= columns.max(2), "{columns} {indent}: {line:?}");
                    assert!(!line.chars().any(char::is_control));
                }
            }
        }
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let now = Timestamp::from_millis(1_000_000_000);
        let told = [0, -59_000, -61_000, -7_200_000, 90_000_000].map(|ms| ago(now, now.plus_millis(ms)));
        assert_eq!(told, ["now", "59s ago", "1m ago", "2h ago", "in 1d"]);
    }

    #[test]
    fn durations_and_sizes_are_short() {
        let durations = [412, 59_999, 187_000, 7_500_000, 180_000_000].map(duration);
        assert_eq!(durations, ["0.4 s", "59.9 s", "3m 07s", "2h 05m", "2d 02h"]);
        let sizes = [0, 1023, 1024, 123_456, 3 << 30, 5 << 40].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "120 KiB", "3.0 GiB", "5.0 TiB"]);
    }
}
