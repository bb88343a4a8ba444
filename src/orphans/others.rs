//! Locks whose holder is gone, temporary files that no process writes, processes without a job.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::candidate::{Candidate, Check, OrphanKind, OrphanTarget};
use super::scan::Scanned;
use super::scan_context::ScanContext;
use crate::durable::{DiskError, is_held, is_temporary_name};
use crate::jobs::marks;
use crate::locks::{self, JobLivenessOf, LockInfo, LockVerdict};
use crate::queue::JobId;
use crate::system::{ProcessIdentity, environment_of, pids, process_stat};

impl ScanContext<'_> {
    pub(super) fn scan_locks(
        &self,
        job_liveness: &JobLivenessOf<'_>,
        scanned: &mut Scanned,
    ) -> Result<(), DiskError> {
        for lock in locks::list(self.dir, job_liveness)? {
            scanned.count(OrphanKind::Lock, 1);
            if matches!(lock.verdict, LockVerdict::Stale) {
                let (repository, lock_id) = (lock.repository.clone(), lock.lock_id.clone());
                let what = OrphanTarget::Lock { repository, lock_id };
                let path = Some(lock.file.clone().into());
                let candidate = Candidate::new(OrphanKind::Lock, &lock.repository, path, what);
                let age_ms = lock.acquired_at.map(|at| self.now.millis_since(at));
                scanned.candidates.push(Candidate { age_ms, ..candidate }.judged(self.checks_of_lock(&lock)));
            }
        }
        Ok(())
    }

    /// Checks that the holder is provably gone. The age does not matter.
    pub(super) fn checks_of_lock(&self, lock: &LockInfo) -> Vec<Check> {
        let passed = match lock.verdict {
            LockVerdict::Stale => Some(true),
            LockVerdict::Unknown { .. } => None,
            _ => Some(false),
        };
        vec![self.queue_complete(), Check::new("holder-gone", passed, lock.evidence.join("; "))]
    }

    pub(super) fn scan_temporary_files(&self, scanned: &mut Scanned) {
        let folders = self.dir.paths.folders().into_iter().chain([self.dir.paths.root().to_owned()]);
        for folder in folders {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(found) = entry.path().symlink_metadata() else { continue };
                if !is_temporary_name(&entry.file_name()) || !found.is_file() {
                    continue;
                }
                scanned.count(OrphanKind::TemporaryFile, 1);
                let path = entry.path();
                // The file is being written, and gets its name soon: there is nothing to report.
                if is_held(&path).is_ok_and(|held| held) || !path.exists() {
                    continue;
                }
                let name = path.strip_prefix(self.dir.paths.root()).unwrap_or(&path).display().to_string();
                let age = self.age_of(found.mtime() * 1000 + found.mtime_nsec() / 1_000_000);
                let checks = self.checks_of_temporary_file(&path, age);
                let candidate =
                    Candidate::new(OrphanKind::TemporaryFile, &name, Some(path), OrphanTarget::Temporary);
                let candidate = Candidate { bytes: found.blocks() * 512, age_ms: Some(age), ..candidate };
                scanned.candidates.push(candidate.judged(checks));
            }
        }
    }

    pub(super) fn checks_of_temporary_file(&self, path: &Path, age_ms: i64) -> Vec<Check> {
        let written = match is_held(path) {
            Ok(held) => {
                let seen = if held { "a process is writing it" } else { "it is not locked" };
                Check::is("not-written", !held, seen)
            }
            Err(e) => Check::new("not-written", None, format!("{e}: {}", e.source)),
        };
        vec![written, self.grace(Some(age_ms))]
    }

    pub(super) fn scan_processes(&self, scanned: &mut Scanned) {
        for pid in pids().unwrap_or_default() {
            let Some((process, job)) = self.marked(pid) else { continue };
            scanned.count(OrphanKind::Process, 1);
            let Ok(id) = job.parse::<JobId>() else { continue };
            if self.job(&id).is_some_and(|j| !j.status.is_over()) {
                continue;
            }
            let checks = self.checks_of_process(process, &id);
            let what = OrphanTarget::Process { process, job };
            let candidate = Candidate::new(OrphanKind::Process, &pid.to_string(), None, what);
            let age_ms = age_of_process(process);
            scanned.candidates.push(Candidate { age_ms, ..candidate }.judged(checks));
        }
    }

    /// Returns a living process that bears the mark of a job of this very state directory.
    fn marked(&self, pid: u32) -> Option<(ProcessIdentity, String)> {
        let environment = environment_of(pid).ok()?;
        let value = |name: &str| {
            let mut entries = environment.iter().filter_map(|e| e.strip_prefix(name.as_bytes()));
            let value = entries.find_map(|e| e.strip_prefix(b"="))?;
            String::from_utf8(value.to_vec()).ok()
        };
        let job = value(marks::JOB_ID)?;
        let root = std::fs::canonicalize(value(marks::STATE_DIR)?).ok()?;
        if root != std::fs::canonicalize(self.dir.paths.root()).ok()? {
            return None;
        }
        let stat = process_stat(pid).ok().filter(|s| !s.is_dead)?;
        Some((stat.identity, job))
    }

    pub(super) fn checks_of_process(&self, process: ProcessIdentity, id: &JobId) -> Vec<Check> {
        // In a container the leader of a session may be outside: then the session id is 0, and several
        // sessions look the same.
        let session_of = |pid| process_stat(pid).ok().map(|s| s.session);
        let (ours, theirs) = (session_of(std::process::id()), session_of(process.pid));
        let apart = theirs.is_some() && ours.is_some() && theirs != ours;
        let marked =
            self.marked(process.pid).is_some_and(|(now, job)| now == process && job == id.to_string());
        vec![
            Check::is("identity", marked, format!("process {} bears the mark of job {id}", process.pid)),
            Check::is("not-ours", apart, "it is in another session than the one who asks"),
            self.queue_complete(),
            self.job_over(id),
            self.grace(age_of_process(process)),
            self.lock_free(id, false),
        ]
    }
}

/// Returns how long a process has run, in milliseconds, by the clock that counts from boot.
fn age_of_process(process: ProcessIdentity) -> Option<i64> {
    let ticks = rustix::param::clock_ticks_per_second();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now_ms = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    let started_ms = i64::try_from(process.start_time.checked_mul(1000)? / ticks.max(1)).ok()?;
    Some((now_ms - started_ms).max(0))
}
