//! A loop of the daemon that panics is begun again, counted, and reported.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use recovery::cleanup::CleanupSettings;
use recovery::daemon::{DaemonConfig, DaemonSettings, Listening, SchedulerSettings, known_daemon, serve};
use recovery::durable::Disk;
use recovery::jobs::{FreshnessLimits, RecoverSettings};
use recovery::orphans::OrphanSettings;
use recovery::queue::{Actor, Queue};
use recovery::recovery::{RunOptions, Settings};
use recovery::report::status::{DaemonStatus, Gathered};
use recovery::startup::StartedBy;
use recovery::state::{Clock, StateDir};
use recovery::system::docker::EngineChoice;

use crate::common;

fn actor() -> Actor {
    Actor { by: "test".to_owned(), why: None }
}

fn settings() -> DaemonSettings {
    let config = DaemonConfig {
        recovery: Settings {
            by: StartedBy::Daemon,
            jobs: RecoverSettings::new(actor()),
            write_records: false,
            webhooks: recovery::webhooks::Settings::default(),
        },
        scheduler: SchedulerSettings {
            workers: 1,
            supervisor: vec!["/bin/false".into()],
            environment: Vec::new(),
            only: BTreeSet::new(),
            poll: Duration::from_millis(5),
            checkpoint_records: 1000,
            checkpoint_interval: Duration::from_secs(3600),
            jobs: RecoverSettings::new(actor()),
        },
        webhooks: recovery::webhooks::Settings::default(),
        cleanup: CleanupSettings { engine: EngineChoice::None, ..CleanupSettings::new(actor()) },
        orphans: OrphanSettings::new(actor()),
        retention: None,
        drain_timeout: Duration::ZERO,
        pauses: Vec::new(),
    };
    DaemonSettings {
        config,
        run: RunOptions::default(),
        trouble: Arc::new(|_| ()),
        listen: Box::new(|_| Ok(Listening::default())),
        reload: Box::new(|| None),
        ending: recovery::daemon::Ending::default(),
    }
}

#[test]
fn a_loop_that_breaks_off_is_begun_again_and_told() {
    let folder = common::scratch();
    let root = folder.path().join("state");
    let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
    let (is_ready, looks, seen) = (AtomicBool::new(false), AtomicU32::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    // Asked in every round of the loop: a panic here is a panic of the loop.
    let stop = || {
        if is_ready.load(Ordering::SeqCst) && looks.fetch_add(1, Ordering::SeqCst) == 20 {
            panic!("as a fault would");
        }
        let restarts = known_daemon(&dir).unwrap().map_or(0, |daemon| daemon.loop_restarts);
        if restarts == 1 && looks.load(Ordering::SeqCst) > 60 {
            seen.store(true, Ordering::SeqCst);
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not begun again");
        seen.load(Ordering::SeqCst)
    };
    let mut findings = Vec::new();
    let mut ready = |info: &recovery::daemon::DaemonInfo, _: Option<&_>| {
        is_ready.store(true, Ordering::SeqCst);
        findings.push(info.pid);
    };
    serve(&dir, settings(), &mut ready, &stop).unwrap();
    assert!(seen.load(Ordering::SeqCst));
    let daemon = DaemonStatus {
        pid: 1,
        started_at: dir.clock.now(),
        safe_mode: false,
        address: None,
        socket: None,
        loop_restarts: 1,
    };
    let gathered = Gathered::read(&dir, Queue::open(&dir).unwrap());
    let status = gathered.status(Some(daemon), FreshnessLimits::default());
    assert!(status.findings.iter().any(|f| f.code == "daemon-loop-restarted"), "{:?}", status.findings);
}
