//! The safety checks. Each gives its observation; the result of a check that cannot be made is unknown.

use std::path::Path;

use super::candidate::Check;
use super::scan_context::ScanContext;
use crate::archive::{ArchiveSource, KeepRequest, has_work_below};
use crate::durable::is_held;
use crate::in_use::Use;
use crate::queue::JobId;
use crate::state::human;
use crate::system::docker::DockerKind;

impl ScanContext<'_> {
    /// Checks that the queue is complete: otherwise a job that it does not show could still exist.
    pub(super) fn queue_complete(&self) -> Check {
        match self.queue.replayed().may_lack_jobs() {
            false => Check::is("queue-complete", true, "the queue was read without gaps"),
            true => Check::new("queue-complete", None, "records of the queue are missing or damaged"),
        }
    }

    /// Checks that the queue does not know the job.
    pub(super) fn not_a_job(&self, id: &JobId) -> Check {
        match self.job(id) {
            None => Check::is("not-a-job", true, format!("the queue knows no job {id}")),
            Some(job) => Check::is("not-a-job", false, format!("job {id} is {}", job.status)),
        }
    }

    /// Checks that the queue does not know the job, or that the job is over and not held for a resume.
    pub(super) fn job_over(&self, id: &JobId) -> Check {
        match self.job(id) {
            None => Check::is("job-over", true, format!("the queue knows no job {id}")),
            Some(job) if job.status == crate::queue::JobStatus::Crashed => {
                Check::is("job-over", false, format!("job {id} is crashed and can be resumed"))
            }
            Some(job) if job.status.is_over() => {
                Check::is("job-over", true, format!("job {id} is {}", job.status))
            }
            Some(job) => Check::is("job-over", false, format!("job {id} is {}", job.status)),
        }
    }

    /// Checks that the job has no record of its own, which would show that the queue has lost it.
    pub(super) fn no_record(&self, id: &JobId) -> Check {
        let Ok(paths) = self.dir.paths.job(&id.to_string()) else {
            return Check::new("no-record", None, "its id cannot be a file name");
        };
        match paths.record.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Check::is("no-record", true, format!("there is no {}", paths.record.display()))
            }
            Err(e) => Check::new("no-record", None, format!("{}: {e}", paths.record.display())),
            Ok(_) => {
                let seen = format!("{} says that there is such a job", paths.record.display());
                Check::is("no-record", false, seen)
            }
        }
    }

    /// Checks that the job's sentinel lock is free. `own`: the caller holds it.
    pub(super) fn lock_free(&self, id: &JobId, own: bool) -> Check {
        const NAME: &str = "lock-free";
        let Ok(paths) = self.dir.paths.job(&id.to_string()) else {
            return Check::new(NAME, None, "its id cannot be a file name");
        };
        if let Some(kind) = self.network_of(&self.dir.paths.attempts()) {
            return Check::new(
                NAME,
                None,
                format!("on a network file system ({kind}) a lock proves nothing"),
            );
        }
        if own {
            return Check::is(NAME, true, "sentinel.lock was free and is held for this look");
        }
        match is_held(&paths.sentinel_lock()) {
            Ok(false) => Check::is(NAME, true, "sentinel.lock is free"),
            Ok(true) => Check::is(NAME, false, "sentinel.lock is held: something lives there"),
            Err(e) if e.is_not_found() => Check::is(NAME, true, "there is no sentinel.lock"),
            Err(e) => Check::new(NAME, None, format!("{e}: {}", e.source)),
        }
    }

    /// Checks that no process of the job lives.
    pub(super) fn no_process(&self, id: &JobId) -> Check {
        const NAME: &str = "no-process";
        let life = self.life(id);
        match (life.processes.first(), life.doubt) {
            (Some(process), _) => Check::is(NAME, false, format!("process {} is the job's", process.pid)),
            (None, Some(why)) => Check::new(NAME, None, why),
            (None, None) => Check::is(NAME, true, "no process bears its mark"),
        }
    }

    /// Checks that nothing about it changed for the grace period. A time in the future comes from a clock
    /// that jumped.
    pub(super) fn grace(&self, age_ms: Option<i64>) -> Check {
        let grace = i64::try_from(self.settings.grace.as_millis()).unwrap_or(i64::MAX);
        match age_ms {
            None => Check::new("grace", None, "its age cannot be told"),
            Some(age) if age < 0 => Check::new("grace", None, "it was changed in the future"),
            Some(age) => {
                let seen = format!(
                    "last changed {} ago, at least {} wanted",
                    human::duration(age.unsigned_abs()),
                    human::span(self.settings.grace)
                );
                Check::is("grace", age >= grace, seen)
            }
        }
    }

    /// Checks that no cleanup works on the job.
    pub(super) fn no_cleanup(&self, id: &JobId) -> Check {
        match self.is_cleaned_up(id) {
            false => Check::is("no-cleanup", true, "no cleanup of the job is open"),
            true => Check::is("no-cleanup", false, "a cleanup of the job is open and removes it"),
        }
    }

    /// Checks that nothing in the folder is in use.
    pub(super) fn no_visitor(&self, uses: &[Use]) -> Check {
        const NAME: &str = "no-visitor";
        let visitors = || uses.iter().filter(|used| !used.how.is_mount());
        match visitors().find(|used| used.is_certain()).or_else(|| visitors().next()) {
            None => Check::is(NAME, true, "no process that can be seen uses it, and no job is to work in it"),
            Some(used) if used.is_certain() => Check::is(NAME, false, used.to_string()),
            Some(used) => Check::new(NAME, None, used.to_string()),
        }
    }

    /// Checks that nothing is mounted in the folder, and nothing of it elsewhere, as any process sees it.
    pub(super) fn no_mount(&self, uses: &[Use], has_mounts: bool) -> Check {
        const NAME: &str = "no-mount";
        match uses.iter().find(|used| used.how.is_mount()) {
            Some(used) => Check::is(NAME, false, used.to_string()),
            None if has_mounts => Check::is(NAME, false, "something is mounted in it"),
            None => Check::is(NAME, true, "nothing is mounted in it, and nothing of it elsewhere"),
        }
    }

    /// Checks that removing an index removes no work of a working tree around it. If it would, the index is
    /// removed only with its workspace.
    pub(super) fn no_work(&self, index: &Path) -> Check {
        const NAME: &str = "no-work";
        let below = &self.settings.index_folder;
        let workspace = below.components().fold(index, |at, _| at.parent().unwrap_or(at));
        let request = KeepRequest {
            folder: workspace,
            was: None,
            archive_id: "",
            source: ArchiveSource::Orphan,
            object: String::new(),
            rules: &self.settings.keep,
            stop: &|| false,
        };
        match has_work_below(self.dir, &request, below) {
            Ok(false) => Check::is(NAME, true, "no working tree has uncommitted files in it"),
            Ok(true) => Check::is(
                NAME,
                false,
                "it has a repository, or files of a working tree that are changed or that git does not ignore: \
                 they go with the workspace",
            ),
            Err(e) => Check::new(NAME, None, e.to_string()),
        }
    }

    /// Checks that no container mounts the folder.
    pub(super) fn no_container(&self, folder: &Path) -> Check {
        const NAME: &str = "no-container";
        let objects = match self.objects() {
            Ok(objects) => objects,
            Err(e) => return Check::new(NAME, None, e.to_string()),
        };
        let real = self.real(folder);
        let uses = |path: &String| {
            let path = Path::new(path);
            path.is_absolute()
                && (path.starts_with(&real) || real.starts_with(path) && path != Path::new("/"))
        };
        let containers = objects.iter().filter(|o| o.kind == DockerKind::Container);
        match containers.into_iter().find(|c| c.mounts.iter().any(uses)) {
            Some(c) => Check::is(NAME, false, format!("container {} has it mounted", c.name)),
            None => Check::is(NAME, true, "no container has it mounted"),
        }
    }

    /// Returns how long the folder has not changed, in milliseconds.
    pub(super) fn age_of(&self, newest_ms: i64) -> i64 {
        self.now.as_millis() - newest_ms
    }
}
