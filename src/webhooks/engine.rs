//! Delivers: takes due deliveries, records their attempts, sends them, records the results.
//!
//! One thread decides, records and sends: one write to the log holds the ends of attempts and the begins of
//! the next, and the following write holds the results that arrive in the meantime. With separate threads for
//! sending, most of the time went into waking one another. Records are synced in the background, many at a
//! time. An attempt's slot becomes free only when its end is in the log: so a kill leaves no more attempts in
//! doubt than there are slots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::answer::{Meaning, meaning_of, retry_after};
use super::breaker::{BreakerSettings, Change};
use super::concurrency_limit::ConcurrencyLimit;
use super::delivery::{Delivery, DeliveryId};
use super::log::{DeliveryLog, DeliveryLogError};
use super::own_secret::make_own_secret;
use super::record::{Attempted, DeliveryOutcome, DeliveryState, Operation};
use super::schedule::{chance, pause_after};
use super::scheduler::{DeliveryScheduler, Health, Limits};
use super::sender::{Answer, Sender, prepare};
use super::settings::Settings;
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::logging::events;
use crate::state::{StateDir, Timestamp, human};
use tracing::field::display;
use tracing::{Instrument as _, info, info_span, warn};

/// How long it may take until the engine notices another process's request, or that it is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long attempts under way may go on when the engine is to stop.
const LAST_WAIT: Duration = Duration::from_secs(3);
/// The time between two syncs of the log. A power loss before the next sync costs duplicates, and nothing
/// else.
const SYNC_PAUSE: Duration = Duration::from_millis(50);
/// The time between two tries to write a log that cannot be written.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Why deliveries cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Another process delivers.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The delivery log could not be used.
    #[error(transparent)]
    Log(#[from] DeliveryLogError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system provides no event queue.
    #[error("cannot set up the network runtime")]
    Runtime(#[source] std::io::Error),
}

/// The numbers of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many attempts arrived.
    pub delivered: u64,
    /// How many attempts are to be repeated.
    pub retried: u64,
    /// How many attempts failed for good, so that an operator decides what follows.
    pub parked: u64,
    /// How many deliveries are left and not parked.
    pub left: u64,
}

enum Message {
    Offer(Vec<Delivery>),
    Done(Box<Done>),
    Synced(Result<(), String>),
}

struct Done {
    delivery: Arc<Delivery>,
    attempt: u32,
    begun: Instant,
    duration: Duration,
    answer: Answer,
}

/// Hands deliveries to an engine, from any thread.
#[derive(Clone)]
pub struct Feed(UnboundedSender<Message>);

impl Feed {
    /// Offers deliveries; those that the engine knows, or that have arrived, are ignored. Returns false when
    /// the engine has ended.
    pub fn offer(&self, deliveries: Vec<Delivery>) -> bool {
        deliveries.is_empty() || self.0.send(Message::Offer(deliveries)).is_ok()
    }
}

/// Delivers for one state directory. Only one engine at a time works on a directory.
pub struct Engine {
    dir: StateDir,
    settings: Arc<Settings>,
    log: DeliveryLog,
    scheduler: DeliveryScheduler,
    sender: Arc<Sender>,
    inbox: UnboundedReceiver<Message>,
    outbox: UnboundedSender<Message>,
    /// Ends of attempts that are not in the log yet; no attempt begins before they are written.
    unrecorded: Vec<Operation>,
    places: ConcurrencyLimit,
    is_dirty: bool,
    is_syncing: bool,
    synced: Option<Instant>,
    done: Delivered,
    _lock: FileLock,
}

impl Engine {
    /// Takes the right to deliver. Deliveries that were under way when their sender died become pending
    /// again, and newly configured endpoints are noted. Without secrets in the settings, everything is signed
    /// with the directory's own secret.
    ///
    /// # Errors
    /// [`EngineError::Lock`] when another process delivers.
    pub fn start(
        dir: &StateDir,
        mut settings: Settings,
        purpose: &str,
    ) -> Result<(Engine, Feed), EngineError> {
        let lock = take_lock(dir, purpose)?;
        if settings.secrets.is_empty() {
            settings.secrets.push(make_own_secret(dir)?);
        }
        let mut log = DeliveryLog::open(dir)?;
        interrupt_lost(&mut log, &settings)?;
        let limits = Limits {
            per_endpoint: settings.per_endpoint,
            strict_order: settings.strict_order,
            breaker: BreakerSettings {
                failures: settings.breaker_failures,
                pause: settings.breaker_pause,
                pause_max: settings.breaker_pause_max,
            },
        };
        let mut scheduler = DeliveryScheduler::new(limits);
        let (now, at) = (Instant::now(), dir.clock.now());
        for (endpoint, circuit) in log.state().circuits() {
            let rest = bounded(circuit.open_until.millis_since(at), settings.breaker_pause_max);
            scheduler.restore_circuit(endpoint, circuit.failures, now + rest);
        }
        for (endpoint, until) in log.state().retry_after().iter().filter(|(_, until)| **until > at) {
            scheduler.restore_retry_after(
                endpoint,
                now + bounded(until.millis_since(at), settings.retry_after_max),
            );
        }
        let (outbox, inbox) = unbounded_channel();
        let feed = Feed(outbox.clone());
        let places = ConcurrencyLimit::new(settings.concurrency);
        let engine = Engine {
            dir: dir.clone(),
            sender: Arc::new(Sender::new(&settings)),
            settings: Arc::new(settings),
            log,
            scheduler,
            inbox,
            outbox,
            unrecorded: Vec::new(),
            places,
            is_dirty: false,
            is_syncing: false,
            synced: None,
            done: Delivered::default(),
            _lock: lock,
        };
        Ok((engine, feed))
    }

    /// Returns since when each endpoint receives events.
    pub fn endpoints_since(&self) -> BTreeMap<String, Timestamp> {
        self.log.state().endpoints().clone()
    }

    /// Delivers until `stop` says so, or, with `once`, until nothing is due. `trouble` is called with the
    /// log's error when it cannot be written.
    pub fn run(
        mut self,
        once: bool,
        stop: &dyn Fn() -> bool,
        trouble: &mut dyn FnMut(&str),
    ) -> Result<Delivered, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(EngineError::Runtime)?;
        let delivered = runtime.block_on(async {
            while !stop() {
                self.round(trouble).await;
                if once && self.is_idle() {
                    break;
                }
                self.rest().await;
            }
            self.finish().await
        });
        // A name look-up that hangs must not delay the end.
        runtime.shutdown_background();
        delivered
    }

    async fn round(&mut self, trouble: &mut dyn FnMut(&str)) {
        if let Err(e) = self.follow().and_then(|()| self.advance()) {
            trouble(&e.to_string());
            tokio::time::sleep(LOG_PAUSE).await;
            // The files are the truth: a sync may have failed, or the files were removed.
            match DeliveryLog::open(&self.dir) {
                Ok(log) => self.log = log,
                Err(e) => trouble(&e.to_string()),
            }
        }
        self.sync();
    }

    fn is_idle(&self) -> bool {
        let is_due = self.scheduler.next_time().is_some_and(|t| t <= Instant::now());
        self.scheduler.in_flight() == 0 && self.unrecorded.is_empty() && !is_due && self.inbox.is_empty()
    }

    /// Waits for the first message, then takes all that are there.
    async fn rest(&mut self) {
        let now = Instant::now();
        let until_due = self.scheduler.next_time().map_or(LOOK, |t| t.saturating_duration_since(now));
        let longest = if self.places.free(now) > 0 { until_due.min(LOOK) } else { LOOK };
        if let Ok(Some(message)) = tokio::time::timeout(longest, self.inbox.recv()).await {
            self.take(message);
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Offer(deliveries) => self.adopt(deliveries),
            Message::Done(done) => self.ended(*done),
            Message::Synced(synced) => {
                (self.is_syncing, self.synced) = (false, Some(Instant::now()));
                // The next append reports the error, too.
                self.is_dirty |= synced.is_err();
                if let Err(e) = synced {
                    warn!(event = events::TROUBLE, "deliveries are recorded, but not synced: {e}");
                }
            }
        }
    }

    fn adopt(&mut self, deliveries: Vec<Delivery>) {
        let (now, at) = (Instant::now(), self.dir.clock.now());
        for delivery in deliveries {
            let id = delivery.id;
            if self.log.state().is_settled(id) || self.scheduler.knows(id) || self.has_just_ended(id) {
                continue;
            }
            let due = match self.log.state().progress(id).map(|c| c.standing) {
                Some(DeliveryState::Parked { .. }) => None,
                Some(DeliveryState::Waiting { next_try_at }) => {
                    Some(now + bounded(next_try_at.millis_since(at), self.settings.longest_pause()))
                }
                Some(DeliveryState::InFlight { .. }) | None => Some(now),
            };
            self.scheduler.add(Arc::new(delivery), due);
        }
    }

    /// Whether the last attempt of a delivery has ended but is not in the log yet.
    fn has_just_ended(&self, id: DeliveryId) -> bool {
        let is_it = |o: &Operation| matches!(o, Operation::Attempted(a) if a.delivery == id);
        self.unrecorded.iter().any(is_it)
    }

    /// Handles the requests of other processes.
    fn follow(&mut self) -> Result<(), DeliveryLogError> {
        if self.log.is_behind() {
            let scheduler = &mut self.scheduler;
            self.log.refresh(&mut |operation| heed(scheduler, operation))?;
        }
        Ok(())
    }

    /// Records ended attempts and begins due ones as far as there are slots: one write to the log comes
    /// first, then the network.
    fn advance(&mut self) -> Result<(), DeliveryLogError> {
        let now = Instant::now();
        let chosen: Vec<_> = (0..self.places.free(now)).map_while(|_| self.scheduler.next(now)).collect();
        let attempt = |id| self.log.state().progress(id).map_or(0, |c| c.attempts) + 1;
        let attempts: Vec<u32> = chosen.iter().map(|d| attempt(d.id)).collect();
        let begins = chosen.iter().zip(&attempts);
        let begins = begins.map(|(d, n)| Operation::Begin { delivery: d.id, attempt: *n });
        if let Err(e) = self.write(begins.collect()) {
            chosen.iter().for_each(|d| self.scheduler.try_again(d.id, now));
            return Err(e);
        }
        for (delivery, attempt) in chosen.into_iter().zip(attempts) {
            self.send(delivery, attempt);
        }
        self.compact_if_due()
    }

    /// Appends the ends that are not in the log yet and, after them, the begins.
    fn write(&mut self, begins: Vec<Operation>) -> Result<(), DeliveryLogError> {
        if self.unrecorded.is_empty() && begins.is_empty() {
            return Ok(());
        }
        let scheduler = &mut self.scheduler;
        let operations = self.unrecorded.iter().cloned().chain(begins).collect();
        self.log.decide(&mut |operation| heed(scheduler, operation), |_, _| (operations, ()))?;
        self.unrecorded.clear();
        self.is_dirty = true;
        Ok(())
    }

    fn compact_if_due(&mut self) -> Result<(), DeliveryLogError> {
        let size = self.log.state().in_progress().len() as u64;
        let is_long = self.log.records_since_compaction() >= self.settings.compact_records.max(size / 2);
        let retention = self.settings.retention();
        if is_long || self.log.is_worth_shortening(retention, self.dir.clock.now()) {
            // The next recovery finds out which of the settled deliveries could be derived again.
            self.log.compact(&|_| true, retention)?;
        }
        Ok(())
    }

    fn send(&mut self, delivery: Arc<Delivery>, attempt: u32) {
        let begun = Instant::now();
        self.places.take(begun, delivery.id);
        let (sender, outbox) = (self.sender.clone(), self.outbox.clone());
        let (settings, at) = (self.settings.clone(), self.dir.clock.now());
        let span = info_span!(
            "delivery",
            delivery_id = %delivery.id, job_id = delivery.job_id().map(display), endpoint = delivery.target.endpoint, attempt
        );
        let send = async move {
            let answer = match prepare(&settings, &delivery, at) {
                Ok(prepared) => sender.send(prepared).await,
                Err(why) => Answer { error: Some(why), is_hopeless: true, ..Answer::default() },
            };
            let done = Done { delivery, attempt, begun, duration: begun.elapsed(), answer };
            let _ = outbox.send(Message::Done(Box::new(done))); // The receiver is gone: it was interrupted.
        };
        tokio::spawn(send.instrument(span));
    }

    /// Updates the delivery and the endpoint of an attempt that has ended.
    fn ended(&mut self, done: Done) {
        let (now, at) = (Instant::now(), self.dir.clock.now());
        let Done { delivery, attempt, begun, duration, answer } = done;
        self.places.give_back(begun, delivery.id);
        let asked = answer.retry_after.as_deref();
        let asked = asked.and_then(|v| retry_after(v, at, self.settings.retry_after_max));
        let tries = self.log.state().progress(delivery.id).map_or(1, |c| c.tries);
        let pause = pause_after(tries, &self.settings.pauses, asked, chance);
        let (outcome, error) = judge(&answer, pause.is_some(), tries);
        match outcome {
            DeliveryOutcome::Delivered => self.done.delivered += 1,
            DeliveryOutcome::Retry => self.done.retried += 1,
            DeliveryOutcome::Parked | DeliveryOutcome::Refused => self.done.parked += 1,
        }
        tell(&delivery, attempt, outcome, (answer.status, error.as_deref()), (duration, pause));
        let after = |p: Duration| at.plus_millis(i64::try_from(p.as_millis()).unwrap_or(i64::MAX));
        let operation = Operation::Attempted(Attempted {
            delivery: delivery.id,
            attempt,
            job_id: delivery.job_id().map(ToString::to_string),
            event: delivery.event,
            url: delivery.target.shown(),
            outcome,
            status_code: answer.status,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            error: error.clone(),
            next_try_at: pause.filter(|_| outcome == DeliveryOutcome::Retry).map(after),
            not_before: asked.map(after),
        });
        self.unrecorded.push(operation);
        match (outcome, pause) {
            (DeliveryOutcome::Delivered, _) => self.scheduler.delivered(delivery.id),
            (DeliveryOutcome::Retry, Some(pause)) => self.scheduler.try_again(delivery.id, now + pause),
            _ => self.scheduler.park(delivery.id),
        }
        let endpoint = &delivery.target.endpoint;
        let change = self.scheduler.learn(endpoint, health(&answer), asked.map(|a| now + a), now);
        self.note_circuit(endpoint, change, at, error);
    }

    fn note_circuit(&mut self, endpoint: &str, change: Change, at: Timestamp, error: Option<String>) {
        let (failures, open_until) = match change {
            Change::None => return,
            Change::Closed => (0, None),
            Change::Opened { pause, failures } => {
                let ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                (failures, Some(at.plus_millis(ms)))
            }
        };
        match open_until {
            Some(until) => warn!(
                event = events::CIRCUIT_OPENED,
                endpoint, failures, until = %until, error,
                "{endpoint} has failed {failures} times in a row, and is left alone until {until}"
            ),
            None => info!(event = events::CIRCUIT_CLOSED, endpoint, "{endpoint} answers again"),
        }
        let error = error.filter(|_| open_until.is_some());
        let endpoint = endpoint.to_owned();
        let operation = Operation::Circuit { endpoint, failures, open_until, error };
        self.unrecorded.push(operation);
    }

    /// Syncs the appended records, in the background.
    fn sync(&mut self) {
        let is_early = self.synced.is_some_and(|at| at.elapsed() < SYNC_PAUSE);
        if self.is_dirty && !self.is_syncing && !is_early {
            (self.is_dirty, self.is_syncing) = (false, true);
            let (log, outbox) = (self.log.log().clone(), self.outbox.clone());
            let end = log.end().last_seq;
            tokio::task::spawn_blocking(move || {
                let synced = log.commit(end).map_err(|e| e.to_string());
                let _ = outbox.send(Message::Synced(synced)); // It has ended.
            });
        }
    }

    /// Gives attempts under way a moment to end; the others become pending again.
    async fn finish(mut self) -> Result<Delivered, EngineError> {
        let until = Instant::now() + LAST_WAIT;
        while self.scheduler.in_flight() > 0 && Instant::now() < until {
            self.rest().await;
            self.write(Vec::new())?;
        }
        interrupt_lost(&mut self.log, &self.settings)?;
        self.log.commit()?;
        self.done.left = self.scheduler.pending() as u64;
        Ok(self.done)
    }
}

/// Logs the result of an attempt. Addresses are masked, and headers are never shown.
fn tell(
    delivery: &Delivery,
    attempt: u32,
    outcome: DeliveryOutcome,
    (status_code, error): (Option<u16>, Option<&str>),
    (duration, pause): (Duration, Option<Duration>),
) {
    let (delivery_id, url) = (delivery.id, delivery.target.shown());
    let job_id = delivery.job_id().map(display);
    let kind = delivery.event.as_str();
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let why = error.unwrap_or("it was refused");
    match outcome {
        DeliveryOutcome::Delivered => info!(
            event = events::DELIVERED,
            %delivery_id, job_id, kind, url, attempt, status_code, duration_ms,
            "{kind} was delivered to {url}"
        ),
        DeliveryOutcome::Retry => {
            let pause = human::span(pause.unwrap_or_default());
            warn!(
                event = events::DELIVERY_RETRIED,
                %delivery_id, job_id, kind, url, attempt, status_code, duration_ms, error,
                "{kind} did not arrive at {url}: {why}; next try in {pause}"
            );
        }
        DeliveryOutcome::Parked | DeliveryOutcome::Refused => warn!(
            event = events::DELIVERY_PARKED,
            %delivery_id, job_id, kind, url, attempt, status_code, duration_ms, error,
            "{kind} did not arrive at {url}, and is not tried again by itself: {why}"
        ),
    }
}

/// Applies what another process has written.
fn heed(scheduler: &mut DeliveryScheduler, operation: &Operation) {
    match operation {
        Operation::Retry { deliveries, .. } => {
            let now = Instant::now();
            deliveries.iter().for_each(|id| scheduler.retry(*id, now));
        }
        Operation::Discard { deliveries, .. } => deliveries.iter().for_each(|id| scheduler.forget(*id)),
        _ => {}
    }
}

/// Returns the meaning of an answer, and its error in words.
fn judge(answer: &Answer, may_try_again: bool, tries: u32) -> (DeliveryOutcome, Option<String>) {
    if answer.is_refused {
        return (DeliveryOutcome::Refused, answer.error.clone());
    }
    let meaning = match answer.status {
        Some(status) => meaning_of(status),
        None if answer.is_hopeless => Meaning::Park,
        None => Meaning::TryAgain,
    };
    let said = || match (answer.status, &answer.error) {
        (Some(status @ 300..=399), _) => format!("answered {status}; redirects are not followed"),
        (Some(status), _) => format!("answered {status}"),
        (None, error) => error.clone().unwrap_or_else(|| "no answer".to_owned()),
    };
    match meaning {
        Meaning::Delivered => (DeliveryOutcome::Delivered, None),
        Meaning::TryAgain if answer.is_unwanted => {
            (DeliveryOutcome::Parked, Some(format!("{} and does not want it again", said())))
        }
        Meaning::TryAgain if may_try_again => (DeliveryOutcome::Retry, Some(said())),
        Meaning::TryAgain => (DeliveryOutcome::Parked, Some(format!("{} (try {tries}, the last)", said()))),
        Meaning::Park => (DeliveryOutcome::Parked, Some(said())),
    }
}

fn health(answer: &Answer) -> Health {
    match answer.status {
        Some(500..=599 | 408) => Health::Fails,
        Some(429) => Health::NotKnown,
        Some(_) => Health::Answers,
        None if answer.is_refused || answer.is_hopeless => Health::NotKnown,
        None => Health::Fails,
    }
}

/// Turns a stored time into a pause from now, at most the longest that can have been stored: the clock may
/// have been set back since.
fn bounded(ms: i64, longest: Duration) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(longest)
}

pub(super) fn take_lock(dir: &StateDir, purpose: &str) -> Result<FileLock, EngineError> {
    dir.disk.ensure_dir(&dir.paths.webhooks())?;
    let lock = FileLock::acquire(&dir.disk, &dir.paths.deliver_lock(), Duration::from_millis(250))?;
    lock.describe(&Holder {
        pid: std::process::id(),
        purpose: purpose.to_owned(),
        since: dir.clock.now().to_string(),
    })?;
    Ok(lock)
}

/// Marks every attempt that is recorded as under way as interrupted, and returns them. Only the holder of the
/// lock calls this: no other process sends, so each of these attempts is lost.
pub(super) fn interrupt_lost(
    log: &mut DeliveryLog,
    settings: &Settings,
) -> Result<Vec<DeliveryId>, DeliveryLogError> {
    log.decide(&mut |_| {}, |state, _| {
        let lost = state.in_progress().filter(|(_, c)| matches!(c.standing, DeliveryState::InFlight { .. }));
        let lost: Vec<DeliveryId> = lost.map(|(id, _)| id).collect();
        let new = settings.endpoints.iter().filter(|e| !state.endpoints().contains_key(&e.name));
        let mut operations: Vec<_> = new.map(|e| Operation::Endpoint { name: e.name.clone() }).collect();
        operations.extend(lost.chunks(500).map(|ids| Operation::Interrupted { deliveries: ids.to_vec() }));
        (operations, lost)
    })
}

/// Sends one delivery once, without a record, to see whether a receiver can be reached.
pub(crate) fn deliver_test(
    settings: &Settings,
    delivery: &Delivery,
    at: Timestamp,
) -> Result<(Answer, Duration), EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(EngineError::Runtime)?;
    let begun = Instant::now();
    let answer = match prepare(settings, delivery, at) {
        Ok(prepared) => runtime.block_on(Sender::new(settings).send(prepared)),
        Err(why) => Answer { error: Some(why), is_hopeless: true, ..Answer::default() },
    };
    runtime.shutdown_background();
    Ok((answer, begun.elapsed()))
}
