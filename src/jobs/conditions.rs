//! What is not as it should be with an attempt that lives.
//!
//! None of it decides between alive and dead; each is something that an operator should know.

use super::sentinel::{Freshness, FreshnessLimits, Heartbeat};
use crate::system::{Presence, ProcessIdentity, Sighting, other_user_of};

/// One thing that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its heartbeat is stale.
    HeartbeatStale {
        /// How old it is, in milliseconds.
        age_ms: i64,
    },
    /// It lives, and its heartbeat is so old that nobody watches over it any more.
    Hung {
        /// How old the heartbeat is, in milliseconds.
        age_ms: i64,
    },
    /// Its heartbeat is from the future.
    ClockSkew {
        /// How far ahead, in milliseconds.
        ahead_ms: i64,
    },
    /// Its supervisor is stopped by a signal or a debugger: no heartbeat, no time limit.
    SupervisorStopped {
        /// The supervisor.
        process: ProcessIdentity,
    },
    /// Its command is stopped.
    CommandStopped {
        /// The command.
        process: ProcessIdentity,
    },
    /// Its command has ended and nobody has taken note: a zombie.
    Zombie {
        /// What was the command.
        process: ProcessIdentity,
    },
    /// It lives, although it was recorded under another boot id: that file is hidden from one of us, or something
    /// is mounted over it.
    BootIdentityDiffers,
    /// Its command acts as another user than it was started as.
    OtherUser {
        /// The command.
        process: ProcessIdentity,
        /// The user it acts as.
        uid: u32,
        /// The user it was started as.
        started_as: u32,
    },
}

/// What was seen of a living attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) supervisor: Option<(ProcessIdentity, Sighting)>,
    pub(super) command: Option<(ProcessIdentity, Sighting)>,
    /// The user that the command was started as.
    pub(super) uid: Option<u32>,
    /// Whether it was recorded under another boot id.
    pub(super) is_of_other_boot_id: bool,
    /// Whether a supervisor is there who should beat.
    pub(super) is_supervised: bool,
}

/// All that is not as it should be.
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
