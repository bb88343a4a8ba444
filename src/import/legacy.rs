//! One `<id>.job.json` of the former server, parsed with tolerance.
//!
//! That server writes the file in place, so a crash can leave it empty, cut, or padded with zeros. A member
//! is used when its value has a usable type, and left out otherwise; names are compared without case. From a
//! cut file, the members before the cut are kept: [`Reading::Damaged`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// A status of the former server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyStatus {
    /// 0: accepted, not yet in its queue.
    Created,
    /// 1
    Queued,
    /// 2: its repository is being updated.
    GitPulling,
    /// 3
    GitFailed,
    /// 4: its copy of the repository is being indexed.
    CidxIndexing,
    /// 5: indexed, about to start.
    CidxReady,
    /// 6
    Running,
    /// 7
    Completed,
    /// 8
    Failed,
    /// 9
    Timeout,
    /// 10: ended by the server.
    Terminated,
    /// 11: its end was requested.
    Cancelling,
    /// 12
    Cancelled,
}

const STATUSES: [(LegacyStatus, &str); 13] = [
    (LegacyStatus::Created, "Created"),
    (LegacyStatus::Queued, "Queued"),
    (LegacyStatus::GitPulling, "GitPulling"),
    (LegacyStatus::GitFailed, "GitFailed"),
    (LegacyStatus::CidxIndexing, "CidxIndexing"),
    (LegacyStatus::CidxReady, "CidxReady"),
    (LegacyStatus::Running, "Running"),
    (LegacyStatus::Completed, "Completed"),
    (LegacyStatus::Failed, "Failed"),
    (LegacyStatus::Timeout, "Timeout"),
    (LegacyStatus::Terminated, "Terminated"),
    (LegacyStatus::Cancelling, "Cancelling"),
    (LegacyStatus::Cancelled, "Cancelled"),
];

impl LegacyStatus {
    /// Parses a status from its number, or its name in any case.
    pub(crate) fn from_value(value: &Value) -> Option<LegacyStatus> {
        if let Some(number) = integer(value) {
            return STATUSES.get(usize::try_from(number).ok()?).map(|s| s.0);
        }
        let name = value.as_str()?.trim();
        let same = |text: &str| text.replace('_', "").eq_ignore_ascii_case(&name.replace('_', ""));
        STATUSES.iter().find(|s| same(s.1)).map(|s| s.0)
    }

    /// Returns its name on the former server.
    pub(crate) fn name(self) -> &'static str {
        STATUSES[self as usize].1
    }
}

/// What a job file says; absent members and those of a wrong type are `None` or empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LegacyJob {
    /// `Id`, as written.
    pub id: Option<String>,
    /// `Username`.
    pub username: Option<String>,
    /// `Prompt`.
    pub prompt: Option<String>,
    /// `Title`.
    pub title: Option<String>,
    /// `Repository`.
    pub repository: Option<String>,
    /// `Status`, when it is a known one.
    pub status: Option<LegacyStatus>,
    /// `Status` as written, when it is not a known one.
    pub unknown_status: Option<String>,
    /// `Output`.
    pub output: Option<String>,
    /// `ExitCode`.
    pub exit_code: Option<i32>,
    /// `CowPath`, the job's own copy of the repository.
    pub cow_path: Option<PathBuf>,
    /// `QueuePosition`; 1 is next, 0 and less count as none.
    pub queue_position: Option<u64>,
    /// `CreatedAt`, with its full precision: jobs may be created within one millisecond.
    pub created_at: Option<jiff::Timestamp>,
    /// `StartedAt`.
    pub started_at: Option<jiff::Timestamp>,
    /// `CompletedAt`.
    pub completed_at: Option<jiff::Timestamp>,
    /// `CancelledAt`.
    pub cancelled_at: Option<jiff::Timestamp>,
    /// `CancelReason`.
    pub cancel_reason: Option<String>,
    /// `GitPullStatus`.
    pub git_pull_status: Option<String>,
    /// `ClaudeProcessId`.
    pub process_id: Option<u32>,
    /// `Options.TimeoutSeconds` in milliseconds.
    pub timeout_ms: Option<u64>,
    /// `Options.Environment`.
    pub environment: BTreeMap<String, String>,
}

/// The result of reading a job file.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// The file holds a complete job.
    Whole(Box<LegacyJob>),
    /// The file holds a complete job, followed by bytes that do not belong there.
    Trailing(Box<LegacyJob>),
    /// The file holds no complete job: what could be saved, and what is damaged.
    Damaged {
        /// The complete members before the damage.
        salvaged: Box<LegacyJob>,
        /// What is damaged, for the quarantine's note.
        reason: String,
    },
}

/// Parses the bytes of a job file.
pub fn parse(bytes: &[u8]) -> Reading {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // A file that was extended but not written before a power loss reads as zeros.
    let end = text.iter().rposition(|&b| b != 0 && !b.is_ascii_whitespace()).map_or(0, |i| i + 1);
    let text = &text[..end];
    let mut job = Box::<LegacyJob>::default();
    if text.is_empty() {
        let reason =
            if bytes.is_empty() { "the file is empty" } else { "the file holds only blanks or zeros" };
        return Reading::Damaged { salvaged: job, reason: reason.to_owned() };
    }
    let text = &*readable(text);
    let mut json = serde_json::Deserializer::from_slice(text);
    if let Err(e) = Members(&mut job).deserialize(&mut json) {
        return Reading::Damaged { salvaged: job, reason: format!("it is no whole JSON object: {e}") };
    }
    if job.status.is_none() {
        let reason = match &job.unknown_status {
            Some(status) => format!("its Status {status} is not a known one"),
            None => "it has no Status".to_owned(),
        };
        return Reading::Damaged { salvaged: job, reason };
    }
    if json.end().is_err() {
        return Reading::Trailing(job);
    }
    Reading::Whole(job)
}

/// Returns the text with U+FFFD in place of what is no character, so that a broken string costs only itself:
/// bytes that are not UTF-8, halves of surrogate pairs (a string that was cut in UTF-16), control characters
/// within strings.
fn readable(text: &[u8]) -> Cow<'_, [u8]> {
    const REPLACEMENT: &[u8] = b"\\ufffd";
    let text = match String::from_utf8_lossy(text) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let mut replaced: Option<Vec<u8>> = None;
    let (mut at, mut in_string) = (0, false);
    while let Some(&byte) = text.get(at) {
        let (len, is_broken) = match byte {
            b'\\' if in_string => match surrogate(&text[at..]) {
                Some(Surrogate::High) if surrogate(&text[at + 6..]) == Some(Surrogate::Low) => (12, false),
                Some(_) => (6, true),
                None => (2, false),
            },
            0..0x20 if in_string => (1, true),
            _ => (1, false),
        };
        in_string ^= byte == b'"';
        let end = (at + len).min(text.len());
        if is_broken {
            replaced.get_or_insert_with(|| text[..at].to_vec()).extend_from_slice(REPLACEMENT);
        } else if let Some(replaced) = &mut replaced {
            replaced.extend_from_slice(&text[at..end]);
        }
        at = end;
    }
    replaced.map_or(text, Cow::Owned)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surrogate {
    High,
    Low,
}

/// Returns the half of a surrogate pair that a text begins with, as an escape.
fn surrogate(text: &[u8]) -> Option<Surrogate> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    match unit {
        0xd800..0xdc00 => Some(Surrogate::High),
        0xdc00..0xe000 => Some(Surrogate::Low),
        _ => None,
    }
}

/// Puts each member into the job as soon as it is read, so that it stays when the rest fails.
struct Members<'a>(&'a mut LegacyJob);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let name = name.to_ascii_lowercase();
            if is_used(&name) {
                self.0.set(&name, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

const USED: [&str; 18] = [
    "id",
    "username",
    "prompt",
    "title",
    "repository",
    "status",
    "output",
    "exitcode",
    "cowpath",
    "queueposition",
    "createdat",
    "startedat",
    "completedat",
    "cancelledat",
    "cancelreason",
    "gitpullstatus",
    "claudeprocessid",
    "options",
];

fn is_used(name: &str) -> bool {
    USED.contains(&name)
}

impl LegacyJob {
    fn set(&mut self, name: &str, value: Value) {
        match name {
            "id" => self.id = text(value),
            "username" => self.username = text(value),
            "prompt" => self.prompt = text(value),
            "title" => self.title = text(value),
            "repository" => self.repository = text(value),
            "status" => self.set_status(&value),
            "output" => self.output = text(value),
            "exitcode" => self.exit_code = integer(&value).and_then(exit_code),
            "cowpath" => self.cow_path = text(value).map(PathBuf::from),
            "queueposition" => {
                self.queue_position = integer(&value).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
            }
            "createdat" => self.created_at = moment(&value),
            "startedat" => self.started_at = moment(&value),
            "completedat" => self.completed_at = moment(&value),
            "cancelledat" => self.cancelled_at = moment(&value),
            "cancelreason" => self.cancel_reason = text(value),
            "gitpullstatus" => self.git_pull_status = text(value),
            "claudeprocessid" => {
                self.process_id = integer(&value).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
            }
            "options" => self.set_options(value),
            _ => {}
        }
    }

    fn set_status(&mut self, value: &Value) {
        self.status = LegacyStatus::from_value(value);
        self.unknown_status = self.status.is_none().then(|| value.to_string());
    }

    fn set_options(&mut self, value: Value) {
        let Value::Object(options) = value else { return };
        for (name, value) in options {
            match name.to_ascii_lowercase().as_str() {
                "timeoutseconds" => self.timeout_ms = milliseconds(&value),
                "environment" => self.environment = environment(value),
                _ => {}
            }
        }
    }
}

/// Returns a string that is not empty; a number in its place is taken as a string.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns an integer, also from `3.0` or `"3"`.
#[allow(clippy::cast_possible_truncation)] // The range is checked.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Returns an exit status; other systems may write it without a sign.
pub(super) fn exit_code(number: i64) -> Option<i32> {
    i32::try_from(number).ok().or_else(|| u32::try_from(number).ok().map(u32::cast_signed))
}

fn milliseconds(value: &Value) -> Option<u64> {
    let seconds = u64::try_from(integer(value)?).ok()?;
    (seconds > 0).then(|| seconds.saturating_mul(1000))
}

/// Returns the members that can be variables of a process.
fn environment(value: Value) -> BTreeMap<String, String> {
    let Value::Object(members) = value else { return BTreeMap::new() };
    let usable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    members
        .into_iter()
        .filter(|(name, _)| usable(name))
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text.replace('\0', ""))),
            Value::Number(number) => Some((name, number.to_string())),
            Value::Bool(flag) => Some((name, flag.to_string())),
            _ => None,
        })
        .collect()
}

/// Parses ISO 8601 with up to seven fraction digits; a time without an offset is in UTC. The year 1 is .NET's
/// "never".
fn moment(value: &Value) -> Option<jiff::Timestamp> {
    let text = value.as_str()?.trim();
    if text.is_empty() || text.starts_with("0001-") {
        return None;
    }
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"Id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","Username":"o'neil",
        "Prompt":"say \"hi\"\n","Title":"T","Repository":"r","UploadedFiles":["a"],"Status":6,"Output":"",
        "ExitCode":null,"CowPath":"/w/jobs/7","QueuePosition":0,"CreatedAt":"2026-03-01T09:30:00.1234567Z",
        "StartedAt":"0001-01-01T00:00:00","CompletedAt":null,"CancelReason":"",
        "Options":{"TimeoutSeconds":300,"AutoCleanup":true,"Environment":{"A":"1","":"x","B=C":"x","D":2}},
        "ClaudeProcessId":4711}"#;

    fn whole(text: &str) -> LegacyJob {
        match parse(text.as_bytes()) {
            Reading::Whole(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn damaged(bytes: &[u8]) -> LegacyJob {
        match parse(bytes) {
            Reading::Damaged { salvaged, .. } => *salvaged,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn legacy_whole_file() {
        let job = whole(JOB);
        assert_eq!(job.status, Some(LegacyStatus::Running));
        assert_eq!(job.prompt.as_deref(), Some("say \"hi\"\n"));
        assert_eq!(job.created_at.unwrap().to_string(), "2026-03-01T09:30:00.1234567Z");
        assert_eq!((job.started_at, job.completed_at, job.cancel_reason), (None, None, None));
        assert_eq!((job.timeout_ms, job.process_id, job.queue_position), (Some(300_000), Some(4711), None));
        let names: Vec<_> = job.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(names, [("A", "1"), ("D", "2")]);
    }

    #[test]
    fn legacy_broken_text_costs_itself() {
        let with = |title: &[u8]| [br#"{"Status":1,"Title":""#, title, br#"","Prompt":"say it"}"#].concat();
        for (title, read) in [
            (&br"cut emoji \ud83d"[..], "cut emoji \u{fffd}"),
            (br"\ude00 the other half", "\u{fffd} the other half"),
            (br"\ud83d\ud83d\ude00 \\ud83d", "\u{fffd}\u{1f600} \\ud83d"),
            (br"\ud83d\n", "\u{fffd}\n"),
            (b"latin-1: \xe9t\xe9", "latin-1: \u{fffd}t\u{fffd}"),
            (b"two\nlines", "two\u{fffd}lines"),
        ] {
            let Reading::Whole(job) = parse(&with(title)) else { panic!("{title:?}") };
            assert_eq!((job.title.as_deref(), job.prompt.as_deref()), (Some(read), Some("say it")));
        }
    }

    #[test]
    fn legacy_cut_keeps_members_before() {
        let text = JOB.as_bytes();
        for cut in 1..text.len() {
            let job = damaged(&text[..cut]);
            let complete = |member: &str| cut >= JOB.find(member).unwrap() + member.len();
            assert_eq!(job.prompt.is_some(), complete(r#""Prompt":"say \"hi\"\n""#), "at {cut}");
            assert_eq!(job.title.is_some(), complete(r#""Title":"T""#), "at {cut}");
            assert_eq!(job.timeout_ms.is_some(), complete(r#""D":2}}"#), "at {cut}");
        }
        let job = damaged(&text[..JOB.find("Repository").unwrap()]);
        assert_eq!((job.title.as_deref(), job.repository), (Some("T"), None));
    }

    #[test]
    fn legacy_non_object_is_damaged() {
        let cases: [&[u8]; 9] =
            [b"", b"\0\0\0\0", b" \n", b"[]", b"7", b"\"Running\"", b"null", b"\xff\xfe{", b"{}"];
        for bytes in cases {
            assert_eq!(damaged(bytes), LegacyJob::default(), "{bytes:?}");
        }
    }

    #[test]
    fn legacy_bom_and_padding() {
        assert_eq!(whole(&format!("\u{feff}{JOB}\r\n\0\0\0")), whole(JOB));
        let Reading::Trailing(job) = parse(format!("{JOB}:null}}").as_bytes()) else { panic!() };
        assert_eq!(*job, whole(JOB));
    }

    #[test]
    fn legacy_status_by_name() {
        let status = |value: &str| parse(format!(r#"{{"Prompt":"p","Status":{value}}}"#).as_bytes());
        for (value, want) in [("\"Running\"", 6), ("\"gitpulling\"", 2), ("\"12\"", 12), ("3.0", 3)] {
            let Reading::Whole(job) = status(value) else { panic!("{value}") };
            assert_eq!(job.status.map(|s| s as i32), Some(want));
        }
        for value in ["13", "-1", "\"Paused\"", "null", "{}", "1.5", "1e30"] {
            let Reading::Damaged { salvaged, reason } = status(value) else { panic!("{value}") };
            assert!(salvaged.prompt.is_some() && reason.contains("Status"), "{reason}");
        }
    }

    #[test]
    fn legacy_wrong_types_are_dropped() {
        let job = whole(
            r#"{"status":8,"PROMPT":5,"Title":[],"ExitCode":"-1","QueuePosition":-3,"CreatedAt":12,
            "StartedAt":"soon","Options":[],"ClaudeProcessId":-4,"CowPath":null}"#,
        );
        assert_eq!((job.prompt.as_deref(), job.title), (Some("5"), None));
        assert_eq!((job.exit_code, job.queue_position, job.process_id), (Some(-1), None, None));
        assert_eq!((job.created_at, job.started_at, job.cow_path), (None, None, None));
    }

    #[test]
    fn legacy_times_with_and_without_offset() {
        let at = |text: &str| moment(&Value::from(text)).map(|t| t.to_string());
        assert_eq!(at("2026-03-01T10:30:00+01:00").as_deref(), Some("2026-03-01T09:30:00Z"));
        assert_eq!(at("2026-03-01T09:30:00.5").as_deref(), Some("2026-03-01T09:30:00.5Z"));
        assert_eq!(at("0001-01-01T00:00:00Z"), None);
        assert_eq!(at(""), None);
    }
}
