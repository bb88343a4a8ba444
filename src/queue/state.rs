//! The queue in memory, and the one function that changes it.
//!
//! [`QueueState::apply`] is total: for every record in every state it either changes the state or says why
//! not, and it depends on nothing but the state and the record. So replaying the same log gives the same
//! queue in every process.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::OnceLock;

use indexmap::IndexMap;
use indexmap::map::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::{Claim, ClaimHosts};
use super::ended_by::EndedBy;
use super::job::{Job, JobDocument, JobStatus, QueuePosition};
use super::lines::{Lines, OrderKey, order_key};
use super::raw_submission::RawSubmission;
use super::record::{End, Operation, Record, Submission};
use crate::state::JobId;
use crate::state::Timestamp;
use crate::system::Host;

/// Jobs by status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobCounts")]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub crashed: u64,
    pub cancelled: u64,
}

impl Counts {
    fn of(&mut self, status: JobStatus) -> &mut u64 {
        match status {
            JobStatus::Queued => &mut self.queued,
            JobStatus::Running => &mut self.running,
            JobStatus::Succeeded => &mut self.succeeded,
            JobStatus::Failed => &mut self.failed,
            JobStatus::TimedOut => &mut self.timed_out,
            JobStatus::Crashed => &mut self.crashed,
            JobStatus::Cancelled => &mut self.cancelled,
        }
    }
}

/// What has happened since the queue was made, removed jobs included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Jobs that entered.
    pub enqueued: u64,
    /// Attempts begun.
    pub started: u64,
    /// Attempts ended, by how; `queued` counts claims given back.
    pub finished: Counts,
    /// Next attempts after a crash.
    pub requeued: u64,
    /// Next attempts on request.
    pub resumed: u64,
    /// Jobs taken over or rebuilt.
    pub restored: u64,
    /// Snapshots taken.
    pub checkpoints: u64,
}

/// Why a record changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueRefusal {
    /// A job of that id is there already.
    #[error("there is a job {0} already")]
    Duplicate(JobId),
    /// No job of that id.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The job is not where the operation could apply.
    #[error("job {job} is {status} (attempt {attempt}), so it cannot be {wanted}")]
    Illegal {
        job: JobId,
        /// Where it stands.
        status: JobStatus,
        attempt: u32,
        /// The requested change: "claimed", "resumed".
        wanted: &'static str,
    },
    /// The claim is not the job's present one.
    #[error("job {job}: claim {claim} is not its present one")]
    OldClaim {
        job: JobId,
        /// The claim that was named.
        claim: Claim,
    },
    /// Another running job has the repository.
    #[error("job {job}: repository {repository} is held by job {holder}")]
    RepositoryHeld {
        job: JobId,
        repository: String,
        /// Who has it.
        holder: JobId,
    },
}

/// How a job is to be continued.
struct Wish {
    fresh: bool,
    attempt: Option<u32>,
    by: Option<String>,
    why: Option<String>,
}

/// Which job is visited next; see [`QueueState::visit_queued`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The next job in order.
    Next,
    /// The next job in order that is in another line.
    LeaveLine,
    /// No further job.
    Stop,
}

/// Every job, and the order of those that wait.
#[derive(Debug, Default)]
pub struct QueueState {
    jobs: IndexMap<JobId, Job>,
    /// Built on first use; kept up to date from then on.
    lines: OnceLock<Lines>,
    running: BTreeSet<JobId>,
    counts: Counts,
    totals: Totals,
    last_seq: u64,
    repositories: HashSet<Arc<str>>,
    hosts: ClaimHosts,
    /// Jobs whose status changed, for the follower; `None` until there is one.
    turned: Option<Vec<JobId>>,
}

impl QueueState {
    /// A job by its id.
    pub fn get(&self, id: &JobId) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// All jobs, in the order in which they entered.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.jobs.values()
    }

    /// The jobs that wait, in the order in which they are to start.
    pub fn queued(&self) -> impl Iterator<Item = &Job> {
        self.lines().iter().filter_map(|(_, _, id)| self.jobs.get(id))
    }

    /// Visits jobs that wait, in the order in which they are to start, until `visit` stops; it can also leave a
    /// line (the jobs of one repository, or those that need none). Jobs of lines that were left cost nothing.
    pub(crate) fn visit_queued(&self, mut visit: impl FnMut(&Job) -> Step) {
        let lines = self.lines();
        let mut heads = lines.heads().peekable();
        let mut behind: BinaryHeap<Reverse<&OrderKey>> = BinaryHeap::new();
        loop {
            let is_behind = match (heads.peek(), behind.peek()) {
                (None, None) => return,
                (Some(head), Some(Reverse(other))) => other < head,
                (head, _) => head.is_none(),
            };
            let key = if is_behind { behind.pop().map(|Reverse(key)| key) } else { heads.next() };
            let Some((key, job)) = key.and_then(|key| Some((key, self.jobs.get(&key.2)?))) else { continue };
            match visit(job) {
                Step::Stop => return,
                Step::LeaveLine => {}
                Step::Next => behind.extend(lines.behind(job, key).map(Reverse)),
            }
        }
    }

    /// The repositories that jobs wait for.
    pub(crate) fn wanted_repositories(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lines().repositories()
    }

    /// The positions in the line, from 1, of some of the jobs that wait: in one pass over the line, and no
    /// further than the last of them.
    pub(crate) fn positions<'a>(&self, jobs: impl Iterator<Item = &'a Job>) -> HashMap<&'a JobId, u64> {
        let waiting = jobs.filter(|job| job.status == JobStatus::Queued);
        let mut wanted: Vec<(OrderKey, &JobId)> = waiting.map(|job| (order_key(job), &job.id)).collect();
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        let mut positions = HashMap::new();
        if wanted.peek().is_none() {
            return positions;
        }
        for (position, key) in (1..).zip(self.lines().iter()) {
            if let Some((_, id)) = wanted.next_if(|(next, _)| next == key) {
                positions.insert(id, position);
            }
            if wanted.peek().is_none() {
                break;
            }
        }
        positions
    }

    /// The jobs that have an attempt under way.
    pub fn running(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.running.iter().filter_map(|id| self.jobs.get(id)).collect::<Vec<_>>().into_iter()
    }

    /// How many jobs have which status.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What has happened so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The last record's sequence number.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The running job that has a repository.
    pub fn holder_of(&self, repository: &str) -> Option<&Job> {
        self.running
            .iter()
            .filter_map(|id| self.jobs.get(id))
            .find(|j| j.repository.as_deref() == Some(repository))
    }

    /// The jobs that entered or changed their status since the last call, each perhaps several times. `None` when
    /// that is unknown: at the first call, and after the queue was read anew.
    pub(crate) fn drain_changed(&mut self) -> Option<Vec<JobId>> {
        self.turned.replace(Vec::new())
    }

    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| {
            let mut lines = Lines::default();
            self.jobs.values().filter(|j| j.status == JobStatus::Queued).for_each(|job| lines.insert(job));
            lines
        })
    }

    /// Makes room for so many more jobs.
    pub(crate) fn reserve(&mut self, jobs: usize) {
        self.jobs.reserve(jobs);
    }

    /// Loads one job of a snapshot, before the records after it.
    pub(crate) fn load(&mut self, document: JobDocument) {
        let mut job = Job::from(document);
        job.repository = job.repository.map(|r| self.intern(&r));
        // A second document of the same job is ignored; the reader of the snapshot compares the number of jobs.
        let _ = self.enter(job);
    }

    /// Loads a snapshot's counters.
    pub(crate) fn load_totals(&mut self, totals: Totals, last_seq: u64) {
        self.totals = totals;
        self.last_seq = last_seq;
    }

    /// Counts a snapshot; the count is part of that snapshot.
    pub(crate) fn count_checkpoint(&mut self) {
        self.totals.checkpoints += 1;
    }

    /// Notes a sequence number whose record changed nothing.
    pub(crate) fn pass(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// A submission whose spec was not parsed.
    pub(super) fn apply_raw_submission(
        &mut self,
        seq: u64,
        raw: RawSubmission<'_>,
    ) -> Result<(), QueueRefusal> {
        self.pass(seq);
        let repository = raw.repository.map(|r| self.intern(&r));
        let place = QueuePosition { seq, index: 0 };
        self.submit(place, raw.at, raw.job, raw.priority, repository, raw.spec.into())
    }

    /// Applies a record.
    ///
    /// # Errors
    /// [`QueueRefusal`] when the record does not fit the state, which is then unchanged.
    pub fn apply(&mut self, seq: u64, record: Record) -> Result<(), QueueRefusal> {
        self.pass(seq);
        let Record { at, actor, operation } = record;
        let by = Some(actor.by).filter(|b| !b.is_empty());
        match operation {
            Operation::Submit(submission) => self.submission(QueuePosition { seq, index: 0 }, at, submission),
            Operation::SubmitBatch { jobs } => self.submit_batch(seq, at, jobs),
            Operation::Claim { job, attempt, host } => {
                self.begin(&job, attempt, (Claim::of_record(seq), host), at, "claimed")
            }
            Operation::Found { job, attempt, claim } => {
                self.begin(&job, attempt, (claim, None), at, "found running")
            }
            Operation::Unclaim { job, claim, reason, not_before, failed_start } => {
                self.unclaim(&job, claim, at, reason, not_before, failed_start)
            }
            Operation::End(end) => self.end(at, end),
            Operation::Cancel { job } => self.cancel(&job, at, by, actor.why),
            Operation::Resume { job, fresh, attempt } => {
                let wish = Wish { fresh, attempt, by, why: actor.why };
                self.resume(&job, at, wish)
            }
            Operation::Restore { document, keeps_place } => self.restore(seq, *document, keeps_place),
            Operation::Rebuilt { job, from } => self.rebuilt(&job, from),
            Operation::Remove { jobs } => {
                self.remove(&jobs);
                Ok(())
            }
        }
    }

    fn submission(&mut self, place: QueuePosition, at: Timestamp, s: Submission) -> Result<(), QueueRefusal> {
        let spec = serde_json::to_string(&s.spec).unwrap_or_default();
        let repository = s.repository.map(|r| self.intern(&r));
        self.submit(place, at, s.job, s.priority, repository, spec.into())
    }

    fn submit_batch(&mut self, seq: u64, at: Timestamp, jobs: Vec<Submission>) -> Result<(), QueueRefusal> {
        if let Some(known) = jobs.iter().find(|s| self.jobs.contains_key(&s.job)) {
            return Err(QueueRefusal::Duplicate(known.job.clone()));
        }
        for (index, submission) in (0..).zip(jobs) {
            // If an id occurs twice in the batch, the first one counts.
            let _ = self.submission(QueuePosition { seq, index }, at, submission);
        }
        Ok(())
    }

    fn submit(
        &mut self,
        place: QueuePosition,
        at: Timestamp,
        id: JobId,
        priority: i32,
        repository: Option<Arc<str>>,
        raw_spec: Box<str>,
    ) -> Result<(), QueueRefusal> {
        self.enter(Job { priority, repository, ..Job::queued(id, place, at, raw_spec) })?;
        self.totals.enqueued += 1;
        Ok(())
    }

    fn begin(
        &mut self,
        id: &JobId,
        attempt: u32,
        claim: (Claim, Option<Arc<Host>>),
        at: Timestamp,
        wanted: &'static str,
    ) -> Result<(), QueueRefusal> {
        let job = self.jobs.get(id).ok_or_else(|| QueueRefusal::NoSuchJob(id.clone()))?;
        if job.status != JobStatus::Queued || job.attempt != attempt {
            return Err(illegal(job, wanted));
        }
        if let Some(repository) = &job.repository
            && let Some(holder) = self.holder_of(repository)
        {
            let (job, holder) = (id.clone(), holder.id.clone());
            return Err(QueueRefusal::RepositoryHeld { job, repository: repository.to_string(), holder });
        }
        self.start(id, claim, at);
        Ok(())
    }

    fn start(&mut self, id: &JobId, (claim, host): (Claim, Option<Arc<Host>>), at: Timestamp) {
        self.totals.started += 1;
        let claimed_on = host.map(|host| self.hosts.share(host));
        self.change(id, |job| {
            job.not_before = None;
            let run = job.run_state_mut();
            run.started_at = Some(at);
            (run.claim, run.claimed_on) = (Some(claim), claimed_on);
            (run.finished_at, run.exit_code, run.signal, run.reason) = (None, None, None, None);
            run.ended_by = None;
            job.turn(JobStatus::Running, at, None, None);
        });
    }

    fn unclaim(
        &mut self,
        id: &JobId,
        claim: Claim,
        at: Timestamp,
        reason: String,
        not_before: Option<Timestamp>,
        failed_start: bool,
    ) -> Result<(), QueueRefusal> {
        let cancelled = self.claimed(id, claim, "given back")?.run_state().cancel_requested;
        self.totals.finished.queued += 1;
        self.change(id, |job| {
            job.not_before = not_before;
            let run = job.run_state_mut();
            (run.started_at, run.claim, run.claimed_on) = (None, None, None);
            run.failed_starts = if failed_start { run.failed_starts + 1 } else { 0 };
            let status = if cancelled { JobStatus::Cancelled } else { JobStatus::Queued };
            if cancelled {
                run.finished_at = Some(at);
                run.reason = Some(reason.clone());
            }
            job.turn(status, at, Some(reason), None);
        });
        Ok(())
    }

    fn end(&mut self, at: Timestamp, end: End) -> Result<(), QueueRefusal> {
        let job = self.jobs.get(&end.job).ok_or_else(|| QueueRefusal::NoSuchJob(end.job.clone()))?;
        if job.status == JobStatus::Queued && job.attempt == end.attempt && job.run_state().claim.is_none() {
            // The claim's record was lost. It is certain all the same that the attempt has ended, even when
            // another job has its repository by now.
            self.start(&end.job, (end.claim, None), end.ended_at.unwrap_or(at));
        }
        self.claimed(&end.job, end.claim, "ended")?;
        let id = end.job.clone();
        let mut finished = JobStatus::Crashed;
        let mut requeued = false;
        self.change(&id, |job| {
            (finished, requeued) = job.finish(at, end);
        });
        *self.totals.finished.of(finished) += 1;
        self.totals.requeued += u64::from(requeued);
        Ok(())
    }

    fn cancel(
        &mut self,
        id: &JobId,
        at: Timestamp,
        by: Option<String>,
        why: Option<String>,
    ) -> Result<(), QueueRefusal> {
        let job = self.jobs.get(id).ok_or_else(|| QueueRefusal::NoSuchJob(id.clone()))?;
        match job.status {
            JobStatus::Queued => {
                *self.totals.finished.of(JobStatus::Cancelled) += 1;
                self.change(id, |job| {
                    job.not_before = None;
                    job.run_state_mut().finished_at = Some(at);
                    job.run_state_mut().reason = Some(why.clone().unwrap_or_else(|| "cancelled".to_owned()));
                    job.turn(JobStatus::Cancelled, at, why, by);
                });
                Ok(())
            }
            JobStatus::Running => {
                self.change(id, |job| {
                    let run = job.run_state_mut();
                    run.cancel_requested = true;
                    // The first cancel counts: from then on the job is to be ended.
                    let by = by.unwrap_or_default();
                    run.cancel.get_or_insert(EndedBy { at, by, signal: None, pid: None, uid: None });
                });
                Ok(())
            }
            _ => Err(illegal(job, "cancelled")),
        }
    }

    fn resume(&mut self, id: &JobId, at: Timestamp, wish: Wish) -> Result<(), QueueRefusal> {
        let job = self.jobs.get(id).ok_or_else(|| QueueRefusal::NoSuchJob(id.clone()))?;
        let begun_once = job.attempt.saturating_add(u32::from(job.run_state().started_at.is_some()));
        let next = wish.attempt.unwrap_or(begun_once);
        if !job.status.is_resumable() || next.checked_sub(job.attempt).is_none_or(|skipped| skipped > 1) {
            return Err(illegal(job, "resumed"));
        }
        self.totals.resumed += 1;
        self.change(id, |job| {
            let run = job.run_state_mut();
            run.fresh = wish.fresh;
            run.cancel_requested = false;
            (run.cancel, run.ended_by) = (None, None);
            (run.finished_at, run.claim, run.adopted, run.output) = (None, None, None, None);
            run.failed_starts = 0;
            job.attempt = next;
            let why = wish.why.unwrap_or_else(|| "resumed".to_owned());
            job.turn(JobStatus::Queued, at, Some(why), wish.by);
        });
        Ok(())
    }

    fn rebuilt(&mut self, id: &JobId, from: Vec<String>) -> Result<(), QueueRefusal> {
        let job = self.jobs.get_mut(id).ok_or_else(|| QueueRefusal::NoSuchJob(id.clone()))?;
        job.run_state_mut().reconstructed = Some(from);
        Ok(())
    }

    fn restore(&mut self, seq: u64, document: JobDocument, keeps_place: bool) -> Result<(), QueueRefusal> {
        let mut job = Job::from(document);
        job.repository = job.repository.map(|r| self.intern(&r));
        if !keeps_place {
            job.place = QueuePosition { seq, index: 0 };
        }
        if job.status == JobStatus::Running && job.run_state().claim.is_none() {
            job.run_state_mut().claim = Some(Claim::of_record(seq));
        }
        self.enter(job)?;
        self.totals.restored += 1;
        Ok(())
    }

    fn remove(&mut self, ids: &[JobId]) {
        let wanted: HashSet<&JobId> = ids.iter().collect();
        let counts = &mut self.counts;
        self.jobs.retain(|id, job| {
            let goes = job.status.is_over() && wanted.contains(id);
            *counts.of(job.status) -= u64::from(goes);
            !goes
        });
    }

    /// The job, if it is running under this claim.
    fn claimed(&self, id: &JobId, claim: Claim, wanted: &'static str) -> Result<&Job, QueueRefusal> {
        let job = self.jobs.get(id).ok_or_else(|| QueueRefusal::NoSuchJob(id.clone()))?;
        if job.status != JobStatus::Running {
            return Err(illegal(job, wanted));
        }
        if job.run_state().claim != Some(claim) {
            return Err(QueueRefusal::OldClaim { job: id.clone(), claim });
        }
        Ok(job)
    }

    fn intern(&mut self, repository: &str) -> Arc<str> {
        // Neighbours often have the same repository: share its name.
        let last = self.jobs.last().and_then(|(_, job)| job.repository.as_ref());
        if let Some(known) = last.filter(|last| ***last == *repository) {
            return known.clone();
        }
        if let Some(known) = self.repositories.get(repository) {
            return known.clone();
        }
        let name: Arc<str> = repository.into();
        self.repositories.insert(name.clone());
        name
    }

    fn enter(&mut self, mut job: Job) -> Result<(), QueueRefusal> {
        if let Some(claimed_on) = job.run_state.as_mut().and_then(|run| run.claimed_on.as_mut()) {
            *claimed_on = self.hosts.share(claimed_on.clone());
        }
        let Entry::Vacant(free) = self.jobs.entry(job.id.clone()) else {
            return Err(QueueRefusal::Duplicate(job.id));
        };
        *self.counts.of(job.status) += 1;
        index(&mut self.running, &mut self.lines, &job);
        if let Some(turned) = self.turned.as_mut().filter(|_| job.status.is_over()) {
            turned.push(job.id.clone());
        }
        free.insert(job);
        Ok(())
    }

    /// Changes one job and keeps counts, order and running set with it.
    fn change(&mut self, id: &JobId, act: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        *self.counts.of(job.status) -= 1;
        self.running.remove(id);
        if let Some(lines) = self.lines.get_mut().filter(|_| job.status == JobStatus::Queued) {
            lines.remove(job);
        }
        act(job);
        if let Some(turned) = &mut self.turned {
            turned.push(id.clone());
        }
        *self.counts.of(job.status) += 1;
        index(&mut self.running, &mut self.lines, job);
    }
}

/// Indexes a job by its new status; a queued job only where the lines have been asked for.
fn index(running: &mut BTreeSet<JobId>, lines: &mut OnceLock<Lines>, job: &Job) {
    match job.status {
        JobStatus::Running => drop(running.insert(job.id.clone())),
        JobStatus::Queued => {
            if let Some(lines) = lines.get_mut() {
                lines.insert(job);
            }
        }
        _ => {}
    }
}

fn illegal(job: &Job, wanted: &'static str) -> QueueRefusal {
    QueueRefusal::Illegal { job: job.id.clone(), status: job.status, attempt: job.attempt, wanted }
}
