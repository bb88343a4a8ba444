//! What is recorded about judged jobs: by their policy, once, and in their own records.

use recovery::jobs::{CancelOutcome, cancel, reattach, record, resume};
use recovery::queue::{CrashPolicy, End, Job, JobId, JobSpec, JobStatus, Operation, Submission, append};

use super::{Living, World, actor, settings};

#[test]
fn a_crash_is_followed_by_the_jobs_policy() {
    let mut world = World::new();
    for (id, on_crash) in
        [("hold", CrashPolicy::Hold), ("fail", CrashPolicy::Fail), ("requeue", CrashPolicy::Requeue)]
    {
        let spec = JobSpec { on_crash, max_attempts: 2, ..JobSpec::default() };
        let job = world.claimed_with(id, spec);
        world.sentinel(&job, |_| {});
    }
    world.reattach();
    assert_eq!(world.job("hold").status, JobStatus::Crashed);
    let failed = world.job("fail");
    assert_eq!((failed.status, failed.run_state().reason.as_deref()), (JobStatus::Failed, Some("crashed")));
    assert!(failed.run_state().attempts[0].reason.as_ref().is_some_and(|r| r.contains("vanished")));
    assert_eq!((world.job("requeue").status, world.job("requeue").attempt), (JobStatus::Queued, 2));
    let job = world.claim("requeue");
    world.sentinel(&job, |_| {});
    world.reattach();
    assert_eq!(world.job("requeue").status, JobStatus::Crashed, "no attempts are left");
    assert!(world.reattach().is_empty(), "a second look finds nothing to do");
}

#[test]
fn many_jobs_are_settled_in_one_pass() {
    let mut world = World::new();
    let jobs: Vec<Submission> = (0..600)
        .map(|n| Submission {
            job: format!("j{n}").parse().unwrap(),
            priority: 0,
            repository: None,
            spec: JobSpec::default(),
        })
        .collect();
    let claims: Vec<Operation> =
        jobs.iter().map(|s| Operation::Claim { job: s.job.clone(), attempt: 1, host: None }).collect();
    append(&world.dir, &actor(), &[Operation::SubmitBatch { jobs }]).unwrap();
    append(&world.dir, &actor(), &claims).unwrap();
    let stopped = reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| false).unwrap();
    assert_eq!((stopped.found, world.queue.state().counts().running), (0, 600), "told to stop at once");
    let mut last = (0, 0);
    let found = reattach(&world.dir, &mut world.queue, &settings(), &mut |done, total| {
        last = (done, total);
        true
    })
    .unwrap();
    assert_eq!((found.found, found.given_back, last), (600, 600, (600, 600)));
    assert_eq!(world.queue.state().counts().queued, 600);
}

#[test]
fn a_job_whose_process_lives_is_not_resumed() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |_| {});
    world.reattach();
    assert_eq!(world.job("a").status, JobStatus::Crashed);
    let ids: Vec<JobId> = ["a", "none", "a"].iter().map(|id| id.parse().unwrap()).collect();
    let straggler = Living::marked(&job, world.dir.paths.root());
    let report = resume(&world.dir, &mut world.queue, &ids, false, &settings()).unwrap();
    let codes: Vec<&str> = report.refused.iter().map(|r| &*r.code).collect();
    assert_eq!(codes, ["job-still-alive", "no-such-job"]);
    drop(straggler);
    std::fs::write(paths.checkpoint(), "half").unwrap();
    let report = resume(&world.dir, &mut world.queue, &ids[..1], false, &settings()).unwrap();
    assert_eq!((report.resumed[0].attempt, report.resumed[0].from_checkpoint), (2, true));
    assert_eq!(world.job("a").status, JobStatus::Queued);
    let report = resume(&world.dir, &mut world.queue, &ids[..1], false, &settings()).unwrap();
    assert_eq!(report.refused[0].code, "job-not-resumable");
}

#[test]
fn a_cancelled_orphan_is_ended_and_recorded() {
    let mut world = World::new();
    let (orphan, waiting) = (world.claimed("orphan"), "waiting");
    world.submit(waiting, JobSpec::default());
    world.sentinel(&orphan, |_| {});
    // It does not heed SIGTERM from the start; SIGKILL follows.
    let mut process = Living::marked(&orphan, world.dir.paths.root());
    let ids: Vec<JobId> = ["orphan", waiting, "none"].iter().map(|id| id.parse().unwrap()).collect();
    let (dir, queue) = (&world.dir, &mut world.queue);
    let cancelled = std::thread::scope(|scope| {
        scope.spawn(|| process.0.wait().unwrap());
        cancel(dir, queue, &ids, &settings()).unwrap()
    });
    assert_eq!(cancelled[0].outcome, CancelOutcome::Ended);
    assert_eq!(cancelled[1].outcome, CancelOutcome::Cancelled);
    assert!(matches!(cancelled[2].outcome, CancelOutcome::Refused { code: "no-such-job", .. }));
    assert_eq!(world.job("orphan").status, JobStatus::Cancelled);
    assert_eq!(world.job(waiting).status, JobStatus::Cancelled);
    let again = cancel(&world.dir, &mut world.queue, &ids[..1], &settings()).unwrap();
    assert!(matches!(again[0].outcome, CancelOutcome::Refused { code: "job-is-over", .. }));
}

#[test]
fn an_end_that_somebody_else_recorded_is_not_recorded_twice() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |_| {});
    let exit = world.exit(&job, 0, true);
    exit.write(&world.dir.disk, &paths.exit()).unwrap();
    let end: End = exit.to_end();
    append(&world.dir, &actor(), &[Operation::End(end)]).unwrap();
    assert!(world.reattach().is_empty());
    assert_eq!(world.job("a").run_state().attempts.len(), 1);
}

#[test]
fn records_are_written_anew_when_missing_damaged_or_behind() {
    let mut world = World::new();
    let jobs: Vec<Job> = ["whole", "missing", "damaged", "behind"].map(|id| world.claimed(id)).into();
    for job in &jobs {
        record::write(&world.dir, job).unwrap();
    }
    let path = |id: &str| world.dir.paths.job(id).unwrap().record;
    std::fs::remove_file(path("missing")).unwrap();
    std::fs::write(path("damaged"), "{\"job_id\":").unwrap();
    std::fs::write(path("stranger"), "{}").unwrap();
    let behind: JobId = "behind".parse().unwrap();
    world.queue.transact(&actor(), |_| (vec![Operation::Cancel { job: behind.clone() }], ())).unwrap();
    let rebuilt = record::rebuild(&world.dir, world.queue.state(), &mut |_, _| {}).unwrap();
    let mut written: Vec<String> = rebuilt.written.iter().map(ToString::to_string).collect();
    written.sort();
    assert_eq!(written, ["behind", "damaged", "missing"]);
    let damaged = vec![("damaged".parse().unwrap(), path("damaged"))];
    assert_eq!((rebuilt.damaged, rebuilt.unknown), (damaged, vec![path("stranger")]));
    let (documents, damaged) = record::read_those(&world.dir, |_| true).unwrap();
    assert_eq!((documents.len(), damaged), (4, vec![path("stranger")]));
    let behind = documents.iter().find(|d| d.job_id == behind).unwrap();
    assert!(behind.run_state.as_ref().unwrap().cancel_requested);
    let again = record::rebuild(&world.dir, world.queue.state(), &mut |_, _| {}).unwrap();
    assert!(again.written.is_empty() && again.damaged.is_empty());
}
