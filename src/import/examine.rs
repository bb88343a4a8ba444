//! One job of the workspace: it is read and judged, and the files that its record needs are written.
//!
//! The effects (a copy in quarantine, `output.log`, the end of a cancelled job's process) come before the
//! record: a run that is killed between them repeats them, with the same result.

use std::collections::HashSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::document::Source;
use super::effects::Effects;
use super::error::ImportError;
use super::evidence::{Evidence, ProcessEvidence, Processes, gather};
use super::findings;
use super::legacy::{LegacyJob, Reading, parse};
use super::options::ImportOptions;
use super::outcome::{Judgement, Verdict, judge};
use super::report::{ImportedJob, JobAction, QuarantinedFile, shown};
use super::scan::{FoundJob, Scan, Unreadable, Workspace, canonical};
use crate::findings::{Finding, Object};
use crate::queue::{JobDocument, JobId, JobStatus};
use crate::state::{StateDir, Timestamp};
use crate::system::Host;

/// Larger files are no job files; in bytes.
const LARGEST_JOB_FILE: u64 = 256 << 20;
/// A crash may leave a hole where something was to be written; a file with more bytes of holes than this is
/// no job file.
const LARGEST_HOLE: u64 = 16 << 20;

/// A job with a longer spec, in bytes, cannot be written as one record of the log.
const LARGEST_SPEC: usize = 64 << 20;

/// The place of a job among the records: first interrupted jobs, then queued jobs by their position, then the
/// rest; equal ones by creation, then by id.
pub(super) type Rank = (u8, u64, jiff::Timestamp, String);

/// The result for one job.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// Its rank, its record, and what the report shows of it.
    pub(super) taken: Option<Box<(Rank, JobDocument, ImportedJob)>>,
    pub(super) quarantined: Option<QuarantinedFile>,
    pub(super) findings: Vec<Finding>,
    /// The job is not in the queue, yet what belongs to it must stay: it is not known whether the job is
    /// over.
    pub(super) is_undecided: bool,
}

impl Examined {
    /// Leaves a job out: nothing is taken over, and the next run looks again.
    fn leave_out(&mut self, found: &FoundJob, why: &str) {
        self.findings.push(findings::left_out(&found.id, why));
        self.is_undecided = true;
    }
}

/// What all jobs are examined with.
pub(super) struct Examiner<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) options: &'a ImportOptions,
    pub(super) effects: Effects<'a>,
    pub(super) processes: Processes,
    pub(super) boot_id: String,
    /// The ids of all job files.
    pub(super) known: HashSet<JobId>,
    pub(super) now: Timestamp,
}

/// The bytes of a job file, and when it was last written.
#[derive(Default)]
struct JobFile {
    /// `None` when there is nothing of which a copy could be kept: a link, a folder.
    bytes: Option<Vec<u8>>,
    written_at: Option<Timestamp>,
}

/// A job file that was read.
struct Loaded {
    job: Box<LegacyJob>,
    /// What is damaged, when the file holds no complete job.
    damage: Option<String>,
    written_at: Option<Timestamp>,
}

impl<'a> Examiner<'a> {
    pub(super) fn new(
        dir: &'a StateDir,
        workspace: &'a Workspace,
        scan: &Scan,
        options: &'a ImportOptions,
    ) -> Self {
        Examiner {
            workspace,
            options,
            effects: Effects { dir, dry_run: options.dry_run },
            processes: Processes::default(),
            boot_id: Host::this().boot_id,
            known: scan.jobs.iter().map(|job| job.id.clone()).collect(),
            now: dir.clock.now(),
        }
    }

    /// Examines a job that the queue does not have.
    pub(super) fn examine(&self, found: &FoundJob) -> Result<Examined, ImportError> {
        let mut result = Examined::default();
        let Some(loaded) = self.load(found, &mut result)? else { return Ok(result) };
        self.compare_id(found, &loaded.job, &mut result);
        let evidence = gather(self.workspace, found, loaded.job.process_id, &self.processes);
        if let Some(reason) = &loaded.damage {
            let lives = matches!(evidence.process, ProcessEvidence::Script { .. });
            let can_be_rebuilt = evidence.folder.is_some() || lives;
            let path = self.workspace.job_file(found);
            result.findings.push(findings::damaged(&path, reason, can_be_rebuilt));
            if !can_be_rebuilt {
                result.is_undecided = true;
                return Ok(result);
            }
        }
        self.take(found, &loaded, &evidence, &mut result)?;
        Ok(result)
    }

    /// Reads a job file, and keeps a copy when something is wrong with it. `None` when it gives no job.
    fn load(&self, found: &FoundJob, result: &mut Examined) -> Result<Option<Loaded>, ImportError> {
        let path = self.workspace.job_file(found);
        let (reading, file) = match self.read(&path) {
            Ok(file) => (parse(file.bytes.as_deref().unwrap_or_default()), file),
            Err(Unreadable::System(e)) => {
                let why = format!("{} cannot be read: {e}", shown(&path));
                result.leave_out(found, &why);
                return Ok(None);
            }
            // The file is gone since it was listed: there is nothing to take over.
            Err(Unreadable::Missing) => return Ok(None),
            Err(e) => {
                let damaged = Reading::Damaged { salvaged: Box::default(), reason: e.to_string() };
                (damaged, JobFile::default())
            }
        };
        let (job, damage, wrong) = match reading {
            Reading::Whole(job) => (job, None, None),
            Reading::Trailing(job) => {
                result.findings.push(findings::trailing(&path));
                (job, None, Some("bytes behind the job's JSON object".to_owned()))
            }
            Reading::Damaged { salvaged, reason } => (salvaged, Some(reason.clone()), Some(reason)),
        };
        let copy = self.is_copy(found, &job).then(|| "it is a copy of another job's file".to_owned());
        if let Some(reason) = copy.as_ref().or(wrong.as_ref()) {
            result.quarantined = Some(self.quarantine(found, &path, file.bytes.as_deref(), reason)?);
        }
        if let Some(reason) = copy {
            let sentence = format!("The job file {} was not taken over: {reason}.", shown(&path));
            result.findings.push(findings::id_differs(&path, sentence));
            return Ok(None);
        }
        Ok(Some(Loaded { job, damage, written_at: file.written_at }))
    }

    fn read(&self, path: &Path) -> Result<JobFile, Unreadable> {
        let file = self.workspace.open_file(path)?;
        let metadata = file.metadata()?;
        let hole = metadata.len().saturating_sub(metadata.blocks().saturating_mul(512));
        if metadata.len() > LARGEST_JOB_FILE || hole > LARGEST_HOLE {
            return Err(Unreadable::TooLarge(metadata.len()));
        }
        let written_at = metadata.modified().ok().map(Timestamp::from);
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.take(LARGEST_JOB_FILE).read_to_end(&mut bytes)?;
        Ok(JobFile { bytes: Some(bytes), written_at })
    }

    /// Returns the bytes of a file, if it can be read.
    pub(super) fn read_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.read(path).ok()?.bytes
    }

    fn quarantine(
        &self,
        found: &FoundJob,
        path: &Path,
        bytes: Option<&[u8]>,
        reason: &str,
    ) -> Result<QuarantinedFile, ImportError> {
        let kept_as = match bytes {
            Some(bytes) => self.effects.keep(path, bytes, reason)?,
            None => None,
        };
        let job_id = Some(found.id.to_string());
        Ok(QuarantinedFile { path: shown(path), job_id, kept_as, reason: reason.to_owned() })
    }

    /// Whether the file is a copy, such as `Copy of ID.job.json` and `ID.backup.job.json` beside
    /// `ID.job.json`: the job must not run twice.
    fn is_copy(&self, found: &FoundJob, job: &LegacyJob) -> bool {
        let original = job.id.as_deref().and_then(|id| canonical(id).parse::<JobId>().ok());
        !found.id.is_uuid()
            && original.is_some_and(|id| id.is_uuid() && id != found.id && self.known.contains(&id))
    }

    fn compare_id(&self, found: &FoundJob, job: &LegacyJob, result: &mut Examined) {
        let Some(inside) = &job.id else { return };
        if !inside.eq_ignore_ascii_case(&found.stem) && canonical(inside) != found.id.to_string() {
            let path = self.workspace.job_file(found);
            let sentence = format!(
                "The job file {} says that it is job {inside}; the name of the file counts.",
                shown(&path)
            );
            result.findings.push(findings::id_differs(&path, sentence));
        }
    }

    fn take(
        &self,
        found: &FoundJob,
        loaded: &Loaded,
        evidence: &Evidence,
        result: &mut Examined,
    ) -> Result<(), ImportError> {
        let job = &*loaded.job;
        let judgement = judge(loaded.damage.is_none().then_some(job), evidence);
        if judgement.verdict == Verdict::LeftOut {
            result.leave_out(found, &judgement.evidence.join("; "));
            return Ok(());
        }
        let withstood = self.end_process(&judgement, found, result);
        let source = Source {
            id: &found.id,
            job,
            evidence,
            judgement: &judgement,
            template: &self.options.template,
            recorded_at: loaded.written_at.unwrap_or(self.now),
            boot_id: &self.boot_id,
            output_path: self.output_path(found, evidence),
            is_reconstructed: loaded.damage.is_some(),
            withstood,
        };
        let document = source.document()?;
        if document.spec.get().len() > LARGEST_SPEC {
            let why = format!("it takes {} bytes, more than a record can hold", document.spec.get().len());
            result.leave_out(found, &why);
            return Ok(());
        }
        if let Some(text) = source.recorded_output() {
            self.effects.write_output(&found.id, text)?;
        }
        note_processes(found, evidence, &source, result);
        let shown = self.show(found, &document, &source, &judgement);
        result.taken = Some(Box::new((rank(job, &judgement, &document), document, shown)));
        Ok(())
    }

    /// Ends a cancelled job's process; returns true when the process could not be ended.
    fn end_process(&self, judgement: &Judgement, found: &FoundJob, result: &mut Examined) -> bool {
        let Verdict::Cancelled { process: Some(process) } = judgement.verdict else { return false };
        let Err(why) = self.effects.end_script(process) else { return false };
        let but = format!("it was to be cancelled and could not be ended: {why}");
        result.findings.push(findings::process_alive(Object::job(&found.id), process.pid, &but));
        true
    }

    fn output_path(&self, found: &FoundJob, evidence: &Evidence) -> std::path::PathBuf {
        let folder = || {
            let name = found.folder.clone().unwrap_or_else(|| found.stem.clone().into());
            self.workspace.root().join("jobs").join(name)
        };
        let named = || folder().join(format!(".claude-job-{}.output", found.stem));
        evidence.output_path.clone().unwrap_or_else(named)
    }

    fn show(
        &self,
        found: &FoundJob,
        document: &JobDocument,
        source: &Source<'_>,
        judgement: &Judgement,
    ) -> ImportedJob {
        let run = document.run_state.clone().unwrap_or_default();
        ImportedJob {
            job_id: found.id.clone(),
            action: JobAction::Imported,
            status: document.status,
            position: None,
            exit_code: run.exit_code,
            pid: run.adopted.as_ref().map(|a| a.pid),
            reason: run.reason,
            title: source.job.title.clone(),
            repository: document.repository.as_deref().map(str::to_owned),
            evidence: judgement.evidence.clone(),
            reconstructed: run.reconstructed,
            staging: self.workspace.staging_folder(found).map(|path| shown(&path)),
        }
    }
}

fn note_processes(found: &FoundJob, evidence: &Evidence, source: &Source<'_>, result: &mut Examined) {
    let status = source.status();
    match &evidence.process {
        ProcessEvidence::Stranger { pid, command } if status == JobStatus::Crashed => {
            result.findings.push(findings::pid_reused(&found.id, *pid, command));
        }
        ProcessEvidence::Script { process, .. } if status.is_over() && status != JobStatus::Cancelled => {
            let object = Object::job(&found.id);
            result.findings.push(findings::process_alive(object, process.pid, "although the job is over"));
        }
        _ => {}
    }
}

fn rank(job: &LegacyJob, judgement: &Judgement, document: &JobDocument) -> Rank {
    let (group, position) = match judgement.verdict {
        Verdict::Queued { ahead: true } => (0, 0),
        Verdict::Queued { ahead: false } => (1, job.queue_position.unwrap_or(u64::MAX)),
        _ => (2, 0),
    };
    let submitted = jiff::Timestamp::from_millisecond(document.submitted_at.as_millis()).unwrap_or_default();
    (group, position, job.created_at.unwrap_or(submitted), document.job_id.to_string())
}
