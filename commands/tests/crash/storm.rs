//! Many submitters at once while daemons are killed: every acknowledged job is there once and runs once.
//!
//! `RECOVERYCTL_TEST_STORM=full` takes 64 submitters with 50 jobs each instead of the smaller number.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use recovery::queue::JobStatus;

use crate::common::Ran;
use crate::crash::scene::{Scene, wait_for};

const KILLS: usize = 5;

struct Size {
    submitters: usize,
    jobs_each: usize,
    workers: usize,
}

fn size() -> Size {
    match std::env::var("RECOVERYCTL_TEST_STORM").as_deref() {
        Ok("full") => Size { submitters: 64, jobs_each: 50, workers: 8 },
        _ => Size { submitters: 24, jobs_each: 6, workers: 4 },
    }
}

#[test]
fn what_was_acknowledged_is_there_once_and_runs_once() {
    let (scene, size) = (Scene::new(), size());
    let wanted = size.submitters * size.jobs_each;
    let acknowledged = AtomicUsize::new(0);
    let printed: Vec<Vec<String>> = std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..size.submitters)
            .map(|number| {
                let (scene, size, acknowledged) = (&scene, &size, &acknowledged);
                scope.spawn(move || submit_all(scene, number, size.jobs_each, acknowledged))
            })
            .collect();
        let mut daemon = scene.daemon(size.workers);
        for kill in 1..=KILLS {
            let enough = wanted * kill / (KILLS + 1);
            wait_for("jobs to be acknowledged", || acknowledged.load(Ordering::Relaxed) >= enough);
            daemon.kill();
            daemon = scene.daemon(size.workers);
        }
        let printed = submitters.into_iter().map(|s| s.join().unwrap()).collect();
        wait_for("all jobs to end", || {
            let counts = scene.queue().state().counts();
            assert_eq!(counts.crashed + counts.failed, 0, "{counts:?}");
            counts.queued + counts.running == 0
        });
        printed
    });
    assert_queue_is_what_was_printed(&scene, &printed, wanted);
    assert_no_damage(&scene);
}

/// Half of the submitters take a process for each job, the others one for two.
fn submit_all(scene: &Scene, number: usize, jobs: usize, acknowledged: &AtomicUsize) -> Vec<String> {
    let script = format!("echo ran >> '{}'/$RECOVERYCTL_JOB_ID", scene.place.path("witness").display());
    let mut printed = Vec::new();
    while printed.len() < jobs {
        let ran = if number.is_multiple_of(2) {
            scene.run(&["submit", "--", "/bin/sh", "-c", &script])
        } else {
            submit_lines(scene, &script, 2.min(jobs - printed.len()))
        };
        let ids: Vec<String> = ran.ends_with(0).stdout.lines().map(str::to_owned).collect();
        acknowledged.fetch_add(ids.len(), Ordering::Relaxed);
        printed.extend(ids);
    }
    printed
}

fn submit_lines(scene: &Scene, script: &str, count: usize) -> Ran {
    let mut command = scene.place.command();
    command.args(["submit", "--from", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let line = serde_json::json!({ "command": ["/bin/sh", "-c", script] });
    let mut stdin = child.stdin.take().unwrap();
    for _ in 0..count {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap_or(-1),
    }
}

fn assert_queue_is_what_was_printed(scene: &Scene, printed: &[Vec<String>], wanted: usize) {
    let queue = scene.queue();
    let jobs: Vec<_> = queue.state().jobs().collect();
    assert_eq!(jobs.len(), wanted);
    assert!(jobs.is_sorted_by(|a, b| a.place < b.place), "the queue is not in the order of the log");
    let places: BTreeMap<String, _> = jobs.iter().map(|j| (j.id.to_string(), j.place)).collect();
    assert_eq!(places.len(), wanted, "a job is there twice");
    for ids in printed {
        let own: Vec<_> = ids.iter().map(|id| places[id]).collect();
        assert!(own.is_sorted(), "jobs of one submitter changed their order");
    }
    for job in jobs {
        assert_eq!((job.status, job.attempt), (JobStatus::Succeeded, 1), "{job:?}");
        assert_eq!(job.run_state().attempts.len(), 1, "{job:?}");
        assert_eq!(scene.witnessed(&job.id.to_string()), ["ran"], "{}", job.id);
    }
}

fn assert_no_damage(scene: &Scene) {
    let wal = scene.json(&["queue", "wal"], 0);
    assert_eq!((&wal["damaged_records"], &wal["torn_bytes"]), (&0.into(), &0.into()), "{wal}");
    let recovered = scene.recover();
    assert_eq!(recovered.status, 0, "{recovered:?}");
    assert_eq!(recovered.codes(), Vec::<String>::new());
}
