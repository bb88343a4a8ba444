//! Whether a job lives: the decision table as one total function of the facts.
//!
//! | sentinel.lock | facts | verdict |
//! | --- | --- | --- |
//! | cannot be used, or on a network file system | | unknown |
//! | held | its supervisor is the one in the sentinel | supervised, or stalled when stopped or silent |
//! | held | anything else | unidentified, alive |
//! | free | `exit.json` of this claim, tree seen empty | ended |
//! | held, or free | a process of the job lives that another incarnation of the state directory started | of another incarnation, alive |
//! | free | a process of the job lives, or its control group has processes, which may not be seen from here | orphaned process, alive |
//! | free | a process was called to supervise this claim | unidentified, alive |
//! | free | claimed in an earlier boot of this machine, and no whole file of this claim | ended, else dead by reboot |
//! | free | claimed on another machine, and no file of this claim | unknown |
//! | free | an output, and none of the files that are written before it | unknown |
//! | free | nothing of this claim, a process that could be the job's is hidden | unknown |
//! | free | neither sentinel nor `command.json` of this claim | never started |
//! | free | both of them damaged | unknown |
//! | free | an earlier boot of this machine, and no process that lives says otherwise | ended, else dead by reboot |
//! | free | another process namespace: its control group is empty, or it is seen to be gone | ended, else crashed |
//! | free | another machine, another process namespace | unknown |
//! | free | same boot, a process that could be the job's is hidden | unknown |
//! | free | same boot, all gone | ended, else crashed |
//!
//! Neither the wall clock nor the age of a heartbeat decides between alive and dead.
//!
//! The files of an attempt are not synced: they survive a kill, and a power loss ends everything that they tell of.
//! After one, a missing file proves nothing, so the claim's own boot decides.

use super::exit_record::ExitRecord;
use super::sentinel::Freshness;
use crate::system::{Host, ProcessIdentity, Relation};

/// Whether a job lives, as reports have it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// A process of it lives, or may live.
    Alive,
    /// Provably no process of it lives.
    Dead,
    /// Neither can be proven: hands off.
    Unknown,
}

impl std::fmt::Display for Liveness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Liveness {
    pub const fn as_str(self) -> &'static str {
        match self {
            Liveness::Alive => "alive",
            Liveness::Dead => "dead",
            Liveness::Unknown => "unknown",
        }
    }
}

/// What the evidence proves about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its supervisor watches over it.
    Supervised,
    /// Its supervisor lives, but is stopped or has been silent for long.
    Stalled,
    /// A process that is not the sentinel's supervisor holds its lock, or supervises it.
    Unidentified,
    /// Adopted from another server: its process lives, without a supervisor of this server.
    Adopted { process: ProcessIdentity },
    /// Its supervisor is gone, but these processes of it live: alive for every purpose.
    OrphanedProcess {
        /// The processes found; none when only its control group shows them.
        processes: Vec<ProcessIdentity>,
    },
    /// Living processes that another incarnation of the state directory started, before a backup was
    /// restored. They are watched and left alone, and record their end elsewhere.
    OtherIncarnation {
        /// Those that were found.
        processes: Vec<ProcessIdentity>,
    },
    /// It ended, and its end is on record.
    Ended(Box<ExitRecord>),
    /// All of it is gone and no end was recorded.
    Crashed,
    /// The machine was rebooted after the attempt began, and no end was recorded.
    DeadByReboot,
    /// The claim was made, and nothing was begun.
    NeverStarted,
    /// Neither life nor death can be proven.
    Unknown {
        /// The missing evidence.
        why: String,
    },
}

impl Verdict {
    /// The verdict in one of three words.
    pub(crate) fn liveness(&self) -> Liveness {
        match self {
            Verdict::Supervised
            | Verdict::Stalled
            | Verdict::Unidentified
            | Verdict::Adopted { .. }
            | Verdict::OrphanedProcess { .. }
            | Verdict::OtherIncarnation { .. } => Liveness::Alive,
            Verdict::Ended(_) | Verdict::Crashed | Verdict::DeadByReboot | Verdict::NeverStarted => {
                Liveness::Dead
            }
            Verdict::Unknown { .. } => Liveness::Unknown,
        }
    }

    /// Its stable name.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Verdict::Supervised => "supervised",
            Verdict::Stalled => "stalled",
            Verdict::Unidentified => "unidentified",
            Verdict::Adopted { .. } => "adopted",
            Verdict::OrphanedProcess { .. } => "orphaned_process",
            Verdict::OtherIncarnation { .. } => "other_incarnation",
            Verdict::Ended(_) => "ended",
            Verdict::Crashed => "crashed",
            Verdict::DeadByReboot => "dead_by_reboot",
            Verdict::NeverStarted => "never_started",
            Verdict::Unknown { .. } => "unknown",
        }
    }
}

/// The state of `sentinel.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockFact {
    /// Another process holds it.
    Held,
    /// It is free, or the caller holds it.
    Free,
    /// It proves nothing.
    Unusable(String),
}

/// What the files say about the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Neither sentinel nor `command.json` of this claim.
    Nothing,
    /// The sentinel is damaged, and no command of this claim was recorded.
    SentinelDamaged,
    /// Both are damaged.
    AllDamaged,
    /// One of them is whole; it was written in this place.
    Here(Origin),
}

/// Where the attempt ran, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In this boot and process namespace.
    Same,
    /// Before this machine was last started.
    EarlierBoot,
    /// In this boot, where its processes cannot be seen.
    OtherNamespace,
    /// In this boot, in a process namespace that provably has no process of it any more.
    EmptyNamespace,
    /// On another machine, or on this one without a way to tell.
    OtherMachine,
}

/// The place where something was recorded, seen from here, also in words.
pub(crate) fn origin_of(this: &Host, recorded: &Host) -> (Origin, String) {
    let name = &recorded.host;
    match this.relation(recorded) {
        Relation::Here { is_disputed: false } => (Origin::Same, format!("written in this boot of {name}")),
        Relation::Here { is_disputed: true } => (
            Origin::Same,
            format!("written under another boot id, and yet since this kernel started ({name})"),
        ),
        Relation::EarlierBoot { .. } => {
            (Origin::EarlierBoot, format!("written in an earlier boot of this machine ({name})"))
        }
        Relation::OtherNamespace => {
            (Origin::OtherNamespace, format!("written in another process namespace of this boot ({name})"))
        }
        Relation::Elsewhere => {
            (Origin::OtherMachine, format!("written on another machine ({name}), for all that can be told"))
        }
    }
}

/// All facts that the table uses.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) lock: LockFact,
    pub(crate) begun: Begun,
    /// Where the claim was made; `None` when its record does not tell.
    pub(crate) claimed: Option<Origin>,
    /// The record of this claim's end.
    pub(crate) exit: Option<ExitRecord>,
    /// Whether the supervisor in the sentinel lives; false when there is none.
    pub(crate) supervisor_lives: bool,
    pub(crate) supervisor_stopped: bool,
    pub(crate) freshness: Option<Freshness>,
    /// Living processes of the job.
    pub(crate) survivors: Vec<ProcessIdentity>,
    /// Whether the attempt's control group has processes, none of which can be seen from here: they are in
    /// another process namespace, or hidden.
    pub(crate) has_unseen: bool,
    /// Whether another incarnation of the state directory began the attempt.
    pub(crate) is_of_other_incarnation: bool,
    /// Living processes of the job that another incarnation of the state directory started.
    pub(crate) others: Vec<ProcessIdentity>,
    /// Whether a process that the files do not name was called for this very attempt.
    pub(crate) is_attended: bool,
    /// Whether there is an output, but none of the files that are written before it.
    pub(crate) has_lone_output: bool,
    /// Why a process of the job may have been missed.
    pub(crate) doubt: Option<String>,
}

pub(crate) fn decide(facts: Facts) -> Verdict {
    match facts.lock {
        LockFact::Unusable(why) => Verdict::Unknown { why },
        LockFact::Held if !facts.others.is_empty() => Verdict::OtherIncarnation { processes: facts.others },
        LockFact::Held if !facts.supervisor_lives => Verdict::Unidentified,
        LockFact::Held if facts.supervisor_stopped || facts.freshness != Some(Freshness::Fresh) => {
            Verdict::Stalled
        }
        LockFact::Held => Verdict::Supervised,
        LockFact::Free => decide_free(facts),
    }
}

fn decide_free(facts: Facts) -> Verdict {
    if let Some(exit) = facts.exit.as_ref().filter(|exit| exit.tree_empty) {
        return Verdict::Ended(Box::new(exit.clone()));
    }
    if !facts.others.is_empty() || facts.has_unseen && facts.is_of_other_incarnation {
        return Verdict::OtherIncarnation { processes: facts.others };
    }
    if !facts.survivors.is_empty() || facts.has_unseen {
        return Verdict::OrphanedProcess { processes: facts.survivors };
    }
    if facts.is_attended {
        return Verdict::Unidentified;
    }
    let unknown = |why: &str| Verdict::Unknown { why: why.to_owned() };
    let is_told_by_no_file = !matches!(facts.begun, Begun::Here(_));
    match facts.claimed {
        Some(Origin::EarlierBoot) if is_told_by_no_file => {
            return facts.exit.map_or(Verdict::DeadByReboot, |exit| Verdict::Ended(Box::new(exit)));
        }
        Some(Origin::OtherMachine) if facts.begun == Begun::Nothing && facts.exit.is_none() => {
            return unknown("it was claimed on another machine, and its files are not here");
        }
        _ => {}
    }
    match facts.begun {
        Begun::Nothing if facts.has_lone_output => {
            return unknown("it has an output, and the files that tell its process were removed");
        }
        Begun::Nothing if facts.exit.is_none() => {
            return facts.doubt.map_or(Verdict::NeverStarted, |why| Verdict::Unknown { why });
        }
        Begun::AllDamaged if facts.exit.is_none() => {
            return unknown("sentinel and command record are damaged: its process cannot be told");
        }
        Begun::Here(Origin::EarlierBoot) => {
            return facts.exit.map_or(Verdict::DeadByReboot, |exit| Verdict::Ended(Box::new(exit)));
        }
        Begun::Here(Origin::OtherNamespace) => return unknown("it ran in another process namespace"),
        Begun::Here(Origin::OtherMachine) => return unknown("it ran on another machine"),
        Begun::Nothing
        | Begun::AllDamaged
        | Begun::SentinelDamaged
        | Begun::Here(Origin::Same | Origin::EmptyNamespace) => {}
    }
    match (facts.doubt, facts.exit) {
        (Some(why), _) => Verdict::Unknown { why },
        (None, Some(exit)) => Verdict::Ended(Box::new(exit)),
        (None, None) => Verdict::Crashed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lock: LockFact) -> Facts {
        Facts {
            lock,
            begun: Begun::Here(Origin::Same),
            claimed: Some(Origin::Same),
            exit: None,
            supervisor_lives: false,
            supervisor_stopped: false,
            freshness: Some(Freshness::Fresh),
            survivors: Vec::new(),
            has_unseen: false,
            is_of_other_incarnation: false,
            others: Vec::new(),
            is_attended: false,
            has_lone_output: false,
            doubt: None,
        }
    }

    #[test]
    fn decide_never_started() {
        let claimed = Facts { begun: Begun::Nothing, freshness: None, ..facts(LockFact::Free) };
        assert_eq!(decide(claimed.clone()), Verdict::NeverStarted);
        let attended = Facts { is_attended: true, ..claimed.clone() };
        assert_eq!(decide(attended), Verdict::Unidentified);
        let output = Facts { has_lone_output: true, ..claimed.clone() };
        assert_eq!(decide(output).liveness(), Liveness::Unknown);
        let hidden = Facts { doubt: Some("hidden".to_owned()), ..claimed };
        assert_eq!(decide(hidden).liveness(), Liveness::Unknown);
    }

    #[test]
    fn decide_by_boot_of_claim_when_no_file_tells() {
        for begun in [Begun::Nothing, Begun::SentinelDamaged, Begun::AllDamaged] {
            let gone = Facts { begun, has_lone_output: true, ..facts(LockFact::Free) };
            let rebooted = Facts { claimed: Some(Origin::EarlierBoot), ..gone.clone() };
            assert_eq!(decide(rebooted.clone()), Verdict::DeadByReboot, "{begun:?}");
            let survivors = vec![ProcessIdentity { pid: 7, start_time: 7 }];
            let alive = Facts { survivors, ..rebooted };
            assert_eq!(decide(alive).liveness(), Liveness::Alive, "{begun:?}: a boot id may be mounted over");
        }
        let moved = Facts { begun: Begun::Nothing, ..facts(LockFact::Free) };
        assert_eq!(decide(moved.clone()), Verdict::NeverStarted);
        let moved = Facts { claimed: Some(Origin::OtherMachine), ..moved };
        assert_eq!(decide(moved).liveness(), Liveness::Unknown);
    }

    #[test]
    fn decide_unseen_cgroup_process_is_alive() {
        let origins = [Origin::Same, Origin::OtherNamespace, Origin::EarlierBoot, Origin::OtherMachine];
        for begun in origins.map(Begun::Here) {
            let unseen = Facts { has_unseen: true, begun, ..facts(LockFact::Free) };
            assert_eq!(decide(unseen.clone()), Verdict::OrphanedProcess { processes: Vec::new() });
            let of_another = Facts { is_of_other_incarnation: true, ..unseen };
            assert_eq!(decide(of_another), Verdict::OtherIncarnation { processes: Vec::new() });
        }
    }

    #[test]
    fn decide_unusable_lock_is_unknown() {
        let lock = LockFact::Unusable("a network file system".to_owned());
        for begun in [Begun::Nothing, Begun::Here(Origin::Same), Begun::Here(Origin::EarlierBoot)] {
            let verdict = decide(Facts { begun, ..facts(lock.clone()) });
            assert_eq!(verdict.liveness(), Liveness::Unknown, "{begun:?}");
        }
    }

    #[test]
    fn decide_stopped_supervisor_is_stalled() {
        let held = Facts { supervisor_lives: true, supervisor_stopped: true, ..facts(LockFact::Held) };
        assert_eq!(decide(held), Verdict::Stalled);
    }

    #[test]
    fn decide_hidden_process_prevents_death() {
        assert_eq!(decide(facts(LockFact::Free)), Verdict::Crashed);
        let hidden = Facts { doubt: Some("hidden".to_owned()), ..facts(LockFact::Free) };
        assert_eq!(decide(hidden.clone()).liveness(), Liveness::Unknown);
        // No process from before the last boot of this machine can have been missed.
        let rebooted = Facts { begun: Begun::Here(Origin::EarlierBoot), ..hidden };
        assert_eq!(decide(rebooted), Verdict::DeadByReboot);
    }
}
