//! An attempt from its start to its recorded end, and what keeps it from beginning.

use recovery::durable::is_held;
use recovery::jobs::{ExitRecord, Output, Sentinel, Verdict, record, resume};
use recovery::queue::{AttemptOutcome, Claim, JobSpec, JobStatus, Operation, append};

use super::world::{World, actor, pid_in, settings, shell, wait_until};

pub(super) fn an_attempt_runs_and_its_end_is_recorded() {
    let mut world = World::new();
    let mut spec = shell("echo out; echo err >&2; env; pwd; exit 3");
    spec.env.insert("MINE".into(), "own".into());
    spec.env.insert("RECOVERYCTL_JOB_ID".into(), "a lie".into());
    world.submit("a/b", spec, Some("free"));
    let claim = world.claim("a/b");
    assert_eq!(world.start("a/b", claim).code(), 0);
    let job = world.job("a/b");
    assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(3)));
    let output = world.output("a/b");
    let paths = world.paths("a/b");
    let workspace = paths.workspace.display().to_string();
    for line in ["out", "err", "MINE=own", "RECOVERYCTL_JOB_ID=a/b", "RECOVERYCTL_ATTEMPT=1", &workspace] {
        assert!(output.lines().any(|l| l == line), "{line} in {output}");
    }
    assert!(!output.contains("RECOVERYCTL_RESUMED"));
    let exit = world.exit("a/b");
    assert_eq!((exit.exit_code, exit.outcome, exit.claim), (Some(3), AttemptOutcome::Exited, claim));
    assert!(exit.tree_empty && exit.leftovers_ended == 0 && exit.cpu_ms.is_some());
    let sentinel = Sentinel::read(&paths.sentinel()).unwrap().whole().unwrap().clone();
    assert_eq!(sentinel.lock_id.as_deref(), Some("lock-7"));
    assert_eq!(sentinel.command, Some(world.command("a/b")), "it recorded itself, and stayed that process");
    assert!(!is_held(&paths.sentinel_lock()).unwrap());
    let document = record::read(&world.dir, &job.id).unwrap().whole().unwrap().clone();
    assert_eq!((document.status, document.run_state.unwrap().exit_code), (JobStatus::Failed, Some(3)));
}

pub(super) fn what_cannot_be_started_ends_as_in_a_shell() {
    let mut world = World::new();
    let command = |program: &str| JobSpec { command: vec![program.into()], ..JobSpec::default() };
    let cases = [
        ("missing", command("/no/such/program"), 127),
        ("refused", command("/etc/passwd"), 126),
        ("nowhere", JobSpec { cwd: Some("/no/such/folder".into()), ..shell("true") }, 126),
    ];
    for (id, spec, code) in cases {
        world.submit(id, spec, None);
        let claim = world.claim(id);
        assert_eq!(world.start(id, claim).code(), 0, "{id}");
        let job = world.job(id);
        assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(code)), "{id}");
        let output = world.output(id);
        assert!(output.contains("recoveryctl: cannot run"), "{id}: {output}");
    }
}

pub(super) fn an_old_claim_runs_nothing() {
    let mut world = World::new();
    let ran = world.file("ran");
    world.submit("a", shell(&format!("echo > {}", ran.display())), None);
    let claim = world.claim("a");
    let job = world.job("a").id;
    let unclaim =
        Operation::Unclaim { job, claim, reason: "test".into(), not_before: None, failed_start: false };
    append(&world.dir, &actor(), &[unclaim]).unwrap();
    assert_eq!(world.start("a", claim).code(), 20);
    world.claim("a");
    assert_eq!(world.start("a", claim).code(), 20);
    assert_eq!(world.start("a", Claim::of_record(claim.seq() + 1000)).code(), 20);
    assert!(!ran.exists() && !world.paths("a").sentinel().exists());
    assert_eq!(world.judge("a").verdict, Verdict::NeverStarted);
}

pub(super) fn a_second_supervisor_runs_nothing() {
    let mut world = World::new();
    let (ran, go) = (world.file("ran"), world.file("go"));
    let script = format!("echo >> {}; while ! test -e {}; do sleep 0.01; done", ran.display(), go.display());
    let mut first = world.begin("a", &script);
    world.command("a");
    let claim = world.job("a").run_state().claim.unwrap();
    assert_eq!(world.start("a", claim).code(), 22, "the lock is held");
    std::fs::write(&go, "").unwrap();
    assert_eq!(first.code(), 0);
    assert_eq!(world.start("a", claim).code(), 20, "the claim is over");
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "\n");
}

pub(super) fn command_inherits_no_mask_of_its_supervisor() {
    let mut world = World::new();
    let mut supervisor = world.begin("a", "grep SigBlk /proc/self/status");
    assert_eq!(supervisor.code(), 0);
    assert_eq!(world.output("a"), "SigBlk:\t0000000000000000\n");
}

pub(super) fn the_next_attempt_continues_from_the_checkpoint() {
    let mut world = World::new();
    let script = "echo half > $RECOVERYCTL_CHECKPOINT; echo first; exit 1";
    let again = "echo second $RECOVERYCTL_RESUMED; cat $RECOVERYCTL_CHECKPOINT; exit 1";
    let resume_command = Some(vec!["sh".into(), "-c".into(), again.into()]);
    world.submit("a", JobSpec { resume_command, ..shell(script) }, None);
    let ids = ["a".parse().unwrap()];
    for (attempt, fresh, expected) in
        [(1, false, "first\n"), (2, false, "second 1\nhalf\n"), (3, true, "first\n")]
    {
        if attempt > 1 {
            let report = resume(&world.dir, &mut world.queue, &ids, fresh, &settings()).unwrap();
            assert_eq!(report.resumed[0].from_checkpoint, !fresh, "{report:?}");
        }
        let claim = world.claim("a");
        assert_eq!(world.start("a", claim).code(), 0);
        assert_eq!(world.output("a"), expected);
        let exit = world.exit("a");
        assert_eq!((exit.attempt, exit.exit_code), (attempt, Some(1)));
    }
    let job = world.job("a");
    let earlier = |attempt| Output::of(&world.dir, &job, Some(attempt)).unwrap().tail(100).unwrap();
    assert_eq!((earlier(1).as_str(), earlier(2).as_str()), ("first\n", "second 1\nhalf\n"));
    let paths = world.paths("a");
    let kept = ExitRecord::read(&paths.attempt(1).join("exit.json")).unwrap();
    assert_eq!(kept.whole().unwrap().attempt, 1);
    assert!(paths.attempt(2).join("checkpoint").exists(), "fresh moves it away and keeps it");
}

pub(super) fn a_job_may_empty_its_workspace() {
    let mut world = World::new();
    let (emptied, go) = (world.file("emptied"), world.file("go"));
    let script = format!(
        "cd .. && rm -rf \"$RECOVERYCTL_WORKSPACE\" && echo $$ > {}; while ! test -e {}; do sleep 0.01; done",
        emptied.display(),
        go.display()
    );
    let mut supervisor = world.begin("a", &script);
    pid_in(&emptied);
    wait_until("the sign of life is back", || world.judge("a").verdict == Verdict::Supervised);
    let named = Sentinel::read(&world.paths("a").sentinel()).unwrap().whole().unwrap().command;
    assert!(named.is_some());
    std::fs::write(&go, "").unwrap();
    assert_eq!(supervisor.code(), 0);
    assert_eq!(world.status("a"), JobStatus::Succeeded);
    assert_eq!(world.exit("a").exit_code, Some(0));
}

pub(super) fn without_its_repository_the_claim_is_given_back() {
    let mut world = World::new();
    let ran = world.file("ran");
    world.submit("a", shell(&format!("echo > {}", ran.display())), Some("taken"));
    let claim = world.claim("a");
    assert_eq!(world.start("a", claim).code(), 21);
    let job = world.job("a");
    assert_eq!((job.status, job.attempt), (JobStatus::Queued, 1));
    assert!(job.not_before.is_some());
    let last = job.run_state().history.last().unwrap().reason.clone();
    assert_eq!(last.as_deref(), Some("taken is held by somebody"));
    assert!(!ran.exists());
}
