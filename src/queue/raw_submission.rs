//! The fast way through the commonest line of the log, a submission, as [`Record::to_line`] writes it.
//!
//! ```json
//! {"at":"…","op":"submit","by":"…","why":"…","job":"…","priority":1,"repository":"…","spec":{…}}
//! ```
//!
//! Replay of a million submissions must not parse a million specs: the members come in this order (`why`,
//! `priority` and `repository` only when there is something to say), `spec` is the last, so everything
//! from its colon to the last brace is its value. The checksum has vouched for the line; the spec is
//! parsed when somebody asks for it. A line of any other form is not understood here and takes the
//! general way, which knows all of JSON.
//!
//! [`Record::to_line`]: super::record::Record::to_line

use super::id::JobId;
use crate::state::Timestamp;

/// A submission, its spec unparsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawSubmission<'a> {
    pub(super) at: Timestamp,
    pub(super) job: JobId,
    pub(super) priority: i32,
    pub(super) repository: Option<&'a str>,
    pub(super) spec: &'a str,
}

impl<'a> RawSubmission<'a> {
    /// Understands a submission's line; `None` for every other line.
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

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Passes over exactly this.
    fn literal(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// The text up to its closing quotation mark; only one without escapes.
    fn text(&mut self) -> Option<&'a str> {
        let end = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix('"')?;
        Some(text)
    }

    /// Passes over a text and its closing quotation mark, whatever it says.
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
    use proptest::prelude::*;

    use super::*;
    use crate::queue::{Actor, JobSpec, Operation, Record, Submission};

    fn submission(by: &str, why: Option<String>, repository: Option<String>, priority: i32) -> Record {
        let spec = JobSpec {
            command: vec!["sh".to_owned(), ",\"spec\":{\"}".to_owned()],
            title: repository.clone(),
            ..JobSpec::default()
        };
        let job = "0192d7a0-0000-7000-8000-000000000001".parse().unwrap();
        let submission = Submission { job, priority, repository, spec };
        let actor = Actor { by: by.to_owned(), why };
        let operation = Operation::Submit(submission);
        Record { at: Timestamp::from_millis(1_772_357_400_123), actor, operation }
    }

    /// What the general way says about a line.
    fn slowly(line: &[u8]) -> (Timestamp, Submission) {
        let record = Record::from_line(line).unwrap();
        let Operation::Submit(submission) = record.operation else { panic!("no submission") };
        (record.at, submission)
    }

    proptest! {
        #[test]
        fn it_says_what_the_general_way_says(
            by in "[ -~é\n\"\\\\]{0,20}",
            why in proptest::option::of("[ -~é\t\"\\\\]{0,20}"),
            repository in proptest::option::of("[ -~é/]{0,20}"),
            priority in any::<i32>(),
        ) {
            let line = submission(&by, why, repository.clone(), priority).to_line().unwrap();
            let escaped = repository.is_some_and(|r| r.contains(['"', '\\']));
            let fast = RawSubmission::parse(&line);
            prop_assert_eq!(fast.is_none(), escaped);
            if let Some(fast) = fast {
                let (at, slow) = slowly(&line);
                prop_assert_eq!(fast.at, at);
                prop_assert_eq!(fast.job, slow.job);
                prop_assert_eq!(fast.priority, slow.priority);
                prop_assert_eq!(fast.repository, slow.repository.as_deref());
                prop_assert_eq!(fast.spec, serde_json::to_string(&slow.spec).unwrap());
            }
        }

        #[test]
        fn a_line_cut_anywhere_is_not_understood(cut in 0usize..1000) {
            let line = submission("ana", Some("because".to_owned()), None, 3).to_line().unwrap();
            let cut = cut % line.len();
            prop_assert!(RawSubmission::parse(&line[..cut]).is_none());
        }
    }

    #[test]
    fn other_operations_and_other_orders_take_the_general_way() {
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
