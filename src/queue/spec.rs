//! A job's spec: the part that never changes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callback::Callback;
use crate::state::config::OnCrash;

/// What happens to a job whose process vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrashPolicy {
    /// It stays `crashed` until an operator resumes it.
    #[default]
    Hold,
    /// It is queued again as its next attempt, up to `max_attempts`.
    Requeue,
    /// It is `failed`, with the reason `crashed`.
    Fail,
}

impl From<OnCrash> for CrashPolicy {
    fn from(configured: OnCrash) -> CrashPolicy {
        match configured {
            OnCrash::Hold => CrashPolicy::Hold,
            OnCrash::Requeue => CrashPolicy::Requeue,
            OnCrash::Fail => CrashPolicy::Fail,
        }
    }
}

/// A job as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// Added to the environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it runs; its workspace when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Time limit of an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What happens when its process vanishes.
    pub on_crash: CrashPolicy,
    /// How many attempts `requeue` may make in all.
    pub max_attempts: u32,
    /// Run instead of `command` when it continues from a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_command: Option<Vec<String>>,
    /// Callbacks for its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Callback>,
    /// Clean up after its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_cleanup: bool,
    /// For people; imported jobs have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// How many attempts `requeue` makes unless the job says otherwise.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;
