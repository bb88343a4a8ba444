//! Text from outside, made safe for a terminal and cut to a width.

use ratatui::style::Style;
use ratatui::text::Span;
use recovery::state::Timestamp;

/// The text without anything that a terminal would obey: control characters become their pictures, and
/// characters that change the direction of writing are replaced.
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

/// Cuts the safe text to exactly this many columns, or fills it with blanks.
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

/// The safe text in lines of at most so many columns, broken between words where possible; lines after the
/// first are indented by `indent`.
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
            // The text after the last blank goes to the next line.
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
}
