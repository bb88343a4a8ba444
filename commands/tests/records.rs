//! The jobs' own records as the last source, when the log and the snapshots are lost, in whole or in part.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use std::path::PathBuf;

use recovery::queue::JobStatus;

use crate::crash::scene::Scene;

fn log_folder(scene: &Scene) -> PathBuf {
    scene.place.state().join("queue/log")
}

fn segment(scene: &Scene) -> PathBuf {
    let names = std::fs::read_dir(log_folder(scene)).unwrap().flatten().map(|e| e.path());
    names.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap()
}

/// Cuts the log right before the last record that bears these words.
fn cut_before(scene: &Scene, words: &str) {
    let path = segment(scene);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(words.len()).rposition(|w| w == words.as_bytes()).unwrap();
    let start = bytes[..at].iter().rposition(|&b| b == b'\n').unwrap() + 1;
    std::fs::write(&path, &bytes[..start]).unwrap();
    // As after a reboot: what processes share is gone.
    std::fs::remove_file(log_folder(scene).join("commit.page")).unwrap();
}

fn waiting(scene: &Scene) -> Vec<String> {
    scene.queue().state().queued().map(|j| j.id.to_string()).collect()
}

#[test]
fn the_whole_queue_comes_back_from_the_records_in_order() {
    let scene = Scene::new();
    for (id, priority) in [("late", "-1"), ("one", "0"), ("two", "0"), ("first", "5")] {
        scene.submit(id, &["--priority", priority], "true");
    }
    scene.recover();
    let before = waiting(&scene);
    std::fs::remove_dir_all(scene.place.state().join("queue")).unwrap();
    let recovered = scene.recover();
    recovered.names("queue-rebuilt-from-job-records");
    assert_eq!((recovered.status, waiting(&scene)), (3, before));
    assert_eq!(scene.json(&["queue", "status"], 0)["recovered"]["method"], "job_records");
    let shown = scene.json(&["jobs", "show", "two"], 0);
    assert_eq!(shown["reconstructed"], serde_json::json!(["job record"]));
    assert_eq!(scene.recover().status, 0);
    scene.work();
    assert_eq!(scene.status("first"), JobStatus::Succeeded);
}

#[test]
fn a_job_whose_submission_was_cut_off_comes_back() {
    let scene = Scene::new();
    for id in ["kept", "lost"] {
        scene.submit(id, &[], "true");
    }
    scene.recover();
    cut_before(&scene, "\"lost\"");
    scene.recover().names("queue-rebuilt-from-job-records");
    assert_eq!(waiting(&scene), ["kept", "lost"]);
}

#[test]
fn what_a_record_knows_of_an_end_is_not_forgotten() {
    let scene = Scene::new();
    scene.submit("cancelled", &[], "echo ran >> $W/cancelled");
    scene.submit("done", &[], "echo ran >> $W/done; exit 3");
    scene.run(&["jobs", "cancel", "cancelled"]).ends_with(0);
    scene.json(&["work", "--once"], 0);
    scene.recover();
    let path = segment(&scene);
    let mut bytes = std::fs::read(&path).unwrap();
    for words in ["\"op\":\"cancel\"", "\"op\":\"claim\"", "\"op\":\"end\""] {
        let at = bytes.windows(words.len()).rposition(|w| w == words.as_bytes()).unwrap();
        bytes[at + 2] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_dir_all(scene.place.state().join("jobs/done")).unwrap();
    scene.recover().names("log-records-missing").names("queue-rebuilt-from-job-records");
    assert_eq!((scene.status("cancelled"), scene.status("done")), (JobStatus::Cancelled, JobStatus::Failed));
    assert_eq!(scene.json(&["jobs", "show", "done"], 0)["exit_code"], 3);
    scene.work();
    assert_eq!(scene.witnessed("cancelled"), Vec::<String>::new());
    assert_eq!(scene.witnessed("done"), ["ran"]);
}

#[test]
fn a_damaged_record_of_a_waiting_job_is_kept_and_written_anew() {
    let scene = Scene::new();
    scene.submit("waits", &[], "true");
    scene.recover();
    let path = scene.place.state().join("jobs/waits.job.json");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..40]).unwrap();
    let recovered = scene.recover();
    recovered.names("job-record-damaged");
    let shown = scene.json(&["jobs", "show", "waits"], 0);
    assert_eq!(
        (&shown["status"], &shown["reconstructed"]),
        (&"queued".into(), &serde_json::json!(["queue log"]))
    );
    assert!(std::fs::read(&path).unwrap().len() > whole.len(), "it says that it was rebuilt");
    assert!(scene.quarantined().iter().any(|b| b == &whole[..40]));
    assert!(scene.recover().codes().is_empty());
}

#[test]
fn a_daemon_goes_on_when_the_append_lock_is_removed() {
    let scene = Scene::new();
    let mut daemon = scene.daemon(2);
    scene.submit("before", &[], "true");
    scene.wait_for_status("before", JobStatus::Succeeded);
    std::fs::remove_file(log_folder(&scene).join("append.lock")).unwrap();
    for n in 0..8 {
        scene.submit(&format!("after-{n}"), &[], "true");
    }
    for n in 0..8 {
        scene.wait_for_status(&format!("after-{n}"), JobStatus::Succeeded);
    }
    assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon lives");
    let wal = scene.json(&["queue", "wal"], 0);
    assert_eq!((&wal["damaged_records"], &wal["torn_bytes"]), (&0.into(), &0.into()), "{wal}");
}
