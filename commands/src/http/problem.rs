//! Errors as `application/problem+json` (RFC 9457): the codes are those of the command line.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{CliError, ErrorKind};

/// An error as it is answered.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Problem {
    title: &'static str,
    pub(super) status: u16,
    detail: String,
    pub(super) code: Cow<'static, str>,
    next: Option<String>,
    /// Members of the report, when there is one all the same.
    #[serde(flatten)]
    more: Box<Map<String, Value>>,
    /// After so many seconds it may go well.
    #[serde(skip)]
    pub(super) retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    /// The code, as a reference: what `recoveryctl explain` or this page's table says about it.
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    problem: &'a Problem,
}

impl Problem {
    pub(super) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        let code = code.into();
        Problem {
            title,
            status,
            detail: detail.into(),
            code,
            next: None,
            more: Box::default(),
            retry_after: None,
        }
    }

    /// A parameter or a body that does not fit.
    pub(super) fn invalid(detail: String) -> Problem {
        Problem::new(422, "bad-request", "what was given does not fit", detail)
    }

    /// A body that cannot be parsed.
    pub(super) fn malformed(detail: String) -> Problem {
        Problem::new(400, "malformed", "what was given cannot be read", detail)
    }

    /// With the command that deals with it.
    pub(super) fn next(self, next: impl Into<String>) -> Problem {
        Problem { next: Some(next.into()), ..self }
    }

    /// To be tried again after so many seconds.
    pub(super) fn retry_after(self, seconds: u32) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// How a command failed, with what it reported all the same.
    pub(super) fn of(error: &CliError, document: Option<Map<String, Value>>) -> Problem {
        let (status, code) = (status_of(error), error.code_name().to_owned());
        let mut detail = error.message();
        error.causes().iter().for_each(|cause| detail.push_str(&format!(": {cause}")));
        let hints = error.hints();
        let mut more = document.unwrap_or_default();
        // Said by the problem itself.
        for name in ["error", "type", "title", "status", "detail", "code", "next"] {
            more.remove(name);
        }
        Problem {
            next: (!hints.is_empty()).then(|| hints.join("\n")),
            more: Box::new(more),
            retry_after: (status == 503).then_some(1),
            ..Problem::new(status, code, error.kind().meaning(), detail)
        }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&Body { kind: &self.code, problem: self }).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Where making an answer broke off.
pub(super) fn not_made() -> Problem {
    Problem::new(500, "internal", "internal", "the answer could not be made; the daemon's log says why")
}

/// Returns the HTTP status of an error of the command line.
fn status_of(error: &CliError) -> u16 {
    match (error.kind(), error.code_name()) {
        // The state of the object was the reason, not a fault of ours.
        (
            ErrorKind::Failed,
            "job-exists"
            | "job-is-over"
            | "job-not-running"
            | "job-not-resumable"
            | "job-being-removed"
            | "job-command-unknown"
            | "jobs-not-resumed"
            | "phase-failed"
            | "not-retried",
        )
        | (ErrorKind::Refused, "lock-id-mismatch" | "phase-not-ready" | "safe-mode")
        | (ErrorKind::Held, _) => 409,
        (ErrorKind::Usage, _) => 422,
        (ErrorKind::NotFound, _) => 404,
        (ErrorKind::Refused | ErrorKind::Unconfirmed, _) => 423,
        (ErrorKind::PlanOutOfDate, _) => 412,
        (ErrorKind::NotAuthorised, _) => 403,
        (ErrorKind::NoStateDirectory | ErrorKind::DaemonUnreachable | ErrorKind::StateDamaged, _)
        | (ErrorKind::Interrupted | ErrorKind::Terminated, _) => 503,
        (ErrorKind::Failed, "disk") => 507,
        (ErrorKind::Failed, _) => 500,
    }
}
