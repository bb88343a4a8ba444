//! A job whose supervisor and command are killed: what the reports say, and its next attempt.
#![allow(clippy::disallowed_methods)]

use std::fs;

use crate::common::{Background, Foreign, Place, until};
use serde_json::{Value, json};

/// Tells of each attempt; the first saves its progress and runs until it is killed.
const SCRIPT: &str = r#"
echo "$RECOVERYCTL_ATTEMPT/${RECOVERYCTL_RESUMED:-0}/$(cat "$RECOVERYCTL_CHECKPOINT" 2>/dev/null)" >> attempts
if [ "$RECOVERYCTL_ATTEMPT" = 1 ]; then
    echo half > checkpoint.new; mv checkpoint.new "$RECOVERYCTL_CHECKPOINT"
    exec sleep 600
fi
"#;

/// A running job, with the processes that belong to it.
struct Running {
    place: Place,
    work: Background,
    supervisor: Foreign,
    command: Foreign,
    id: String,
}

impl Running {
    fn new() -> Running {
        let place = Place::new();
        let home = place.path("").display().to_string();
        let words = ["submit", "--repo", "web", "--cwd", &home, "--", "sh", "-c", SCRIPT];
        let id = place.run(words).ends_with(0).stdout.trim().to_owned();
        let work = Background::start(place.command().args(["work", "--once"]));
        let checkpoint = place.state().join("jobs").join(&id).join("checkpoint");
        until("the job has saved its progress", || checkpoint.exists());
        let sentinel = sentinel(&place);
        let process = |member: &str| Foreign::of(sentinel[member].as_u64().unwrap());
        let (supervisor, command) = (process("supervisor_pid"), process("pid"));
        Running { place, work, supervisor, command, id }
    }

    /// The scheduler is killed first, so that no process is left that would notice.
    fn crash(&mut self) {
        self.work.kill();
        self.supervisor.kill();
        self.command.kill();
    }

    fn status(&self) -> Value {
        self.place.run(["jobs", "status", "--json"]).ends_with(0).json()
    }
}

fn sentinel(place: &Place) -> Value {
    let report = place.run(["jobs", "sentinels", "--json"]).ends_with(0).json();
    assert_eq!(report["total"], 1, "{report}");
    report["sentinels"][0].clone()
}

#[test]
fn a_job_outlives_its_scheduler_and_is_re_attached() {
    let mut running = Running::new();
    running.work.kill();
    let place = &running.place;
    let seen = sentinel(place);
    let said =
        ["job_id", "attempt", "liveness", "freshness", "lock_held", "verdict"].map(|m| seen[m].clone());
    let expected =
        [json!(running.id), json!(1), json!("alive"), json!("fresh"), json!(true), json!("supervised")];
    assert_eq!(said, expected);
    place.run(["recover", "--json"]).ends_with(0).json();
    let status = running.status();
    let found = ["found", "reattached", "crashed", "unknown"].map(|m| status["reattachment"][m].clone());
    assert_eq!(found, [json!(1), json!(1), json!(0), json!(0)]);
    let job = &status["jobs"][0];
    let said = ["job_id", "status", "liveness", "reattached", "repository"].map(|m| job[m].clone());
    assert_eq!(said, [json!(running.id), json!("running"), json!("alive"), json!(true), json!("web")]);
    assert!(job["memory_bytes"].as_u64().unwrap() > 0 && job["cpu_ms"].is_u64(), "{job}");
    assert_eq!(
        place.run(["locks", "active", "--json"]).ends_with(0).json()["locks"][0]["job_id"],
        running.id
    );
    // The job runs: there is nothing to resume, and it keeps its lock.
    let error = place.run(["resume", &running.id, "--json"]).ends_with(1).error();
    assert_eq!(error["code"], "job-not-resumable");
    place.run(["release", "web"]).ends_with(11);
}

#[test]
fn a_killed_job_is_crashed_and_its_next_attempt_continues_from_the_checkpoint() {
    let mut running = Running::new();
    running.crash();
    assert_eq!(sentinel(&running.place)["liveness"], "dead");
    let (place, id) = (&running.place, running.id.as_str());
    assert!(matches!(place.run(["recover"]).status, 0 | 3));
    let status = running.status();
    assert_eq!(
        (&status["reattachment"]["crashed"], &status["jobs"][0]["status"]),
        (&json!(1), &json!("crashed"))
    );
    assert_eq!(
        (&status["jobs"][0]["recovered"], &status["jobs"][0]["reattached"]),
        (&json!("crashed"), &json!(false))
    );
    let failed = place.run(["jobs", "failed", "--json"]).ends_with(0).json();
    let job = &failed["jobs"][0];
    let said = ["job_id", "status", "attempt", "resumable"].map(|m| job[m].clone());
    assert_eq!(said, [json!(id), json!("crashed"), json!(1), json!(true)]);
    assert_eq!(job["checkpoint"]["bytes"], 5);

    let rehearsed = place.run(["resume", id, "--dry-run", "--json"]).ends_with(0).json();
    let expected = json!([{ "job_id": id, "attempt": 2, "from_checkpoint": true }]);
    assert_eq!((&rehearsed["resumed"], &rehearsed["dry_run"]), (&expected, &json!(true)));
    let resumed = place.run(["resume", id, "no-such-job", "--json"]).ends_with(3).json();
    assert_eq!(resumed["resumed"], expected);
    assert_eq!(resumed["refused"][0]["code"], "no-such-job");
    place.run(["work", "--once"]).ends_with(0);
    let attempts = fs::read_to_string(place.path("attempts")).unwrap();
    assert_eq!(attempts, "1/0/\n2/1/half\n");
    let metrics = place.run(["jobs", "metrics", "--json"]).ends_with(0).json();
    let figures =
        ["found_total", "reattached_total", "crashed_total", "resumed_total"].map(|m| metrics[m].clone());
    assert_eq!(figures, [json!(1), json!(0), json!(1), json!(1)]);
    assert_eq!(metrics["success_rate"], 0.0);
    assert_eq!(place.run(["jobs", "failed", "--json"]).ends_with(0).json()["total"], 0);
}

#[test]
fn fresh_leaves_the_checkpoint_out() {
    let mut running = Running::new();
    running.crash();
    let place = &running.place;
    assert!(matches!(place.run(["recover"]).status, 0 | 3));
    let resumed = place.run(["resume", &running.id, "--fresh", "--json"]).ends_with(0).json();
    assert_eq!(resumed["resumed"][0]["from_checkpoint"], false);
    place.run(["work", "--once"]).ends_with(0);
    assert!(fs::read_to_string(place.path("attempts")).unwrap().contains("\n2/0/"));
}

#[test]
fn a_job_that_dies_after_its_re_attachment_is_counted_as_such() {
    let mut running = Running::new();
    running.work.kill();
    running.place.run(["recover"]).ends_with(0);
    running.crash();
    assert!(matches!(running.place.run(["recover"]).status, 0 | 3));
    let metrics = running.place.run(["jobs", "metrics", "--json"]).ends_with(0).json();
    let figures = ["found_total", "reattached_total", "crashed_total", "died_after_reattach_total"];
    assert_eq!(figures.map(|m| metrics[m].clone()), [json!(2), json!(1), json!(1), json!(1)]);
    assert!(metrics["reattach_ms"]["max"].is_u64(), "{metrics}");
}

#[test]
fn a_pid_that_belongs_to_another_process_by_now_is_dead_with_the_evidence() {
    let mut running = Running::new();
    running.crash();
    let workspace = running.place.state().join("jobs").join(&running.id);
    let (before, own) = (sentinel(&running.place), std::process::id());
    for file in ["sentinel.json", "command.json"] {
        let text = fs::read_to_string(workspace.join(file)).unwrap();
        let mut reused = text.clone();
        for member in ["pid", "supervisor_pid"] {
            reused = reused.replace(&format!("\"pid\":{}", before[member]), &format!("\"pid\":{own}"));
        }
        assert_ne!(text, reused, "{file}");
        fs::write(workspace.join(file), reused).unwrap();
    }
    let seen = sentinel(&running.place);
    assert_eq!((&seen["pid"], &seen["liveness"]), (&json!(own), &json!("dead")), "{seen}");
    let belongs = |piece: &&Value| piece.as_str().unwrap().contains("belongs to another process now");
    assert_eq!(seen["evidence"].as_array().unwrap().iter().filter(belongs).count(), 2, "{seen}");
}

#[test]
fn what_is_no_job_or_not_over_is_refused() {
    let place = Place::new();
    place.run(["resume", "x"]).ends_with(10);
    place.run(["init"]).ends_with(0);
    assert_eq!(place.run(["resume", "x", "--json"]).ends_with(5).error()["code"], "no-such-job");
    place.run(["resume", "../x"]).ends_with(5);
    let id = place.run(["submit", "--", "true"]).ends_with(0).stdout.trim().to_owned();
    let report = place.run(["resume", &id, "--json"]).ends_with(1);
    assert_eq!(report.error()["code"], "job-not-resumable");
    assert_eq!(report.json()["refused"][0]["job_id"], id);
}
