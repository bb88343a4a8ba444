//! A line for people: time, level, the message, and what the message does not say of its fields.

use recovery::logging::{Level, LogLine};
use serde_json::Value;

use crate::paint::{Paint, Tone};
use crate::table::printable;

/// Those that say which module or round it was, and not what happened.
const LEFT_OUT: &[&str] = &["what"];

/// The line, without its end.
pub(super) fn text(line: &LogLine, paint: Paint) -> String {
    let (word, tone) = match line.level {
        Level::Error => ("ERROR", Tone::Bad),
        Level::Warn => ("WARN ", Tone::Warning),
        Level::Info => ("INFO ", Tone::Good),
        Level::Debug => ("DEBUG", Tone::Faint),
        Level::Trace => ("TRACE", Tone::Faint),
    };
    let mut text = format!(
        "{} {} {}",
        paint.tone(Tone::Faint, &line.at.to_string()),
        paint.tone(tone, word),
        printable(&line.message)
    );
    for (name, value) in &line.fields {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_said = line.message.contains(&value);
        if !is_said && !value.is_empty() && !LEFT_OUT.contains(&name.as_str()) {
            text.push_str(&paint.tone(Tone::Faint, &format!(" {name}={}", printable(&value))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_has_the_message_and_what_it_does_not_say() {
        let line: LogLine = serde_json::from_value(json!({
            "v": 1, "at": "2026-01-01T00:00:00.000Z", "level": "warn", "process": "daemon", "pid": 1,
            "target": "t", "message": "job a\nended", "fields": { "job_id": "a", "repository": "web", "claim": 7 }
        }))
        .unwrap();
        assert_eq!(
            text(&line, Paint::fixed(false)),
            "2026-01-01T00:00:00.000Z WARN  job a\\nended repository=web claim=7"
        );
    }
}
