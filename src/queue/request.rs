//! Requests to run a job, and their validation: the same for every way in.
//!
//! A [`JobRequest`] holds unchecked input; a [`CheckedRequest`] can be entered with [`super::Submitter`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::bad_request::BadRequest;
use super::callback::Callback;
use super::callback_url::masked_url;
use super::record::Submission;
use super::spec::{CrashPolicy, JobSpec};
use crate::state::names::encode;
use crate::state::{JobId, format_duration};

/// A job as requested, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct JobRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// A name for it; without one it gets a new id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The repository it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs; its workspace when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Time limit of an attempt.
    #[serde(rename = "timeout", serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What happens when its process vanishes; the configured policy when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_crash: Option<CrashPolicy>,
    /// How many attempts `requeue` may make in all; the configured number when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Callbacks for its end.
    pub callbacks: Vec<Callback>,
    /// Run instead of `command` when it continues from a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_command: Option<Vec<String>>,
    /// Clean up after its end.
    pub auto_cleanup: bool,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Writes the duration in the form that [`parse_duration`](crate::state::parse_duration) reads.
fn as_text<S: Serializer>(timeout: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match timeout {
        Some(timeout) => to.serialize_str(&format_duration(*timeout)),
        None => to.serialize_none(),
    }
}

/// Defaults for members that a request leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestDefaults {
    /// What happens when a job's process vanishes.
    pub on_crash: CrashPolicy,
    /// How many attempts `requeue` may make in all.
    pub max_attempts: u32,
    /// What a relative `cwd` is relative to; `None` refuses relative ones.
    pub base: Option<PathBuf>,
    /// Variables that a job gets unless the request sets them itself.
    pub env: BTreeMap<String, String>,
}

/// A request that can be entered.
#[derive(Debug, Clone)]
pub struct CheckedRequest {
    /// The submission to enter.
    pub submission: Submission,
    /// Whether the user gave the id, so that another job may already have it.
    pub is_named: bool,
}

/// Variables that every supervisor sets for its job; if a request sets one, its value would partly be ignored.
const SET_BY_SUPERVISORS: [&str; 8] = [
    "RECOVERYCTL_JOB_ID",
    "RECOVERYCTL_STATE_ID",
    "RECOVERYCTL_STATE_INCARNATION",
    "RECOVERYCTL_ATTEMPT",
    "RECOVERYCTL_STATE_DIR",
    "RECOVERYCTL_WORKSPACE",
    "RECOVERYCTL_CHECKPOINT",
    "RECOVERYCTL_RESUMED",
];

impl JobRequest {
    /// Checks everything that can be checked without looking at the queue.
    pub fn check(self, defaults: &RequestDefaults) -> Result<CheckedRequest, BadRequest> {
        check_words("the command", &self.command)?;
        if let Some(command) = &self.resume_command {
            check_words("the resume command", command)?;
        }
        if let Some(repository) = &self.repository {
            encode(repository).map_err(|name| BadRequest::Name { what: "repository", name })?;
        }
        let env = defaults.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        let env: BTreeMap<String, String> = env.chain(self.env).collect();
        check_environment(&env)?;
        for callback in &self.callbacks {
            callback.check().map_err(|why| BadRequest::Value {
                what: format!("the callback '{}'", masked_url(&callback.url)),
                why,
            })?;
        }
        let is_named = self.id.is_some();
        let job = self.id.as_deref().map_or_else(|| Ok(JobId::new()), named_id)?;
        let spec = JobSpec {
            env,
            cwd: self.cwd.map(|cwd| absolute(cwd, defaults)).transpose()?,
            timeout_ms: self.timeout.map(milliseconds).transpose()?,
            on_crash: self.on_crash.unwrap_or(defaults.on_crash),
            max_attempts: attempts(self.max_attempts.unwrap_or(defaults.max_attempts))?,
            resume_command: self.resume_command,
            callbacks: self.callbacks,
            auto_cleanup: self.auto_cleanup,
            title: self.title,
            command: self.command,
        };
        let (priority, repository) = (self.priority, self.repository);
        Ok(CheckedRequest { submission: Submission { job, priority, repository, spec }, is_named })
    }
}

fn unusable(what: impl Into<String>, why: &str) -> BadRequest {
    BadRequest::Value { what: what.into(), why: why.to_owned() }
}

fn check_words(what: &str, words: &[String]) -> Result<(), BadRequest> {
    match words.first().map(String::as_str) {
        None | Some("") if what == "the command" => Err(BadRequest::NoCommand),
        None | Some("") => Err(unusable(what, "it is empty")),
        // A program gets its arguments as C strings.
        _ if words.iter().any(|w| w.contains('\0')) => Err(unusable(what, "it contains a NUL character")),
        _ => Ok(()),
    }
}

fn check_environment(env: &BTreeMap<String, String>) -> Result<(), BadRequest> {
    for (name, value) in env {
        let what = || format!("the variable '{name}'");
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(unusable(what(), "a name is not empty and has neither '=' nor NUL"));
        }
        if value.contains('\0') {
            return Err(unusable(what(), "its value contains a NUL character"));
        }
        if SET_BY_SUPERVISORS.contains(&name.as_str()) {
            return Err(unusable(what(), "every job gets it from its supervisor"));
        }
    }
    Ok(())
}

/// An id that a user gives must also be safe to type and to put into an address.
fn named_id(text: &str) -> Result<JobId, BadRequest> {
    let id = text.parse().map_err(|name| BadRequest::Name { what: "id", name })?;
    let what = || format!("the id '{text}'");
    if text.contains('/') || text == "." || text == ".." {
        return Err(unusable(what(), "an id must not contain '/' and must not be '.' or '..'"));
    }
    if text.starts_with('-') {
        return Err(unusable(what(), "an id must not begin with '-', as flags do"));
    }
    if text.ends_with(".job.json") {
        return Err(unusable(what(), "an id must not end in '.job.json', as the names of job records do"));
    }
    Ok(id)
}

fn absolute(cwd: PathBuf, defaults: &RequestDefaults) -> Result<PathBuf, BadRequest> {
    let what = format!("the folder '{}'", cwd.display());
    if cwd.as_os_str().is_empty() || cwd.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(unusable(what, "it is empty or contains a NUL character"));
    }
    match &defaults.base {
        _ if cwd.is_absolute() => Ok(cwd),
        Some(base) => Ok(base.join(cwd).components().collect()),
        None => Err(unusable(what, "it is not absolute")),
    }
}

fn milliseconds(timeout: Duration) -> Result<u64, BadRequest> {
    match u64::try_from(timeout.as_millis()) {
        Ok(0) => Err(unusable("a timeout of 0", "it must be at least 1ms; leave it out for no limit")),
        // Clocks count milliseconds in signed numbers.
        Ok(ms) if ms <= i64::MAX as u64 / 2 => Ok(ms),
        _ => Err(unusable("the timeout", "it is too long to count")),
    }
}

fn attempts(number: u32) -> Result<u32, BadRequest> {
    if number == 0 { Err(unusable("a limit of 0 attempts", "at least 1 is needed")) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> RequestDefaults {
        let env =
            BTreeMap::from([("A", "theirs"), ("B", "theirs")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        RequestDefaults { on_crash: CrashPolicy::Fail, max_attempts: 7, base: Some("/base".into()), env }
    }

    fn request() -> JobRequest {
        JobRequest { command: vec!["true".to_owned()], ..JobRequest::default() }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut JobRequest)) -> String {
        let mut request = request();
        change(&mut request);
        request.check(&defaults()).unwrap_err().to_string()
    }

    #[test]
    fn request_defaults() {
        let checked = request().check(&defaults()).unwrap();
        assert!(!checked.is_named && checked.submission.job.is_uuid());
        let spec = checked.submission.spec;
        assert_eq!((spec.on_crash, spec.max_attempts), (CrashPolicy::Fail, 7));
        assert_eq!(spec.env, defaults().env);
    }

    #[test]
    fn request_env_overrides_export() {
        let env = [("B".to_owned(), "ours".to_owned())].into();
        let spec = JobRequest { env, ..request() }.check(&defaults()).unwrap().submission.spec;
        assert_eq!((spec.env["A"].as_str(), spec.env["B"].as_str()), ("theirs", "ours"));
    }

    #[test]
    fn request_relative_cwd() {
        let relative = JobRequest { cwd: Some("./a".into()), ..request() };
        let spec = relative.clone().check(&defaults()).unwrap().submission.spec;
        assert_eq!(spec.cwd.unwrap(), PathBuf::from("/base/a"));
        let without = RequestDefaults { base: None, ..defaults() };
        assert!(relative.check(&without).is_err());
    }

    #[test]
    fn request_invalid_is_refused() {
        assert_eq!(refused(|r| r.command.clear()), "the command is empty");
        assert_eq!(refused(|r| r.command[0].clear()), "the command is empty");
        assert!(refused(|r| r.command.push("a\0b".to_owned())).contains("NUL"));
        assert!(refused(|r| r.resume_command = Some(Vec::new())).contains("the resume command"));
        assert!(refused(|r| r.timeout = Some(Duration::ZERO)).contains("timeout"));
        assert!(refused(|r| r.max_attempts = Some(0)).contains("attempts"));
        assert!(refused(|r| drop(r.env.insert(String::new(), String::new()))).contains("variable"));
        assert!(refused(|r| drop(r.env.insert("A=B".into(), String::new()))).contains("A=B"));
        assert!(
            refused(|r| drop(r.env.insert("RECOVERYCTL_ATTEMPT".into(), "9".into()))).contains("supervisor")
        );
    }

    #[test]
    fn request_invalid_names_are_refused() {
        for name in ["", "a\nb", "a\0b"] {
            assert!(
                refused(|r| r.repository = Some(name.to_owned())).starts_with("the repository"),
                "{name:?}"
            );
        }
        assert!(refused(|r| r.repository = Some("x".repeat(300))).contains("300 bytes"));
        for name in ["", "../x", "..", "a/b", "-x", "x.job.json", "a\u{7}"] {
            assert!(refused(|r| r.id = Some(name.to_owned())).starts_with("the id"), "{name:?}");
        }
        for name in ["web app", "a/b", "../x", "日本語", "a%b", "x.lock"] {
            let request = JobRequest { repository: Some(name.to_owned()), ..request() };
            assert!(request.check(&defaults()).is_ok(), "{name:?}");
        }
    }
}
