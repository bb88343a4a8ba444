//! Damage to the files of jobs that run, or that ended while nobody looked.

use recovery::queue::JobStatus;

use crate::crash::scene::{Scene, kill, wait_for};

const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done; \
    echo went on >> $W/$RECOVERYCTL_JOB_ID; exit 4";

/// A job that runs, and one that waits behind it; the daemon is killed.
fn running() -> Scene {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("job", &["--repo", "web"], GATED);
    scene.wait_for_witness("job");
    scene.submit("next", &["--repo", "web"], "echo ran >> $W/next");
    daemon.kill();
    scene
}

/// It goes on to its own end, once, and the next one after it.
fn assert_it_ends_by_itself(scene: &Scene) {
    assert_eq!((scene.status("job"), scene.status("next")), (JobStatus::Running, JobStatus::Queued));
    let _daemon = scene.daemon(2);
    scene.open_gate("open");
    scene.wait_for_status("job", JobStatus::Failed);
    assert_eq!(scene.job("job").run_state().exit_code, Some(4));
    assert_eq!(scene.witnessed("job"), ["began", "went on"]);
    scene.wait_for_status("next", JobStatus::Succeeded);
    assert_eq!(scene.witnessed("next"), ["ran"]);
}

fn assert_kept(scene: &Scene, bytes: &[u8]) {
    let is_kept = scene.quarantined().iter().any(|f| f.windows(bytes.len().max(1)).any(|w| w == bytes));
    assert!(is_kept, "the damaged bytes are not in quarantine");
}

#[test]
fn a_living_jobs_sentinel() {
    for content in ["", "no sentinel {"] {
        let scene = running();
        std::fs::write(scene.job_file("job", "sentinel.json"), content).unwrap();
        let recovered = scene.recover();
        assert_eq!(recovered.reattachment()["reattached"], 1, "{recovered:?}");
        recovered.names("sentinel-damaged");
        scene.json(&["release", "web"], 11);
        assert_it_ends_by_itself(&scene);
    }
}

#[test]
fn a_living_jobs_claim_submission_and_record() {
    let flips: [&[&str]; 4] = [&["claim"], &["submit"], &["submit", "claim"], &["claim", "record"]];
    for what in flips {
        println!("damaged: {what:?}");
        let scene = running();
        for word in what {
            if *word == "record" {
                std::fs::remove_file(scene.place.state().join("jobs/job.job.json")).unwrap();
            } else {
                scene.flip_record(word, "job");
            }
        }
        scene.recover().names("log-record-damaged");
        assert_it_ends_by_itself(&scene);
    }
}

/// Without a recovery before: a daemon recovers too.
#[test]
fn a_daemon_that_starts_on_damage_does_not_run_a_job_twice() {
    let scene = running();
    scene.flip_record("claim", "job");
    let daemon = scene.daemon(2);
    scene.open_gate("open");
    scene.wait_for_status("job", JobStatus::Failed);
    scene.wait_for_status("next", JobStatus::Succeeded);
    assert_eq!(scene.witnessed("job"), ["began", "went on"]);
    daemon.kill();
}

#[test]
fn an_end_that_nobody_recorded_and_a_damaged_file() {
    for (file, code) in [("sentinel.json", JobStatus::Crashed), ("command.json", JobStatus::Crashed)] {
        let scene = running();
        scene.kill_all_of("job");
        std::fs::write(scene.job_file("job", file), "garbage").unwrap();
        scene.recover().names("job-crashed");
        assert_kept(&scene, b"garbage");
        assert_eq!(scene.status("job"), code, "{file}");
        assert_eq!(scene.recover().codes(), Vec::<String>::new());
        scene.work();
        assert_eq!(scene.witnessed("next"), ["ran"]);
    }
}

/// The supervisor died after writing `exit.json` and before recording the end, and the file is damaged.
#[test]
fn an_exit_record_that_was_emptied() {
    let scene = running();
    let append_lock = recovery::durable::FileLock::try_acquire(
        &scene.dir().disk,
        &scene.dir().paths.queue_log().join("append.lock"),
    )
    .unwrap();
    scene.open_gate("open");
    wait_for("the exit record", || scene.job_file("job", "exit.json").exists());
    kill(scene.supervisor_of("job"));
    drop(append_lock);
    std::fs::write(scene.job_file("job", "exit.json"), "").unwrap();
    scene.recover().names("job-crashed");
    assert_eq!(scene.status("job"), JobStatus::Crashed);
    assert_eq!(scene.recover().codes(), Vec::<String>::new());
    scene.json(&["resume", "job"], 0);
    scene.work();
    let job = scene.job("job");
    assert_eq!((job.status, job.attempt), (JobStatus::Failed, 2));
    assert_eq!(scene.witnessed("next"), ["ran"]);
}
