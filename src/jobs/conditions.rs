//! Problems of a living attempt. None of them decides between alive and dead; an operator should know each.

use super::sentinel::{Freshness, FreshnessLimits, Heartbeat};
use crate::queue::Job;
use crate::state::Timestamp;
use crate::system::{
    Hindrance, Presence, ProcessIdentity, ProcessProbe, command_line, hindrance_of, other_user_of, presence,
};

/// One problem of a living attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The heartbeat is stale.
    HeartbeatStale {
        /// How old it is, in milliseconds.
        age_ms: i64,
    },
    /// The heartbeat is so old that the supervisor seems to have stopped watching.
    Hung {
        /// How old the heartbeat is, in milliseconds.
        age_ms: i64,
    },
    /// The heartbeat is from the future.
    ClockSkew {
        /// How far ahead, in milliseconds.
        ahead_ms: i64,
    },
    /// A signal or a debugger has stopped the supervisor: it writes no heartbeat, and enforces a time limit only
    /// once another process wakes it.
    SupervisorStopped {
        /// The supervisor.
        process: ProcessIdentity,
    },
    /// Its command is stopped.
    CommandStopped { process: ProcessIdentity },
    /// Its command has ended and was not reaped: a zombie.
    Zombie {
        /// The process that was the command.
        process: ProcessIdentity,
    },
    /// The attempt lives, although it was recorded under another boot id: the file with the boot id is hidden
    /// from one of the two processes, or something is mounted over it.
    BootIdentityDiffers,
    /// Its command acts as another user than it was started as.
    OtherUser {
        process: ProcessIdentity,
        /// The user it acts as.
        uid: u32,
        /// The user it was started as.
        started_as: u32,
    },
    /// Processes of the attempt do not end although they were signalled, and the attempt is not over before they
    /// have.
    CannotEnd {
        /// The processes, and why each does not end.
        processes: Vec<Withstanding>,
    },
    /// A cancel was recorded long ago, and the attempt has not ended.
    CancelPending {
        /// How long ago, in milliseconds.
        age_ms: i64,
    },
}

/// A process that does not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withstanding {
    pub process: ProcessIdentity,
    /// The name of its program; empty when that is not shown.
    pub program: String,
    /// What prevents its end, in words.
    pub why: String,
}

/// The condition for those of the processes that live; `by` is the user who is to end them.
pub(super) fn cannot_end(processes: &[ProcessIdentity], by: u32) -> Option<Condition> {
    let withstanding = |process: &ProcessIdentity| Withstanding {
        process: *process,
        program: command_line(process.pid).into_iter().next().unwrap_or_default(),
        why: hindrance_of(process.pid, by).describe(by),
    };
    let living = processes.iter().filter(|p| presence(**p) != Presence::Gone);
    let processes: Vec<Withstanding> = living.map(withstanding).collect();
    (!processes.is_empty()).then_some(Condition::CannotEnd { processes })
}

/// The processes whose end something visible hinders.
pub(super) fn hindered(processes: &[ProcessIdentity], by: u32) -> Vec<ProcessIdentity> {
    let is_hindered = |p: &&ProcessIdentity| hindrance_of(p.pid, by) != Hindrance::Unknown;
    processes.iter().filter(is_hindered).copied().collect()
}

impl Condition {
    /// Its stable name.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Condition::HeartbeatStale { .. } => "heartbeat_stale",
            Condition::Hung { .. } => "hung",
            Condition::ClockSkew { .. } => "clock_skew",
            Condition::SupervisorStopped { .. } => "supervisor_stopped",
            Condition::CommandStopped { .. } => "command_stopped",
            Condition::Zombie { .. } => "zombie",
            Condition::BootIdentityDiffers => "boot_identity_differs",
            Condition::OtherUser { .. } => "other_user",
            Condition::CannotEnd { .. } => "cannot_end",
            Condition::CancelPending { .. } => "cancel_pending",
        }
    }

    /// The processes that the condition is about.
    pub(crate) fn processes(&self) -> Vec<ProcessIdentity> {
        match self {
            Condition::SupervisorStopped { process }
            | Condition::CommandStopped { process }
            | Condition::Zombie { process }
            | Condition::OtherUser { process, .. } => vec![*process],
            Condition::CannotEnd { processes } => processes.iter().map(|w| w.process).collect(),
            _ => Vec::new(),
        }
    }
}

/// A cancel that has no effect for this long, in milliseconds, is reported.
const CANCEL_PATIENCE_MS: i64 = 60_000;

/// The condition when the job's end is overdue after a cancel.
pub(super) fn pending_cancel(job: &Job, now: Timestamp) -> Option<Condition> {
    let cancel = job.run_state().cancel.as_ref().filter(|_| job.run_state().cancel_requested)?;
    let age_ms = now.millis_since(cancel.at);
    (age_ms >= CANCEL_PATIENCE_MS).then_some(Condition::CancelPending { age_ms })
}

/// Observations about a living attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) supervisor: Option<(ProcessIdentity, ProcessProbe)>,
    pub(super) command: Option<(ProcessIdentity, ProcessProbe)>,
    /// The user that the command was started as.
    pub(super) uid: Option<u32>,
    /// Whether the attempt was recorded under another boot id.
    pub(super) is_of_other_boot_id: bool,
    /// Whether the attempt has a supervisor, which should write heartbeats.
    pub(super) is_supervised: bool,
}

/// All problems that the observations show.
pub(super) fn conditions(seen: &Seen, limits: FreshnessLimits) -> Vec<Condition> {
    let mut found = Vec::new();
    if seen.is_of_other_boot_id {
        found.push(Condition::BootIdentityDiffers);
    }
    if let Some((process, _)) = seen.supervisor.filter(|(_, s)| s.is_stopped) {
        found.push(Condition::SupervisorStopped { process });
    }
    if let Some((process, sighting)) = seen.command {
        if sighting.is_stopped {
            found.push(Condition::CommandStopped { process });
        }
        if sighting.is_zombie {
            found.push(Condition::Zombie { process });
        }
        if sighting.presence == Presence::Alive
            && let Some(started_as) = seen.uid
            && let Some(uid) = other_user_of(process.pid, started_as)
        {
            found.push(Condition::OtherUser { process, uid, started_as });
        }
    }
    found.extend(seen.heartbeat.filter(|_| seen.is_supervised).and_then(|h| of_heartbeat(h, limits)));
    found
}

fn of_heartbeat(heartbeat: Heartbeat, limits: FreshnessLimits) -> Option<Condition> {
    let age_ms = heartbeat.age_ms;
    match limits.freshness(age_ms) {
        _ if heartbeat.is_from_the_future() => Some(Condition::ClockSkew { ahead_ms: -age_ms }),
        Freshness::Fresh => None,
        Freshness::Stale => Some(Condition::HeartbeatStale { age_ms }),
        Freshness::Dead => Some(Condition::Hung { age_ms }),
    }
}
