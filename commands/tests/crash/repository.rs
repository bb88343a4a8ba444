//! The lock of a job's repository is the job's, not the daemon's.

use recovery::queue::JobStatus;

use crate::crash::scene::{Scene, kill, wait_for};

const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done";

fn holding(scene: &Scene) {
    let daemon = scene.daemon(2);
    scene.submit("holder", &["--repo", "web"], GATED);
    scene.wait_for_witness("holder");
    scene.submit("next", &["--repo", "web"], "echo ran >> $W/next");
    daemon.kill();
}

#[test]
fn a_jobs_lock_outlives_the_daemon_and_is_given_back_with_its_end() {
    let scene = Scene::new();
    holding(&scene);
    let refused = scene.json(&["release", "web"], 11);
    assert_eq!(refused["error"]["exit"], 11, "{refused}");
    let locks = scene.json(&["locks", "active"], 0);
    assert_eq!(locks["locks"][0]["job_id"], "holder", "{locks}");
    assert_eq!(locks["locks"][0]["liveness"], "alive", "{locks}");
    scene.recover().names("lock-kept");
    scene.json(&["release", "web"], 11);
    let _daemon = scene.daemon(2);
    assert_eq!(scene.status("next"), JobStatus::Queued);
    scene.open_gate("open");
    scene.wait_for_status("holder", JobStatus::Succeeded);
    scene.wait_for_status("next", JobStatus::Succeeded);
    // A supervisor records the end first, then gives the repository back.
    wait_for("the repository to be free", || scene.json(&["locks", "active"], 0)["total"] == 0);
}

#[test]
fn without_supervisor_the_living_command_still_has_the_lock() {
    let scene = Scene::new();
    holding(&scene);
    kill(scene.supervisor_of("holder"));
    scene.json(&["release", "web"], 11);
    scene.recover().names("lock-kept").names("job-orphaned-process");
    scene.json(&["release", "web"], 11);
    assert_eq!((scene.status("holder"), scene.status("next")), (JobStatus::Running, JobStatus::Queued));
    kill(scene.command_of("holder"));
    let _daemon = scene.daemon(2);
    scene.wait_for_status("next", JobStatus::Succeeded);
    assert_eq!(scene.status("holder"), JobStatus::Crashed);
}

#[test]
fn recovery_gives_it_back_when_all_of_the_job_is_gone() {
    let scene = Scene::new();
    holding(&scene);
    scene.kill_all_of("holder");
    scene.recover().names("lock-holder-gone").names("job-crashed");
    assert_eq!(scene.json(&["locks", "active"], 0)["total"], 0);
    assert_eq!(scene.json(&["locks", "recovered"], 0)["locks"][0]["outcome"], "released");
    scene.work();
    assert_eq!(scene.status("next"), JobStatus::Succeeded);
}

/// Many locks at once: the lock that one phase takes to judge a job must not be taken for life by another
/// phase.
#[test]
fn recovery_gives_every_lock_back_of_jobs_that_are_gone() {
    let scene = Scene::new();
    let ids: Vec<String> = (0..8).map(|n| format!("holder-{n}")).collect();
    let daemon = scene.daemon(ids.len());
    for id in &ids {
        scene.submit(id, &["--repo", id], GATED);
    }
    ids.iter().for_each(|id| scene.wait_for_witness(id));
    daemon.kill();
    for id in &ids {
        scene.kill_all_of(id);
    }
    let recovered = scene.recover();
    assert!(!recovered.codes().contains(&"lock-kept".to_owned()), "{recovered:?}");
    assert_eq!(scene.json(&["locks", "active"], 0)["total"], 0);
}

/// The log has lost the claim, and the supervisor is gone, but the command still has the repository.
#[test]
fn a_lock_is_kept_for_a_command_whose_claim_is_damaged() {
    let scene = Scene::new();
    holding(&scene);
    kill(scene.supervisor_of("holder"));
    scene.flip_record("claim", "holder");
    scene.recover().names("log-record-damaged").names("lock-kept");
    scene.json(&["release", "web"], 11);
    assert_eq!((scene.status("holder"), scene.status("next")), (JobStatus::Running, JobStatus::Queued));
}

/// Its metadata emptied, a held lock stays held; a free one is unavailable until somebody decides.
#[test]
fn emptied_metadata_opens_no_repository() {
    let scene = Scene::new();
    holding(&scene);
    let metadata = scene.place.state().join("locks/web.lock.json");
    std::fs::write(&metadata, "").unwrap();
    let recovered = scene.recover();
    assert!(!recovered.codes().contains(&"lock-holder-gone".to_owned()), "{recovered:?}");
    assert_eq!((scene.status("holder"), scene.status("next")), (JobStatus::Running, JobStatus::Queued));
    scene.json(&["release", "web"], 11);
    scene.open_gate("open");
    scene.wait_for_status("holder", JobStatus::Succeeded);
    scene.work();
    assert_eq!(scene.status("next"), JobStatus::Succeeded);
}
