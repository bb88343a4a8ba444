//! `sentinel.json`: the attempt that a supervisor watches, and the supervisor's process.
//!
//! Only the supervisor writes it, with atomic replacement, while it holds `sentinel.lock`. The heartbeat is the
//! file's modification time. The age of a heartbeat is shown to people and never decides whether a job lives:
//! clocks jump and machines sleep.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stored::{DOCUMENT_VERSION, Stored, read_stored, write_stored};
use crate::durable::{Disk, DiskError, Survives};
use crate::queue::{Claim, EndedBy, Job, JobId};
use crate::state::{StateStamp, Timestamp};
use crate::system::{Host, ProcessIdentity};

/// A supervisor's description of its attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// Version of this form.
    pub version: u32,
    pub job_id: JobId,
    pub attempt: u32,
    /// The claim that began the attempt.
    pub claim: Claim,
    /// The supervisor, which also leads the session that the command starts in.
    pub supervisor: ProcessIdentity,
    /// The command; `None` until it was started.
    #[serde(default)]
    pub command: Option<ProcessIdentity>,
    /// The scope of its PIDs and start times.
    pub host: Host,
    /// The user that the job runs as.
    pub uid: u32,
    /// The control group that was made for the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// The pipe that the command prints into: its inode number in this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_pipe: Option<u64>,
    /// The state directory that the attempt was begun for; `None` in sentinels of versions without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateStamp>,
    /// Program and arguments.
    pub command_line: Vec<String>,
    /// The repository it works on.
    #[serde(default)]
    pub repository: Option<String>,
    /// The repository's lock, held in the job's name.
    #[serde(default)]
    pub lock_id: Option<String>,
    /// When the attempt was begun.
    pub started_at: Timestamp,
    /// The signal that is ending it from outside, without a recorded cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<EndedBy>,
    /// Processes of the attempt that did not end after SIGKILL: the attempt is not over while they live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot_end: Vec<ProcessIdentity>,
}

impl Sentinel {
    /// The sentinel of an attempt that this process supervises and whose command has not been started yet.
    pub fn of_this_process(
        job: &Job,
        claim: Claim,
        command_line: Vec<String>,
        lock_id: Option<String>,
        at: Timestamp,
    ) -> Sentinel {
        Sentinel {
            version: DOCUMENT_VERSION,
            job_id: job.id.clone(),
            attempt: job.attempt,
            claim,
            supervisor: ProcessIdentity::this(),
            command: None,
            host: Host::this(),
            uid: rustix::process::geteuid().as_raw(),
            cgroup: None,
            output_pipe: None,
            state: None,
            command_line,
            repository: job.repository.as_deref().map(str::to_owned),
            lock_id,
            started_at: at,
            interrupted: None,
            cannot_end: Vec::new(),
        }
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Stored<Sentinel>, DiskError> {
        read_stored(path)
    }

    /// Writes it, so that it survives a power loss; that also renews the heartbeat.
    pub fn write(&self, disk: &Disk, path: &Path) -> Result<(), DiskError> {
        self.write_to(disk, path, Survives::PowerLoss)
    }

    /// As [`Sentinel::write`], so that it survives what it must.
    pub(super) fn write_to(&self, disk: &Disk, path: &Path, survives: Survives) -> Result<(), DiskError> {
        write_stored(disk, path, self, survives)
    }
}

/// When a supervisor last touched its sentinel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    #[serde(rename = "heartbeat_at")]
    pub at: Timestamp,
    /// How long ago, in milliseconds; negative when it lies in the future.
    #[serde(rename = "heartbeat_age_ms")]
    pub age_ms: i64,
}

impl Heartbeat {
    /// A heartbeat of this time.
    pub(super) fn at(at: Timestamp, now: Timestamp) -> Heartbeat {
        Heartbeat { at, age_ms: now.millis_since(at) }
    }

    /// Whether the clock was set back after the heartbeat.
    pub(crate) fn is_from_the_future(&self) -> bool {
        self.age_ms < 0
    }
}

/// How old a heartbeat is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Recent.
    Fresh,
    /// Overdue, or from the future.
    Stale,
    /// So old that the supervisor is hardly alive.
    Dead,
}

impl std::fmt::Display for Freshness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Freshness {
    pub const fn as_str(self) -> &'static str {
        match self {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Dead => "dead",
        }
    }
}

/// From which age on a heartbeat is stale, and dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshnessLimits {
    /// Stale from this age on, in milliseconds.
    pub stale_after_ms: i64,
    /// Dead from this age on, in milliseconds.
    pub dead_after_ms: i64,
}

impl Default for FreshnessLimits {
    fn default() -> FreshnessLimits {
        FreshnessLimits { stale_after_ms: 120_000, dead_after_ms: 600_000 }
    }
}

impl FreshnessLimits {
    /// The freshness at an age. Both limits are inclusive; a heartbeat from the future means clock skew and
    /// counts as stale.
    pub(crate) fn freshness(&self, age_ms: i64) -> Freshness {
        if age_ms < 0 {
            Freshness::Stale
        } else if age_ms >= self.dead_after_ms {
            Freshness::Dead
        } else if age_ms >= self.stale_after_ms {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn freshness_limits_inclusive_and_future_stale() {
        let limits = FreshnessLimits::default();
        let expected = [
            (0, Freshness::Fresh),
            (119_999, Freshness::Fresh),
            (120_000, Freshness::Stale),
            (599_999, Freshness::Stale),
            (600_000, Freshness::Dead),
            (-1, Freshness::Stale),
        ];
        for (age, freshness) in expected {
            assert_eq!(limits.freshness(age), freshness, "{age} ms");
        }
    }

    #[test]
    fn sentinel_missing_damaged_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sentinel.json");
        assert_eq!(Sentinel::read(&path).unwrap(), Stored::Missing);
        for garbage in ["", "\0\0\0\0", "{\"version\":1,\"job_id\":\"a\"", "[]"] {
            std::fs::write(&path, garbage).unwrap();
            assert!(Sentinel::read(&path).unwrap().is_damaged(), "{garbage:?}");
        }
        let job = crate::jobs::samples::job("a", Claim::of_record(7));
        let at = Timestamp::from_millis(5);
        let sentinel =
            Sentinel::of_this_process(&job, Claim::of_record(7), vec!["true".to_owned()], None, at);
        sentinel.write(&Disk::real(), &path).unwrap();
        assert_eq!(Sentinel::read(&path).unwrap(), Stored::Whole(sentinel));
        let now = crate::state::Clock::system().now();
        let written = Timestamp::from(std::fs::metadata(&path).unwrap().modified().unwrap());
        let heartbeat = Heartbeat::at(written, now.plus_millis(3_000));
        assert!((3_000..60_000).contains(&heartbeat.age_ms), "{heartbeat:?}");
        assert!(Heartbeat::at(written, now.plus_millis(-60_000)).is_from_the_future());
    }

    #[test]
    fn sentinel_ignores_unknown_members() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sentinel.json");
        let job = crate::jobs::samples::job("a", Claim::of_record(7));
        let sentinel =
            Sentinel::of_this_process(&job, Claim::of_record(7), Vec::new(), None, Timestamp::from_millis(5));
        let mut value = serde_json::to_value(&sentinel).unwrap();
        value["version"] = 9.into();
        value["cgroup"] = "later".into();
        std::fs::write(&path, value.to_string()).unwrap();
        assert_eq!(Sentinel::read(&path).unwrap().whole().unwrap().supervisor, sentinel.supervisor);
    }
}
