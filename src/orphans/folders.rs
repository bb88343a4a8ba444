//! Folders of the state directory: workspaces, and folders of attempts, without a job; staging folders,
//! indexes, foreign sentinels.

use std::path::{Path, PathBuf};

use super::candidate::{Candidate, Check, OrphanKind, OrphanTarget};
use super::scan::Scanned;
use super::scan_context::ScanContext;
use crate::durable::tree::{TreeIdentity, walk_tree};
use crate::durable::{DiskError, IoContext, TEMPORARY_PREFIX};
use crate::in_use::Use;
use crate::jobs::{Sentinel, Stored};
use crate::queue::{JobId, JobStatus};
use crate::state::names::decode;
use crate::system::parallel_map;

/// The prefix of a folder that is being made.
const STAGING_PREFIX: &str = ".staging-";

/// What was observed about a folder.
pub(super) struct SeenFolder<'a> {
    /// How long ago anything in it last changed, in milliseconds.
    pub(super) age_ms: i64,
    /// Whether something is mounted in it.
    pub(super) has_mounts: bool,
    /// The uses of the folder.
    pub(super) uses: &'a [Use],
    /// Whether the caller holds its sentinel's lock.
    pub(super) own: bool,
}

/// An entry of the folder `jobs`.
enum Entry {
    Workspace(JobId),
    Staging,
    /// A file, or a name that this program does not give.
    Other,
}

fn understood(name: &str, is_dir: bool) -> Entry {
    if !is_dir {
        return Entry::Other;
    }
    if name.starts_with(STAGING_PREFIX) || name.starts_with(TEMPORARY_PREFIX) {
        return Entry::Staging;
    }
    match decode(name).and_then(|id| id.parse().ok()) {
        Some(id) => Entry::Workspace(id),
        None => Entry::Other,
    }
}

impl ScanContext<'_> {
    /// Scans every kind of folder in one pass over `jobs/`.
    pub(super) fn scan_folders(
        &self,
        wanted: &dyn Fn(OrphanKind) -> bool,
        scanned: &mut Scanned,
    ) -> Result<(), DiskError> {
        let jobs = self.dir.paths.jobs();
        let mut found: Vec<(OrphanKind, PathBuf, Option<JobId>)> = Vec::new();
        for entry in std::fs::read_dir(&jobs).context("list", &jobs)?.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            match understood(&name, is_dir) {
                Entry::Workspace(id) => {
                    scanned.count(OrphanKind::JobDirectory, 1);
                    let Some(job) = self.job(&id) else {
                        found.push((OrphanKind::JobDirectory, entry.path(), Some(id)));
                        continue;
                    };
                    if job.status == JobStatus::Succeeded && wanted(OrphanKind::Index) {
                        let index = entry.path().join(&self.settings.index_folder);
                        if index.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                            scanned.count(OrphanKind::Index, 1);
                            found.push((OrphanKind::Index, index, Some(id.clone())));
                        }
                    }
                }
                Entry::Staging => {
                    scanned.count(OrphanKind::StagingDirectory, 1);
                    found.push((OrphanKind::StagingDirectory, entry.path(), None));
                }
                Entry::Other => {}
            }
        }
        self.scan_attempts(wanted, scanned, &mut found)?;
        found.retain(|(kind, _, _)| wanted(*kind));
        for candidate in parallel_map(found, |(kind, path, job)| self.folder_candidate(kind, path, job)) {
            scanned.candidates.extend(candidate?);
        }
        Ok(())
    }

    /// Scans for folders of attempts whose jobs do not exist any more, and for sentinels of other jobs.
    fn scan_attempts(
        &self,
        wanted: &dyn Fn(OrphanKind) -> bool,
        scanned: &mut Scanned,
        found: &mut Vec<(OrphanKind, PathBuf, Option<JobId>)>,
    ) -> Result<(), DiskError> {
        let folder = self.dir.paths.attempts();
        let entries = match std::fs::read_dir(&folder) {
            // A directory of layout 2 that has had no startup of this version yet.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.context("list", &folder)?,
        };
        for entry in entries.flatten() {
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            let id = entry.file_name().to_str().filter(|_| is_dir).and_then(decode);
            let Some(id) = id.and_then(|id| id.parse::<JobId>().ok()) else { continue };
            if self.job(&id).is_none() {
                scanned.count(OrphanKind::JobDirectory, 1);
                found.push((OrphanKind::JobDirectory, entry.path(), Some(id)));
            } else if wanted(OrphanKind::Sentinel) {
                scanned.count(OrphanKind::Sentinel, 1);
                if self.has_strange_sentinel(&entry.path(), &id) {
                    found.push((OrphanKind::Sentinel, entry.path().join("sentinel.json"), Some(id)));
                }
            }
        }
        Ok(())
    }

    /// Returns the candidate for a folder; `None` when the folder is gone by now.
    fn folder_candidate(
        &self,
        kind: OrphanKind,
        path: PathBuf,
        job: Option<JobId>,
    ) -> Result<Option<Candidate>, DiskError> {
        let mut walk = self.in_use.walk();
        let size = walk_tree(&path, &mut |entry| walk.see(entry));
        let Some(identity) = size.top else {
            // The folder was made just now; the next scan judges it.
            return TreeIdentity::of(&path).map(|_| None);
        };
        let age = self.age_of(size.newest_ms);
        let uses = self.in_use.seen(&path, job.as_ref(), &walk);
        let seen = SeenFolder { age_ms: age, has_mounts: size.has_mounts, uses: &uses, own: false };
        let checks = self.checks_of_folder(kind, &path, job.as_ref(), &seen);
        let root = self.dir.paths.root();
        let below = path.strip_prefix(self.dir.paths.jobs()).or_else(|_| path.strip_prefix(root));
        let name = below.unwrap_or(&path).display().to_string();
        let candidate = Candidate::new(kind, &name, Some(path), OrphanTarget::Tree { identity, job });
        let candidate = Candidate { bytes: size.bytes, age_ms: Some(age), ..candidate };
        Ok(Some(candidate.judged(checks)))
    }

    /// Whether its sentinel names another job than its folder: a copied file.
    fn has_strange_sentinel(&self, folder: &Path, id: &JobId) -> bool {
        match Sentinel::read(&folder.join("sentinel.json")) {
            Ok(Stored::Whole(sentinel)) => sentinel.job_id != *id,
            _ => false,
        }
    }

    /// Makes the checks of a folder before its removal.
    pub(super) fn checks_of_folder(
        &self,
        kind: OrphanKind,
        path: &Path,
        job: Option<&JobId>,
        seen: &SeenFolder<'_>,
    ) -> Vec<Check> {
        let mut checks = Vec::new();
        if let Some(id) = job {
            if kind == OrphanKind::JobDirectory {
                checks.extend([self.queue_complete(), self.not_a_job(id), self.no_record(id)]);
            } else {
                checks.push(self.job_over(id));
            }
            checks.extend([self.lock_free(id, seen.own), self.no_process(id), self.no_cleanup(id)]);
        }
        checks.push(self.grace(Some(seen.age_ms)));
        checks.extend([self.no_mount(seen.uses, seen.has_mounts), self.no_visitor(seen.uses)]);
        checks.push(self.no_container(path));
        // git is asked only about folders that would be removed.
        if kind == OrphanKind::Index && checks.iter().all(|check| check.passed == Some(true)) {
            checks.push(self.no_work(path));
        }
        checks
    }
}
