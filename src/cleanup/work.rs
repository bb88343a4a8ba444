//! One cleanup: the conditions checked before each effect, and the progress file written around it.

use std::path::Path;
use std::time::Instant;

use super::cleaner::{Cleaner, CleanupError};
use super::record::{CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, Source, Step};
use super::{completed, store};
use crate::durable::LockError;
use crate::in_use::Use;
use crate::jobs::{JobLockGuard, ProcessTable, living_of, lock_job_files};

/// Why a phase did not come to its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nothing failed: the phase is tried again soon, and this does not count as a try.
    NotYet(String),
    /// The files are in use: the phase is tried again with growing pauses, and this does not count as a try.
    InUse(String),
    /// The phase failed, and this counts as a try.
    Failed(String),
    /// The phase fails until an operator acts.
    Park(String),
    /// The phase is tried again with growing pauses and never parked, because nothing here could repair the
    /// cause.
    Unreachable(String),
    /// The phase cannot be done here at all.
    Skip(String),
    /// A later attempt of the job began.
    Overtaken,
    /// This process is told to end.
    Stopped,
    /// A progress file could not be written: all work ends.
    Error(CleanupError),
}

impl From<CleanupError> for Halt {
    fn from(error: CleanupError) -> Halt {
        Halt::Error(error)
    }
}

impl From<crate::durable::DiskError> for Halt {
    fn from(error: crate::durable::DiskError) -> Halt {
        Halt::Failed(format!("{error}: {}", error.source))
    }
}

/// The pause before something that was merely busy is tried again, in milliseconds.
const SOON: i64 = 500;
/// How often the pause doubles while the files are in use: up to 16 s.
const DOUBLED: u32 = 5;

/// Work on one cleanup.
pub(super) struct Work<'a> {
    pub(super) cleaner: &'a Cleaner<'a>,
    pub(super) record: CleanupRecord,
    report: &'a (dyn Fn(&CleanupRecord) + Sync),
    /// Whether phases are tried before their next try is due.
    at_once: bool,
    /// Held while anything of the job is removed.
    guard: Option<JobLockGuard>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        cleaner: &'a Cleaner<'a>,
        record: CleanupRecord,
        at_once: bool,
        report: &'a (dyn Fn(&CleanupRecord) + Sync),
    ) -> Work<'a> {
        Work { cleaner, record, report, at_once, guard: None }
    }

    /// Does everything that can be done now.
    pub(super) fn run(mut self) -> Result<CleanupRecord, CleanupError> {
        if self.record.under_way {
            self.record.resumed_from = self.record.open_step();
        }
        if !self.record.is_over() {
            self.record.under_way = true;
            self.record.begun_at.get_or_insert(self.cleaner.dir.clock.now());
            self.save()?;
            self.run_phases()?;
            self.record.under_way = false;
        }
        self.guard = None;
        if self.record.is_over() {
            completed::enter(&self.cleaner.dir, &self.record)?;
            store::remove(&self.cleaner.dir, &self.record.cleanup_id)?;
        } else {
            self.save()?;
        }
        (self.report)(&self.record);
        Ok(self.record)
    }

    fn run_phases(&mut self) -> Result<(), CleanupError> {
        let begun = self.cleaner.dir.clock.now();
        for name in CleanupPhaseName::ALL {
            let phase = self.record.phase_mut(name);
            let is_later = !self.at_once && phase.tries_again_at(begun).is_some_and(|at| at > begun);
            if phase.status.is_over() || phase.status == CleanupPhaseStatus::Parked || is_later {
                continue;
            }
            if name == CleanupPhaseName::Filesystem && !super::record::may_go(&self.record) {
                continue;
            }
            match self.run_phase(name) {
                Ok(()) => {}
                Err(Halt::Stopped) => break,
                Err(Halt::Overtaken) => {
                    self.record.overtaken = true;
                    self.end_the_rest();
                    break;
                }
                Err(Halt::Error(error)) => return Err(error),
                Err(halt) => self.note_failure(name, halt),
            }
            self.save()?;
            (self.report)(&self.record);
        }
        Ok(())
    }

    fn run_phase(&mut self, name: CleanupPhaseName) -> Result<(), Halt> {
        // The flag belongs to the last failed try.
        self.record.phase_mut(name).is_work_at_risk = false;
        self.hold()?;
        let phase = self.record.phase_mut(name);
        phase.status = CleanupPhaseStatus::Running;
        phase.attempts += 1;
        phase.next_try_at = None;
        self.save()?;
        (self.report)(&self.record);
        let done = match name {
            CleanupPhaseName::Cidx => self.remove_index(),
            CleanupPhaseName::Docker => self.remove_docker_objects(),
            CleanupPhaseName::Filesystem => self.remove_files(),
        };
        done?;
        let phase = self.record.phase_mut(name);
        phase.status = CleanupPhaseStatus::Done;
        (phase.error, phase.failures, phase.waits) = (None, 0, 0);
        Ok(())
    }

    fn note_failure(&mut self, name: CleanupPhaseName, halt: Halt) {
        let (tries, settings) = (self.cleaner.settings.tries, &self.cleaner.settings);
        let now = self.cleaner.dir.clock.now();
        let after = |failures| {
            let pause = i64::try_from(settings.pause_after(failures).as_millis()).unwrap_or(i64::MAX);
            Some(now.plus_millis(pause))
        };
        let phase = self.record.phase_mut(name);
        match halt {
            Halt::Skip(why) => {
                phase.status = CleanupPhaseStatus::Skipped;
                phase.error = Some(why);
            }
            Halt::NotYet(why) => {
                phase.status = CleanupPhaseStatus::Failed;
                phase.error = Some(why);
                phase.next_try_at = Some(now.plus_millis(SOON));
            }
            Halt::InUse(why) => {
                phase.status = CleanupPhaseStatus::Failed;
                phase.error = Some(why);
                phase.next_try_at = Some(now.plus_millis(SOON << phase.waits.min(DOUBLED)));
                phase.waits = phase.waits.saturating_add(1);
            }
            Halt::Unreachable(why) => {
                phase.failures += 1;
                phase.status = CleanupPhaseStatus::Failed;
                phase.error = Some(why);
                phase.next_try_at = after(phase.failures);
            }
            Halt::Failed(why) => {
                phase.failures += 1;
                let is_last = phase.failures >= tries;
                phase.status = if is_last { CleanupPhaseStatus::Parked } else { CleanupPhaseStatus::Failed };
                phase.next_try_at = if is_last { None } else { after(phase.failures) };
                phase.error = Some(why);
            }
            Halt::Park(why) => {
                phase.failures = tries;
                phase.status = CleanupPhaseStatus::Parked;
                phase.error = Some(why);
            }
            Halt::Overtaken | Halt::Stopped | Halt::Error(_) => {}
        }
    }

    fn end_the_rest(&mut self) {
        for phase in self.record.phases.iter_mut().filter(|p| !p.status.is_over()) {
            phase.status = CleanupPhaseStatus::Skipped;
            phase.error = Some("a later attempt of the job began: what is there is its".to_owned());
            phase.next_try_at = None;
        }
    }

    /// Locks the job, then checks whether it is still over. The check comes after the lock: nothing can begin
    /// any more.
    fn hold(&mut self) -> Result<(), Halt> {
        if (self.cleaner.stop)() {
            return Err(Halt::Stopped);
        }
        let dir = &self.cleaner.dir;
        if self.guard.is_none() && !self.files_are_taken() {
            match lock_job_files(dir, &self.record.job_id) {
                Ok(guard) => self.guard = Some(guard),
                Err(LockError::Held { .. }) => {
                    return Err(Halt::NotYet("its sentinel.lock is held: something of it lives".to_owned()));
                }
                Err(LockError::Disk(e)) => return Err(e.into()),
            }
        }
        self.check_that_it_is_over()?;
        if self.files_are_taken() {
            return Ok(()); // The rest is in the trash.
        }
        let life = living_of(dir, &self.record.job_id, &ProcessTable::new());
        if let Some(process) = life.processes.first() {
            let why = format!("process {} of the job lives", process.pid);
            return Err(Halt::NotYet(why));
        }
        if let Some(why) = life.doubt {
            return Err(Halt::InUse(format!("whether a process of the job lives is not known: {why}")));
        }
        Ok(())
    }

    /// Checks with the queue that the job is over. Called before each effect.
    pub(super) fn check_that_it_is_over(&self) -> Result<(), Halt> {
        if (self.cleaner.stop)() {
            return Err(Halt::Stopped);
        }
        let mut queue = self.cleaner.queue();
        queue.refresh().map_err(CleanupError::from)?;
        match queue.state().get(&self.record.job_id) {
            Some(job) if job.status.is_over() && job.attempt == self.record.attempt => Ok(()),
            Some(_) if self.files_are_taken() => Ok(()),
            Some(_) => Err(Halt::Overtaken),
            // The job was pruned since, or because of this cleanup; its lock is ours.
            None if self.record.source == Source::Pruned || self.record.begun_at.is_some() => Ok(()),
            None => Err(Halt::Failed("the queue does not know the job".to_owned())),
        }
    }

    /// Checks that a folder of the job is not in use now.
    pub(super) fn check_unused(&self, folder: &Path) -> Result<(), Halt> {
        let in_use = self.cleaner.in_use_since(Instant::now())?;
        let used = in_use.first(folder, Some(&self.record.job_id));
        used.map_or(Ok(()), |used| Err(Halt::InUse(format!("its files are in use: {used}"))))
    }

    /// Checks that no use of a folder is seen. Unknown uses are no reason to wait here: the archive of the
    /// git work fails because of them, and names them; before the folder is taken, they count.
    pub(super) fn check_not_seen_in_use(&self, folder: &Path) -> Result<(), Halt> {
        let in_use = self.cleaner.in_use_since(Instant::now())?;
        let used = in_use.first(folder, Some(&self.record.job_id)).filter(Use::is_certain);
        used.map_or(Ok(()), |used| Err(Halt::InUse(format!("its files are in use: {used}"))))
    }

    /// Checks that no job is to work in a folder.
    pub(super) fn check_no_job_in(&self, folder: &Path) -> Result<(), Halt> {
        let in_use = self.cleaner.in_use_since(Instant::now())?;
        let used = in_use.jobs().in_folder(folder, Some(&self.record.job_id));
        used.map_or(Ok(()), |used| Err(Halt::InUse(format!("its files are in use: {used}"))))
    }

    /// Whether the workspace is in the trash: a folder that has its name now is another one.
    fn files_are_taken(&self) -> bool {
        let steps = self.record.phase(CleanupPhaseName::Filesystem).into_iter().flat_map(|p| &p.steps);
        steps.into_iter().any(|s| s.step == super::record::TAKE && s.done_at.is_some())
    }

    pub(super) fn save(&self) -> Result<(), CleanupError> {
        Ok(store::save(&self.cleaner.dir, &self.record)?)
    }

    /// Shows the progress without writing it.
    pub(super) fn show(&self) {
        (self.report)(&self.record);
    }

    /// Writes the intents of some steps into the progress file, in one write. A step that was tried too often
    /// without any result is not tried again.
    pub(super) fn intend(&mut self, name: CleanupPhaseName, steps: &[String]) -> Result<(), Halt> {
        self.check_that_it_is_over()?;
        let (now, tries) = (self.cleaner.dir.clock.now(), self.cleaner.settings.tries);
        let phase = self.record.phase_mut(name);
        for step in phase.steps.iter_mut().filter(|s| steps.contains(&s.step)) {
            if step.intents >= tries {
                let why = format!("step {} was begun {tries} times and never came to an end", step.step);
                phase.failures = tries;
                return Err(Halt::Failed(why));
            }
            step.begun_at = Some(now);
            step.intents += 1;
            step.error = None;
        }
        Ok(self.save()?)
    }

    /// Writes a step's result.
    pub(super) fn record_result(
        &mut self,
        name: CleanupPhaseName,
        step: &str,
        result: StepResult,
    ) -> Result<(), Halt> {
        let now = self.cleaner.dir.clock.now();
        let phase = self.record.phase_mut(name);
        let Some(step) = phase.steps.iter_mut().find(|s| s.step == step) else { return Ok(()) };
        step.intents = 0;
        match result {
            StepResult::Done(how) => {
                step.done_at = Some(now);
                (step.result, step.error) = (Some(how.to_owned()), None);
            }
            StepResult::Failed(why) => step.error = Some(why),
        }
        Ok(self.save()?)
    }

    pub(super) fn step(&self, name: CleanupPhaseName, step: &str) -> Option<&Step> {
        self.record.phase(name)?.steps.iter().find(|s| s.step == step)
    }

    /// Releases the job: its workspace is in the trash.
    pub(super) fn let_go(&mut self) {
        self.guard = None;
    }
}

/// How a step ended.
pub(super) enum StepResult {
    Done(&'static str),
    Failed(String),
}
