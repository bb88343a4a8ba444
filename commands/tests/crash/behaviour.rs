//! The behaviour of jobs and of commands on them, run by `work --once` unless a daemon is needed.

use std::time::Duration;

use recovery::queue::{Job, JobStatus};
use recovery::system::{ProcessIdentity, process_stat};

use crate::crash::scene::{Scene, wait_for};

const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done";

fn ending(job: &Job) -> (JobStatus, Option<i32>, Option<i32>) {
    (job.status, job.run_state().exit_code, job.run_state().signal)
}

#[test]
fn what_is_queued_runs_in_order_and_one_at_a_time_in_a_repository() {
    let scene = Scene::new();
    let script = "mkdir $W/$R || exit 9; echo $RECOVERYCTL_JOB_ID >> $W/order-$R; sleep 0.02; rmdir $W/$R";
    for (id, repository) in [("a", "web"), ("b", "api"), ("c", "web"), ("d", "api"), ("e", "web")] {
        scene.submit(id, &["--repo", repository, "--env", &format!("R={repository}")], script);
    }
    scene.submit("urgent", &["--repo", "web", "--priority", "5", "--env", "R=web"], script);
    let report = scene.json(&["work", "--once", "--workers", "4"], 0);
    assert_eq!(report["started"].as_array().unwrap().len(), 6, "{report}");
    assert_eq!(report["left_queued"], 0);
    assert_eq!(scene.witnessed("order-web"), ["urgent", "a", "c", "e"]);
    assert_eq!(scene.witnessed("order-api"), ["b", "d"]);
    assert_eq!(scene.queue().state().counts().succeeded, 6);
}

#[test]
fn how_a_command_ends_is_how_its_job_ends() {
    let scene = Scene::new();
    scene.submit("killed", &[], "kill -9 $$");
    scene.submit("status", &[], "exit 41");
    scene.submit("late", &["--timeout", "3s"], "echo $$ > $W/late; exec sleep 600");
    scene.run(&["submit", "--id", "missing", "--", "/no/such/program"]).ends_with(0);
    scene.run(&["submit", "--id", "folder", "--", "/"]).ends_with(0);
    scene.run(&["submit", "--id", "elsewhere", "--cwd", "/no/such/folder", "--", "true"]).ends_with(0);
    scene.work();
    assert_eq!(ending(&scene.job("killed")), (JobStatus::Failed, None, Some(9)));
    assert_eq!(ending(&scene.job("status")), (JobStatus::Failed, Some(41), None));
    let late = scene.job("late");
    assert_eq!(late.status, JobStatus::TimedOut, "{late:?}");
    let pid: u32 = scene.witnessed("late")[0].parse().unwrap();
    assert!(process_stat(pid).map_or(true, |p| p.is_dead));
    assert_eq!(ending(&scene.job("missing")), (JobStatus::Failed, Some(127), None));
    assert_eq!(ending(&scene.job("folder")), (JobStatus::Failed, Some(126), None));
    assert_eq!(scene.status("elsewhere"), JobStatus::Failed);
    assert!(!scene.run(&["jobs", "output", "missing"]).ends_with(0).stdout.is_empty());
}

#[test]
fn what_a_job_leaves_behind_ends_with_it() {
    let scene = Scene::new();
    scene.submit("children", &[], "sleep 600 & echo $! >> $W/left; sleep 600 & echo $! >> $W/left");
    scene.submit(
        "daemon",
        &[],
        "(setsid sh -c 'echo $$ >> $W/left; exec sleep 600' &) ; \
        until [ $(wc -l < $W/left) -ge 3 ]; do sleep 0.02; done",
    );
    scene.work();
    assert_eq!(scene.queue().state().counts().succeeded, 2);
    let left = scene.witnessed("left");
    assert_eq!(left.len(), 3);
    for pid in left {
        let pid: u32 = pid.parse().unwrap();
        assert_eq!(ProcessIdentity::of(pid), None, "process {pid} lives on");
    }
}

#[test]
fn output_of_any_size_and_kind() {
    let scene = Scene::new();
    scene.submit("huge", &[], "head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo the end");
    scene.submit("binary", &[], "head -c 100000 /dev/urandom; printf '\\377\\376\\000\\033[31m'");
    scene.work();
    assert_eq!(scene.queue().state().counts().succeeded, 2);
    let huge = scene.place.command().args(["jobs", "output", "huge"]).output().unwrap();
    assert_eq!(huge.stdout.len(), 20_000_009);
    let kept = std::fs::read(scene.job_file("binary", "output.log")).unwrap();
    let shown = scene.place.command().args(["jobs", "output", "binary"]).output().unwrap();
    assert_eq!(shown.stdout, kept);
    for id in ["huge", "binary"] {
        scene.json(&["jobs", "output", id], 0);
        scene.json(&["jobs", "show", id], 0);
    }
    scene.json(&["jobs", "failed"], 0);
}

#[test]
fn a_job_that_removes_its_own_workspace() {
    let scene = Scene::new();
    scene.submit(
        "job",
        &[],
        "rm -rf \"$RECOVERYCTL_WORKSPACE\"; echo began >> $W/job; \
        until [ -e $W/open ]; do sleep 0.02; done; exit 5",
    );
    let daemon = scene.daemon(1);
    scene.wait_for_witness("job");
    daemon.kill();
    let recovered = scene.recover();
    assert_eq!(recovered.reattachment()["crashed"], 0, "{recovered:?}");
    assert_eq!(scene.status("job"), JobStatus::Running);
    scene.open_gate("open");
    scene.wait_for_status("job", JobStatus::Failed);
    assert_eq!(ending(&scene.job("job")), (JobStatus::Failed, Some(5), None));
    assert_eq!(scene.witnessed("job").len(), 1);
    assert_eq!(scene.recover().status, 0);
}

#[test]
fn resuming_with_and_without_the_checkpoint() {
    let scene = Scene::new();
    let script = "echo \"$RECOVERYCTL_ATTEMPT ${RECOVERYCTL_RESUMED:-0} $(cat $RECOVERYCTL_CHECKPOINT)\" \
        >> $W/job; echo step-$RECOVERYCTL_ATTEMPT > new; mv new $RECOVERYCTL_CHECKPOINT; exit 1";
    scene.submit("job", &[], script);
    scene.work();
    let resumed = scene.json(&["resume", "job"], 0);
    assert_eq!(resumed["resumed"][0]["from_checkpoint"], true, "{resumed}");
    scene.work();
    let resumed = scene.json(&["resume", "job", "--fresh"], 0);
    assert_eq!(resumed["resumed"][0]["from_checkpoint"], false, "{resumed}");
    scene.work();
    assert_eq!(scene.witnessed("job"), ["1 0 ", "2 1 step-1", "3 0 "]);
    let job = scene.job("job");
    assert_eq!((job.attempt, job.run_state().attempts.len()), (3, 3));
    let refused = scene.run(&["--json", "resume", "nobody"]);
    assert_ne!(refused.status, 0);
}

#[test]
fn cancelling_what_waits_and_what_runs() {
    let scene = Scene::new();
    let _daemon = scene.daemon(1);
    scene.submit("runs", &[], GATED);
    scene.wait_for_witness("runs");
    scene.submit("waits", &[], "echo ran >> $W/waits");
    scene.json(&["jobs", "cancel", "waits"], 0);
    assert_eq!(scene.status("waits"), JobStatus::Cancelled);
    scene.json(&["jobs", "cancel", "runs"], 0);
    scene.wait_for_status("runs", JobStatus::Cancelled);
    assert_eq!(scene.witnessed("waits"), Vec::<String>::new());
    assert_eq!(scene.run(&["jobs", "cancel", "nobody"]).status, 5);
    assert_eq!(scene.json(&["resume", "waits"], 0)["resumed"][0]["attempt"], 1);
    scene.wait_for_status("waits", JobStatus::Succeeded);
}

#[test]
fn attempts_run_out() {
    let scene = Scene::new();
    let crash = "echo $RECOVERYCTL_ATTEMPT >> $W/job; until [ -e $W/open ]; do sleep 0.02; done";
    scene.submit("job", &["--on-crash", "requeue", "--max-attempts", "2"], crash);
    let daemon = scene.daemon(1);
    for attempt in 1..=2 {
        wait_for("the attempt", || scene.witnessed("job").len() == attempt);
        scene.kill_all_of("job");
        wait_for("the crash to be seen", || scene.job("job").run_state().attempts.len() == attempt);
    }
    let job = scene.job("job");
    assert_eq!((job.status, job.attempt), (JobStatus::Crashed, 2), "{job:?}");
    daemon.kill();
    assert_eq!(scene.witnessed("job"), ["1", "2"]);
    let failed = scene.json(&["jobs", "failed"], 0);
    assert_eq!(failed["jobs"][0]["job_id"], "job", "{failed}");
}

/// A `work --once` that is interrupted leaves its job to the supervisor.
#[test]
fn work_that_is_interrupted() {
    let scene = Scene::new();
    scene.submit("job", &[], GATED);
    let mut work = scene.place.command().args(["work", "--once"]).spawn().unwrap();
    scene.wait_for_witness("job");
    rustix::process::kill_process(rustix::process::Pid::from_child(&work), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(work.wait().unwrap().code(), Some(143));
    assert_eq!(scene.status("job"), JobStatus::Running);
    scene.open_gate("open");
    scene.wait_for_status("job", JobStatus::Succeeded);
    // A second one finds nothing, and ends at once.
    let begun = std::time::Instant::now();
    scene.work();
    assert!(begun.elapsed() < Duration::from_secs(30));
}
