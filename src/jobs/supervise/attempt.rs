//! One attempt, from its sentinel to its recorded end, with the lock held throughout.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use tracing::info;

use super::claim::{ClaimStatus, Decisions};
use super::finish::{how_it_ended, record_end};
use super::heartbeat_writer::HeartbeatWriter;
use super::peak::Peak;
use super::repository::HeldRepository;
use super::settings::{SuperviseError, SuperviseSettings, Supervised, SupervisorHooks};
use super::signals::Signals;
use super::stage::AttemptPlan;
use super::start_report::{ReportReader, StartFailure};
use super::trampoline::{NotStarted, tell};
use super::tree::{Step, Tree};
use super::unclaim::give_back;
use super::watch::{Cause, CommandEnd, Watch, wait_for};
use crate::durable::{FileLock, Home, IoContext, Survives, error_chain, is_weakness, try_lock};
use crate::jobs::command_record::CommandRecord;
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::keeper::{OutputPipe, OutputStream};
use crate::jobs::kinship::Kinship;
use crate::jobs::marks;
use crate::jobs::record;
use crate::jobs::recover::after_crash;
use crate::jobs::sentinel::Sentinel;
use crate::jobs::stored::DOCUMENT_VERSION;
use crate::logging::events;
use crate::queue::{AttemptOutcome, End, Job};
use crate::state::{JobPaths, StateDir, human};
use crate::system::{Cgroup, ProcessIdentity, ResourceUse, start_time, use_of_children};

/// How often the supervisor tries, a second apart, to put back an output that the job has removed. If the disk
/// refuses for that long, the output is lost.
const PUT_BACK_TRIES: u32 = 30;

/// An attempt whose claim was verified.
pub(super) struct RunningAttempt<'a> {
    pub(super) dir: &'a StateDir,
    pub(super) settings: &'a SuperviseSettings,
    pub(super) hooks: &'a SupervisorHooks<'a>,
    pub(super) paths: &'a JobPaths,
    pub(super) job: &'a Job,
    pub(super) plan: AttemptPlan,
    pub(super) signals: &'a Signals,
    /// The control group that was made for it.
    pub(super) group: Option<Cgroup>,
}

impl RunningAttempt<'_> {
    pub(super) fn run(
        &self,
        lock: FileLock,
        repository: Option<Box<dyn HeldRepository>>,
        decisions: &mut Decisions<'_>,
    ) -> Result<Supervised, SuperviseError> {
        // The pipe comes before the sentinel, which names it.
        let pipe = OutputPipe::new(&self.dir.disk, self.paths);
        let sentinel = self.sentinel(repository.as_deref(), pipe.as_ref().ok().map(OutputPipe::id));
        // A claim that does not tell its boot comes from a version that judges by the sentinel alone.
        let tells_its_boot = self.job.run_state().claimed_on.is_some();
        let survives = if tells_its_boot { Survives::Kill } else { Survives::PowerLoss };
        let mut heartbeat =
            HeartbeatWriter::new(self.dir, self.paths, sentinel, survives, lock, self.settings.heartbeat);
        if let Err(e) = heartbeat.begin() {
            self.return_repository(repository);
            self.withdraw()?;
            return Err(e.into());
        }
        // A process that cancels records the cancel and then reads the sentinel; this one writes the sentinel and
        // then reads the log. So one of the two sees the other.
        let looked = decisions.look();
        let asked = self.signals.asked();
        if looked.is_err() || asked.is_some() || *decisions.standing() != ClaimStatus::Current {
            self.return_repository(repository);
            // Nothing was begun, and no file may suggest that it was.
            self.dir.disk.remove_file(&self.paths.sentinel())?;
            self.remove_group();
            looked?;
            return match (decisions.standing(), asked) {
                (ClaimStatus::Lost(why), _) => Ok(Supervised::ClaimLost { why: why.clone() }),
                (ClaimStatus::Current, Some(asked)) => {
                    let by = asked.ended_by(self.dir.clock.now()).by;
                    give_back(self.dir, self.settings, &format!("interrupted before it started: {by}"), None)
                }
                _ => give_back(self.dir, self.settings, "cancelled before it started", None),
            };
        }
        let tree = Tree::new(Kinship::new(self.dir, &self.job.id), self.group.as_ref());
        let (end, peak) =
            match self.run_command(&mut heartbeat, pipe, repository.as_deref(), decisions, &tree) {
                Ok(ended) => ended,
                Err(StartFailure { why, of_host }) => {
                    self.return_repository(repository);
                    self.withdraw()?;
                    return Ok(Supervised::NotStarted { why, of_host });
                }
            };
        // An end is recorded only when no process of the job lives: descendants first, then their last output,
        // then the group, which is empty by now.
        let leftovers = self.end_leftovers(&mut heartbeat, &tree, &end, &peak);
        self.finish_output(&mut heartbeat);
        self.remove_group();
        // `exit.json` comes before the queue's record: if this process is killed in between, the next one records
        // the end by it.
        let exit = self.exit_record(&heartbeat, &end, &peak, leftovers, true);
        let end = self.end_of(&exit);
        record_end(self.dir, &exit, &end, decisions.log(), &mut heartbeat, self.signals, self.hooks)?;
        tell_end(&exit);
        // The repository is given back only now, with the end on disk: its next job must not run beside this one.
        self.return_repository(repository);
        self.advance_record(decisions);
        Ok(Supervised::Ended { exit_code: exit.exit_code, signal: exit.signal })
    }

    /// Updates the job's record with what the log says of the attempt.
    fn advance_record(&self, decisions: &mut Decisions<'_>) {
        let looked = decisions.look().is_ok();
        let advanced = match (self.dir.followed(), decisions.records().filter(|_| looked)) {
            (None, Some(records)) => record::advance_with(self.dir, &self.job.id, records),
            (moved, _) => {
                record::advance(moved.as_ref().unwrap_or(self.dir), &self.job.id, self.settings.claim.seq())
            }
        };
        if let Err(e) = advanced {
            // The record is derived from the log: a recovery writes it anew.
            (self.hooks.notice)(&format!("the job's record is behind: {}", error_chain(&e)));
        }
    }

    fn sentinel(&self, repository: Option<&dyn HeldRepository>, output_pipe: Option<u64>) -> Sentinel {
        let lock_id = repository.map(|r| r.lock_id().to_owned());
        let now = self.dir.clock.now();
        let (claim, command) = (self.settings.claim, self.plan.command.clone());
        let cgroup = self.group.as_ref().map(|group| group.path().to_owned());
        let state = Some(self.dir.stamp());
        Sentinel {
            cgroup,
            state,
            output_pipe,
            ..Sentinel::of_this_process(self.job, claim, command, lock_id, now)
        }
    }

    /// Removes the attempt's files: nothing was begun, and no file may suggest that it was. The sentinel goes
    /// last, because without the others it says that an attempt may have begun. The lock is still held.
    fn withdraw(&self) -> Result<(), SuperviseError> {
        // The directory may have been moved in the meantime.
        let followed = self.dir.followed();
        let dir = followed.as_ref().unwrap_or(self.dir);
        let paths = dir.paths.job(&self.job.id.to_string())?;
        for file in [paths.output(), paths.command(), paths.sentinel()] {
            match dir.disk.remove_file(&file) {
                Err(e) if !e.is_not_found() => return Err(e.into()),
                _ => {}
            }
        }
        self.remove_group();
        Ok(())
    }

    /// Runs the command. One that cannot be started by its own fault has ended with 126 or 127, as with a shell.
    fn run_command(
        &self,
        heartbeat: &mut HeartbeatWriter<'_>,
        pipe: io::Result<OutputPipe>,
        repository: Option<&dyn HeldRepository>,
        decisions: &mut Decisions<'_>,
        tree: &Tree<'_>,
    ) -> Result<(CommandEnd, Peak), StartFailure> {
        let (child, report) = match self.start(heartbeat, pipe, repository) {
            Ok(started) => started,
            Err(why) => {
                if let Some(failure) = why.failure() {
                    return Err(failure);
                }
                tell(&self.dir.disk, &self.paths.output(), &why);
                return Ok((not_started(&why), Peak::of(0)));
            }
        };
        let identity = start_time(child).map(|start_time| ProcessIdentity { pid: child, start_time });
        if let Err(e) = heartbeat.command_started(identity) {
            (self.hooks.notice)(&format!("the sentinel does not name the command: {}", error_chain(&e)));
        }
        info!(
            event = events::COMMAND_STARTED,
            attempt = self.job.attempt,
            command_pid = child,
            "its command is process {child}"
        );
        let Some(command) = i32::try_from(child).ok().and_then(Pid::from_raw) else {
            return Ok((not_started(&NotStarted::Empty), Peak::of(0)));
        };
        let time_limit = self.plan.spec.timeout_ms.map(Duration::from_millis);
        let kill_grace = self.settings.kill_grace;
        let (signals, hooks, clock) = (self.signals, self.hooks, &self.dir.clock);
        let mut peak = Peak::of(child);
        let mut watch = Watch {
            command,
            signals,
            decisions,
            heartbeat,
            hooks,
            clock,
            time_limit,
            kill_grace,
            tree,
            peak: &mut peak,
        };
        let end = watch.until_the_end();
        report.read().map_or(Ok((end, peak)), Err)
    }

    fn start(
        &self,
        heartbeat: &mut HeartbeatWriter<'_>,
        pipe: io::Result<OutputPipe>,
        repository: Option<&dyn HeldRepository>,
    ) -> Result<(u32, ReportReader), NotStarted> {
        let folder = &self.plan.folder;
        if let Err(source) = may_enter(folder) {
            let program = format!("the command in {}", folder.display());
            return Err(NotStarted::Exec { program, source });
        }
        let pipe = pipe.context("make a pipe for", &self.paths.output())?;
        let (mut process, report) =
            self.plan.process(self.dir, self.paths, self.job, self.settings, &pipe)?;
        if let (Some(held), Some(name)) = (repository, &self.job.repository) {
            process.envs(marks::of_repository(name, held.lock_id(), held.token()));
        }
        // Lock the output before the command exists, so that a second process can at no moment empty the pipe.
        let output = self.dir.disk.open_or_create(&self.paths.output())?;
        try_lock(&output)?;
        match process.spawn() {
            Ok(child) => {
                let SuperviseSettings { output_limit, keeper, .. } = self.settings;
                let (pipe, job) = (pipe.into_reader(), self.job.id.clone());
                heartbeat.keep_output(OutputStream::new(pipe, output, *output_limit, keeper.clone(), job));
                Ok((child.id(), report))
            }
            Err(e) if is_of_arguments(&e) => {
                let program = "the process that becomes the command".to_owned();
                // Exit status 127 would say that the job's program is missing.
                Err(NotStarted::Exec { program, source: io::Error::other(e) })
            }
            // The program is ours, and so is everything that it needs: the host is too weak.
            Err(source) => Err(NotStarted::Host { what: "the process that becomes the command", source }),
        }
    }

    /// Ends the processes that the command left behind. The attempt is not over before all of them have gone;
    /// until then its exit status is kept for the process that takes over if this supervisor is killed.
    fn end_leftovers(
        &self,
        heartbeat: &mut HeartbeatWriter<'_>,
        tree: &Tree<'_>,
        end: &CommandEnd,
        peak: &Peak,
    ) -> u32 {
        let (signals, notice) = (self.signals, self.hooks.notice);
        tree.end(self.settings.kill_grace, |step| match step {
            Step::Wait(longest) => wait_for(signals, &[], heartbeat, notice, longest),
            Step::Withstand(processes) => self.withstand(heartbeat, processes, end, peak),
        })
    }

    fn withstand(
        &self,
        heartbeat: &mut HeartbeatWriter<'_>,
        processes: &[ProcessIdentity],
        end: &CommandEnd,
        peak: &Peak,
    ) {
        if !self.dir.is_still_itself() {
            return;
        }
        let exit = self.exit_record(heartbeat, end, peak, 0, false);
        let told = heartbeat
            .withstanding(processes)
            .and_then(|()| exit.write_until_recorded(&self.dir.disk, &self.paths.exit()));
        if let Err(e) = told {
            (self.hooks.notice)(&format!("what cannot be ended is not recorded: {e}: {}", e.source));
        }
    }

    /// Moves the rest of the pipe's content, once the pipe has no writer, however long the disk refuses it.
    fn finish_output(&self, heartbeat: &mut HeartbeatWriter<'_>) {
        let notice = self.hooks.notice;
        while let Err(e) = heartbeat.finish_output() {
            notice(&format!("the output cannot be written yet: {e}: {}", e.source));
            wait_for(self.signals, &[], heartbeat, notice, Duration::from_secs(1));
        }
        for _ in 0..PUT_BACK_TRIES {
            match self.put_back_output(heartbeat) {
                Ok(()) => return,
                Err(why) => notice(&format!("the output that the job removed cannot be put back: {why}")),
            }
            wait_for(self.signals, &[], heartbeat, notice, Duration::from_secs(1));
        }
    }

    /// Puts the output back at its present path: the directory may have been moved, and another one may have its
    /// old path.
    fn put_back_output(&self, heartbeat: &HeartbeatWriter<'_>) -> Result<(), String> {
        let followed = self.dir.followed();
        let dir = followed.as_ref().unwrap_or(self.dir);
        if !is_of_this_attempt(dir) {
            return Ok(());
        }
        let paths = dir.paths.job(&self.job.id.to_string()).map_err(|e| e.to_string())?;
        let done = heartbeat.put_back_output(&dir.disk, &paths.output());
        done.map(drop).map_err(|e| format!("{e}: {}", e.source))
    }

    fn remove_group(&self) {
        if let Some(Err(e)) = self.group.as_ref().map(Cgroup::remove) {
            (self.hooks.notice)(&format!("the job's control group stays: {e}"));
        }
    }

    fn exit_record(
        &self,
        heartbeat: &HeartbeatWriter<'_>,
        end: &CommandEnd,
        peak: &Peak,
        leftovers_ended: u32,
        tree_empty: bool,
    ) -> ExitRecord {
        let (outcome, reason) = outcome_of(end, self.plan.spec.timeout_ms);
        let by_itself = end.cause == Cause::Itself;
        let command = self.command_record();
        let before = command.as_ref().and_then(|c| c.used_before);
        // All processes of the job have been waited for, so the sum is complete.
        let resources = use_of_children().map(|used| ResourceUse {
            memory_peak_bytes: peak.most(used.memory_peak_bytes, before.and_then(|b| b.memory_peak_bytes)),
            ..used.since(before.unwrap_or_default())
        });
        ExitRecord {
            version: DOCUMENT_VERSION,
            job_id: self.job.id.clone(),
            attempt: self.job.attempt,
            claim: self.settings.claim,
            outcome,
            exit_code: end.exit_code,
            signal: end.signal,
            reason,
            ended_by: match &end.cause {
                Cause::Cancel(by) | Cause::Outside(by) => Some(by.clone()),
                Cause::Itself | Cause::TimeLimit => None,
            },
            by_itself,
            started_at: command.and_then(|c| c.started_at).unwrap_or(heartbeat.sentinel().started_at),
            finished_at: self.dir.clock.now(),
            tree_empty,
            leftovers_ended,
            cpu_ms: resources.map(|used| used.cpu_user_ms + used.cpu_system_ms),
            state: Some(self.dir.stamp()),
            resources,
        }
    }

    /// The record that the command's process wrote before exec; the job may have removed it.
    fn command_record(&self) -> Option<CommandRecord> {
        let read = CommandRecord::read(&self.paths.command()).ok()?;
        read.whole().filter(|c| c.claim == self.settings.claim && c.job_id == self.job.id).cloned()
    }

    /// The end to record; after an interruption with the consequence by the job's policy.
    fn end_of(&self, exit: &ExitRecord) -> End {
        let is_interrupted = exit.outcome == AttemptOutcome::Interrupted;
        let now = self.dir.clock.now();
        let then = is_interrupted.then(|| after_crash(self.job, now, self.settings.requeue));
        End { after_crash: then, ..exit.to_end() }
    }

    fn return_repository(&self, repository: Option<Box<dyn HeldRepository>>) {
        let Some(repository) = repository else { return };
        if let Err(why) = repository.give_back() {
            (self.hooks.notice)(&format!("the repository is not given back: {why}"));
        }
    }
}

fn tell_end(exit: &ExitRecord) {
    let how = how_it_ended(exit);
    let why = exit.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    info!(
        event = events::COMMAND_ENDED,
        attempt = exit.attempt,
        exit_code = exit.exit_code,
        signal = exit.signal,
        leftovers_ended = exit.leftovers_ended,
        cpu_ms = exit.cpu_ms,
        "its command ended: {how}{why}"
    );
}

/// Whether a state directory is still the folder, and of the incarnation, in which an attempt was begun. A backup
/// may have been put back into it, the folder may be gone, or another one may have its path.
fn is_of_this_attempt(dir: &StateDir) -> bool {
    dir.paths.root().exists() && dir.is_still_itself() && dir.disk.home().is_none_or(Home::is_at_its_path)
}

/// Checks that a command can have this working directory.
fn may_enter(folder: &Path) -> io::Result<()> {
    if !std::fs::metadata(folder).is_ok_and(|m| m.is_dir()) {
        let looked = std::fs::metadata(folder).map(drop);
        let is_weak = looked.as_ref().is_err_and(is_weakness);
        return if is_weak { looked } else { Err(io::ErrorKind::NotADirectory.into()) };
    }
    Ok(rustix::fs::access(folder, rustix::fs::Access::EXEC_OK)?)
}

/// Whether the system refuses the job's own arguments or environment: too long, or with a NUL byte.
fn is_of_arguments(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
        || error.raw_os_error() == Some(rustix::io::Errno::TOOBIG.raw_os_error())
}

fn not_started(why: &NotStarted) -> CommandEnd {
    CommandEnd { exit_code: Some(why.exit_code()), signal: None, cause: Cause::Itself }
}

fn outcome_of(end: &CommandEnd, timeout_ms: Option<u64>) -> (AttemptOutcome, Option<String>) {
    match &end.cause {
        Cause::TimeLimit => {
            let limit = timeout_ms.unwrap_or_default();
            (
                AttemptOutcome::TimedOut,
                Some(format!("it exceeded its time limit of {}", human::duration(limit))),
            )
        }
        Cause::Outside(by) => (AttemptOutcome::Interrupted, Some(format!("interrupted by {}", by.by))),
        Cause::Cancel(by) => (by_signal(end), Some(format!("cancelled by {}", by.by))),
        Cause::Itself => (by_signal(end), None),
    }
}

fn by_signal(end: &CommandEnd) -> AttemptOutcome {
    if end.signal.is_some() { AttemptOutcome::Signaled } else { AttemptOutcome::Exited }
}
