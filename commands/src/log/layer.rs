//! Makes a line of an event and hands it to those who take it.

use std::sync::OnceLock;

use recovery::logging::{Level, LogFile, LogLine, events, line};
use recovery::state::Clock;
use serde_json::{Map, Value};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::journal::Journal;
use super::stream::Stream;
use super::text::text;
use crate::paint::Paint;

/// Who takes lines, and in which form.
#[derive(Debug)]
pub(super) enum Sink {
    Text(Stream, Paint),
    Json(Stream),
    /// The stream is for what the journal does not take.
    Journal(Journal, Stream),
}

/// Listens to events and spans.
pub(super) struct LogLayer {
    process: &'static str,
    pid: u32,
    clock: Clock,
    sink: Sink,
    /// The sink gets nothing that matters less.
    least: Level,
    file: Option<&'static OnceLock<LogFile>>,
}

impl LogLayer {
    pub(super) fn new(
        process: &'static str,
        sink: Sink,
        least: Level,
        file: Option<&'static OnceLock<LogFile>>,
    ) -> LogLayer {
        LogLayer { process, pid: std::process::id(), clock: Clock::system(), sink, least, file }
    }

    fn line(&self, level: Level, target: &str, fields: Fields) -> LogLine {
        let Fields { message, event, others } = fields;
        LogLine {
            v: line::VERSION,
            at: self.clock.now(),
            level,
            event,
            process: self.process.to_owned(),
            pid: self.pid,
            target: target.to_owned(),
            message,
            fields: others,
        }
    }

    fn tell(&self, line: &LogLine) {
        // A line of ours always becomes JSON: its keys are texts.
        let json = || serde_json::to_string(line).unwrap_or_default();
        if let Some(file) = self.file.and_then(OnceLock::get) {
            // Nobody can be told that the file cannot be written: standard error has the line too.
            let _ = file.append(&json());
        }
        if line.level > self.least {
            return;
        }
        match &self.sink {
            Sink::Text(stream, paint) => stream.line(&text(line, *paint)),
            Sink::Json(stream) => stream.line(&json()),
            Sink::Journal(journal, stream) => {
                if journal.send(line).is_err() {
                    stream.line(&text(line, Paint::fixed(false)));
                }
            }
        }
    }

    /// That lines were left out is told before the next one.
    fn tell_lost(&self) {
        let (Sink::Text(stream, _) | Sink::Json(stream) | Sink::Journal(_, stream)) = &self.sink;
        let lost = stream.take_lost();
        if lost > 0 {
            let fields = Fields {
                message: format!("{lost} lines were left out: nobody took them"),
                event: Some(events::LINES_LOST.to_owned()),
                others: Map::from_iter([("lost".to_owned(), Value::from(lost))]),
            };
            self.tell(&self.line(Level::Warn, module_path!(), fields));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // From the inside to the outside.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_outer(outer);
            }
        }
        let metadata = event.metadata();
        self.tell_lost();
        self.tell(&self.line(level_of(*metadata.level()), metadata.target(), fields));
    }
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}
