//! A clock that jumps forward releases nothing at once, while deliveries run and over a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use recovery::durable::Disk;
use recovery::queue::{Callback, Queue};
use recovery::state::{Clock, StateDir, Timestamp};
use recovery::webhooks::{Deriver, Engine, Settings};

use super::office::Office;
use super::receiver::{Receiver, Reply};
use crate::crash::scene::wait_for;

const YEAR_MS: i64 = 365 * 24 * 3_600_000;
const WAITING: usize = 200;

/// Delivers in a thread of its own until it is told to end.
fn delivering(dir: &StateDir, settings: &Settings, over: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (dir, settings, over) = (dir.clone(), settings.clone(), over.clone());
    std::thread::spawn(move || {
        let (engine, feed) = Engine::start(&dir, settings, "test").unwrap();
        let queue = Queue::open(&dir).unwrap();
        let since = engine.endpoints_since();
        let mut deriver = Deriver::new(dir.identity.state_id, &[], &since);
        feed.offer(queue.state().jobs().flat_map(|job| deriver.of_job(job)).collect());
        engine.run(false, &|| over.load(Ordering::SeqCst), &mut |why| panic!("{why}")).unwrap();
    })
}

#[test]
fn a_clock_that_jumps_forward_does_not_storm() {
    let (together, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, highest) = (together.clone(), most.clone());
    let busy = Receiver::start(move |_| {
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1)); // A receiver that works.
        inside.fetch_sub(1, Ordering::SeqCst);
        Reply::Status(503)
    });
    let office = Office::new("");
    let url = busy.url("/");
    office.ended((0..WAITING).map(|n| format!("job-{n}")), &|_| Callback::to(&*url));
    let clock = Clock::fixed(Timestamp::from_millis(1_900_000_000_000));
    let dir = StateDir::open(&office.scene.place.state(), Disk::real(), clock.clone()).unwrap();
    let settings = Settings {
        // A pause is anything up to this: of a long one, hardly any is as short as this test.
        pauses: vec![Duration::from_secs(300 * 86_400)],
        per_endpoint: 4,
        breaker_failures: 1_000_000,
        ..Settings::default()
    };
    let over = Arc::new(AtomicBool::new(false));
    let thread = delivering(&dir, &settings, &over);
    wait_for("every first attempt", || busy.count() == WAITING);
    // While they wait, the clock says that a year has passed: none is due.
    clock.set(Timestamp::from_millis(1_900_000_000_000 + YEAR_MS));
    let witness = Receiver::kind();
    let other = Office::new("");
    other.one("witness", &witness.url("/"));
    assert_eq!(other.deliver()["delivered"], 1);
    assert_eq!(busy.count(), WAITING);
    over.store(true, Ordering::SeqCst);
    thread.join().unwrap();

    // After a restart all are due by that clock; they come a few at a time, and a dead endpoint is not called
    // by all of them.
    most.store(0, Ordering::SeqCst);
    over.store(false, Ordering::SeqCst);
    let careful = Settings { breaker_failures: 5, breaker_pause: Duration::from_secs(3600), ..settings };
    let careful = Settings { breaker_pause_max: Duration::from_secs(3600), ..careful };
    let thread = delivering(&dir, &careful, &over);
    wait_for("the circuit to open", || busy.count() >= WAITING + 5);
    other.one("later", &witness.url("/"));
    assert_eq!(other.deliver()["delivered"], 1);
    over.store(true, Ordering::SeqCst);
    thread.join().unwrap();
    let calls = busy.count() - WAITING;
    assert!(calls <= 5 + 4, "{calls} calls of a dead endpoint");
    assert!(most.load(Ordering::SeqCst) <= 4, "{most:?} at a time");
}
