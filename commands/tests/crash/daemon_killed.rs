//! A daemon is killed while jobs run: its jobs go on, and nothing of them is lost.

use recovery::daemon::running_daemon;
use recovery::durable::{FileLock, is_held};
use recovery::queue::JobStatus;
use rustix::process::Signal;
use serde_json::Value;

use crate::crash::scene::{Scene, kill, read_json, wait_for};

/// Writes `began`, waits for the gate of its own name, writes `went on`, ends with its own status.
const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; \
    until [ -e $W/open-$RECOVERYCTL_JOB_ID ]; do sleep 0.02; done; \
    echo went on; echo went on >> $W/$RECOVERYCTL_JOB_ID; exit ${STATUS:-0}";

const FIVE: [&str; 5] = ["one", "two", "three", "four", "five"];

/// Five jobs that run; the third will end with status 7.
fn five_running(scene: &Scene) {
    for id in FIVE {
        let status = if id == "three" { "STATUS=7" } else { "STATUS=0" };
        scene.submit(id, &["--env", status], GATED);
    }
    for id in FIVE {
        scene.wait_for_witness(id);
    }
}

fn assert_they_end(scene: &Scene, jobs: &[&str]) {
    for id in jobs {
        scene.open_gate(&format!("open-{id}"));
        scene.wait_for_status(id, if *id == "three" { JobStatus::Failed } else { JobStatus::Succeeded });
        assert_eq!(scene.witnessed(id), ["began", "went on"]);
    }
}

#[test]
fn jobs_go_on_and_an_end_while_no_daemon_lives_is_recorded() {
    let scene = Scene::new();
    let daemon = scene.daemon(5);
    five_running(&scene);
    daemon.kill();
    scene.open_gate("open-three");
    scene.wait_for_status("three", JobStatus::Failed);
    let shown = scene.json(&["jobs", "show", "three"], 0);
    assert_eq!(shown["exit_code"], 7);
    assert_eq!(scene.run(&["jobs", "output", "three"]).ends_with(0).stdout, "went on\n");
    assert_all_sentinels_live(&scene);

    let recovered = scene.recover();
    let counts = recovered.reattachment();
    assert_eq!((&counts["found"], &counts["reattached"]), (&4.into(), &4.into()), "{counts}");
    assert_eq!((&counts["crashed"], &counts["unknown"]), (&0.into(), &0.into()), "{counts}");
    assert_they_end(&scene, &["one", "two", "four", "five"]);
}

fn assert_all_sentinels_live(scene: &Scene) {
    let report = scene.json(&["jobs", "sentinels"], 0);
    let sentinels = report["sentinels"].as_array().unwrap();
    for id in ["one", "two", "four", "five"] {
        let own = sentinels.iter().find(|s| s["job_id"] == id).unwrap();
        assert_eq!((&own["liveness"], &own["lock_held"]), (&"alive".into(), &true.into()), "{own}");
        assert_eq!(own["pid"], scene.command_of(id).pid, "{own}");
        assert!(own["evidence"].as_array().is_some_and(|e| e.len() >= 3), "{own}");
    }
}

/// The supervisor dies between `exit.json` and the record of the end; here together with the daemon.
#[test]
fn an_end_that_only_the_exit_file_tells_of_is_recorded_by_recovery() {
    let scene = Scene::new();
    let daemon = scene.daemon(5);
    five_running(&scene);
    daemon.kill();
    // The append lock keeps the supervisor from recording the end.
    let (dir, patience) = (scene.dir(), std::time::Duration::from_secs(10));
    let append_lock = dir.paths.queue_log().join("append.lock");
    let append_lock = FileLock::acquire(&dir.disk, &append_lock, patience).unwrap();
    scene.open_gate("open-three");
    wait_for("the exit record", || scene.job_file("three", "exit.json").exists());
    kill(scene.supervisor_of("three"));
    drop(append_lock);
    assert_eq!(scene.status("three"), JobStatus::Running);

    let recovered = scene.recover();
    recovered.names("job-finished-while-away");
    let counts = recovered.reattachment();
    assert_eq!((&counts["finished_while_away"], &counts["reattached"]), (&1.into(), &4.into()), "{counts}");
    let job = scene.job("three");
    assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(7)));
    assert_they_end(&scene, &FIVE);
}

#[test]
fn signals_to_the_daemons_whole_group_do_not_reach_jobs() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let scene = Scene::new();
        let daemon = scene.daemon(5);
        five_running(&scene);
        if signal == Signal::HUP {
            // The daemon reads its configuration again and goes on.
            let group = rustix::process::Pid::from_child(&daemon.child);
            rustix::process::kill_process_group(group, signal).unwrap();
            daemon.kill();
        } else {
            daemon.signal_group(signal);
        }
        for id in FIVE {
            assert_eq!(scene.status(id), JobStatus::Running, "{id} after {signal:?}");
        }
        let _daemon = scene.daemon(5);
        assert_they_end(&scene, &FIVE);
    }
}

#[test]
fn a_sentinel_whose_number_belongs_to_another_process_is_dead() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("job", &[], GATED);
    scene.wait_for_witness("job");
    daemon.kill();
    scene.kill_all_of("job");
    // The PIDs have wrapped around: the numbers belong to this test's process now.
    for (file, members) in [("sentinel.json", ["supervisor", "command"]), ("command.json", ["command"; 2])] {
        let path = scene.job_file("job", file);
        let mut document = read_json(&path);
        for member in members {
            if document[member].is_object() {
                document[member]["pid"] = std::process::id().into();
            }
        }
        std::fs::write(&path, document.to_string()).unwrap();
    }
    let report = scene.json(&["jobs", "sentinels"], 0);
    let own = &report["sentinels"][0];
    assert_eq!((&own["liveness"], &own["lock_held"]), (&"dead".into(), &false.into()), "{own}");
    let evidence: Vec<&str> = own["evidence"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(evidence.iter().any(|e| e.contains("another process")), "{evidence:?}");

    scene.recover().names("job-crashed");
    assert_eq!(scene.status("job"), JobStatus::Crashed);
}

#[test]
fn a_daemon_finds_out_by_itself_that_a_job_died_after_its_re_attachment() {
    let scene = Scene::new();
    scene.daemon(1).kill();
    let daemon = scene.daemon(1);
    scene.submit("job", &["--on-crash", "requeue", "--max-attempts", "2"], GATED);
    scene.wait_for_witness("job");
    daemon.kill();
    let _daemon = scene.daemon(1);
    scene.kill_all_of("job");
    wait_for("the second attempt", || scene.witnessed("job").len() == 2);
    scene.open_gate("open-job");
    scene.wait_for_status("job", JobStatus::Succeeded);
    assert_eq!(scene.job("job").attempt, 2);
    assert_eq!(scene.witnessed("job"), ["began", "began", "went on"]);
}

#[test]
fn a_daemon_that_still_recovers_takes_no_jobs_whatever_the_one_before_left() {
    let scene = Scene::new();
    scene.daemon(1).kill();
    let dir = scene.dir();
    assert!(dir.paths.daemon_info().exists());
    let recovery_lock = FileLock::try_acquire(&dir.disk, &dir.paths.recovery_lock()).unwrap();
    let daemon = scene.start_daemon(1);
    wait_for("the daemon to begin", || is_held(&dir.paths.daemon_lock()).unwrap());
    wait_for("the old file to go", || !dir.paths.daemon_info().exists());
    assert_eq!(running_daemon(&dir).unwrap(), None);
    drop(recovery_lock);
    wait_for("the daemon to take jobs", || {
        running_daemon(&dir).unwrap().is_some_and(|d| d.pid == daemon.child.id())
    });
}

#[test]
fn a_living_daemon_is_known_by_its_lock_when_its_file_is_damaged() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    for content in ["", "garbage"] {
        std::fs::write(scene.dir().paths.daemon_info(), content).unwrap();
        assert_eq!(scene.json(&["recover"], 11)["error"]["exit"], 11);
        assert_eq!(running_daemon(&scene.dir()).unwrap().unwrap().pid, daemon.child.id());
    }
}
