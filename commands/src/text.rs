//! A report as text: lines, fields, tables, findings.

use std::fmt::{Display, Write as _};

use clap::builder::StyledStr;
use recovery::findings::Acknowledged;
use recovery::findings::{Finding, Severity};
use unicode_width::UnicodeWidthStr;

use crate::paint::{Paint, Tone};
use crate::table::{Table, printable};

/// Text under construction. What comes from outside (names, commands, sentences) passes [`printable`]
/// in every method but [`Text::raw`].
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    paint: Paint,
}

impl Text {
    pub(crate) fn new(paint: Paint) -> Text {
        Text { text: String::new(), paint }
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// A line.
    pub(crate) fn line(&mut self, line: impl Display) {
        self.toned(Tone::Plain, line);
    }

    /// A line in a tone.
    pub(crate) fn toned(&mut self, tone: Tone, line: impl Display) {
        let line = self.paint.tone(tone, &printable(&line.to_string()));
        self.raw(&line);
        self.raw("\n");
    }

    /// An empty line between two parts; none at the start.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// Names and values below each other; fields without a value are left out.
    pub(crate) fn fields(&mut self, fields: &[(&str, Option<String>)]) {
        let present = || fields.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
        let width = present().map(|(name, _)| name.width()).max().unwrap_or(0);
        for (name, value) in present() {
            let blanks = " ".repeat(width - name.width() + 2);
            let name = self.paint.tone(Tone::Strong, name);
            let _ = writeln!(self.text, "{name}{blanks}{}", printable(value));
        }
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) {
        let lines = table.render(self.paint);
        self.raw(&lines);
    }

    /// A paragraph, broken between words at `width` columns, behind blanks.
    pub(crate) fn paragraph(&mut self, indent: usize, width: usize, paragraph: &str) {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && indent + line.width() + 1 + word.width() > width {
                self.line(format!("{:indent$}{line}", ""));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(format!("{:indent$}{line}", ""));
    }

    /// Findings, the worst first, each with its code and the command that deals with it.
    pub(crate) fn findings<'a>(&mut self, findings: impl IntoIterator<Item = &'a Finding>) {
        let mut findings: Vec<&Finding> = findings.into_iter().collect();
        findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
        for finding in findings {
            let severity = self.paint.tone(tone_of(finding.severity), finding.severity.as_str());
            let object = self.paint.tone(Tone::Strong, &printable(&finding.object.to_string()));
            let sentence = printable(&finding.sentence);
            let muted =
                finding.muted_until.map_or_else(String::new, |until| format!(" (muted until {until})"));
            let _ = writeln!(self.text, "{severity}: {object}: {sentence} [{}]{muted}", finding.code);
            if let Some(Acknowledged { at, by, reason }) = &finding.acknowledged {
                self.toned(Tone::Faint, format!("  acknowledged {at} by {by}: {reason}"));
            }
            if let Some(next) = &finding.next {
                self.toned(Tone::Faint, format!("  next: {next}"));
            }
        }
    }

    /// Help or usage as clap wrote it.
    pub(crate) fn styled(&mut self, styled: &StyledStr) {
        let text = if self.paint.is_on() { styled.ansi().to_string() } else { styled.to_string() };
        self.raw(&text);
    }

    /// As it is, control characters included.
    pub(crate) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

/// The tone of a severity.
pub(crate) fn tone_of(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Plain,
        Severity::Warning => Tone::Warning,
        Severity::Error | Severity::Critical => Tone::Bad,
    }
}
