//! What systemd is told of a daemon: that it is ready, how it stands, that its loop turns, that its recovery
//! takes longer. Where no systemd started it, nobody is told and nothing happens.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use recovery::recovery::{Observer, PhaseStatus, Snapshot};
use recovery::state::human;
use sd_notify::NotifyState;

/// A recovery that moves may go on for so long until it moves again.
const EXTENSION: Duration = Duration::from_secs(60);
/// What comes after the jobs have ended.
const DRAINED: Duration = Duration::from_secs(15);
/// Systemd is told of progress at most so often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Hears that the loop turns.
pub(crate) type Turns = Arc<dyn Fn() + Send + Sync>;

/// The connection to systemd.
#[derive(Clone)]
pub(crate) struct Notice {
    /// How often the loop is to say that it turns.
    watchdog: Option<Duration>,
    /// Called for every round, too.
    turns: Option<Turns>,
    last: Arc<Mutex<Last>>,
}

/// When systemd was told what.
#[derive(Debug, Default)]
struct Last {
    turned: Option<Instant>,
    moved: Option<Instant>,
}

impl Notice {
    /// Of this process.
    pub(crate) fn of_this_process() -> Notice {
        let mut micros = 0;
        let is_watched = sd_notify::watchdog_enabled(false, &mut micros);
        let watchdog = is_watched.then(|| Duration::from_micros(micros / 2));
        Notice { watchdog, turns: None, last: Arc::default() }
    }

    /// From now on somebody else is told of every turn too.
    pub(crate) fn telling(self, turns: Turns) -> Notice {
        Notice { turns: Some(turns), ..self }
    }

    /// Tells systemd that the daemon takes jobs, or is up in safe mode.
    pub(crate) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Tells systemd that the daemon ends.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// It ends when the jobs that run have ended, or after this time: systemd is to wait as long as that.
    pub(crate) fn draining(&self, running: usize, left: Duration) {
        self.turned();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.moved.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return;
        }
        last.moved = Some(Instant::now());
        let status = format!(
            "ends when {} have ended, or in {}",
            human::count(running, "running job"),
            human::span(left)
        );
        let longer = u32::try_from((left + DRAINED).as_micros()).unwrap_or(u32::MAX);
        let state =
            [NotifyState::Stopping, NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(longer)];
        tell(&state);
    }

    /// Called by the loop that works, in every round: so a loop that hangs is noticed.
    pub(crate) fn turned(&self) {
        if let Some(turns) = &self.turns {
            turns();
        }
        let Some(every) = self.watchdog else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.turned.is_none_or(|at| at.elapsed() >= every) {
            last.turned = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// Notes that a recovery has made progress.
    fn moved(&self, snapshot: &Snapshot) {
        self.turned();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.moved.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return;
        }
        last.moved = Some(Instant::now());
        let running = snapshot.phases.iter().filter(|p| p.status == PhaseStatus::Running);
        let names: Vec<&str> = running.map(|p| p.phase.as_str()).collect();
        let (done, total) = (snapshot.phases_done, snapshot.phases_total);
        let status = format!("recovering: {done} of {total} phases done, at {}", names.join(", "));
        let longer = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        tell(&[NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(longer)]);
    }

    /// Tells of a recovery's progress, and then calls the other observer.
    pub(crate) fn observer(&self, other: Option<Observer>) -> Observer {
        let notice = self.clone();
        Arc::new(move |snapshot: &Snapshot| {
            notice.moved(snapshot);
            if let Some(other) = &other {
                other(snapshot);
            }
        })
    }
}

/// Sends a state to systemd. It does not matter if systemd does not listen.
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(false, state);
}
