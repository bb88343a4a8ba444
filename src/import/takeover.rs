//! The whole takeover, in its order: lock, queue, workspace, each new job with its effects, one append.
//!
//! The import lock excludes other imports throughout. The append lock is held only while the known ids are
//! read once more and the records are written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::error::ImportError;
use super::evidence::{Evidence, ProcessEvidence, gather};
use super::examine::{Examined, Examiner, Rank};
use super::options::ImportOptions;
use super::report::{
    ImportReport, ImportedJob, JobAction, OrphanCandidate, OrphanKind, QuarantinedFile, shown,
};
use super::scan::{FoundJob, LoneFolder, Scan, Workspace};
use super::{SOURCE, findings};
use crate::durable::{FileLock, Holder};
use crate::findings::Object;
use crate::queue::{Job, JobDocument, JobId, JobStatus, Operation, Queue};
use crate::state::StateDir;

/// Takes over a workspace. Waits for another import as long as the state directory's `lock_wait`.
///
/// # Errors
/// See [`ImportError`]. Damage in the workspace is no error; it is in the report.
pub fn take_over(
    dir: &StateDir,
    workspace: &Path,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    let workspace = Workspace::open(workspace)?;
    check_apart(dir, &workspace)?;
    let _lock = if options.dry_run { None } else { Some(lock(dir)?) };
    let mut queue = Queue::open(dir)?;
    if !options.dry_run {
        // The records of an import that was killed while it appended become visible only under the append
        // lock.
        queue.transact(&options.actor, |_| (Vec::new(), ()))?;
    }
    let scan = workspace.scan()?;
    let mut import = Import { report: ImportReport::default(), new: Vec::new(), undecided: HashSet::new() };
    import.report.workspace = shown(workspace.root());
    import.report.dry_run = options.dry_run;
    let examiner = Examiner::new(dir, &workspace, &scan, options);
    import.examine_all(&scan, &queue, &examiner)?;
    import.keep_unusable(&scan, &examiner)?;
    import.append(&mut queue, options)?;
    import.find_orphans(&scan, &examiner);
    Ok(import.report)
}

fn check_apart(dir: &StateDir, workspace: &Workspace) -> Result<(), ImportError> {
    let state = std::fs::canonicalize(dir.paths.root()).unwrap_or_else(|_| dir.paths.root().to_owned());
    let jobs = workspace.root().join("jobs");
    if state == workspace.root() || workspace.root().starts_with(&state) || state.starts_with(&jobs) {
        return Err(ImportError::OwnStateDirectory { path: workspace.root().to_owned() });
    }
    Ok(())
}

fn lock(dir: &StateDir) -> Result<FileLock, ImportError> {
    let lock = FileLock::acquire(&dir.disk, &dir.paths.import_lock(), dir.lock_wait)?;
    let since = dir.clock.now().to_string();
    let holder = Holder { pid: std::process::id(), purpose: format!("import {SOURCE}"), since };
    lock.describe(&holder)?;
    Ok(lock)
}

/// An import that is under way.
struct Import {
    report: ImportReport,
    new: Vec<(Rank, JobDocument, ImportedJob)>,
    /// Jobs that are not in the queue, but whose files and processes must stay.
    undecided: HashSet<JobId>,
}

impl Import {
    fn examine_all(
        &mut self,
        scan: &Scan,
        queue: &Queue,
        examiner: &Examiner<'_>,
    ) -> Result<(), ImportError> {
        for found in &scan.jobs {
            if let Some(job) = queue.state().get(&found.id) {
                let staging = examiner.workspace.staging_folder(found).map(|path| shown(&path));
                self.report.jobs.push(unchanged(job, staging));
                continue;
            }
            let Examined { taken, quarantined, findings, is_undecided } = examiner.examine(found)?;
            self.new.extend(taken.map(|taken| *taken));
            self.report.quarantined.extend(quarantined);
            self.report.findings.extend(findings);
            if is_undecided {
                self.undecided.insert(found.id.clone());
            }
        }
        self.new.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(())
    }

    /// Keeps job files whose name gives no id of their own.
    fn keep_unusable(&mut self, scan: &Scan, examiner: &Examiner<'_>) -> Result<(), ImportError> {
        let unusable = scan.unusable.iter().map(|path| (path, "its name cannot be an id"));
        let duplicates =
            scan.duplicates.iter().map(|path| (path, "another file has the same id in other case"));
        for (path, reason) in unusable.chain(duplicates) {
            let kept_as = examiner.keep_file(path, reason)?;
            let path_shown = shown(path);
            let sentence = format!("The job file {path_shown} was not taken over: {reason}.");
            self.report.findings.push(findings::id_differs(path, sentence));
            let reason = reason.to_owned();
            self.report.quarantined.push(QuarantinedFile { path: path_shown, job_id: None, kept_as, reason });
        }
        Ok(())
    }

    /// Appends all new jobs at once; those that another process entered meanwhile are left alone.
    fn append(&mut self, queue: &mut Queue, options: &ImportOptions) -> Result<(), ImportError> {
        let new = std::mem::take(&mut self.new);
        let (documents, jobs): (Vec<JobDocument>, Vec<ImportedJob>) =
            new.into_iter().map(|(_, document, job)| (document, job)).unzip();
        let imported = if options.dry_run || documents.is_empty() {
            documents.into_iter().map(|d| d.job_id).collect()
        } else {
            queue.transact(&options.actor, |state| restore(documents, |id| state.get(id).is_some()))?.1
        };
        for mut job in jobs {
            if !imported.contains(&job.job_id) {
                let Some(known) = queue.state().get(&job.job_id) else { continue };
                job = unchanged(known, job.staging);
            }
            self.report.jobs.push(job);
        }
        self.count(imported.len(), queue);
        Ok(())
    }

    fn count(&mut self, imported: usize, queue: &Queue) {
        let report = &mut self.report;
        report.imported = imported;
        report.unchanged = report.jobs.len() - imported;
        for job in &report.jobs {
            report.counts.add(job.status);
        }
        let places = places(&report.jobs, queue);
        for job in &mut report.jobs {
            job.position = places.get(&job.job_id).copied();
        }
    }

    fn find_orphans(&mut self, scan: &Scan, examiner: &Examiner<'_>) {
        for lone in &scan.lone_jobs {
            self.lone_job_folder(lone, examiner);
        }
        for lone in &scan.lone_staging {
            self.staging(&lone.path, &lone.id, "a job that is unknown");
        }
        let statuses: HashMap<&JobId, JobStatus> =
            self.report.jobs.iter().map(|job| (&job.job_id, job.status)).collect();
        let over = |job: &&FoundJob| match statuses.get(&job.id) {
            // A crashed job may be resumed and need its uploads.
            Some(status) => status.is_over() && *status != JobStatus::Crashed,
            None => !self.undecided.contains(&job.id),
        };
        let with_staging = scan.jobs.iter().filter(|job| job.staging.is_some());
        let left: Vec<&FoundJob> = with_staging.filter(over).collect();
        for job in left {
            if let Some(path) = examiner.workspace.staging_folder(job) {
                self.staging(&path, &job.id.to_string(), "a job that is over");
            }
        }
    }

    fn lone_job_folder(&mut self, lone: &LoneFolder, examiner: &Examiner<'_>) {
        self.report.findings.push(findings::without_record(&lone.path));
        let process = examiner.process_of(lone);
        let live_pid = process.map(|p| p.pid);
        if let Some(pid) = live_pid {
            let object = Object::File(shown(&lone.path).to_string());
            let but = "which has no job file; do not remove it";
            self.report.findings.push(findings::process_alive(object, pid, but));
        }
        self.report.orphans.push(OrphanCandidate {
            kind: OrphanKind::JobDirectory,
            path: shown(&lone.path),
            id: lone.id.clone(),
            live_pid,
        });
    }

    fn staging(&mut self, path: &Path, id: &str, why: &str) {
        self.report.findings.push(findings::staging_left(path, why));
        let (kind, id) = (OrphanKind::StagingDirectory, id.to_owned());
        self.report.orphans.push(OrphanCandidate { kind, path: shown(path), id, live_pid: None });
    }
}

/// Returns the records of the jobs that are not known, and their ids.
fn restore(
    documents: Vec<JobDocument>,
    is_known: impl Fn(&JobId) -> bool,
) -> (Vec<Operation>, HashSet<JobId>) {
    let new = documents.into_iter().filter(|document| !is_known(&document.job_id));
    let pairs = new.map(|document| {
        let id = document.job_id.clone();
        (Operation::Restore { document: Box::new(document), keeps_place: false }, id)
    });
    pairs.unzip()
}

/// Returns the place of each queued job among these: those in the queue as it orders them, then, in a dry
/// run, those that would enter.
fn places(jobs: &[ImportedJob], queue: &Queue) -> BTreeMap<JobId, usize> {
    let ours: HashSet<&JobId> =
        jobs.iter().filter(|j| j.status == JobStatus::Queued).map(|j| &j.job_id).collect();
    let in_queue = queue.state().queued().map(|j| &j.id).filter(|id| ours.contains(id));
    let would_enter = jobs.iter().map(|j| &j.job_id).filter(|id| ours.contains(id));
    let mut places = BTreeMap::new();
    for id in in_queue.chain(would_enter) {
        let next = places.len() + 1;
        places.entry(id.clone()).or_insert(next);
    }
    places
}

fn unchanged(job: &Job, staging: Option<String>) -> ImportedJob {
    let run = job.run_state();
    ImportedJob {
        job_id: job.id.clone(),
        action: JobAction::Unchanged,
        status: job.status,
        position: None,
        exit_code: run.exit_code,
        pid: run.adopted.as_ref().map(|a| a.pid),
        reason: run.reason.clone(),
        title: job.spec().ok().and_then(|spec| spec.title),
        repository: job.repository.as_deref().map(str::to_owned),
        evidence: Vec::new(),
        reconstructed: run.reconstructed.clone(),
        staging,
    }
}

impl Examiner<'_> {
    /// Keeps a copy of a job file that gives no job.
    fn keep_file(&self, path: &Path, reason: &str) -> Result<Option<String>, ImportError> {
        match self.read_bytes(path) {
            Some(bytes) => self.effects.keep(path, &bytes, reason),
            None => Ok(None),
        }
    }

    /// Returns the living script of a folder without a job file.
    fn process_of(&self, lone: &LoneFolder) -> Option<crate::system::ProcessIdentity> {
        let found = FoundJob {
            id: lone.id.parse().ok()?,
            stem: lone.id.clone(),
            folder: lone.path.file_name().map(ToOwned::to_owned),
            staging: None,
        };
        match gather(self.workspace, &found, None, &self.processes) {
            Evidence { process: ProcessEvidence::Script { process, .. }, .. } => Some(process),
            _ => None,
        }
    }
}
