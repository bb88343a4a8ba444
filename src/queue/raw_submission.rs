//! The fast path for the most common line of the log, a submission, as [`Record::to_line`] writes it.
//!
//! ```json
//! {"at":"…","op":"submit","by":"…","why":"…","job":"…","priority":1,"repository":"…","spec":{…}}
//! ```
//!
//! Replay of a million submissions must not parse a million specs. The members come in this order (`why`,
//! `priority` and `repository` only when set) and `spec` is last, so its value is everything from its colon to
//! the last brace. The checksum proves the line whole; the spec is parsed on demand. A line of any other form
//! goes through the general JSON parser.
//!
//! [`Record::to_line`]: super::record::Record::to_line

use std::borrow::Cow;

use crate::state::JobId;
use crate::state::Timestamp;

/// A submission, its spec unparsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawSubmission<'a> {
    pub(super) at: Timestamp,
    pub(super) job: JobId,
    pub(super) priority: i32,
    pub(super) repository: Option<Cow<'a, str>>,
    pub(super) spec: &'a str,
}

impl<'a> RawSubmission<'a> {
    /// Parses a submission's line; `None` for every other line.
    pub(super) fn parse(payload: &'a [u8]) -> Option<RawSubmission<'a>> {
        let mut line = Cursor(std::str::from_utf8(payload).ok()?);
        line.literal("{\"at\":\"")?;
        let at = line.text()?;
        line.literal(",\"op\":\"submit\",\"by\":\"")?;
        line.skip_text()?;
        if line.literal(",\"why\":\"").is_some() {
            line.skip_text()?;
        }
        line.literal(",\"job\":\"")?;
        let job = line.text()?;
        let priority = match line.literal(",\"priority\":") {
            Some(()) => line.integer()?,
            None => 0,
        };
        let repository = match line.literal(",\"repository\":\"") {
            Some(()) => Some(line.text()?),
            None => None,
        };
        line.literal(",\"spec\":")?;
        let spec = line.0.strip_suffix('}').filter(|s| s.starts_with('{') && s.ends_with('}'))?;
        Some(RawSubmission { at: at.parse().ok()?, job: job.parse().ok()?, priority, repository, spec })
    }
}

/// The unread rest of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Skips exactly this text.
    fn literal(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// The text up to its closing quotation mark.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let end = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        if let Some(rest) = self.0[end..].strip_prefix('"') {
            let text = &self.0[..end];
            self.0 = rest;
            return Some(Cow::Borrowed(text));
        }
        let escaped = self.0;
        self.skip_text()?;
        let text = &escaped[..escaped.len() - self.0.len()];
        serde_json::from_str(&format!("\"{text}")).ok().map(Cow::Owned)
    }

    /// Skips a text of any content and its closing quotation mark.
    fn skip_text(&mut self) -> Option<()> {
        loop {
            let at = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
            let is_escape = self.0.as_bytes()[at] == b'\\';
            self.0 = self.0.get(at + 1 + usize::from(is_escape)..)?;
            if !is_escape {
                return Some(());
            }
        }
    }

    fn integer(&mut self) -> Option<i32> {
        let end = self.0.find(|c: char| !c.is_ascii_digit() && c != '-')?;
        let (number, rest) = self.0.split_at(end);
        self.0 = rest;
        number.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Actor, JobSpec, Operation, Record, Submission};

    fn line() -> Vec<u8> {
        let submission = Submission {
            job: "0192d7a0-0000-7000-8000-000000000001".parse().unwrap(),
            priority: -3,
            repository: Some("a \"quoted\" \\ name".to_owned()),
            spec: JobSpec { command: vec![",\"spec\":{\"}".to_owned()], ..JobSpec::default() },
        };
        let actor = Actor { by: "ana\n\"".to_owned(), why: Some("because \\".to_owned()) };
        let at = Timestamp::from_millis(1_772_357_400_123);
        Record { at, actor, operation: Operation::Submit(submission) }.to_line().unwrap()
    }

    #[test]
    fn raw_submission_with_escapes() {
        let line = line();
        let raw = RawSubmission::parse(&line).unwrap();
        assert_eq!(raw.at.as_millis(), 1_772_357_400_123);
        assert_eq!((raw.priority, raw.repository.as_deref()), (-3, Some("a \"quoted\" \\ name")));
        assert!(line.ends_with(format!("{}}}", raw.spec).as_bytes()));
    }

    #[test]
    fn raw_submission_cut_anywhere_is_rejected() {
        let line = line();
        for cut in 0..line.len() {
            assert_eq!(RawSubmission::parse(&line[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn raw_submission_other_forms_fall_back() {
        for line in [
            r#"{"at":"2026-03-01T09:30:00.000Z","op":"cancel","by":"ana","job":"a"}"#,
            r#"{"op":"submit","at":"2026-03-01T09:30:00.000Z","by":"ana","job":"a","spec":{}}"#,
            r#"{"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"ana","job":"a","new":1,"spec":{}}"#,
            r#"{"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"ana","job":"a","spec":{},"new":1}"#,
            r#"{"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"ana","job":"a","spec":null}"#,
            r#"{"at":"yesterday","op":"submit","by":"ana","job":"a","spec":{}}"#,
        ] {
            assert_eq!(RawSubmission::parse(line.as_bytes()), None, "{line}");
        }
    }
}
