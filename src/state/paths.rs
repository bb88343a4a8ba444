//! Every path in the state directory is spelled here and nowhere else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::names::{BadName, encode};
use crate::durable::TEMPORARY_PREFIX;

/// The paths in one state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePaths {
    root: PathBuf,
    /// The root of the state directory that this is a copy of.
    copy_of: Option<PathBuf>,
    /// Whether jobs may still have the server's files about them in their workspaces, as in layout 2.
    may_be_in_workspaces: bool,
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident => $relative:expr;)*) => {
        impl StatePaths {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> PathBuf { self.root.join($relative) })*

            /// The folders that every state directory has, parents first.
            pub fn folders(&self) -> Vec<PathBuf> {
                FOLDERS.iter().map(|f| self.root.join(f)).collect()
            }
        }
    };
}

const FOLDERS: &[&str] = &[
    "queue",
    "queue/log",
    "jobs",
    "attempts",
    "locks",
    "startup",
    "startup/log",
    "recovery",
    "recovery/requests",
    "audit",
    "audit/log",
    "quarantine",
    "daemon",
    "webhooks",
    "webhooks/log",
    "cleanup",
    "orphans",
];

/// Files at the top of a state directory: its identity, and the lock under which it is made.
const TOP_FILES: &[&str] = &["state.json", "state.lock", "place.json"];

impl StatePaths {
    /// The folders that are created on first use, and that operators move to another disk.
    pub(super) fn kept_elsewhere(&self) -> [PathBuf; 6] {
        [
            self.trash(),
            self.cleanup_trash(),
            self.cleanup_archive(),
            self.orphans_trash(),
            self.orphans_archive(),
            self.answered(),
        ]
    }

    /// The folders of all logs, the queue's first.
    pub(crate) fn logs(&self) -> [PathBuf; 6] {
        [
            self.queue_log(),
            self.audit_log(),
            self.startup_log(),
            self.webhooks_log(),
            self.cleanup_completed(),
            self.orphans_log(),
        ]
    }
}

paths! {
    /// Held by a process that makes the state directory or repairs its identity.
    state_lock => "state.lock";
    /// The record of the folder's identity.
    place => "place.json";
    /// Layout version and identity.
    identity => "state.json";
    /// The queue: log, snapshots, commit page.
    queue => "queue";
    /// The queue log's segments.
    queue_log => "queue/log";
    /// Held by a process that writes a snapshot.
    checkpoint_lock => "queue/checkpoint.lock";
    /// Held by a process that submits a job with a name given by the user.
    names_lock => "queue/names.lock";
    /// Held by the process that imports another server's workspace.
    import_lock => "queue/import.lock";
    /// Job records and workspaces.
    jobs => "jobs";
    /// The server's files about the attempts of jobs, where no job can change them.
    attempts => "attempts";
    /// Workspaces of removed jobs, until they are deleted; no job's name begins with a dot.
    trash => "jobs/.trash";
    /// Repository locks.
    locks => "locks";
    /// Startup marker and history.
    startup => "startup";
    /// Held by the process whose startup is under way.
    startup_lock => "startup/startup.lock";
    /// The startup that is under way.
    startup_marker => "startup/marker.json";
    /// Past startups and the cleaning after them, in segments.
    startup_log => "startup/log";
    /// Past startups, in layout 1.
    startup_history_1 => "startup/history.json";
    /// Acts of cleaning after aborted startups, in layout 1.
    startup_cleanup_log_1 => "startup/cleanup-log.json";
    /// The recovery's own folder.
    recovery => "recovery";
    /// Live progress of the present or last recovery.
    recovery_current => "recovery/current.json";
    /// The record of the last recovery.
    recovery_last => "recovery/last.json";
    /// Past recoveries.
    recovery_history => "recovery/history.json";
    /// Held by the process that recovers.
    recovery_lock => "recovery/recovery.lock";
    /// Losses, acknowledged and not.
    losses => "recovery/losses.json";
    /// Held by the process that changes that list.
    losses_lock => "recovery/losses.lock";
    /// Skip and retry requests of other processes.
    recovery_requests => "recovery/requests";
    /// The audit trail's segments.
    audit_log => "audit/log";
    /// Deliveries.
    webhooks => "webhooks";
    /// The delivery log's segments.
    webhooks_log => "webhooks/log";
    /// The secret that signs deliveries where the configuration names none.
    signing_secret => "webhooks/signing.secret";
    /// Held by the process that delivers.
    deliver_lock => "webhooks/deliver.lock";
    /// Unreadable files, each with the reason.
    quarantine => "quarantine";
    /// Cleanups that are not over.
    cleanup => "cleanup";
    /// Held by the process that works on cleanups.
    cleanup_lock => "cleanup/run.lock";
    /// The log of completed cleanups.
    cleanup_completed => "cleanup/completed";
    /// Folders that cleanups are deleting.
    cleanup_trash => "cleanup/trash";
    /// Git work that was kept from removed workspaces.
    cleanup_archive => "cleanup/archive";
    /// The empty repository in which git runs when it examines others.
    cleanup_git => "cleanup/git";
    /// The last plan of an orphan scan, and the orphans' own folders.
    orphans => "orphans";
    /// Held by the process that scans for, or removes, orphans.
    orphans_lock => "orphans/orphans.lock";
    /// The last plan.
    orphans_plan => "orphans/candidates.json";
    /// Removed orphans that can be restored.
    orphans_trash => "orphans/trash";
    /// Uncommitted work of removed workspaces, as earlier versions kept it.
    orphans_archive => "orphans/archive";
    /// Acts on orphans.
    orphans_log => "orphans/log";
    /// The daemon's own folder.
    daemon => "daemon";
    /// Pid and addresses of the daemon that takes jobs.
    daemon_info => "daemon/daemon.json";
    /// Held by the daemon as long as it lives.
    daemon_lock => "daemon/daemon.lock";
    /// When the daemon's loop last ran.
    daemon_turn => "daemon/turn";
    /// Held by a process that starts the next jobs of the queue.
    scheduling_lock => "daemon/scheduling.lock";
    /// Why the scheduler starts no job, while it cannot.
    starts_held => "daemon/starts.json";
    /// The token of the admin role.
    admin_token => "daemon/admin.token";
    /// The token of the viewer role.
    viewer_token => "daemon/viewer.token";
    /// The daemon's unix socket.
    admin_socket => "daemon/admin.sock";
    /// Answers to requests with an `Idempotency-Key`.
    answered => "daemon/answered";
    /// Lines of daemons, `work` and `run`.
    daemon_log => "daemon/daemon.log";
    /// Lines of supervisors.
    supervisor_log => "daemon/supervisors.log";
}

impl StatePaths {
    /// Whether jobs may still have the server's files about them in their workspaces.
    pub(crate) fn may_be_in_workspaces(&self) -> bool {
        self.may_be_in_workspaces
    }

    /// Whether a workspace belongs to the owner of the folder of workspaces, and no other user can create or
    /// exchange names in it. Otherwise nothing in it is evidence, not even a file of the server.
    pub(crate) fn is_of_the_server(&self, workspace: &Path) -> bool {
        is_of_one_owner(&self.jobs(), workspace)
    }

    /// The paths below a root.
    pub fn new(root: PathBuf) -> StatePaths {
        StatePaths { root, copy_of: None, may_be_in_workspaces: false }
    }

    /// The paths in a copy of a state directory, whose living jobs know only the original's.
    pub(crate) fn of_copy(self, original: PathBuf) -> StatePaths {
        StatePaths { copy_of: Some(original), ..self }
    }

    /// The paths in a state directory of an earlier layout, or in one that is being brought to this layout: a job
    /// whose files are in its workspace still has them there.
    pub(super) fn of_layout_2(self) -> StatePaths {
        StatePaths { may_be_in_workspaces: true, ..self }
    }

    /// A path in the state directory as the processes of its jobs know it: in a copy, the original's path.
    pub(crate) fn as_known(&self, path: &Path) -> PathBuf {
        let moved = self
            .copy_of
            .as_ref()
            .and_then(|original| Some(original.join(path.strip_prefix(&self.root).ok()?)));
        moved.unwrap_or_else(|| path.to_owned())
    }

    /// The state directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a name at the top of a folder is one of this program's, or one that a new file system has.
    pub(super) fn is_known_at_top(name: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return false };
        TOP_FILES.contains(&name)
            || FOLDERS.contains(&name)
            || name.starts_with(TEMPORARY_PREFIX)
            || name == "lost+found"
    }

    /// The files of one job.
    pub fn job(&self, id: &str) -> Result<JobPaths, BadName> {
        let paths = self.job_of_this_layout(id)?;
        let is_asked = self.may_be_in_workspaces && self.is_of_the_server(&paths.workspace);
        Ok(if is_asked { paths.of_layout_2_if_there() } else { paths })
    }

    /// The paths of one job in this version's layout, wherever its files are.
    pub(crate) fn job_of_this_layout(&self, id: &str) -> Result<JobPaths, BadName> {
        let file = encode(id)?;
        let jobs = self.jobs();
        let attempts = self.attempts().join(&file);
        let record = jobs.join(format!("{file}.job.json"));
        Ok(JobPaths { record, workspace: jobs.join(file), earlier: attempts.clone(), attempts })
    }

    /// The flock target of a repository's lock, and the file that says who holds it.
    pub fn lock(&self, repository: &str) -> Result<LockPaths, BadName> {
        let file = encode(repository)?;
        let locks = self.locks();
        Ok(LockPaths {
            flock: locks.join(format!("{file}.lock")),
            metadata: locks.join(format!("{file}.lock.json")),
            writing: locks.join(format!(".{file}.writing")),
            line: locks.join(format!(".{file}.line")),
        })
    }
}

/// The files of one repository lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockPaths {
    /// Locked with flock; never renamed or removed.
    pub flock: PathBuf,
    /// The holder, and the operation.
    pub metadata: PathBuf,
    /// Held for the moment in which the metadata is replaced.
    pub writing: PathBuf,
    /// The tickets of waiting processes.
    pub line: PathBuf,
}

/// The files of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPaths {
    /// The job's record in readable form, derived from the queue log.
    pub record: PathBuf,
    /// The job's own folder. It, and every name in it, may belong to another user: nothing in it is evidence
    /// about an attempt.
    pub workspace: PathBuf,
    /// The server's files about the job's attempts: only the server's user may enter it.
    pub attempts: PathBuf,
    /// The folder with a folder for each earlier attempt.
    earlier: PathBuf,
}

/// The server's files about the present attempt; in layout 2, and for a job whose supervisor is of that layout,
/// they are at the top of its workspace. The sentinel, which names the attempt, comes last.
pub(crate) const ATTEMPT_FILES: [&str; 5] =
    ["output.log", "exit.json", "command.json", "sentinel.json", "sentinel.lock"];
/// The name of the folder of earlier attempts in a workspace of layout 2.
pub(crate) const EARLIER: &str = "attempts";
/// The name of the file that the job may replace to save its progress.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Names of links in a workspace that lead to the attempt's files, for people and tools that look for them there.
/// This program never follows them.
pub(crate) const LINKED: [&str; 2] = ["sentinel.json", "command.json"];

fn is_of_one_owner(jobs: &Path, workspace: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(jobs), Ok(found)) = (jobs.symlink_metadata(), workspace.symlink_metadata()) else { return false };
    found.is_dir() && found.uid() == jobs.uid() && found.mode() & 0o022 == 0
}

/// The parent folder of a path in the state directory.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Whether a name at the top of a workspace is one that the server gave in layout 2.
pub(crate) fn is_own_name_of_layout_2(name: &OsStr) -> bool {
    ATTEMPT_FILES.iter().chain(&[EARLIER]).any(|own| name == *own)
}

impl JobPaths {
    /// The paths in a directory of layout 2: a job without a folder for its attempts has begun none, or has all
    /// files in its workspace.
    fn of_layout_2_if_there(self) -> JobPaths {
        let is_file = |name| self.workspace.join(name).symlink_metadata().is_ok_and(|found| found.is_file());
        // The lock is made first and never removed by the server; the sentinel shows an attempt whose lock is
        // gone.
        if self.attempts.exists() || !(is_file("sentinel.lock") || is_file("sentinel.json")) {
            return self;
        }
        self.of_layout_2()
    }

    /// The same job's paths, with all files in its workspace.
    pub(crate) fn of_layout_2(self) -> JobPaths {
        let (attempts, earlier) = (self.workspace.clone(), self.workspace.join(EARLIER));
        JobPaths { attempts, earlier, ..self }
    }

    /// Whether the server's files are in the workspace.
    pub(crate) fn is_of_layout_2(&self) -> bool {
        self.attempts == self.workspace
    }

    /// The sentinel: names the living attempt.
    pub fn sentinel(&self) -> PathBuf {
        self.attempts.join("sentinel.json")
    }

    /// The flock target that the supervisor holds.
    pub fn sentinel_lock(&self) -> PathBuf {
        self.attempts.join("sentinel.lock")
    }

    /// The record of the command's process, which that process wrote before it became the command.
    pub fn command(&self) -> PathBuf {
        self.attempts.join("command.json")
    }

    /// The output of the present attempt.
    pub fn output(&self) -> PathBuf {
        self.attempts.join("output.log")
    }

    /// The name that the output's pipe has for a moment.
    pub fn output_pipe(&self) -> PathBuf {
        self.attempts.join("output.pipe")
    }

    /// How the present attempt ended.
    pub fn exit(&self) -> PathBuf {
        self.attempts.join("exit.json")
    }

    /// The file that the job may replace to save its progress.
    pub fn checkpoint(&self) -> PathBuf {
        self.workspace.join(CHECKPOINT)
    }

    /// Whether the job has saved its progress, as a regular file.
    pub(crate) fn has_checkpoint(&self) -> bool {
        self.checkpoint().symlink_metadata().is_ok_and(|found| found.is_file())
    }

    /// Output and exit of an earlier attempt.
    pub fn attempt(&self, number: u32) -> PathBuf {
        self.earlier.join(number.to_string())
    }

    /// The folders of earlier attempts, in no order.
    pub(crate) fn earlier_attempts(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.earlier).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| entry.path()).collect()
    }
}
