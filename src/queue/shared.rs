//! One queue in memory for all who read it in a process.
//!
//! A view is never older than what was acknowledged before it was asked for: the log is followed first, which
//! costs nothing when nothing was appended. Damage that the files have suffered meanwhile is noticed, as it would
//! be by a process that reads them anew: names, sizes and times of all files are compared, and when following the
//! log does not explain a change, all is read again from the beginning.

use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::store::{Queue, QueueError};
use crate::durable::log::Position;
use crate::state::StateDir;

/// The queue as one reader sees it: it does not change while the view lives.
#[derive(Debug)]
pub struct QueueView {
    queue: Arc<Queue>,
    /// Dropped after `queue`, because fields are dropped in their order.
    _over: Option<TellsThatItIsOver>,
}

impl QueueView {
    /// Reads the queue for this view alone; see [`Queue::open_to_look`].
    pub(crate) fn open(dir: &StateDir) -> Result<QueueView, QueueError> {
        Ok(Queue::open_to_look(dir)?.into())
    }
}

impl From<Queue> for QueueView {
    fn from(queue: Queue) -> QueueView {
        QueueView { queue: Arc::new(queue), _over: None }
    }
}

impl Deref for QueueView {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.queue
    }
}

#[derive(Debug)]
struct TellsThatItIsOver(Arc<SharedQueue>);

impl Drop for TellsThatItIsOver {
    fn drop(&mut self) {
        self.0.over.notify_all();
    }
}

#[derive(Debug, Default)]
pub struct SharedQueue {
    held: Mutex<Option<Held>>,
    /// Notified when a view is dropped.
    over: Condvar,
}

#[derive(Debug)]
struct Held {
    queue: Arc<Queue>,
    files: Vec<SeenFile>,
}

/// A file of the queue: name, inode, length in bytes, time of the last write in nanoseconds.
type SeenFile = (std::ffi::OsString, u64, u64, i128);

/// A view that lives longer than this does not keep later readers from new records: they read for themselves.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

impl SharedQueue {
    /// The queue as it is now.
    pub fn view(self: &Arc<SharedQueue>, dir: &StateDir) -> Result<QueueView, QueueError> {
        let mut held = self.lock();
        // List the files before the log is followed: what is written meanwhile is a change for the next view.
        let files = seen_files(dir);
        // Another process may have repaired what was damaged.
        if let Some(known) = held.as_mut().filter(|known| known.queue.replayed().is_clean()) {
            let is_new = known.queue.log().is_ok_and(|log| log.end() != known.queue.position());
            match is_new {
                false if known.files == files => return Ok(self.share(&known.queue)),
                // Only the end of the newest segment may have changed, and only by the records that are followed
                // now.
                true if differ_at_the_end_only(&known.files, &files) => {
                    let (mut waiting, timed_out) = self.wait_for_looks(held);
                    let Some(known) = waiting.as_mut().filter(|_| !timed_out) else {
                        return QueueView::open(dir);
                    };
                    if let Some(queue) = Arc::get_mut(&mut known.queue)
                        && queue.refresh().is_ok()
                    {
                        known.files = files;
                        return Ok(self.share(&known.queue));
                    }
                    held = waiting;
                }
                _ => {}
            }
        }
        let queue = Queue::open_to_look(dir)?;
        if queue.unwritable().is_some() {
            // Do not keep this queue: it may have records that were never synced.
            *held = None;
            return Ok(queue.into());
        }
        let queue = Arc::new(queue);
        let view = self.share(&queue);
        *held = Some(Held { queue, files });
        Ok(view)
    }

    /// Where the log ends now; `None` when the queue is not in memory, or is being read. Never blocks.
    pub fn end(&self) -> Option<Position> {
        let held = self.held.try_lock().ok()?;
        Some(held.as_ref()?.queue.log().ok()?.end())
    }

    fn share(self: &Arc<SharedQueue>, queue: &Arc<Queue>) -> QueueView {
        QueueView { queue: Arc::clone(queue), _over: Some(TellsThatItIsOver(Arc::clone(self))) }
    }

    /// Waits until no view uses the queue, at most [`LONGEST_WAIT`].
    fn wait_for_looks<'a>(
        &'a self,
        held: MutexGuard<'a, Option<Held>>,
    ) -> (MutexGuard<'a, Option<Held>>, bool) {
        let is_used =
            |held: &mut Option<Held>| held.as_ref().is_some_and(|h| Arc::strong_count(&h.queue) > 1);
        let waited = self.over.wait_timeout_while(held, LONGEST_WAIT, is_used);
        let (held, result) = waited.unwrap_or_else(PoisonError::into_inner);
        (held, result.timed_out())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files, in the order of their names; a folder that cannot be listed has none.
fn seen_files(dir: &StateDir) -> Vec<SeenFile> {
    let mut files: Vec<SeenFile> = Vec::new();
    for folder in [dir.paths.queue(), dir.paths.queue_log()] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|e| e == "log")
                && let Ok(seen) = entry.metadata()
                && seen.is_file()
            {
                let written = i128::from(seen.mtime()) * 1_000_000_000 + i128::from(seen.mtime_nsec());
                files.push((name, seen.ino(), seen.len(), written));
            }
        }
    }
    files.sort_unstable();
    files
}

/// Whether all files but the newest segment are unchanged.
fn differ_at_the_end_only(before: &[SeenFile], now: &[SeenFile]) -> bool {
    let is_segment = |file: &&SeenFile| !file.0.as_encoded_bytes().starts_with(b"snapshot-");
    let newest = now.iter().rfind(is_segment).map(|file| &file.0);
    before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| {
            before == now || (Some(&now.0) == newest && (&before.0, before.1) == (&now.0, now.1))
        })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Damages the files as a disk could.
mod tests {
    use super::super::{Actor, JobId, JobSpec, Operation, Submission, append};
    use super::*;
    use crate::durable::Disk;
    use crate::state::Clock;

    fn submit(dir: &StateDir, id: &str) {
        let job: JobId = id.parse().unwrap();
        let submission = Submission { job, priority: 0, repository: None, spec: JobSpec::default() };
        let actor = Actor { by: "test".to_owned(), why: None };
        append(dir, &actor, &[Operation::Submit(submission)]).unwrap();
    }

    #[test]
    fn view_has_everything_acknowledged_before() {
        let folder = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
        let shared = Arc::new(SharedQueue::default());
        for n in 0..20 {
            submit(&dir, &format!("job-{n}"));
            let view = shared.view(&dir).unwrap();
            assert_eq!(view.state().jobs().count(), n + 1);
            // A view that lives on does not change, and does not keep the next one from new records.
            if n == 10 {
                submit(&dir, "meanwhile");
                assert_eq!(shared.view(&dir).unwrap().state().jobs().count(), n + 2);
                assert_eq!(view.state().jobs().count(), n + 1);
                return;
            }
        }
    }

    #[test]
    fn view_notices_damage() {
        let folder = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
        (0..20).for_each(|n| submit(&dir, &format!("job-{n}")));
        let shared = Arc::new(SharedQueue::default());
        assert!(shared.view(&dir).unwrap().replayed().is_clean());
        let segment = std::fs::read_dir(dir.paths.queue_log()).unwrap().flatten().map(|e| e.path());
        let segment = segment.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap();
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes[200] ^= 0xff;
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&segment, bytes).unwrap();
        assert!(!shared.view(&dir).unwrap().replayed().is_clean());
    }
}
