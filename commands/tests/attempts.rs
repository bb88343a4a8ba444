//! Jobs that resume: the examples of the documentation, killed and killed again; what each attempt leaves;
//! following a job over its attempts.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // Tests write their own files, and say why they skip.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use recovery::queue::{AfterCrash, End, JobStatus, Operation};
use recovery::state::{Clock, Timestamp};
use recovery::system::{ProcessIdentity, signal_process};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common;
use crate::crash::scene::{Scene, kill, wait_for};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/examples").join(name)
}

/// Returns the next of a sequence of numbers that looks random and can be repeated.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn numbers(results: &Path) -> usize {
    std::fs::read_to_string(results).unwrap_or_default().lines().count()
}

/// Kills supervisor and command together after this many more numbers: that is what a crash of the machine
/// does to them. Returns false when the job was faster.
fn crash_it(scene: &Scene, results: &Path, after: u64) -> bool {
    let wanted = numbers(results) as u64 + after;
    let mut found = 0;
    wait_for("the job to count on", || {
        found = numbers(results) as u64;
        found >= wanted.min(1000)
    });
    if found < 1000 {
        scene.kill_all_of("count");
    }
    found < 1000
}

/// Counts to a thousand, is crashed ten times at random, and each number is there once.
fn counts_each_number_once(program: &str, mut seed: u64, resume: bool) {
    let scene = Scene::new();
    let results = scene.place.path("results");
    let script = format!("export PATH=/usr/bin:/bin; exec {program} 1000 {}", results.display());
    scene.place.write("config.toml", "[jobs]\nrequeue_pause = \"20ms\"\nrequeue_pause_max = \"50ms\"\n");
    let policy: &[&str] =
        if resume { &["--on-crash", "hold"] } else { &["--on-crash", "requeue", "--max-attempts", "12"] };
    scene.submit("count", policy, &script);
    let _daemon = scene.daemon(2);
    let mut crashes = 0;
    while crashes < 10 {
        let after = 1 + next(&mut seed) % 60;
        if !crash_it(&scene, &results, after) {
            break;
        }
        crashes += 1;
        if resume {
            scene.wait_for_status("count", JobStatus::Crashed);
            let answer = scene.json(&["resume", "count"], 0);
            assert_eq!(answer["resumed"][0]["attempt"], crashes + 1, "{answer}");
        } else {
            wait_for("the next attempt", || {
                let job = scene.job("count");
                u64::from(job.attempt) > crashes || job.status == JobStatus::Succeeded
            });
        }
    }
    assert_eq!(crashes, 10, "the job was too fast to be crashed ten times");
    scene.wait_for_status("count", JobStatus::Succeeded);
    let found = std::fs::read_to_string(&results).unwrap();
    let expected: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(found, expected, "each number once, in order");
    let shown = scene.json(&["jobs", "show", "count"], 0);
    let attempts = shown["attempts"].as_array().unwrap();
    let told: Vec<(u64, &str)> =
        attempts.iter().map(|a| (a["attempt"].as_u64().unwrap(), a["status"].as_str().unwrap())).collect();
    let expected: Vec<(u64, &str)> =
        (1..=11).map(|n| (n, if n == 11 { "succeeded" } else { "crashed" })).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_shell_example_counts_each_number_once_over_ten_crashes() {
    counts_each_number_once(&format!("/bin/sh {}", example("count.sh").display()), 7, true);
}

#[test]
fn the_python_example_counts_each_number_once_over_ten_crashes() {
    if Command::new("python3").arg("--version").output().is_err() {
        common::skipped("there is no python3");
        return;
    }
    counts_each_number_once(&format!("python3 {}", example("count.py").display()), 11, false);
}

/// The examples in the text are the files.
#[test]
fn the_documentation_shows_the_examples_as_they_are() {
    let page = example("../jobs.md");
    let page = std::fs::read_to_string(page).unwrap();
    for name in ["count.sh", "count.py"] {
        let text = std::fs::read_to_string(example(name)).unwrap();
        assert!(page.contains(text.trim_end()), "docs/jobs.md shows another {name}");
    }
}

/// Prints its attempt and ends as its attempt says: 1 crashes, 2 fails, 3 is ended by a signal, 4 succeeds.
const FOUR_ENDS: &str = "echo out-$RECOVERYCTL_ATTEMPT; echo $RECOVERYCTL_ATTEMPT >> $W/begun; \
    case $RECOVERYCTL_ATTEMPT in 1) exec sleep 600;; 2) exit 9;; 3) kill -KILL $$;; esac";

#[test]
fn attempts_are_kept_apart_with_output_exit_and_use() {
    let scene = Scene::new();
    scene.submit("job", &[], FOUR_ENDS);
    let daemon = scene.daemon(2);
    scene.wait_for_witness("begun");
    let running = scene.json(&["jobs", "show", "job"], 0);
    assert_eq!(running["attempts"][0]["status"], "running");
    scene.kill_all_of("job");
    scene.wait_for_status("job", JobStatus::Crashed);
    for (attempt, status) in [(2, JobStatus::Failed), (3, JobStatus::Failed), (4, JobStatus::Succeeded)] {
        let answer = scene.json(&["resume", "job"], 0);
        assert_eq!(
            answer["resumed"],
            json!([{ "job_id": "job", "attempt": attempt, "from_checkpoint": false }])
        );
        wait_for("the attempt to end", || {
            let job = scene.job("job");
            job.attempt == attempt && job.status == status
        });
    }
    drop(daemon);
    let shown = scene.json(&["jobs", "show", "job"], 0);
    let attempts = shown["attempts"].as_array().unwrap();
    let ends: Vec<Value> =
        attempts.iter().map(|a| json!([a["status"], a["exit_code"], a["signal"]])).collect();
    let expected = [
        json!(["crashed", null, null]),
        json!(["failed", 9, null]),
        json!(["failed", null, 9]),
        json!(["succeeded", 0, null]),
    ];
    assert_eq!(ends, expected);
    for (n, attempt) in (1..).zip(attempts) {
        let printed = format!("out-{n}\n");
        assert_eq!(attempt["output_bytes"], printed.len(), "{attempt}");
        assert_eq!(
            scene.run(&["jobs", "output", "job", "--attempt", &n.to_string()]).ends_with(0).stdout,
            printed
        );
        assert!(attempt["started_at"].is_string() && attempt["finished_at"].is_string(), "{attempt}");
        assert!(attempt["duration_ms"].as_i64().unwrap() >= 0);
        // A crashed attempt has no exit file to tell what it used.
        assert_eq!(attempt["cpu_ms"].is_u64(), n > 1, "{attempt}");
        // Nothing shows the memory of a command that ended before it was looked at, when it had less than our
        // own process.
        assert!(attempt["memory_peak_bytes"].as_u64().is_none_or(|bytes| n > 1 && bytes > 0), "{attempt}");
    }
    assert_eq!(scene.run(&["jobs", "output", "job"]).ends_with(0).stdout, "out-4\n");
    let text = scene.run(&["jobs", "show", "job"]).ends_with(0).stdout;
    assert!(text.contains("PEAK") && text.contains("6 B"), "{text}");
}

/// Requeued after its crash, cancelled before it began again, resumed: no number is skipped.
#[test]
fn a_requeued_attempt_that_never_began_keeps_its_number() {
    let scene = Scene::new();
    scene.submit("job", &["--on-crash", "requeue", "--max-attempts", "5"], FOUR_ENDS);
    let daemon = scene.daemon(2);
    scene.wait_for_witness("begun");
    daemon.kill();
    scene.kill_all_of("job");
    scene.recover();
    assert_eq!((scene.status("job"), scene.job("job").attempt), (JobStatus::Queued, 2));
    scene.run(&["jobs", "cancel", "job"]).ends_with(0);
    let answer = scene.json(&["resume", "job"], 0);
    assert_eq!(answer["resumed"][0]["attempt"], 2);
    scene.work();
    assert_eq!(scene.witnessed("begun"), ["1", "2"]);
    assert_eq!(scene.json(&["jobs", "show", "job"], 0)["attempts"].as_array().map(Vec::len), Some(2));
}

/// A pause after a crash, as the log has it.
#[derive(Debug)]
struct Pause {
    recorded: Timestamp,
    until: Timestamp,
    /// When the next attempt was claimed.
    claimed: Timestamp,
}

fn pauses_of(scene: &Scene, id: &str) -> Vec<Pause> {
    let records = recovery::queue::records_since(&scene.dir(), 1, &id.parse().unwrap()).unwrap();
    let mut pauses: Vec<Pause> = Vec::new();
    let mut crashed = None;
    for (_, record) in records {
        match record.operation {
            Operation::End(End { after_crash: Some(AfterCrash::Requeue { not_before }), .. }) => {
                crashed = Some((record.at, not_before));
            }
            Operation::Claim { .. } => pauses.extend(crashed.take().map(|(recorded, until)| Pause {
                recorded,
                until,
                claimed: record.at,
            })),
            _ => {}
        }
    }
    pauses
}

#[test]
fn an_automatic_requeue_waits_longer_each_time_and_ends_with_a_finding() {
    let scene = Scene::new();
    // A process that an earlier, killed run left would be taken for one of a job with the same name.
    let id = format!("dies-{}", std::process::id());
    let id = id.as_str();
    scene.place.write("config.toml", "[jobs]\nrequeue_pause = \"400ms\"\nrequeue_pause_max = \"700ms\"\n");
    scene.submit(
        id,
        &["--on-crash", "requeue", "--max-attempts", "4"],
        "echo began >> $W/dies; exec sleep 600",
    );
    let daemon = scene.daemon(2);
    let mut killed = Vec::new();
    for attempt in 1..=4 {
        wait_for("the attempt to begin", || scene.witnessed("dies").len() == attempt);
        if attempt == 4 {
            daemon.kill();
            scene.kill_all_of(id);
            break;
        }
        killed.push(Clock::system().now());
        scene.kill_all_of(id);
        wait_for("the crash to be recorded", || scene.job(id).attempt as usize == attempt + 1);
    }
    let pauses = pauses_of(&scene, id);
    assert_eq!(pauses.len(), 3, "{pauses:?}");
    // However late the crash was noticed, the pause is computed after the kill and before the record.
    for ((pause, killed), (least, most)) in pauses.iter().zip(killed).zip([(0, 0), (300, 400), (525, 700)]) {
        assert!(pause.until.millis_since(killed) >= least, "{pause:?}, killed at {killed}");
        assert!(pause.until.millis_since(pause.recorded) <= most + 1, "{pause:?}");
        assert!(pause.claimed >= pause.until, "{pause:?}");
    }
    scene.recover().names("job-attempts-exhausted");
    assert_eq!(scene.status(id), JobStatus::Crashed);
    let status = scene.run(&["--json", "status"]).json();
    assert!(status["findings"].to_string().contains("job-attempts-exhausted"), "{status}");
    let failed = scene.json(&["jobs", "failed"], 0);
    assert_eq!((&failed["jobs"][0]["attempt"], &failed["jobs"][0]["max_attempts"]), (&json!(4), &json!(4)));
    assert_eq!(scene.json(&["work", "--once"], 0)["started"], json!([]));
}

/// `jobs output -f`, in the background.
struct Following {
    child: Child,
    printed: BufReader<std::process::ChildStdout>,
}

impl Following {
    fn start(scene: &Scene, arguments: &[&str]) -> Following {
        let mut command = scene.place.command();
        command.args(["jobs", "output"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        Following { child, printed }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn rest(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.printed.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

#[test]
fn following_goes_on_over_attempts_and_ends_with_the_job() {
    let scene = Scene::new();
    let script = "echo out-$RECOVERYCTL_ATTEMPT; [ $RECOVERYCTL_ATTEMPT = 2 ] || exec sleep 600; \
                  until [ -e $W/open ]; do sleep 0.02; done; echo last";
    scene.submit("job", &["--on-crash", "requeue"], script);
    let mut all = Following::start(&scene, &["job", "-f"]);
    let _daemon = scene.daemon(2);
    assert_eq!(all.line(), "out-1");
    let first = Following::start(&scene, &["job", "-f", "--attempt", "1"]);
    wait_for("the command", || scene.job_file("job", "command.json").exists());
    kill(scene.supervisor_of("job"));
    kill(scene.command_of("job"));
    assert_eq!(all.line(), "out-2");
    assert_eq!(first.rest(), ("out-1\n".to_owned(), Some(0)), "the attempt that was asked for is over");
    scene.open_gate("open");
    assert_eq!(all.rest(), ("last\n".to_owned(), Some(0)));
    // What is over is printed to its end, and that is all.
    assert_eq!(Following::start(&scene, &["job", "-f"]).rest(), ("out-2\nlast\n".to_owned(), Some(0)));
}

#[test]
fn an_output_that_is_cut_short_is_followed_and_an_interrupt_ends_it() {
    let scene = Scene::new();
    let script = "echo one; until [ -e $W/cut ]; do sleep 0.02; done; : > \"$RECOVERYCTL_STATE_DIR/attempts/job/output.log\"; sleep 1; echo two; exec sleep 600";
    scene.submit("job", &[], script);
    let _daemon = scene.daemon(2);
    let mut following = Following::start(&scene, &["job", "-f"]);
    assert_eq!(following.line(), "one");
    scene.open_gate("cut");
    assert_eq!(following.line(), "two");
    let begun = Instant::now();
    let process = ProcessIdentity::of(following.child.id()).unwrap();
    assert!(signal_process(process, Signal::INT).unwrap());
    assert_eq!(following.rest(), (String::new(), Some(130)));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(scene.status("job"), JobStatus::Running, "the job is not touched");
}
