//! The jobs of the demonstration, and how each must end.

use recovery::queue::JobStatus;

/// What the crash does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It runs on while no daemon lives, and is re-attached.
    Survives,
    /// It ends while no daemon lives.
    EndsAlone,
    /// It is killed with its supervisor, and its policy is `requeue`.
    DiesAndIsRequeued,
    /// It is killed with its supervisor, and its policy is `hold`.
    DiesAndIsHeld,
    /// It waits in the queue.
    Waits,
}

/// One job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    /// Its id.
    pub(super) name: &'static str,
    pub(super) repository: Option<&'static str>,
    pub(super) priority: i32,
    pub(super) fate: Fate,
    /// The exit status of its command.
    pub(super) exit_code: i32,
    /// Counts to [`COUNT_TO`], with a checkpoint after each number.
    pub(super) counts: bool,
}

/// The counting job ends here.
pub(super) const COUNT_TO: u32 = 40;
/// The counting job is killed when it has come so far.
pub(super) const COUNTED_BEFORE: u32 = 17;
/// How many jobs run at the same time, and so when the daemon is killed; the others wait.
pub(super) const WORKERS: usize = 6;
/// The repository that a command outside of the queue holds.
pub(super) const LOCKED_REPOSITORY: &str = "docs";
/// What that command is called.
pub(super) const LOCK_HOLDER: &str = "backup";

const fn role(name: &'static str, repository: Option<&'static str>, priority: i32, fate: Fate) -> Role {
    Role { name, repository, priority, fate, exit_code: 0, counts: false }
}

const fn ends_with(exit_code: i32, role: Role) -> Role {
    Role { exit_code, ..role }
}

const fn counts(role: Role) -> Role {
    Role { counts: true, ..role }
}

/// All jobs in the order in which they are submitted: the first [`WORKERS`] run when the daemon is killed.
pub(super) const CAST: [Role; 15] = [
    role("build-web", Some("web"), 0, Fate::Survives),
    ends_with(4, role("lint-docs", None, 0, Fate::Survives)),
    ends_with(3, role("nightly-report", None, 0, Fate::EndsAlone)),
    counts(role("train-model", Some("models"), 0, Fate::DiesAndIsRequeued)),
    role("deploy-api", Some("api"), 0, Fate::DiesAndIsRequeued),
    role("migrate-db", Some("db"), 0, Fate::DiesAndIsHeld),
    role("test-web", Some("web"), 0, Fate::Waits),
    role("package-web", Some("web"), 0, Fate::Waits),
    role("hotfix-web", Some("web"), 10, Fate::Waits),
    role("publish-docs", Some(LOCKED_REPOSITORY), 0, Fate::Waits),
    role("rotate-logs", None, 0, Fate::Waits),
    role("send-invoices", None, 5, Fate::Waits),
    ends_with(1, role("send-reminders", None, 5, Fate::Waits)),
    role("compact-index", None, -5, Fate::Waits),
    role("verify-backup", None, 0, Fate::Waits),
];

impl Role {
    /// Whether it runs when the daemon is killed.
    pub(super) fn runs_at_the_crash(&self) -> bool {
        self.fate != Fate::Waits
    }

    /// Whether it waits when the recovery is over.
    pub(super) fn waits_after_recovery(&self) -> bool {
        matches!(self.fate, Fate::Waits | Fate::DiesAndIsRequeued)
    }

    /// Whether the crash kills it.
    pub(super) fn dies(&self) -> bool {
        matches!(self.fate, Fate::DiesAndIsRequeued | Fate::DiesAndIsHeld)
    }

    /// Its policy for a crash, as `submit` takes it.
    pub(super) fn on_crash(&self) -> &'static str {
        if self.fate == Fate::DiesAndIsHeld { "hold" } else { "requeue" }
    }

    /// Returns its required status and attempt right after the recovery.
    pub(super) fn recovered(&self) -> (JobStatus, u32) {
        match self.fate {
            Fate::Survives => (JobStatus::Running, 1),
            Fate::EndsAlone => (self.ended(), 1),
            Fate::DiesAndIsRequeued => (JobStatus::Queued, 2),
            Fate::DiesAndIsHeld => (JobStatus::Crashed, 1),
            Fate::Waits => (JobStatus::Queued, 1),
        }
    }

    /// Returns its required status, attempt and exit status at the end.
    pub(super) fn at_the_end(&self) -> (JobStatus, u32, Option<i32>) {
        match self.fate {
            Fate::DiesAndIsHeld => (JobStatus::Crashed, 1, None),
            Fate::DiesAndIsRequeued => (self.ended(), 2, Some(self.exit_code)),
            _ => (self.ended(), 1, Some(self.exit_code)),
        }
    }

    fn ended(&self) -> JobStatus {
        if self.exit_code == 0 { JobStatus::Succeeded } else { JobStatus::Failed }
    }
}

/// The role of this name.
pub(super) fn role_of(name: &str) -> Option<&'static Role> {
    CAST.iter().find(|r| r.name == name)
}

/// Names in the order in which they have to start: higher priority first, then as submitted.
pub(super) fn in_order(of: impl Fn(&Role) -> bool) -> Vec<&'static str> {
    let mut waiting: Vec<&Role> = CAST.iter().filter(|r| of(r)).collect();
    waiting.sort_by_key(|r| std::cmp::Reverse(r.priority)); // Stable: within a priority as submitted.
    waiting.iter().map(|r| r.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_run_at_the_crash_come_first_and_are_as_many_as_workers() {
        let running = CAST.iter().take_while(|r| r.runs_at_the_crash()).count();
        assert_eq!(running, WORKERS);
        assert!(CAST[running..].iter().all(|r| r.fate == Fate::Waits));
    }
}
