//! The names of a removed job's folders in `jobs/.trash/`.

use crate::queue::Job;
use crate::state::StateDir;

/// The prefix of a slot with a folder of attempts.
pub(crate) const ATTEMPTS: &str = "attempts-";

/// The names of a job's slots: for its workspace, and for its folder of attempts.
pub(crate) fn slot_names(job: &Job) -> [String; 2] {
    let id = crc32fast::hash(job.id.to_string().as_bytes());
    let name = format!("{}-{}-{id:08x}", job.place.seq, job.place.index);
    let attempts = format!("{ATTEMPTS}{name}");
    [name, attempts]
}

/// Whether a part of a job is in the trash, so that its removal was begun.
pub(crate) fn is_in_trash(dir: &StateDir, job: &Job) -> bool {
    let trash = dir.paths.trash();
    slot_names(job).iter().any(|name| std::fs::symlink_metadata(trash.join(name)).is_ok())
}
