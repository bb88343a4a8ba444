//! Text from outside, made safe for a terminal and cut to a width.

use ratatui::style::Style;
use ratatui::text::Span;

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

/// A duration in at most seven columns: `0.4 s`, `59.9 s`, `3m 07s`, `2h 05m`.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
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
    fn durations_are_short() {
        assert_eq!([412, 59_999, 187_000, 7_500_000].map(duration), ["0.4 s", "59.9 s", "3m 07s", "2h 05m"]);
    }
}
