//! `repair locks`: restores damaged metadata from evidence, or frees the lock when it is not held.
//!
//! The evidence, the strongest first: the second copy of the grant in the lock file, judged as if it still held;
//! the job that runs on the repository, if its sentinel names the grant; and a scan of all processes for one that
//! was given this repository. Only what this evidence proves is done. A lock that it leaves open stays
//! unavailable, and is reported with the command that decides it.
//!
//! It also gives back locks of dead holders, and rewrites a fencing number whose own copy was lost, so that the
//! next damage does not cost the number.

use super::fencing::{self, Stored, last_grant};
use super::fencing_number::FencingNumber;
use super::folder::repositories;
use super::inspector::LockInspector;
use super::metadata::{LockHolder, LockMetadata, LockState, MetadataRead, read_metadata, writing};
use super::probe::{LockProbe, PROBE_WAIT, probe};
use super::recover::{give_back, look_at_many, with_cause};
use super::scan::processes_given;
use super::verdict::{Flock, JobLiveness, JobLivenessOf, LockVerdict};
use crate::durable::{DiskError, DiskFile, FileLock, is_held};
use crate::queue::{Actor, Claim, JobId};
use crate::state::{LockPaths, StateDir};
use crate::system::{Host, ProcessIdentity};

/// The attempt that, as far as the queue knows, runs on a repository, and what its sentinel says of the lock.
#[derive(Debug, Clone)]
pub struct RunningHolder {
    pub job_id: JobId,
    pub attempt: u32,
    /// The claim that began the attempt.
    pub claim: Claim,
    /// The grant that its sentinel names.
    pub lock_id: Option<String>,
    /// The fencing number that its command was given.
    pub token: Option<FencingNumber>,
    /// Its supervisor, and the host where that ran.
    pub supervisor: Option<(ProcessIdentity, Host)>,
}

/// Returns the job that runs on a repository.
type RunningHolderOf<'a> = dyn Fn(&str) -> Option<RunningHolder> + 'a;

/// An act of repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockAct {
    /// The holder lives: the metadata is rewritten.
    RestoreMetadata,
    /// The lock is not held: it is given back, and keeps its number.
    Free,
    /// The lock of a dead holder is given back.
    GiveBack,
    /// The fencing number in the lock file is written anew.
    WriteNumber,
}

impl LockAct {
    /// The word for it in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            LockAct::RestoreMetadata => "restore-lock-metadata",
            LockAct::Free => "free-lock",
            LockAct::GiveBack => "give-back-lock",
            LockAct::WriteNumber => "write-fencing-number",
        }
    }
}

/// A planned or completed repair of one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRepair {
    pub repository: String,
    /// `None` when nothing may be done.
    pub act: Option<LockAct>,
    /// Why, in one sentence.
    pub reason: String,
    /// The evidence.
    pub evidence: Vec<String>,
    /// Whether it was done.
    pub done: bool,
    /// The copy of the damaged metadata.
    pub quarantined: Option<std::path::PathBuf>,
    /// Why it was not done.
    pub error: Option<String>,
}

/// Answers questions about jobs.
#[derive(Clone, Copy)]
pub struct JobWitness<'a> {
    /// Whether an attempt is alive.
    pub liveness: &'a JobLivenessOf<'a>,
    /// The job that runs on a repository.
    pub running: &'a RunningHolderOf<'a>,
}

/// The repairs that [`repair`] would make. Changes nothing.
pub fn plan_repair(dir: &StateDir, jobs: JobWitness<'_>) -> Result<Vec<LockRepair>, DiskError> {
    let names: Vec<String> = repositories(&dir.paths.locks())?.into_iter().collect();
    let look = look_at_many(dir, jobs.liveness, &names, &mut || true);
    Ok(names.iter().filter_map(|name| plan_with(dir, &look, jobs, name)).collect())
}

/// As [`plan_repair`], for one repository.
pub(crate) fn plan_one(dir: &StateDir, repository: &str, jobs: JobWitness<'_>) -> Option<LockRepair> {
    plan_with(dir, &LockInspector::new(dir, jobs.liveness), jobs, repository)
}

fn plan_with(
    dir: &StateDir,
    look: &LockInspector<'_>,
    jobs: JobWitness<'_>,
    repository: &str,
) -> Option<LockRepair> {
    let paths = dir.paths.lock(repository).ok()?;
    let flock = match is_held(&paths.flock) {
        Ok(true) => Flock::Held,
        Ok(false) => Flock::Free,
        Err(e) if e.is_not_found() => Flock::Free,
        Err(e) => Flock::Unusable(with_cause(&e)),
    };
    let case = Case { dir, look, jobs, repository, paths: &paths };
    case.decide(&flock, &read_metadata(&paths.metadata, repository)).map(|plan| plan.repair)
}

/// Makes the planned repair of one repository, judged again with the flock taken. `None` when nothing is left
/// to do.
pub fn repair(
    dir: &StateDir,
    repository: &str,
    jobs: JobWitness<'_>,
    actor: &Actor,
) -> Result<Option<LockRepair>, DiskError> {
    let Ok(paths) = dir.paths.lock(repository) else { return Ok(None) };
    let look = LockInspector::new(dir, jobs.liveness);
    let case = Case { dir, look: &look, jobs, repository, paths: &paths };
    let LockProbe { flock, metadata, .. } = probe(dir, &look, repository, &paths, PROBE_WAIT)?;
    let state = match (&flock, look.is_on_network()) {
        (Some(_), _) => Flock::Free,
        (None, true) => Flock::Unusable("it is on a network file system".to_owned()),
        (None, false) => Flock::Held,
    };
    let Some(mut plan) = case.decide(&state, &metadata) else { return Ok(None) };
    if plan.repair.act.is_some() {
        match case.act(&plan, &metadata, flock.as_ref(), actor) {
            Ok(quarantined) => {
                plan.repair.done = true;
                plan.repair.quarantined = quarantined;
            }
            Err(why) => plan.repair.error = Some(why),
        }
    }
    Ok(Some(plan.repair))
}

/// The act, and the metadata after it.
struct Plan {
    repair: LockRepair,
    becomes: Option<LockMetadata>,
}

struct Case<'a> {
    dir: &'a StateDir,
    look: &'a LockInspector<'a>,
    jobs: JobWitness<'a>,
    repository: &'a str,
    paths: &'a LockPaths,
}

impl Case<'_> {
    fn decide(&self, flock: &Flock, metadata: &MetadataRead) -> Option<Plan> {
        match metadata {
            MetadataRead::Damaged { why } => Some(self.of_damaged(flock, why)),
            MetadataRead::Whole(m) => self.of_whole(flock, metadata, m),
            MetadataRead::Missing => None,
        }
    }

    fn of_whole(&self, flock: &Flock, read: &MetadataRead, m: &LockMetadata) -> Option<Plan> {
        let judgement = self.look.judge(flock.clone(), read);
        let whole = || Some(Box::new(m.clone()));
        match judgement.verdict {
            LockVerdict::Stale => {
                let reason = format!("{} is gone and has not given it back", m.holder_text());
                Some(self.plan(LockAct::GiveBack, reason, judgement.evidence, whole()))
            }
            LockVerdict::Unknown { why } => {
                let reason = format!("whether {} lives cannot be said: {why}", m.holder_text());
                Some(self.left(reason, judgement.evidence))
            }
            _ if *flock == Flock::Free && self.number_is_lost() => {
                let reason = "the copy of the fencing number in the lock file cannot be read".to_owned();
                let evidence = vec![format!("the metadata has the number {}", m.token)];
                Some(self.plan(LockAct::WriteNumber, reason, evidence, whole()))
            }
            _ => None,
        }
    }

    fn number_is_lost(&self) -> bool {
        matches!(self.stored(), Some(Stored::Damaged | Stored::Nothing))
    }

    /// `None` when there is no lock file.
    fn stored(&self) -> Option<Stored> {
        let file: DiskFile =
            self.paths.flock.exists().then(|| self.dir.disk.open(&self.paths.flock).ok())??;
        fencing::read(&file).ok()
    }

    fn of_damaged(&self, flock: &Flock, why: &str) -> Plan {
        let damaged = format!("the metadata is damaged: {why}");
        match last_grant(&self.paths.flock, self.repository) {
            Some(grant) => self.by_the_copy(flock, damaged, grant),
            None => self.without_a_copy(flock, damaged),
        }
    }

    /// Judges by the copy in the lock file as if the grant still held, because the copy does not say whether it
    /// was given back.
    fn by_the_copy(&self, flock: &Flock, damaged: String, grant: LockMetadata) -> Plan {
        let named = format!("the copy of the grant in the lock file names {}", grant.holder_text());
        let read = MetadataRead::Whole(Box::new(grant.clone()));
        let judgement = match self.look.covers(&read) {
            true => self.look.judge(flock.clone(), &read),
            false => self.look.anew(self.dir).judge(flock.clone(), &read),
        };
        let evidence = [vec![named], judgement.evidence].concat();
        match judgement.verdict {
            LockVerdict::Live => {
                self.plan(LockAct::RestoreMetadata, damaged, evidence, Some(Box::new(grant)))
            }
            LockVerdict::Stale | LockVerdict::Free => {
                self.plan(LockAct::Free, damaged, evidence, Some(Box::new(grant)))
            }
            LockVerdict::LiveUnidentified => {
                self.left(format!("{damaged}; the lock is held by an unknown process"), evidence)
            }
            LockVerdict::Unknown { why } => self.left(format!("{damaged}; {why}"), evidence),
        }
    }

    fn without_a_copy(&self, flock: &Flock, damaged: String) -> Plan {
        let mut evidence = vec!["the lock file has no copy of the grant".to_owned()];
        if let Some(holder) = (self.jobs.running)(self.repository) {
            return self.by_the_job(damaged, evidence, &holder);
        }
        evidence.push("no job runs on this repository".to_owned());
        match flock {
            Flock::Free => {}
            Flock::Held => {
                evidence.push("the flock is held".to_owned());
                return self.left(format!("{damaged}; the lock is held by an unknown process"), evidence);
            }
            Flock::Unusable(why) => return self.left(format!("{damaged}; {why}"), evidence),
        }
        evidence.push("the flock is free".to_owned());
        match processes_given(self.repository) {
            Err(why) => self.left(format!("{damaged}; what its holder left cannot be seen: {why}"), evidence),
            Ok(processes) if !processes.is_empty() => {
                let pids: Vec<String> = processes.iter().map(ToString::to_string).collect();
                evidence.push(format!("processes {} were given this repository", pids.join(", ")));
                self.left(format!("{damaged}; processes that were given it live"), evidence)
            }
            Ok(_) => {
                evidence.push("no process of this machine was given this repository".to_owned());
                self.plan(LockAct::Free, damaged, evidence, None)
            }
        }
    }

    fn by_the_job(&self, damaged: String, mut evidence: Vec<String>, holder: &RunningHolder) -> Plan {
        let RunningHolder { job_id, attempt, claim, lock_id, token, supervisor } = holder;
        evidence.push(format!("job {job_id} runs on this repository (attempt {attempt}, claim {claim})"));
        let (Some(lock_id), Some((process, host))) = (lock_id, supervisor) else {
            return self.left(format!("{damaged}; the job's sentinel does not name the lock"), evidence);
        };
        evidence.push(format!("its sentinel names the lock {lock_id}"));
        if (self.jobs.liveness)(job_id, *claim) != JobLiveness::Alive {
            return self.left(format!("{damaged}; whether job {job_id} lives cannot be said"), evidence);
        }
        evidence.push(format!("job {job_id} is alive: the lock stays with it"));
        let of_job = LockHolder::Job { job_id: job_id.clone(), attempt: *attempt, claim: *claim };
        let mut metadata = self.anew(of_job, "job");
        (metadata.lock_id, metadata.process, metadata.host) = (lock_id.clone(), *process, host.clone());
        if let Some(token) = token {
            evidence.push(format!("its command was given the fencing number {token}"));
            metadata.token = *token;
        }
        self.plan(LockAct::RestoreMetadata, damaged, evidence, Some(Box::new(metadata)))
    }

    /// New metadata with the known fencing number, or with one above all that can have been granted.
    fn anew(&self, holder: LockHolder, operation: &str) -> LockMetadata {
        let now = self.dir.clock.now();
        let damaged = MetadataRead::Damaged { why: String::new() };
        let token = fencing::last(self.stored().unwrap_or(Stored::Nothing), &damaged, now);
        LockMetadata::of_this_process(self.repository, token, holder, operation.to_owned(), now)
    }

    fn plan(
        &self,
        act: LockAct,
        reason: String,
        evidence: Vec<String>,
        becomes: Option<Box<LockMetadata>>,
    ) -> Plan {
        let becomes = becomes.map(|m| *m);
        Plan { repair: LockRepair { act: Some(act), ..self.left(reason, evidence).repair }, becomes }
    }

    fn left(&self, reason: String, evidence: Vec<String>) -> Plan {
        let repository = self.repository.to_owned();
        let repair = LockRepair {
            repository,
            act: None,
            reason,
            evidence,
            done: false,
            quarantined: None,
            error: None,
        };
        Plan { repair, becomes: None }
    }

    /// Carries out the plan; returns the path of the copy of the damaged file. A flock that could not be taken
    /// belongs to the living holder; then only the metadata is written.
    fn act(
        &self,
        plan: &Plan,
        read: &MetadataRead,
        flock: Option<&FileLock>,
        actor: &Actor,
    ) -> Result<Option<std::path::PathBuf>, String> {
        let Plan { repair: LockRepair { act, evidence, .. }, becomes } = plan;
        let metadata = becomes.clone().unwrap_or_else(|| self.anew(LockHolder::Process, "repair"));
        match act {
            None => Ok(None),
            Some(LockAct::GiveBack) => {
                give_back(self.dir, self.paths, &metadata, evidence, Some(actor)).map(|()| None)
            }
            Some(LockAct::WriteNumber) => {
                let flock = flock.ok_or("its flock was taken since")?;
                fencing::write(flock.file(), &metadata).map(|()| None).map_err(|e| with_cause(&e))
            }
            Some(LockAct::Free) => {
                let kept = self.keep(read)?;
                give_back(self.dir, self.paths, &metadata, evidence, Some(actor)).map(|()| kept)
            }
            Some(LockAct::RestoreMetadata) => {
                self.restore(read, &LockMetadata { state: LockState::Held, ..metadata })
            }
        }
    }

    fn restore(
        &self,
        read: &MetadataRead,
        metadata: &LockMetadata,
    ) -> Result<Option<std::path::PathBuf>, String> {
        let _writing = writing(&self.dir.disk, self.paths).map_err(|e| e.to_string())?;
        if read_metadata(&self.paths.metadata, self.repository) != *read {
            return Err("another process has written it since".to_owned());
        }
        let kept = self.keep(read)?;
        metadata.write(&self.dir.disk, &self.paths.metadata).map_err(|e| with_cause(&e))?;
        Ok(kept)
    }

    fn keep(&self, read: &MetadataRead) -> Result<Option<std::path::PathBuf>, String> {
        let MetadataRead::Damaged { why } = read else { return Ok(None) };
        let at = self.dir.clock.now().to_string();
        self.dir.quarantine().keep_file(&self.paths.metadata, why, &at).map(Some).map_err(|e| with_cause(&e))
    }
}
