//! Nothing of an attempt is left but its files: they show whether it ended, crashed or never began.

use std::time::Duration;

use recovery::jobs::{CommandRecord, Liveness, Reconciliation, Verdict, reattach};
use recovery::queue::{Claim, CrashPolicy, JobSpec, JobStatus, Operation, Submission, append};
use recovery::state::Timestamp;
use recovery::system::ProcessIdentity;

use super::{Living, NOW, World, actor, gone, is_orphan_of, settings};

#[test]
fn free_and_all_gone_is_ended_with_an_exit_record_else_crashed() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |s| s.command = Some(gone()));
    let mut other = world.exit(&job, 0, true);
    other.claim = Claim::of_record(other.claim.seq() + 1);
    other.write(&world.dir.disk, &paths.exit()).unwrap();
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed, "the exit record of another claim");
    let exit = world.exit(&job, 3, false);
    exit.write(&world.dir.disk, &paths.exit()).unwrap();
    let left = Living::marked(&job, world.dir.paths.root());
    assert!(is_orphan_of(&world.judge(&job).verdict, left.identity()), "not all was seen gone");
    drop(left);
    assert_eq!(world.judge(&job).verdict, Verdict::Ended(Box::new(exit.clone())));
    let reconciled = &world.reattach()[0];
    assert_eq!(
        reconciled.reconciliation,
        Reconciliation::FinishedWhileAway { exit_code: Some(3), signal: None }
    );
    let job = world.job("a");
    assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(3)));
    assert_eq!(job.run_state().finished_at, Some(exit.finished_at), "when it ended, not when it was found");
}

#[test]
fn free_without_a_trace_was_never_started_and_waits_again() {
    let mut world = World::new();
    let job = world.claimed("a");
    assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted);
    let running = Living::marked(&job, world.dir.paths.root());
    assert!(is_orphan_of(&world.judge(&job).verdict, running.identity()), "its files were removed");
    drop(running);
    assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack);
    let job = world.job("a");
    assert_eq!((job.status, job.attempt, job.run_state().claim), (JobStatus::Queued, 1, None));
}

#[test]
fn free_with_an_output_alone_is_unknown() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.paths(&job);
    drop(world.lock(&job));
    assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted, "a lock is taken before anything is begun");
    std::fs::write(paths.output(), "").unwrap();
    assert_eq!(world.judge(&job).liveness(), Liveness::Unknown);
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Unknown { .. }));
    assert_eq!(world.job("a").run_state().claim, job.run_state().claim);
}

#[test]
fn a_second_attempt_that_never_started_waits_again() {
    let mut world = World::new();
    let job = world.claimed_with("a", JobSpec { on_crash: CrashPolicy::Requeue, ..JobSpec::default() });
    let paths = world.sentinel(&job, |_| {});
    CommandRecord {
        command: gone(),
        ..CommandRecord::of_this_process(job.id.clone(), 1, Claim::of_record(1))
    }
    .write(&world.dir.disk, &paths.command())
    .unwrap();
    std::fs::write(paths.output(), "of the first attempt").unwrap();
    world.reattach();
    assert_eq!(world.claim("a").attempt, 2);
    // Killed before a supervisor was there, and while it moved the first attempt's files away.
    assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack);
    std::fs::create_dir_all(paths.attempt(1)).unwrap();
    for file in [paths.output(), paths.command(), paths.sentinel()] {
        world.claim("a");
        std::fs::rename(&file, paths.attempt(1).join(file.file_name().unwrap())).unwrap();
        assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack, "{file:?}");
    }
    assert_eq!(world.job("a").attempt, 2);
}

/// Two jobs of one repository, one after the other: the log has lost the end of the first and the claim
/// of the second.
#[test]
fn a_claim_is_found_after_the_end_of_the_job_before_it() {
    for first_has_ended in [true, false] {
        let mut world = World::new();
        let jobs = ["first", "second"].map(|id| Submission {
            job: id.parse().unwrap(),
            priority: 0,
            repository: Some("web".into()),
            spec: JobSpec::default(),
        });
        append(&world.dir, &actor(), &[Operation::SubmitBatch { jobs: jobs.into() }]).unwrap();
        let first = world.claim("first");
        let paths = world.sentinel(&first, |_| {});
        let living = Living::unmarked();
        if first_has_ended {
            world.exit(&first, 0, true).write(&world.dir.disk, &paths.exit()).unwrap();
        } else {
            world.sentinel(&first, |s| s.command = Some(living.identity()));
        }
        let mut second = world.job("second");
        second.run_state = Some(Box::new(recovery::queue::RunState {
            claim: Some(Claim::of_record(90)),
            ..Default::default()
        }));
        world.sentinel(&second, |s| s.command = Some(living.identity()));
        let report = reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
        let status = |id: &str| world.job(id).status;
        if first_has_ended {
            assert_eq!((status("first"), status("second")), (JobStatus::Succeeded, JobStatus::Running));
            assert_eq!((report.claims_found, report.found), (1, 2), "{report:?}");
            assert_eq!((report.finished_while_away, report.reattached), (1, 1), "{report:?}");
        } else {
            assert_eq!((status("first"), status("second")), (JobStatus::Running, JobStatus::Queued));
            assert_eq!((report.claims_found, report.found), (0, 1), "{report:?}");
        }
    }
}

#[test]
fn damaged_files_are_kept_and_judged_by_what_is_left() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |_| {});
    std::fs::write(paths.sentinel(), "").unwrap();
    let command = Living::unmarked();
    let mut record = CommandRecord::of_this_process(job.id.clone(), 1, job.run_state().claim.unwrap());
    record.command = command.identity();
    record.write(&world.dir.disk, &paths.command()).unwrap();
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    drop(command);
    // What other tests start is this process for a moment, until its exec, with everything that was open
    // here.
    let begun = std::time::Instant::now();
    let mut verdict = world.judge(&job).verdict;
    while verdict != Verdict::Crashed && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
        verdict = world.judge(&job).verdict;
    }
    assert_eq!(verdict, Verdict::Crashed);
    std::fs::write(paths.command(), "{").unwrap();
    assert_eq!(world.judge(&job).liveness(), Liveness::Unknown, "nothing tells its process");
    world.reattach();
    assert!(paths.command().exists() && paths.sentinel().exists(), "that they are there is evidence");
    record.write(&world.dir.disk, &paths.command()).unwrap();
    let reconciled = &world.reattach()[0];
    assert!(matches!(reconciled.reconciliation, Reconciliation::Crashed { .. }));
    assert_eq!(reconciled.quarantined.len(), 1);
    assert!(!paths.sentinel().exists());
}

#[test]
fn neither_clock_nor_heartbeat_makes_a_verdict() {
    let mut world = World::new();
    let (living, dead) = (world.claimed("living"), world.claimed("dead"));
    world.sentinel(&living, |s| s.supervisor = ProcessIdentity::this());
    world.sentinel(&dead, |_| {});
    let _lock = world.lock(&living);
    const YEAR: i64 = 365 * 86_400_000;
    for now in [NOW - YEAR, NOW, NOW + YEAR] {
        world.clock.set(Timestamp::from_millis(now));
        assert_eq!(world.judge(&living).liveness(), Liveness::Alive);
        assert_eq!(world.judge(&dead).verdict, Verdict::Crashed);
    }
}

#[test]
fn an_attempt_whose_claim_the_log_has_lost_is_found() {
    let mut world = World::new();
    for id in ["living", "ended", "crashed", "older"] {
        world.submit(id, JobSpec::default());
    }
    world.queue.refresh().unwrap();
    let lost = |id: &str, claim: u64| {
        let mut job = world.job(id);
        job.status = JobStatus::Running;
        job.run_state = Some(Box::new(recovery::queue::RunState {
            claim: Some(Claim::of_record(claim)),
            ..Default::default()
        }));
        job
    };
    let (living, ended, crashed) = (lost("living", 90), lost("ended", 91), lost("crashed", 92));
    // Of an earlier job of the same name, claimed before this one was submitted.
    world.sentinel(&lost("older", 1), |_| {});
    let command = Living::unmarked();
    world.sentinel(&living, |s| s.command = Some(command.identity()));
    let paths = world.sentinel(&ended, |_| {});
    world.exit(&ended, 0, true).write(&world.dir.disk, &paths.exit()).unwrap();
    world.sentinel(&crashed, |_| {});
    world.reattach();
    let status = |id: &str| world.job(id).status;
    assert_eq!(
        (status("living"), world.job("living").run_state().claim),
        (JobStatus::Running, Some(Claim::of_record(90)))
    );
    assert_eq!(status("ended"), JobStatus::Succeeded);
    assert_eq!(status("crashed"), JobStatus::Crashed);
    assert_eq!(status("older"), JobStatus::Queued);
}
