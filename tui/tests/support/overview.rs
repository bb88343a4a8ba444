//! Overviews: of what is well, of what is not, of a recovery that runs, of names that nobody should have.

use recovery::findings::{Finding, Severity, catalogue};
use recovery::queue::{Counts, RecoveredQueue};
use recovery::recovery::{DegradedResource, PhaseProgress, PhaseStatus, RecoveryOutcome};
use recovery::report::cleanup::CleanupCounts;
use recovery::report::dashboard::Dashboard;
use recovery::report::locks::ActiveLocks;
use recovery::report::queue::QueueStatus;
use recovery::report::reattachment::JobsStatus;
use recovery::report::recovery::Phases;
use recovery::report::startup::StartupDetection;
use recovery::report::status::{DaemonStatus, RecoveryStatus, State, Status};
use recovery_tui::panel::overview::{Besides, Overview};

use super::{NOW, Names, before};

pub fn phase(name: &str, after: &[&str], unit: &str, status: PhaseStatus) -> PhaseProgress {
    let has_begun = !matches!(status, PhaseStatus::Pending | PhaseStatus::Blocked);
    PhaseProgress {
        phase: name.into(),
        depends_on: after.iter().map(|&a| a.into()).collect(),
        critical: matches!(name, "queue" | "jobs"),
        status,
        done: 0,
        total: None,
        unit: unit.into(),
        attempts: u32::from(has_begun),
        started_at: has_begun.then(|| before(4000)),
        duration_ms: if has_begun { 412 } else { 0 },
        message: None,
        findings: Vec::new(),
        findings_total: 0,
        degraded_resources: Vec::new(),
        remaining_ms: None,
        carried_over: false,
    }
}

/// The sequence, all of the same status.
pub fn sequence(status: PhaseStatus) -> Vec<PhaseProgress> {
    vec![
        phase("startup", &[], "folders", status),
        phase("queue", &["startup"], "records", status),
        phase("jobs", &["queue"], "jobs", status),
        phase("locks", &["jobs"], "locks", status),
        phase("webhooks", &["jobs"], "deliveries", status),
        phase("cleanup", &["locks"], "cleanups", status),
        phase("orphans", &["cleanup"], "kinds", status),
    ]
}

pub fn finding(severity: Severity, object: &str, sentence: &str) -> Finding {
    Finding::new(&catalogue::JOB_CRASHED, object, sentence).with_severity(severity)
}

fn detection() -> StartupDetection {
    StartupDetection {
        aborted: false,
        previous: None,
        current: None,
        damage: None,
        consecutive_aborts: 0,
        safe_mode: false,
        because: Vec::new(),
        layout: 2,
        layout_of_this_version: 2,
    }
}

fn status(state: State, sentence: &str) -> Status {
    Status {
        state,
        status: sentence.to_owned(),
        action: None,
        reasons: Vec::new(),
        state_dir: "/var/lib/recoveryctl".to_owned(),
        daemon: None,
        recovery: None,
        degraded_resources: Vec::new(),
        counts: Counts::default(),
        findings: Vec::new(),
        archives: None,
        webhooks: None,
    }
}

fn recovery(outcome: RecoveryOutcome, phases: &[PhaseProgress]) -> RecoveryStatus {
    let over = phases.iter().filter(|p| p.status.is_over()).count();
    RecoveryStatus {
        recovery_id: "0195a000-0000-7000-8000-000000000000".to_owned(),
        outcome,
        purpose: "recover".to_owned(),
        started_at: before(192_000),
        duration_ms: 3_210,
        phases_done: u32::try_from(over).unwrap(),
        phases_total: u32::try_from(phases.len()).unwrap(),
    }
}

fn overview(
    status: Status,
    phases: Vec<PhaseProgress>,
    outcome: Option<RecoveryOutcome>,
    besides: Besides,
) -> Overview {
    let status = Status { recovery: outcome.map(|outcome| recovery(outcome, &phases)), ..status };
    let counts = status.counts;
    let dashboard = Dashboard {
        at: NOW,
        last_seq: 1_204,
        phases: Phases { recovery_id: None, outcome, phases, findings: Vec::new() },
        queue: QueueStatus {
            state: "healthy".into(),
            depth: counts.queued,
            counts,
            head: Vec::new(),
            recovered: RecoveredQueue::default(),
            last_seq: 1_204,
            findings: Vec::new(),
        },
        jobs: JobsStatus::default(),
        locks: ActiveLocks { total: 2, ..ActiveLocks::default() },
        startup: detection(),
        cleanup: None,
        orphans: None,
        webhooks: None,
        status,
    };
    Overview::new(dashboard, besides)
}

/// Before anything ever happened.
pub fn empty() -> Overview {
    let phases = sequence(PhaseStatus::Pending);
    overview(status(State::Healthy, "all is well"), phases, None, Besides::default())
}

pub fn healthy() -> Overview {
    let mut phases = sequence(PhaseStatus::Succeeded);
    (phases[1].done, phases[1].total) = (1_000_000, Some(1_000_000));
    (phases[2].done, phases[2].total) = (14, Some(14));
    phases[2].message = Some("14 running: 14 re-attached".to_owned());
    let counts = Counts { queued: 91, running: 14, succeeded: 10_204, failed: 3, ..Counts::default() };
    let daemon = DaemonStatus {
        pid: 4711,
        started_at: before(86_400_000),
        safe_mode: false,
        address: None,
        socket: None,
        loop_restarts: 0,
    };
    let status = Status { counts, daemon: Some(daemon), ..status(State::Healthy, "all is well") };
    let orphans = Some((0, 0));
    overview(status, phases, Some(RecoveryOutcome::Completed), Besides { orphans, ..Besides::default() })
}

pub fn degraded() -> Overview {
    let mut phases = sequence(PhaseStatus::Succeeded);
    phases[3].status = PhaseStatus::Degraded;
    (phases[3].done, phases[3].total) = (3, Some(3));
    phases[3].message = Some("3 locks, 1 unavailable".to_owned());
    phases[4].status = PhaseStatus::Skipped;
    phases[4].message = Some("skipped by uid:0 root: it hangs".to_owned());
    phases[5].status = PhaseStatus::Failed;
    (phases[5].attempts, phases[5].done, phases[5].total) = (4, 1, Some(2));
    phases[6].status = PhaseStatus::Blocked;
    let lock = "lock:web";
    let findings = vec![
        Finding::new(
            &catalogue::LOCK_UNAVAILABLE,
            lock,
            "its lock's metadata cannot be understood, so nobody can say who holds it",
        ),
        finding(Severity::Warning, "job:nightly", "attempt 1: its processes vanished without an exit record"),
        finding(Severity::Info, "quarantine", "2 unreadable pieces are kept in quarantine"),
    ];
    let counts = Counts { queued: 91, running: 14, crashed: 2, timed_out: 1, ..Counts::default() };
    let degraded_resources = vec![
        DegradedResource { object: lock.into(), why: "its metadata is damaged".to_owned() },
        DegradedResource { object: "container:runtime".into(), why: "Docker does not answer".to_owned() },
    ];
    let status = Status {
        counts,
        findings,
        degraded_resources,
        action: Some("recoveryctl locks inspect web".to_owned()),
        ..status(State::Degraded, "the last recovery failed; cannot be used: lock:web, container:runtime")
    };
    let cleanups = CleanupCounts { parked: 1, waiting: 2, ..CleanupCounts::default() };
    overview(status, phases, Some(RecoveryOutcome::Failed), Besides { cleanups, orphans: Some((6, 3 << 30)) })
}

pub fn running() -> Overview {
    let mut phases = sequence(PhaseStatus::Pending);
    for phase in &mut phases[..2] {
        (phase.status, phase.attempts, phase.started_at) = (PhaseStatus::Succeeded, 1, Some(before(4000)));
        phase.duration_ms = 412;
    }
    (phases[1].done, phases[1].total) = (1_000_000, Some(1_000_000));
    let jobs = &mut phases[2];
    (jobs.status, jobs.attempts, jobs.started_at) = (PhaseStatus::Running, 2, Some(before(2500)));
    (jobs.done, jobs.total, jobs.duration_ms, jobs.remaining_ms) = (37, Some(120), 2_500, Some(5_600));
    jobs.findings = vec![
        finding(Severity::Info, "job:build-17", "re-attached to process 812"),
        finding(Severity::Warning, "job:build-18", "its heartbeat is from the future"),
    ];
    jobs.findings_total = 2;
    let status = Status {
        counts: Counts { queued: 91, running: 120, ..Counts::default() },
        ..status(State::Recovering, "a recovery is under way: 2 of 7 phases are done")
    };
    overview(status, phases, Some(RecoveryOutcome::Running), Besides::default())
}

/// So many findings, and names that nobody should have.
pub fn hostile(findings: usize) -> Overview {
    let names = Names::Hostile;
    let mut evil = phase(&names.name(0), &[&names.name(3)], "\tthings", PhaseStatus::Running);
    (evil.done, evil.total) = (u64::MAX - 2, Some(u64::MAX - 1));
    evil.message = Some(format!("\x1b[31m{}\u{202e}\u{9b}1m\r\n", "very long ".repeat(50)));
    let mut wide = phase(&names.name(1), &[&names.name(0)], "個", PhaseStatus::Degraded);
    (wide.done, wide.total, wide.remaining_ms) = (9, Some(3), Some(u64::MAX));
    let mut phases = vec![evil, wide];
    phases.extend((0..10).map(|i| phase(&names.name(i), &[&names.name(1)], "items", PhaseStatus::Failed)));
    let found = (0..findings).map(|i| {
        let sentence = format!("{} \x1b[8mhidden 見つかった", names.name(i + 2));
        finding(Severity::Critical, &format!("job:{}", names.name(i)), &sentence)
    });
    let status = Status {
        findings: found.collect(),
        degraded_resources: (0..4)
            .map(|i| DegradedResource { object: names.name(i).into(), why: names.name(i + 1) })
            .collect(),
        action: Some(format!("recoveryctl resume {}", names.name(0))),
        counts: Counts { queued: u64::MAX, running: u64::MAX, ..Counts::default() },
        ..status(State::Damaged, &names.name(4).repeat(5))
    };
    overview(status, phases, Some(RecoveryOutcome::Degraded), Besides::default())
}
