//! The fields of an event and of the spans around it.

use std::fmt::Debug;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// A value is cut behind so many bytes: no line is to be longer than what a datagram takes.
const LONGEST_VALUE: usize = 4 << 10;
const LONGEST_MESSAGE: usize = 16 << 10;

/// What was said.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) event: Option<String>,
    pub(super) others: Map<String, Value>,
}

impl Fields {
    /// Adds those of a span around it; what is nearer counts.
    pub(super) fn add_outer(&mut self, outer: &Fields) {
        for (name, value) in &outer.others {
            self.others.entry(name).or_insert_with(|| value.clone());
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = cut(text, LONGEST_MESSAGE),
            "event" => self.event = Some(text),
            name => drop(self.others.insert(name.to_owned(), Value::String(cut(text, LONGEST_VALUE)))),
        }
    }

    fn value(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, recovery::durable::error_chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_value_is_cut_between_characters() {
        let cut = cut("é".repeat(LONGEST_VALUE), LONGEST_VALUE - 1);
        assert!(cut.len() <= LONGEST_VALUE + 3 && cut.ends_with("é…"));
    }

    #[test]
    fn field_of_the_event_counts_before_that_of_a_span() {
        let of = |value: &str| Fields {
            others: Map::from_iter([("job_id".to_owned(), Value::from(value))]),
            ..Fields::default()
        };
        let mut inner = of("inner");
        inner.add_outer(&of("outer"));
        assert_eq!(inner.others["job_id"], "inner");
    }
}
