//! `jobs/<id>.job.json`: a job's record in readable form, derived from the queue log.
//!
//! It is never authoritative: a missing, damaged or old record is rewritten from the queue. So a change is written
//! without a sync: after a power loss, the first recovery writes it again. When log and
//! snapshots are lost, these files are the last source ([`read_those`]): so a process that removes a job from the
//! queue removes its record first. A submission is one record in the log and one sync, so a job that waits for
//! its first attempt gets its file later, many at a time ([`write_waiting`]). For the checksum of a record see
//! `record_text`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::record_text::{read_record, says, text_of, understand};
use super::stored::{Stored, is_blank};
use crate::durable::{DiskError, IoContext, Survives, create_many, read_optional, replace, replace_to};
use crate::queue::{
    Job, JobDocument, JobId, QueueError, QueueState, Record, records_since, with_jobs_removed_since,
};
use crate::state::StateDir;
use crate::state::names::BadName;
use crate::system::Host;

/// The suffix of a record's file name.
const SUFFIX: &str = ".job.json";

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The job's id cannot become a file name.
    #[error("the id of the job cannot be a file name")]
    BadName(#[from] BadName),
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log could not be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Writes a job's record, so that it survives a kill. A process that claims a job does so between the claim and the start of the
/// supervisor, which reads its command from the record.
///
/// # Errors
/// The system's error; [`RecordError::BadName`].
pub fn write(dir: &StateDir, job: &Job) -> Result<(), RecordError> {
    let paths = dir.paths.job(&job.id.to_string())?;
    Ok(replace_to(&dir.disk, &paths.record, &text_of(&job.to_document()), Survives::Kill)?)
}

/// Reads a job's record.
pub fn read(dir: &StateDir, id: &JobId) -> Result<Stored<JobDocument>, DiskError> {
    match dir.paths.job(&id.to_string()) {
        Ok(paths) => read_record(&paths.record),
        Err(_) => Ok(Stored::Missing),
    }
}

/// Updates a job's record with the log's records about it after `seq`, without reading the queue. A record that
/// is missing or damaged is left to [`rebuild`].
///
/// # Errors
/// The error of the system or of the log.
pub(crate) fn advance(dir: &StateDir, id: &JobId, seq: u64) -> Result<(), RecordError> {
    advance_with(dir, id, &records_since(dir, seq.saturating_add(1), id)?)
}

/// As [`advance`], with the log's records about the job.
pub(super) fn advance_with(dir: &StateDir, id: &JobId, records: &[(u64, Record)]) -> Result<(), RecordError> {
    let Stored::Whole(document) = read(dir, id)? else { return Ok(()) };
    let mut state = QueueState::default();
    state.load(document);
    for (seq, record) in records {
        // The queue has refused a log record that does not fit, too.
        let _ = state.apply(*seq, record.clone());
    }
    state.get(id).map_or(Ok(()), |job| write(dir, job))
}

/// How many jobs that wait for their first attempt have a file: those that are next in line.
pub(crate) const WAITING_WITH_RECORD: usize = 10_000;
/// How many files are made at a time; each stays open until they have their names.
const AT_ONCE: usize = 256;

/// Jobs that wait for their first attempt, and the record of the log up to which that was read.
#[derive(Debug, Clone)]
pub struct Waiting {
    documents: Vec<JobDocument>,
    seq: u64,
}

/// The next jobs in line that have not begun, for [`write_waiting`].
pub fn waiting(state: &QueueState) -> Waiting {
    let unbegun = state.queued().filter(|job| job.run_state.is_none());
    let documents = unbegun.take(WAITING_WITH_RECORD).map(Job::to_document).collect();
    Waiting { documents, seq: state.last_seq() }
}

/// The result of [`write_waiting`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitingRecords {
    /// How many were made.
    pub made: usize,
    /// Jobs whose record could not be understood: the old file is in quarantine, and a new one was made.
    pub damaged: Vec<(JobId, PathBuf)>,
}

/// Makes files for waiting jobs whose file is missing or damaged. A whole file is left alone, because it may be
/// newer. `stop` ends the work early.
pub fn write_waiting(
    dir: &StateDir,
    waiting: &Waiting,
    stop: &dyn Fn() -> bool,
) -> Result<WaitingRecords, RecordError> {
    let mut written = WaitingRecords::default();
    for batch in waiting.documents.chunks(AT_ONCE) {
        if stop() {
            break;
        }
        let mut files = Vec::new();
        for document in batch {
            let path = dir.paths.job(&document.job_id.to_string())?.record;
            match read_record(&path)? {
                Stored::Whole(_) => continue,
                Stored::Missing => {}
                // A power loss came before its content was written.
                Stored::Damaged { .. } if is_blank(&path) => dir.disk.remove_file(&path)?,
                Stored::Damaged { .. } => {
                    let at = dir.clock.now().to_string();
                    dir.quarantine().take_file(&path, "not a job's record", &at)?;
                    written.damaged.push((document.job_id.clone(), path.clone()));
                }
            }
            files.push((path, text_of(document)));
        }
        written.made += make(dir, &files, waiting.seq)?;
    }
    Ok(written)
}

/// Makes the files, except those of jobs that were cancelled and removed in the meantime: their records would
/// bring them back. The append lock is held, so that no job is being removed at the same time.
fn make(dir: &StateDir, files: &[(PathBuf, Vec<u8>)], seq: u64) -> Result<usize, RecordError> {
    create_many(&dir.disk, &dir.paths.jobs(), files, |files| {
        let made = with_jobs_removed_since(dir, seq, |removed| {
            let paths = removed.iter().filter_map(|id| dir.paths.job(&id.to_string()).ok());
            let records: HashSet<PathBuf> = paths.map(|paths| paths.record).collect();
            files.publish(|path| !records.contains(path))
        })?;
        Ok(made?)
    })
}

/// The result of [`rebuild`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// How many records were examined.
    pub looked_at: u64,
    /// Jobs whose record was written, because it was missing, damaged or behind.
    pub written: Vec<JobId>,
    /// Those of the written jobs that had begun, and so had a record that no power loss can have taken.
    pub missing: Vec<JobId>,
    /// Those of the written jobs whose record could not be understood; the old file is in quarantine now.
    pub damaged: Vec<(JobId, PathBuf)>,
    /// Records of jobs that the queue does not know; they stay where they are.
    pub unknown: Vec<PathBuf>,
    /// Records that could not be written or read, with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

/// Rewrites all records of begun jobs that are missing, damaged or behind. `progress` is called with the
/// number examined and in all.
///
/// # Errors
/// When the folder of the jobs cannot be read; a single record that fails is only listed.
pub fn rebuild(
    dir: &StateDir,
    state: &QueueState,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Rebuilt, DiskError> {
    let mut rebuilt = Rebuilt::default();
    let begun: Vec<&Job> = state.jobs().filter(|job| job.run_state.is_some()).collect();
    let (total, host) = (begun.len() as u64, Host::this());
    for job in begun {
        if let Err((path, why)) = rebuild_one(dir, &host, job, &mut rebuilt) {
            rebuilt.failed.push((path, why));
        }
        rebuilt.looked_at += 1;
        progress(rebuilt.looked_at, total);
    }
    rebuilt.unknown = list(dir)?
        .into_iter()
        .filter(|(id, _)| id.as_ref().is_none_or(|id| state.get(id).is_none()))
        .map(|(_, path)| path)
        .collect();
    Ok(rebuilt)
}

fn rebuild_one(
    dir: &StateDir,
    host: &Host,
    job: &Job,
    rebuilt: &mut Rebuilt,
) -> Result<(), (PathBuf, String)> {
    let paths = dir.paths.job(&job.id.to_string()).map_err(|e| (dir.paths.jobs(), e.to_string()))?;
    let failed = |e: DiskError| (paths.record.clone(), format!("{e}: {}", e.source));
    let wanted = job.to_document();
    let found = read_optional(&paths.record).map_err(failed)?;
    // It was not synced in the boot in which the job ran last.
    let claimed_on = job.run_state().claimed_on.as_deref();
    let may_be_unwritten = claimed_on.is_some_and(|then| host.is_later_boot_of(then));
    if found.as_deref().is_some_and(|text| says(text, &wanted)) {
        return Ok(());
    }
    let found = found.filter(|text| !may_be_unwritten || text.iter().any(|&byte| byte != 0));
    // A scheduler that claims a job writes its record before anything is started.
    if found.is_none()
        && !may_be_unwritten
        && (!job.run_state().attempts.is_empty() || paths.sentinel().exists())
    {
        rebuilt.missing.push(job.id.clone());
    }
    if let Some(reason) = found.and_then(|text| understand(&text).err()) {
        let at = dir.clock.now().to_string();
        let reason = format!("not a job's record: {reason}");
        dir.quarantine().keep_file(&paths.record, &reason, &at).map_err(failed)?;
        rebuilt.damaged.push((job.id.clone(), paths.record.clone()));
    }
    replace(&dir.disk, &paths.record, &text_of(&wanted)).map_err(failed)?;
    rebuilt.written.push(job.id.clone());
    Ok(())
}

/// The records that [`rebuild`] would write, each with the reason in words: the job's record is damaged, behind,
/// or missing although the job had a supervisor. Changes nothing.
pub(crate) fn outdated(dir: &StateDir, state: &QueueState) -> Vec<(JobId, &'static str)> {
    let wrong = |job: &Job| {
        let paths = dir.paths.job(&job.id.to_string()).ok()?;
        let found = read_optional(&paths.record).ok()?;
        let why = match found {
            Some(bytes) if bytes == text_of(&job.to_document()) => return None,
            Some(bytes) if serde_json::from_slice::<JobDocument>(&bytes).is_err() => "is damaged",
            Some(_) => "is behind the queue",
            None => "is missing",
        };
        Some((job.id.clone(), why))
    };
    state.jobs().filter(|job| job.run_state.is_some()).filter_map(wrong).collect()
}

/// The records of those jobs that can be parsed, in order of their positions, and the paths of those that cannot.
pub fn read_those(
    dir: &StateDir,
    wanted: impl Fn(&JobId) -> bool,
) -> Result<(Vec<JobDocument>, Vec<PathBuf>), DiskError> {
    let (mut documents, mut damaged) = (Vec::new(), Vec::new());
    for (id, path) in list(dir)? {
        let Some(id) = id.filter(&wanted) else { continue };
        match read_record(&path) {
            // A copy under another name is not that job's record.
            Ok(Stored::Whole(document)) if document.job_id == id => documents.push(document),
            Ok(Stored::Missing) => {}
            _ => damaged.push(path),
        }
    }
    documents.sort_by_key(|d| d.place);
    Ok((documents, damaged))
}

/// The job that a record's file name names.
pub(crate) fn job_of(path: &Path) -> Option<JobId> {
    named(path)?.0
}

/// The existing records, each with the id from its name.
fn list(dir: &StateDir) -> Result<Vec<(Option<JobId>, PathBuf)>, DiskError> {
    let folder = dir.paths.jobs();
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("list", &folder)?,
    };
    let mut records: Vec<_> = entries.flatten().filter_map(|e| named(&e.path())).collect();
    records.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(records)
}

fn named(path: &Path) -> Option<(Option<JobId>, PathBuf)> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let id = crate::state::names::decode(name).and_then(|name| name.parse().ok());
    Some((id, path.to_owned()))
}
