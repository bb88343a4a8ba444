//! Places for connections: counted by what their other ends have shown, so that those who have shown nothing take
//! nothing from those who may ask.
//!
//! A connection of the unix socket has a place of its own kind from the beginning, because only the daemon's
//! user and root can connect there. One of TCP begins among those that have shown nothing, and moves when a
//! request on it shows a token that counts. Where all places of a kind are taken, one that is not in use is
//! closed: among those that have shown nothing it is the oldest of the address that has most of them. So a
//! newcomer finds a place, however many another address holds, and has the time to show a token.
//!
//! [`Places::close_overdue`] is called again and again: it closes connections that have only begun a request,
//! are idle, or do not take their answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// From the first byte of a request to the end of its head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// A connection without a request, or whose client takes nothing of its answer, is closed after this time.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// What the other end of a connection has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It came by the unix socket.
    Socket,
    /// The admin's token.
    Admin,
    /// The viewer's token.
    Viewer,
    /// Nothing yet.
    Nobody,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Socket, Kind::Admin, Kind::Viewer, Kind::Nobody];

    /// Its part of all places, in sixteenths.
    const fn share(self) -> usize {
        match self {
            Kind::Socket => 1,
            Kind::Admin => 2,
            Kind::Viewer => 4,
            Kind::Nobody => 9,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request is under way.
    Idle,
    /// A request has begun to come.
    Head,
    /// A request is carried out, or its answer sent.
    Busy,
}

#[derive(Debug)]
struct Seat {
    number: u64,
    origin: IpAddr,
    now: Mutex<Now>,
    closed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Now {
    kind: Kind,
    phase: Phase,
    /// When that began; of an idle one when something was sent or received last.
    since: Instant,
    /// Since when the other end has taken nothing of what is sent.
    stalled: Option<Instant>,
    /// Whether more of a request may come than was read.
    has_unread: bool,
}

impl Seat {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_overdue(&self, at: Instant) -> bool {
        let now = self.now();
        let older = |since: Instant, than| at.saturating_duration_since(since) >= than;
        let waits = match now.phase {
            Phase::Idle => older(now.since, IDLE_TIME),
            Phase::Head => older(now.since, HEAD_TIME),
            Phase::Busy => false,
        };
        waits || now.stalled.is_some_and(|since| older(since, IDLE_TIME))
    }
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    counts: [usize; Kind::ALL.len()],
}

impl Taken {
    /// Takes a seat away and closes its connection.
    fn close(&mut self, seat: &Seat) {
        if self.remove(seat) {
            seat.closed.notify_one();
        }
    }

    fn remove(&mut self, seat: &Seat) -> bool {
        let is_there = self.seats.remove(&seat.number).is_some();
        if is_there {
            self.counts[seat.now().kind as usize] -= 1;
        }
        is_there
    }

    /// The connection that gives way to another one of its kind.
    fn least(&self, kind: Kind) -> Option<Arc<Seat>> {
        let of_kind = || self.seats.values().filter(|seat| seat.now().kind == kind);
        let mut from: HashMap<IpAddr, usize> = HashMap::new();
        of_kind().for_each(|seat| *from.entry(seat.origin).or_default() += 1);
        let most = from.values().copied().max()?;
        let in_question = of_kind().filter(|seat| {
            let is_used = seat.now().phase == Phase::Busy;
            match kind {
                Kind::Nobody => from[&seat.origin] == most,
                Kind::Socket | Kind::Admin | Kind::Viewer => !is_used,
            }
        });
        let order = |seat: &&Arc<Seat>| {
            let now = seat.now();
            (now.phase == Phase::Busy, now.since)
        };
        in_question.min_by_key(order).cloned()
    }
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    most: [usize; Kind::ALL.len()],
}

impl Places {
    /// So many in all, divided among the kinds.
    pub(super) fn new(all: usize) -> Arc<Places> {
        let most = Kind::ALL.map(|kind| (all * kind.share() / 16).max(4));
        Arc::new(Places { taken: Mutex::default(), most })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place for a new connection; `None` when all of its kind are in use.
    pub(super) fn enter(self: &Arc<Places>, kind: Kind, origin: IpAddr) -> Option<Holder> {
        let mut taken = self.taken();
        self.make_room(&mut taken, kind)?;
        taken.counts[kind as usize] += 1;
        let number = taken.next;
        taken.next += 1;
        let now = Now { kind, phase: Phase::Idle, since: Instant::now(), stalled: None, has_unread: false };
        let seat = Arc::new(Seat { number, origin, now: Mutex::new(now), closed: Notify::new() });
        taken.seats.insert(number, seat.clone());
        Some(Holder(Place { places: self.clone(), seat }))
    }

    fn make_room(&self, taken: &mut Taken, kind: Kind) -> Option<()> {
        if taken.counts[kind as usize] >= self.most[kind as usize] {
            let least = taken.least(kind)?;
            taken.close(&least);
        }
        Some(())
    }

    /// Closes one connection that has shown nothing, if there is one, because this process may open no more
    /// files.
    pub(super) fn close_one(&self) {
        let mut taken = self.taken();
        if let Some(least) = taken.least(Kind::Nobody) {
            taken.close(&least);
        }
    }

    /// Closes all connections whose time is over.
    pub(super) fn close_overdue(&self) {
        let at = Instant::now();
        let mut taken = self.taken();
        let overdue: Vec<_> = taken.seats.values().filter(|seat| seat.is_overdue(at)).cloned().collect();
        overdue.iter().for_each(|seat| taken.close(seat));
    }
}

/// A connection's place, for as long as the connection is there.
#[derive(Debug)]
pub(super) struct Holder(Place);

impl Holder {
    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let Place { places, seat } = &self.0;
        places.taken().remove(seat);
    }
}

/// A connection's place, for those who use the connection.
#[derive(Debug, Clone)]
pub(super) struct Place {
    places: Arc<Places>,
    seat: Arc<Seat>,
}

impl Place {
    /// A request on the connection has shown this. False when all places for those who show it are in use.
    pub(super) fn has_shown(&self, kind: Kind) -> bool {
        let mut taken = self.places.taken();
        if self.seat.now().kind == kind {
            return true;
        }
        // The connection was closed meanwhile, to make room.
        if !taken.seats.contains_key(&self.seat.number) {
            return false;
        }
        if self.places.make_room(&mut taken, kind).is_none() {
            return false;
        }
        let before = std::mem::replace(&mut self.seat.now().kind, kind);
        taken.counts[before as usize] -= 1;
        taken.counts[kind as usize] += 1;
        true
    }

    /// When the connection is to be closed.
    pub(super) async fn closed(&self) {
        self.seat.closed.notified().await;
    }

    /// Something was read.
    pub(super) fn has_read(&self) {
        let mut now = self.seat.now();
        match now.phase {
            Phase::Idle => (now.phase, now.since) = (Phase::Head, Instant::now()),
            Phase::Head | Phase::Busy => {}
        }
    }

    /// Something was written, or could not be because the other end takes nothing.
    pub(super) fn has_written(&self, taken: bool) {
        let mut now = self.seat.now();
        if !taken {
            now.stalled.get_or_insert_with(Instant::now);
            return;
        }
        now.stalled = None;
        if now.phase == Phase::Idle {
            now.since = Instant::now();
        }
    }

    /// A request is whole up to its body, until what is returned is dropped.
    pub(super) fn busy(&self) -> Busy {
        let mut now = self.seat.now();
        (now.phase, now.since) = (Phase::Busy, Instant::now());
        drop(now);
        Busy(self.clone())
    }

    /// The request was refused before its body was read.
    pub(super) fn leaves_unread(&self) {
        self.seat.now().has_unread = true;
    }

    /// Whether something may come that nobody reads: a head that is refused, or a body.
    pub(super) fn has_unread(&self) -> bool {
        let now = self.seat.now();
        now.has_unread || now.phase == Phase::Head
    }

    /// Whether it has shown that it may ask.
    pub(super) fn is_known(&self) -> bool {
        self.seat.now().kind != Kind::Nobody
    }
}

/// A request is being answered as long as this is there.
#[derive(Debug)]
pub(super) struct Busy(Place);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut now = self.0.seat.now();
        (now.phase, now.since) = (Phase::Idle, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_open(holder: &Holder) -> bool {
        let Place { places, seat } = holder.place();
        places.taken().seats.contains_key(&seat.number)
    }

    /// 9 for nobody, 4 for viewers, 4 for admins, 4 for the socket.
    fn places() -> Arc<Places> {
        Places::new(16)
    }

    #[test]
    fn address_that_has_most_gives_way_and_the_oldest_first() {
        let places = places();
        let other = places.enter(Kind::Nobody, address(2)).unwrap();
        let many: Vec<_> = (0..8).map(|_| places.enter(Kind::Nobody, address(1)).unwrap()).collect();
        many[0].place().has_read();
        // An answer is under way on the oldest connection, so the next one is closed.
        let busy = many[0].place().busy();
        let new = places.enter(Kind::Nobody, address(1)).unwrap();
        assert!(is_open(&other) && is_open(&new) && is_open(&many[0]));
        assert!(!is_open(&many[1]) && many[2..].iter().all(is_open));
        drop(busy);
        // When all are in use, one that has shown nothing is closed all the same.
        let _busy: Vec<_> = many.iter().map(|one| one.place().busy()).collect();
        let last = places.enter(Kind::Nobody, address(3)).unwrap();
        assert!(is_open(&last) && is_open(&other));
    }

    #[test]
    fn those_who_have_shown_a_token_are_counted_apart() {
        let places = places();
        let admins: Vec<_> = (0..4).map(|_| places.enter(Kind::Nobody, address(1)).unwrap()).collect();
        assert!(admins.iter().all(|one| one.place().has_shown(Kind::Admin)));
        let crowd: Vec<_> = (0..40).map(|_| places.enter(Kind::Nobody, address(1)).unwrap()).collect();
        assert_eq!(crowd.iter().filter(|one| is_open(one)).count(), 9);
        assert!(admins.iter().all(is_open), "nobody who shows nothing takes their places");
        assert!(!crowd[0].place().has_shown(Kind::Admin), "it is closed already");
        // One of them is idle, the others are in use.
        let busy: Vec<_> = admins[1..].iter().map(|one| one.place().busy()).collect();
        assert!(crowd[39].place().has_shown(Kind::Admin));
        assert!(!is_open(&admins[0]) && admins[1..].iter().all(is_open));
        let _used = crowd[39].place().busy();
        assert!(!crowd[38].place().has_shown(Kind::Admin), "all are in use");
        assert!(is_open(&crowd[38]) && crowd[38].place().has_shown(Kind::Viewer));
        drop(busy);
        drop(admins);
        assert!(crowd[37].place().has_shown(Kind::Admin));
    }

    #[test]
    fn socket_has_places_of_its_own() {
        let places = places();
        let _crowd: Vec<_> = (0..100).map(|_| places.enter(Kind::Nobody, address(1)).unwrap()).collect();
        let own: Vec<_> = (0..4).map(|_| places.enter(Kind::Socket, address(0)).unwrap()).collect();
        let busy: Vec<_> = own.iter().map(|one| one.place().busy()).collect();
        assert!(places.enter(Kind::Socket, address(0)).is_none());
        drop(busy);
        assert!(places.enter(Kind::Socket, address(0)).is_some());
        assert!(!is_open(&own[0]));
        drop(own);
        let taken = places.taken();
        assert_eq!(taken.counts[Kind::Socket as usize], 0);
    }

    #[test]
    fn what_is_only_begun_idle_or_not_taken_is_overdue() {
        let places = places();
        let holder = places.enter(Kind::Nobody, address(1)).unwrap();
        let (place, seat) = (holder.place(), &holder.place().seat);
        let after = |time: Duration| seat.is_overdue(Instant::now() + time);
        assert!(!after(HEAD_TIME) && after(IDLE_TIME));
        place.has_read();
        assert!(!after(HEAD_TIME / 2) && after(HEAD_TIME));
        let busy = place.busy();
        assert!(!after(10 * IDLE_TIME));
        place.has_written(false);
        assert!(!after(HEAD_TIME) && after(IDLE_TIME));
        place.has_written(true);
        assert!(!after(10 * IDLE_TIME));
        drop(busy);
        assert!(!after(HEAD_TIME) && after(IDLE_TIME));
    }
}
