//! The reports of the other views: any number of lines, with names of either kind.

use std::sync::Arc;

use recovery::audit::Outcome;
use recovery::cleanup::{CleanupPhaseName, CleanupPhaseStatus, CleanupStatus, Source};
use recovery::locks::FencingNumber;
use recovery::orphans::{Check, OrphanKind};
use recovery::queue::JobStatus;
use recovery::queue::{Counts, RecoveredQueue};
use recovery::report::audit::{AuditEntry, AuditReport};
use recovery::report::cleanup::{CleanupCounts, CleanupEntry, CleanupState, CompletedList, PhaseEntry};
use recovery::report::jobs::{JobList, JobSummary};
use recovery::report::locks::{ActiveLock, InspectedLock, InspectedLocks};
use recovery::report::orphans::{CandidateEntry, CandidatesReport};
use recovery::report::queue::{QueueStatus, Waiting};
use recovery::report::startup::{CleanupLog, StartupDetection, StartupHistory, StartupLogReport};
use recovery::report::webhooks::{
    DeliveryCounts, DeliveryLogReport, DeliveryStatus, PendingDeliveries, PendingDelivery,
};
use recovery::startup::{StartupEntry, StartupOutcome};
use recovery::webhooks::Event;
use recovery_tui::View;
use recovery_tui::listing::Listing;
use recovery_tui::panel::audit::Audit;
use recovery_tui::panel::cleanup::Cleanups;
use recovery_tui::panel::jobs::Jobs;
use recovery_tui::panel::locks::Locks;
use recovery_tui::panel::orphans::Orphans;
use recovery_tui::panel::queue::Queue;
use recovery_tui::panel::startup::Startups;
use recovery_tui::panel::webhooks::Webhooks;

use super::{NOW, Names, before};

/// The list of a view other than the overview, with so many lines.
pub fn list(view: View, names: Names, count: usize) -> Arc<dyn Listing> {
    match view {
        View::Overview => Arc::new(super::overview::hostile(count)),
        View::Queue => Arc::new(queue(names, count)),
        View::Jobs => Arc::new(jobs(names, count)),
        View::Locks => Arc::new(locks(names, count)),
        View::Cleanup => Arc::new(cleanups(names, count)),
        View::Orphans => Arc::new(orphans(names, count)),
        View::Startup => Arc::new(startups(names, count)),
        View::Webhooks => Arc::new(webhooks(names, count)),
        View::Audit => Arc::new(audit(names, count)),
    }
}

fn age(i: usize) -> i64 {
    i64::try_from(i).unwrap() * 61_000 + 5_000
}

pub fn jobs(names: Names, count: usize) -> Jobs {
    let job = |i: usize| {
        let status = [
            JobStatus::Running,
            JobStatus::Queued,
            JobStatus::Crashed,
            JobStatus::Succeeded,
            JobStatus::Failed,
            JobStatus::TimedOut,
            JobStatus::Cancelled,
        ][i % 7];
        let is_over = status.is_over();
        JobSummary {
            job_id: names.name(i),
            status,
            attempt: 1 + u32::try_from(i % 3).unwrap(),
            repository: i.is_multiple_of(2).then(|| names.name(i + 4)),
            priority: i32::try_from(i % 4).unwrap() - 1,
            position: None,
            waiting_for: (status == JobStatus::Queued).then(|| format!("job:{}", names.name(i + 5))),
            not_before: None,
            submitted_at: before(age(i)),
            started_at: (status != JobStatus::Queued).then(|| before(age(i) - 1000)),
            finished_at: is_over.then_some(NOW),
            exit_code: match status {
                JobStatus::Succeeded => Some(0),
                JobStatus::Failed => Some(2),
                _ => None,
            },
            signal: (status == JobStatus::TimedOut).then_some(15),
            reason: (status == JobStatus::Crashed)
                .then(|| "its processes vanished without an exit record".to_owned()),
            title: i.is_multiple_of(5).then(|| names.name(i + 2)),
        }
    };
    Jobs(JobList { jobs: (0..count).map(job).collect(), total: count as u64, next_cursor: None })
}

fn queue(names: Names, count: usize) -> Queue {
    let counts = Counts { queued: count as u64, running: 2, ..Counts::default() };
    let waiting = |i: usize| Waiting {
        job_id: names.name(i),
        position: i as u64 + 1,
        priority: if i == 0 { 10 } else { 0 },
        repository: i.is_multiple_of(2).then(|| names.name(i + 4)),
        waiting_for: i.is_multiple_of(3).then(|| format!("job:{}", names.name(i + 5))),
        not_before: (i % 3 == 1).then(|| NOW.plus_millis(90_000)),
    };
    let recovered = RecoveredQueue { records_damaged: 1, ..RecoveredQueue::default() };
    Queue {
        status: QueueStatus {
            state: if count == 5 { "damaged" } else { "healthy" }.into(),
            depth: count as u64,
            counts,
            head: Vec::new(),
            recovered: if count == 5 { recovered } else { RecoveredQueue::default() },
            last_seq: 1_204,
            findings: Vec::new(),
        },
        line: (0..count).map(waiting).collect(),
    }
}

fn locks(names: Names, count: usize) -> Locks {
    let lock = |i: usize| {
        let verdict = ["live", "stale", "free", "unknown"][i % 4];
        let is_held = verdict != "free";
        InspectedLock {
            lock: ActiveLock {
                repository: names.name(i),
                lock_id: is_held.then(|| format!("0195-{i}")),
                token: Some(FencingNumber::new(17 + i as u64)),
                holder: is_held.then(|| {
                    format!("job {} (attempt 1, supervisor process 812 on batch-1)", names.name(i + 3))
                }),
                job_id: None,
                operation: is_held.then(|| names.name(i + 1)),
                acquired_at: is_held.then(|| before(age(i))),
                age_ms: is_held.then(|| age(i)),
                pid: None,
                host: None,
                liveness: None,
                verdict: verdict.into(),
                recovered: false,
                unavailable: verdict == "unknown",
                waiting_total: (i % 3) as u64,
                waiting: (0..i % 3).map(|n| names.name(n)).collect(),
                waiting_line: Vec::new(),
            },
            released_at: None,
            released_by: None,
            reason: None,
            evidence: vec![names.name(i)],
            file: format!("/var/lib/recoveryctl/locks/{i}.lock"),
            metadata: None,
        }
    };
    Locks::new(InspectedLocks {
        locks: (0..count).map(lock).collect(),
        total: count as u64,
        next_cursor: None,
    })
}

fn cleanups(names: Names, count: usize) -> Cleanups {
    const STATUSES: [CleanupStatus; 4] =
        [CleanupStatus::Parked, CleanupStatus::Waiting, CleanupStatus::Running, CleanupStatus::Pending];
    let cleanup = |i: usize| {
        let phase = |name, status, attempts| PhaseEntry {
            phase: name,
            status,
            attempts,
            items_done: 2,
            items_total: 5,
            error: (status == CleanupPhaseStatus::Failed).then(|| names.name(i)),
            is_work_at_risk: i.is_multiple_of(3),
            next_try_at: (status == CleanupPhaseStatus::Failed).then(|| NOW.plus_millis(30_000)),
            step: Some(names.name(i)),
            notes: vec![names.name(i + 1)],
        };
        CleanupEntry {
            cleanup_id: format!("{}.1", names.name(i)),
            job_id: format!("job-{i}").parse().unwrap(),
            attempt: 1,
            status: STATUSES[i % 4],
            phase: Some(CleanupPhaseName::Docker),
            phases: vec![
                phase(CleanupPhaseName::Cidx, CleanupPhaseStatus::Done, 1),
                phase(
                    CleanupPhaseName::Docker,
                    if i.is_multiple_of(2) {
                        CleanupPhaseStatus::Failed
                    } else {
                        CleanupPhaseStatus::Running
                    },
                    3,
                ),
                phase(CleanupPhaseName::Filesystem, CleanupPhaseStatus::Pending, 0),
            ],
            created_at: before(age(i)),
            source: Source::Asked,
            by: "uid:0 root cleanup start (pts/3)".to_owned(),
            reason: Some(names.name(i)),
            resumed: false,
            resumed_from: None,
            overtaken: false,
            bytes_freed: i as u64 * 1_000_000,
        }
    };
    let counts = CleanupCounts { parked: count as u64 / 2, ..CleanupCounts::default() };
    let (total, next_cursor) = (count as u64, None);
    Cleanups {
        open: CleanupState {
            counts,
            cleanups: (0..count).map(cleanup).collect(),
            total,
            next_cursor,
            findings: Vec::new(),
        },
        over: CompletedList { cleanups: Vec::new(), total: 0, next_cursor: None },
    }
}

fn orphans(names: Names, count: usize) -> Orphans {
    let candidate = |i: usize| {
        let passed = [Some(true), Some(false), None][i % 3];
        let check = |check: &str, passed| Check {
            check: check.to_owned().into(),
            passed,
            evidence: names.name(i + 2).into(),
        };
        CandidateEntry {
            id: format!("o{i}"),
            kind: OrphanKind::ALL[i % OrphanKind::ALL.len()],
            object: format!("job_directory:{}", names.name(i)),
            name: (i % 4 == 2).then(|| names.name(i)),
            job_id: None,
            path: Some(format!("/var/lib/recoveryctl/jobs/{i}").into()),
            bytes: i as u64 * 123_456,
            age_ms: Some(age(i)),
            safe: passed == Some(true),
            checks: vec![check("no-owner", Some(true)), check("old-enough", passed)],
        }
    };
    Orphans(CandidatesReport {
        plan_id: (count > 0).then(|| "0195a000".to_owned()),
        taken_at: (count > 0).then(|| before(720_000)),
        candidates: (0..count).map(candidate).collect(),
        total: count as u64,
        bytes_total: 3 << 30,
        protected_total: count as u64 / 2,
        next_cursor: None,
        trash: Vec::new(),
    })
}

fn startups(names: Names, count: usize) -> Startups {
    const OUTCOMES: [StartupOutcome; 4] = [
        StartupOutcome::Running,
        StartupOutcome::Aborted,
        StartupOutcome::Degraded,
        StartupOutcome::Completed,
    ];
    let startup = |i: usize| StartupEntry {
        startup_id: format!("0195a000-{i}"),
        by: (i % 3 != 2).then(|| names.name(i)),
        started_at: (i % 5 != 4).then(|| before(age(i))),
        ended_at: None,
        outcome: OUTCOMES[i % 4],
        phase: (i % 2 == 1).then(|| names.name(i + 1)),
        phases_entered: Vec::new(),
        phases_done: vec!["startup".to_owned()],
        duration_ms: i.is_multiple_of(2).then_some(1_234),
        findings_total: i as u64,
        recovery_id: None,
        safe_mode: false,
        retried: Vec::new(),
    };
    Startups {
        history: StartupHistory {
            startups: (0..count).map(startup).collect(),
            total: count as u64,
            next_cursor: None,
        },
        detection: StartupDetection {
            aborted: count > 1,
            previous: None,
            current: None,
            damage: None,
            consecutive_aborts: if count == 5 { 3 } else { 0 },
            safe_mode: count == 5,
            because: Vec::new(),
            layout: 2,
            layout_of_this_version: 2,
        },
        operations: StartupLogReport { startup: None, before: Vec::new() },
        cleaned: CleanupLog { entries: Vec::new(), total: 0, next_cursor: None },
    }
}

fn webhooks(names: Names, count: usize) -> Webhooks {
    const STATUSES: [DeliveryStatus; 4] =
        [DeliveryStatus::Parked, DeliveryStatus::Waiting, DeliveryStatus::InFlight, DeliveryStatus::Pending];
    let delivery = |i: usize| PendingDelivery {
        delivery_id: format!("00000000-0000-8000-8000-{i:012}").parse().unwrap(),
        job_id: (i % 5 != 4).then(|| names.name(i)),
        event: Event::JobEnded,
        url: format!("https://hooks.example.com/{}", names.name(i + 1)),
        endpoint: None,
        at: before(age(i)),
        attempts: 4,
        status: STATUSES[i % 4],
        next_try_at: (i % 4 == 1).then(|| NOW.plus_millis(90_000)),
        last_error: (i % 4 < 2).then(|| format!("answered 503: {}", names.name(i + 3))),
    };
    let counts = DeliveryCounts { parked: count as u64 / 2, ..DeliveryCounts::default() };
    let pending = PendingDeliveries {
        counts,
        deliveries: (0..count).map(delivery).collect(),
        total: count as u64,
        next_cursor: None,
        by_endpoint: Vec::new(),
        findings: Vec::new(),
    };
    Webhooks::new(
        pending,
        DeliveryLogReport { entries: Vec::new(), total: 0, next_cursor: None, findings: Vec::new() },
    )
}

/// The newest first, as the report has them.
fn audit(names: Names, count: usize) -> Audit {
    let entry = |i: usize| AuditEntry {
        at: before(age(count - i)),
        by: "uid:0 root release web (pts/3)".to_owned(),
        uid: Some(0),
        user: (i % 3 != 2).then(|| "root".to_owned()),
        terminal: Some("pts/3".to_owned()),
        command: Some(names.name(i)),
        reason: i.is_multiple_of(2).then(|| names.name(i + 1)),
        action: ["release", "skip", "cancel"][i % 3].to_owned(),
        object: format!("lock:{}", names.name(i)).into(),
        result: if i % 4 == 3 { Outcome::Failed } else { Outcome::Done },
        detail: names.name(i + 2),
        evidence: Vec::new(),
        source: "trail".into(),
        seq: i as u64,
    };
    Audit(AuditReport {
        entries: (0..count).rev().map(entry).collect(),
        total: count as u64,
        next_cursor: None,
        findings: Vec::new(),
    })
}
