//! The facts that an operation has acknowledged, in a form that can be checked after a crash.

use recovery::locks::FencingNumber;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An acknowledged fact. A later fact of the same [`Fact::key`] replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A job is in the queue, once, in one of these states: its earlier state, the state that recovery makes
    /// of it, and the state that the operation is about to give it.
    Job {
        id: String,
        /// Its status, as written.
        any_of: Vec<String>,
        /// It has had at least this many attempts.
        attempt: u32,
    },
    /// A job that was claimed and has not begun. A power loss may have taken the files that would show whether it
    /// did, so after one it may also be crashed.
    MayHaveBegun { id: String },
    /// Jobs that enter together: all or none, acknowledged or not.
    Together {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Jobs that leave the line in this order.
    Order {
        /// Their ids.
        ids: Vec<String>,
    },
    /// The exit status of a job that has ended.
    Exit {
        /// The job's id.
        id: String,
        /// Its command's exit status.
        code: i32,
    },
    /// A lock that was given back: this holder does not have it any more.
    GivenBack {
        /// The repository.
        repository: String,
        /// The id of the holder's lock.
        lock_id: String,
    },
    /// A fencing number that was given: no later one may be lower or equal.
    Fencing {
        /// The repository.
        repository: String,
        token: FencingNumber,
    },
    /// An entry in the audit trail, once.
    Audit {
        /// The entry's object.
        object: String,
    },
    /// An operator's change of the queue is reported once, whether or not the log still has the record.
    DoneToQueue {
        /// Action and object.
        what: String,
    },
    /// A file's content: one complete old or new version.
    Content {
        /// The file, relative to the state directory.
        path: PathBuf,
        /// The values that it may hold.
        any_of: Vec<String>,
    },
    /// A file whose content was acknowledged, and that is being removed.
    MayBeGone {
        /// The file, relative to the state directory.
        path: PathBuf,
    },
    /// A cleanup that was entered: it is under way, or reported as over.
    Cleanup { id: String },
    /// A resource that was damaged before, so that recovery may find it unusable. Nothing else may be.
    MayBeDegraded {
        /// As recovery names it.
        object: String,
    },
    /// Something is lost: it is on the list of losses, once.
    Lost {
        object: String,
        /// Whether that was acknowledged; `None` when it is under way.
        acknowledged: Option<bool>,
    },
    /// The state directory is this one.
    StateId {
        /// The id in its identity.
        id: String,
    },
    /// The delivery of a job's callback is in one of these states: `pending`, `in_flight`, `waiting`,
    /// `parked`, or `settled` when it was delivered or discarded.
    Delivery {
        /// The job's id.
        job: String,
        /// The allowed states.
        any_of: Vec<String>,
    },
    /// A job that is being removed: there with this file of its workspace, or gone with all of it.
    Removal {
        id: String,
        /// A file in its workspace; `None` for a job without one.
        file: Option<PathBuf>,
        /// Whether it must be gone.
        is_done: bool,
    },
    /// A startup is in the history, once.
    Startup { id: String },
    /// A recovery is in the history, once.
    Recovery { id: String },
}

impl Fact {
    /// A job that must be there in one of these states.
    pub fn job(id: &str, attempt: u32, any_of: &[&str]) -> Fact {
        Fact::Job { id: id.to_owned(), any_of: any_of.iter().map(|&s| s.to_owned()).collect(), attempt }
    }

    /// The delivery of a job's callback must be in one of these states.
    pub fn delivery(job: &str, any_of: &[&str]) -> Fact {
        Fact::Delivery { job: job.to_owned(), any_of: any_of.iter().map(|&s| s.to_owned()).collect() }
    }

    /// The key of a job's removal.
    pub(crate) fn removal_key(id: &str) -> String {
        format!("removal of {id}")
    }

    /// The key of [`Fact::MayHaveBegun`].
    pub(crate) fn may_have_begun_key(id: &str) -> String {
        format!("may have begun {id}")
    }

    /// Returns the subject: of two facts with the same key, the later one counts.
    pub fn key(&self) -> String {
        match self {
            Fact::Job { id, .. } => format!("job {id}"),
            Fact::MayHaveBegun { id } => Fact::may_have_begun_key(id),
            Fact::Together { ids } => format!("together {ids:?}"),
            Fact::Order { .. } => "order".to_owned(),
            Fact::Exit { id, .. } => format!("exit {id}"),
            Fact::GivenBack { lock_id, .. } => format!("given back {lock_id}"),
            Fact::Fencing { repository, .. } => format!("fencing {repository}"),
            Fact::Audit { object } => format!("audit {object}"),
            Fact::DoneToQueue { what } => format!("done to queue {what}"),
            Fact::Content { path, .. } | Fact::MayBeGone { path } => format!("content {}", path.display()),
            Fact::MayBeDegraded { object } => format!("degraded {object}"),
            Fact::Cleanup { id } => format!("cleanup {id}"),
            Fact::Lost { object, .. } => format!("lost {object}"),
            Fact::StateId { .. } => "state".to_owned(),
            Fact::Delivery { job, .. } => format!("delivery {job}"),
            Fact::Removal { id, .. } => Fact::removal_key(id),
            Fact::Startup { id } => format!("startup {id}"),
            Fact::Recovery { id } => format!("recovery {id}"),
        }
    }
}
