//! The decision table of repository locks, as one total function over evidence.
//!
//! | flock | metadata and evidence | verdict |
//! | --- | --- | --- |
//! | any, on a network file system | | unknown |
//! | held | recorded process, or its command, lives here | live |
//! | held | anything else (metadata not yet written, another machine's, damaged) | live, unidentified |
//! | free | absent, or says released | free |
//! | free | damaged | unknown |
//! | free | an earlier boot of this machine, and nothing of the holder is seen to live | stale |
//! | free | another machine | live when the job is known to be, else unknown |
//! | free | this boot, a job | by the job's own evidence: live, stale, unknown |
//! | free | this boot, a process that lives, or one that is gone and whose command, or a process in its control group or with its mark, lives | live |
//! | free | this boot, a process that is gone, its command too, and no process in the group or with the mark | stale |
//! | free | this boot, a process of another process namespace, which provably has no process any more | stale |
//! | free | this boot, another process namespace, or hidden processes | unknown |
//!
//! Evidence that was not gathered makes a verdict more cautious: unknown, never stale. No clock is used.

use serde::{Deserialize, Serialize};

use super::metadata::{LockHolder, LockMetadata, LockState, MetadataRead};
use crate::queue::{Claim, JobId};
use crate::system::{Host, Presence, ProcessIdentity, Relation};

/// What is known about the job that a lock belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobLiveness {
    /// That attempt runs, with or without its supervisor.
    Alive,
    /// That attempt is provably over.
    Over,
    /// Neither is proven.
    Unknown,
}

/// Says whether the attempt that this claim began is alive.
pub(crate) type JobLivenessOf<'a> = dyn Fn(&JobId, Claim) -> JobLiveness + 'a;

/// Whether a lock may be granted, or given back in its holder's stead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum LockVerdict {
    /// Its holder is alive.
    Live,
    /// It is held, by an unidentified process.
    LiveUnidentified,
    /// It is not held.
    Free,
    /// Its holder is provably gone and has not given it back.
    Stale,
    /// It cannot be said; the repository is unavailable until an operator decides.
    Unknown {
        /// Why no verdict is possible.
        why: String,
    },
}

impl LockVerdict {
    /// In one word: `live`, `free`, `stale` or `unknown`.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            LockVerdict::Live | LockVerdict::LiveUnidentified => "live",
            LockVerdict::Free => "free",
            LockVerdict::Stale => "stale",
            LockVerdict::Unknown { .. } => "unknown",
        }
    }

    /// Whether a living holder has the lock.
    pub const fn is_live(&self) -> bool {
        matches!(self, LockVerdict::Live | LockVerdict::LiveUnidentified)
    }
}

/// A verdict, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: LockVerdict,
    /// What it rests on, one sentence each.
    pub evidence: Vec<String>,
}

/// The state of the flock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flock {
    /// Another process holds it.
    Held,
    /// It was free, or this process took it.
    Free,
    /// Its state could not be read.
    Unusable(String),
}

/// Where a holder ran, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In this boot and process namespace.
    Here,
    /// In this boot, in another process namespace: its PIDs mean nothing here.
    OtherNamespace,
    /// In an earlier boot of this machine.
    EarlierBoot,
    /// On another machine, or on one that cannot be told from another.
    Elsewhere,
}

impl Origin {
    /// Where `host` is, seen from `here`.
    pub(crate) fn of(host: &Host, here: &Host) -> Origin {
        match here.relation(host) {
            Relation::Here { .. } => Origin::Here,
            Relation::OtherNamespace => Origin::OtherNamespace,
            Relation::EarlierBoot { .. } => Origin::EarlierBoot,
            Relation::Elsewhere => Origin::Elsewhere,
        }
    }
}

/// What a scan of all processes found for one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Survivors {
    /// Processes that bear the lock's mark.
    Found(Vec<ProcessIdentity>),
    /// None was found, but not all processes could be examined; the reason.
    Unseen(String),
    /// There is none.
    Absent,
}

/// Evidence about a holder; `None` means "not examined".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HolderEvidence {
    /// The process that took the lock.
    pub presence: Option<Presence>,
    /// The job it belongs to.
    pub job: Option<JobLiveness>,
    /// Its remaining processes.
    pub survivors: Option<Survivors>,
    /// Whether the other process namespace that it ran in is seen to have no process any more.
    pub is_namespace_empty: bool,
}

/// All that a verdict rests on.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The network file system that the lock files are on.
    pub network: Option<&'static str>,
    /// The flock.
    pub flock: Flock,
    /// The metadata.
    pub metadata: &'a MetadataRead,
    /// The present host.
    pub here: &'a Host,
    /// What was gathered about the holder.
    pub holder: HolderEvidence,
}

/// Decides by the table.
pub(super) fn judge(evidence: &Evidence<'_>) -> Judgement {
    let mut said = Vec::new();
    let verdict = decide(evidence, &mut said);
    if let LockVerdict::Unknown { why } = &verdict
        && !said.contains(why)
    {
        said.push(why.clone());
    }
    Judgement { verdict, evidence: said }
}

fn decide(evidence: &Evidence<'_>, said: &mut Vec<String>) -> LockVerdict {
    if let Some(kind) = evidence.network {
        return unknown(format!("the lock files are on a network file system ({kind})"));
    }
    match &evidence.flock {
        Flock::Unusable(why) => unknown(format!("the lock file cannot be looked at: {why}")),
        Flock::Held => {
            said.push("the flock is held".to_owned());
            held(evidence, said)
        }
        Flock::Free => {
            said.push("the flock is free".to_owned());
            free(evidence, said)
        }
    }
}

fn held(evidence: &Evidence<'_>, said: &mut Vec<String>) -> LockVerdict {
    match evidence.metadata {
        MetadataRead::Missing => said.push("there is no metadata (yet)".to_owned()),
        MetadataRead::Damaged { why } => said.push(format!("the metadata is damaged: {why}")),
        MetadataRead::Whole(m) if m.state == LockState::Released => said.push(released_text(m)),
        MetadataRead::Whole(m) => {
            said.push(format!("the metadata names {}", m.holder_text()));
            let here = Origin::of(&m.host, evidence.here) == Origin::Here;
            if here && evidence.holder.presence == Some(Presence::Alive) {
                said.push(format!("process {} with that start time lives", m.process.pid));
                return LockVerdict::Live;
            }
            if let Some(Survivors::Found(processes)) = &evidence.holder.survivors {
                said.push(format!("it is gone, and its command lives on: {}", pids(processes)));
                return LockVerdict::Live;
            }
            said.push("but that process cannot be seen here: another one holds it".to_owned());
        }
    }
    LockVerdict::LiveUnidentified
}

fn free(evidence: &Evidence<'_>, said: &mut Vec<String>) -> LockVerdict {
    match evidence.metadata {
        MetadataRead::Missing => {
            said.push("there is no metadata".to_owned());
            LockVerdict::Free
        }
        MetadataRead::Damaged { why } => unknown(format!("the metadata is damaged: {why}")),
        MetadataRead::Whole(m) if m.state == LockState::Released => {
            said.push(released_text(m));
            LockVerdict::Free
        }
        MetadataRead::Whole(m) => {
            said.push(format!("the metadata says {} by {}", m.state.as_str(), m.holder_text()));
            not_given_back(m, evidence, said)
        }
    }
}

fn not_given_back(m: &LockMetadata, evidence: &Evidence<'_>, said: &mut Vec<String>) -> LockVerdict {
    match Origin::of(&m.host, evidence.here) {
        Origin::EarlierBoot => of_an_earlier_boot(m, &evidence.holder, said),
        Origin::Elsewhere => {
            let verdict = evidence.holder.job.map(|job| of_job(m, job, said));
            match verdict {
                Some(LockVerdict::Live) => LockVerdict::Live,
                _ => unknown(format!("it was taken on another machine ({})", m.host.host)),
            }
        }
        origin => match (&m.holder, evidence.holder.job) {
            (LockHolder::Job { .. }, Some(job)) => of_job(m, job, said),
            (LockHolder::Job { job_id, .. }, None) => {
                unknown(format!("whether job {job_id} is alive was not looked at"))
            }
            (LockHolder::Process, _)
                if origin == Origin::OtherNamespace && evidence.holder.is_namespace_empty =>
            {
                let namespace = m.host.pid_namespace;
                said.push(format!(
                    "process namespace {namespace} has no process any more: all that ran there is gone"
                ));
                LockVerdict::Stale
            }
            (LockHolder::Process, _) if origin == Origin::OtherNamespace => {
                unknown(format!("process {} belongs to another process namespace", m.process.pid))
            }
            (LockHolder::Process, _) => of_process(m, &evidence.holder, said),
        },
    }
}

/// Judges a holder of an earlier boot. The boot id is only one piece of evidence: a process of the holder that is
/// seen to live counts for more.
fn of_an_earlier_boot(m: &LockMetadata, holder: &HolderEvidence, said: &mut Vec<String>) -> LockVerdict {
    said.push(format!("that was under another boot id ({}) of this machine", m.host.boot_id));
    if let (LockHolder::Job { .. }, Some(job @ JobLiveness::Alive)) = (&m.holder, holder.job) {
        return of_job(m, job, said);
    }
    if holder.presence == Some(Presence::Alive) {
        said.push(format!("process {} with that start time lives: the boot ids disagree", m.process.pid));
        return LockVerdict::Live;
    }
    if let Some(Survivors::Found(processes)) = &holder.survivors {
        let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
        said.push(format!("its command lives on: processes {} bear the lock's mark", pids.join(", ")));
        return LockVerdict::Live;
    }
    LockVerdict::Stale
}

fn of_job(m: &LockMetadata, job: JobLiveness, said: &mut Vec<String>) -> LockVerdict {
    let name = m.job_id().map_or_else(String::new, ToString::to_string);
    match job {
        JobLiveness::Alive => {
            said.push(format!("job {name} is alive: the lock stays with it"));
            LockVerdict::Live
        }
        JobLiveness::Over => {
            said.push(format!("that attempt of job {name} is over"));
            LockVerdict::Stale
        }
        JobLiveness::Unknown => unknown(format!("whether job {name} is alive cannot be said")),
    }
}

fn of_process(m: &LockMetadata, holder: &HolderEvidence, said: &mut Vec<String>) -> LockVerdict {
    let pid = m.process.pid;
    match holder.presence {
        Some(Presence::Alive) => {
            said.push(format!("process {pid} with that start time lives, though without the flock"));
            return LockVerdict::Live;
        }
        Some(Presence::Gone) => said.push(format!("process {pid} with that start time is gone")),
        Some(Presence::Hidden) => return unknown(format!("process {pid} may not be looked at")),
        None => return unknown(format!("process {pid} was not looked at")),
    }
    match &holder.survivors {
        Some(Survivors::Found(processes)) => {
            said.push(format!("its command lives on: {}", pids(processes)));
            LockVerdict::Live
        }
        Some(Survivors::Absent) => {
            said.push("its command is gone, and no process bears the lock's mark".to_owned());
            LockVerdict::Stale
        }
        Some(Survivors::Unseen(why)) => unknown(format!("what its command left cannot be seen: {why}")),
        None => unknown("what its command left was not looked at".to_owned()),
    }
}

fn pids(processes: &[ProcessIdentity]) -> String {
    let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
    format!("process {}", pids.join(", "))
}

fn released_text(m: &LockMetadata) -> String {
    match &m.released_by {
        Some(note) if note.forced => format!("the metadata says released, by force, by {}", note.by),
        Some(note) => format!("the metadata says released, by {}", note.by),
        None => "the metadata says released".to_owned(),
    }
}

fn unknown(why: String) -> LockVerdict {
    LockVerdict::Unknown { why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::FencingNumber;
    use crate::state::Timestamp;

    fn host(boot: &str, machine: &str, namespace: u64) -> Host {
        Host {
            boot_id: boot.to_owned(),
            machine_id: machine.to_owned(),
            host: "box".to_owned(),
            pid_namespace: namespace,
            booted_at: None,
        }
    }

    fn metadata(state: LockState, holder: LockHolder, host: Host) -> MetadataRead {
        MetadataRead::Whole(Box::new(LockMetadata {
            version: 1,
            repository: "web".to_owned(),
            lock_id: "id".to_owned(),
            token: FencingNumber::new(1),
            state,
            holder,
            process: ProcessIdentity { pid: 7, start_time: 9 },
            command: None,
            cgroup: None,
            left: Vec::new(),
            is_left_unseen: false,
            host,
            uid: 0,
            operation: "test".to_owned(),
            acquired_at: Timestamp::from_millis(0),
            released_at: None,
            recovered: false,
            evidence: Vec::new(),
            state_directory: None,
            released_by: None,
        }))
    }

    fn metadatas() -> Vec<MetadataRead> {
        let mut all = vec![MetadataRead::Missing, MetadataRead::Damaged { why: "torn".to_owned() }];
        let job =
            LockHolder::Job { job_id: "build".parse().unwrap(), attempt: 1, claim: Claim::of_record(3) };
        for state in [LockState::Held, LockState::Recovering, LockState::Released] {
            for holder in [LockHolder::Process, job.clone()] {
                for origin in [("b", "m", 1), ("b", "m", 2), ("old", "m", 1), ("x", "y", 1), ("", "", 0)] {
                    all.push(metadata(state, holder.clone(), host(origin.0, origin.1, origin.2)));
                }
            }
        }
        all
    }

    fn holders() -> Vec<HolderEvidence> {
        let mut all = Vec::new();
        let survivors = [
            None,
            Some(Survivors::Absent),
            Some(Survivors::Unseen("hidden".to_owned())),
            Some(Survivors::Found(vec![ProcessIdentity { pid: 8, start_time: 9 }])),
        ];
        for presence in [None, Some(Presence::Alive), Some(Presence::Gone), Some(Presence::Hidden)] {
            for job in [None, Some(JobLiveness::Alive), Some(JobLiveness::Over), Some(JobLiveness::Unknown)] {
                for survivors in &survivors {
                    for is_namespace_empty in [false, true] {
                        let survivors = survivors.clone();
                        all.push(HolderEvidence { presence, job, survivors, is_namespace_empty });
                    }
                }
            }
        }
        all
    }

    /// Every combination has a verdict, and a lock is given to another holder only on the positive proofs that
    /// the table names.
    #[test]
    fn judge_all_combinations_match_table() {
        let here = host("b", "m", 1);
        let flocks = [Flock::Held, Flock::Free, Flock::Unusable("denied".to_owned())];
        for metadata in &metadatas() {
            for holder in &holders() {
                for flock in &flocks {
                    for network in [None, Some("nfs")] {
                        let holder = holder.clone();
                        let evidence =
                            Evidence { network, flock: flock.clone(), metadata, here: &here, holder };
                        check(&evidence, &judge(&evidence));
                    }
                }
            }
        }
    }

    fn check(evidence: &Evidence<'_>, judgement: &Judgement) {
        let case = format!("{evidence:?} gives {judgement:?}");
        assert!(!judgement.evidence.is_empty(), "{case}");
        let given_away = matches!(judgement.verdict, LockVerdict::Free | LockVerdict::Stale);
        if evidence.network.is_some() || evidence.flock != Flock::Free {
            assert!(!given_away, "{case}");
            assert_eq!(
                judgement.verdict.is_live(),
                evidence.network.is_none() && evidence.flock == Flock::Held,
                "{case}"
            );
            return;
        }
        let holder = &evidence.holder;
        let proven = match evidence.metadata {
            MetadataRead::Missing => true,
            MetadataRead::Damaged { .. } => false,
            MetadataRead::Whole(m) if m.state == LockState::Released => true,
            MetadataRead::Whole(m) => match (m.host.boot_id.as_str(), &m.holder) {
                // Stale by the boot id alone, unless a process is seen to live.
                ("old", of) => {
                    let job_lives = *of != LockHolder::Process && holder.job == Some(JobLiveness::Alive);
                    let is_found = matches!(holder.survivors, Some(Survivors::Found(_)));
                    !job_lives && !is_found && holder.presence != Some(Presence::Alive)
                }
                ("b", LockHolder::Job { .. }) => holder.job == Some(JobLiveness::Over),
                ("b", LockHolder::Process) if m.host.pid_namespace == 2 => holder.is_namespace_empty,
                ("b", LockHolder::Process) => {
                    m.host.pid_namespace == 1
                        && holder.presence == Some(Presence::Gone)
                        && holder.survivors == Some(Survivors::Absent)
                }
                _ => false,
            },
        };
        assert_eq!(given_away, proven, "{case}");
    }
}
