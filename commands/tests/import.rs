//! `import claude-batch-server`: a small workspace, taken over once, twice, and with a job that lives.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Place, Ran, is_untouched, until};
use recovery::durable::Disk;
use recovery::queue::{Job, JobStatus, Queue};
use recovery::state::{Clock, StateDir};
use recovery::system::{ProcessIdentity, command_line, descendants, end_process, process_table};
use serde_json::{Value, json};

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// Writes a job file of the former server; status 1 is queued, 6 running, 7 completed.
fn job(place: &Place, n: u32, status: u32, exit_code: Option<i32>) {
    let over = (status > 6).then_some("2026-03-01T11:00:00.0000001Z");
    let members = json!({
        "Id": id(n), "Username": "ana", "Prompt": format!("prompt {n}"), "Title": format!("title {n}"),
        "Repository": "web", "UploadedFiles": [], "Status": status, "Output": "", "ExitCode": exit_code,
        "CowPath": folder(place, n).display().to_string(), "QueuePosition": n,
        "CreatedAt": format!("2026-03-01T09:00:{n:02}.1234567Z"),
        "StartedAt": (status >= 6).then_some("2026-03-01T10:00:00.0000001Z"), "CompletedAt": over,
        "CancelledAt": null, "CancelReason": "", "GitPullStatus": "not_started", "GitStatus": "not_checked",
        "Options": {"TimeoutSeconds": 300, "AutoCleanup": true, "GitAware": true, "CidxAware": true,
                    "Environment": {}},
        "CidxStatus": "not_started", "ClaudeProcessId": null
    });
    place.write(&format!("workspace/jobs/{}.job.json", id(n)), &members.to_string());
}

fn folder(place: &Place, n: u32) -> PathBuf {
    place.path("workspace/jobs").join(id(n))
}

/// The job's file of a kind: `sh`, `pid`, `output`.
fn file(place: &Place, n: u32, kind: &str) -> PathBuf {
    folder(place, n).join(format!(".claude-job-{}.{kind}", id(n)))
}

fn import(place: &Place, more: &[&str]) -> Ran {
    let workspace = place.path("workspace");
    let arguments = ["import", "claude-batch-server", workspace.to_str().unwrap()];
    place.run(arguments.iter().chain(more))
}

fn jobs(place: &Place) -> Vec<Job> {
    let dir = StateDir::open(&place.state(), Disk::real(), Clock::system()).unwrap();
    let queue = Queue::open(&dir).unwrap();
    queue.state().jobs().cloned().collect()
}

fn stands(place: &Place, n: u32) -> (JobStatus, Option<i32>) {
    let jobs = jobs(place);
    let job = jobs.iter().find(|j| j.id.to_string() == id(n)).unwrap();
    (job.status, job.run_state().exit_code)
}

#[test]
fn a_second_import_changes_nothing() {
    let place = Place::new();
    job(&place, 1, 1, None);
    job(&place, 2, 1, None);
    job(&place, 3, 7, Some(0));
    let report = import(&place, &["--json"]).ends_with(0).json();
    assert_eq!((&report["imported"], &report["unchanged"]), (&json!(3), &json!(0)));
    assert_eq!((&report["queued"], &report["succeeded"]), (&json!(2), &json!(1)));
    assert_eq!(stands(&place, 1), (JobStatus::Queued, None));
    assert_eq!(stands(&place, 3), (JobStatus::Succeeded, Some(0)));
    assert_eq!(jobs(&place)[0].spec().unwrap().command, ["claude", "--print", "prompt 1"]);

    let documents = |jobs: Vec<Job>| -> Vec<Value> {
        jobs.iter().map(|j| serde_json::to_value(j.to_document()).unwrap()).collect()
    };
    let before = documents(jobs(&place));
    let again = import(&place, &["--json"]).ends_with(0).json();
    assert_eq!((&again["imported"], &again["unchanged"]), (&json!(0), &json!(3)));
    assert_eq!(documents(jobs(&place)), before);
    let text = import(&place, &[]).ends_with(0).stdout;
    assert!(text.contains("took over 0 jobs") && text.contains("3 were in the queue already"), "{text}");
    assert!(text.contains("2 queued, 1 succeeded"), "{text}");
}

#[test]
fn damage_is_named_and_makes_the_status_3() {
    let place = Place::new();
    job(&place, 1, 1, None);
    place.write(&format!("workspace/jobs/{}.job.json", id(2)), "{\"Id\":\"");
    let ran = import(&place, &[]).ends_with(3);
    assert!(ran.stdout.contains(&id(2)) && ran.stdout.contains("import-job-file-damaged"), "{}", ran.stdout);
    let report = import(&place, &["--json"]).ends_with(3).json();
    assert_eq!(report["quarantined"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn a_dry_run_makes_nothing() {
    let place = Place::new();
    job(&place, 1, 1, None);
    let report = import(&place, &["--dry-run", "--json"]).ends_with(0).json();
    assert_eq!((&report["dry_run"], &report["imported"]), (&json!(true), &json!(1)));
    assert!(!place.state().exists());
    let text = import(&place, &["--dry-run"]).ends_with(0).stdout;
    assert!(text.starts_with("would take over 1 job from"), "{text}");
}

#[test]
fn the_command_is_the_configured_template() {
    let place = Place::new();
    job(&place, 1, 1, None);
    place.write("config.toml", "[import.claude_batch_server]\ncommand = [\"run\", \"{title}: {prompt}\"]\n");
    import(&place, &[]).ends_with(0);
    assert_eq!(jobs(&place)[0].spec().unwrap().command, ["run", "title 1: prompt 1"]);
    place.write("config.toml", "[import.claude_batch_server]\ncommand = [\"run\", \"{promt}\"]\n");
    let error = import(&place, &["--json"]).ends_with(2).error();
    assert!(error["message"].as_str().unwrap().contains("promt"), "{error}");
}

#[test]
fn what_is_no_workspace_is_named() {
    let place = Place::new();
    let error = import(&place, &["--json"]).ends_with(1).error();
    assert_eq!(error["code"], "no-workspace");
    assert!(error["message"].as_str().unwrap().contains("workspace"), "{error}");
    place.write("workspace/readme", "");
    assert_eq!(import(&place, &["--json"]).ends_with(1).error()["code"], "not-a-workspace");
    place.run(["import"]).ends_with(2);
    place.run(["import", "another-server", "x"]).ends_with(2);
}

#[test]
fn without_a_workspace_no_state_directory_is_filled() {
    let place = Place::new();
    import(&place, &["--dry-run"]).ends_with(1);
    assert!(is_untouched(&place.state()));
}

/// A process that is ended with all that it started when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(identity) = ProcessIdentity::of(self.0.id()) {
            for process in descendants(&process_table(), identity) {
                let _ = end_process(process, 5_000);
            }
        }
        let _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

/// Starts a job's script, which writes its exit line and ends when the file `gate` is there.
fn start_script(place: &Place, n: u32) -> Running {
    let (script, gate, output) = (file(place, n, "sh"), place.path("gate"), file(place, n, "output"));
    let text = format!(
        "while [ ! -e '{}' ]; do [ -d '{}' ] || exit 9; sleep 0.05; done\necho 'Exit code: 0' >>'{}'\n",
        gate.display(),
        folder(place, n).display(),
        output.display()
    );
    std::fs::create_dir_all(folder(place, n)).unwrap();
    std::fs::write(&script, text).unwrap();
    let process = quiet(Command::new("setsid").arg("/bin/sh").arg(&script).current_dir(folder(place, n)));
    let runs = |script: &Path| {
        let arguments = command_line(process.0.id());
        arguments.first().is_some_and(|a| a == "/bin/sh")
            && arguments.get(1) == script.to_str().map(String::from).as_ref()
    };
    until("the script", || runs(&script));
    std::fs::write(file(place, n, "pid"), format!("{}\n", process.0.id())).unwrap();
    process
}

#[test]
fn a_living_job_is_watched_until_its_end() {
    let place = Place::new();
    job(&place, 1, 6, None);
    let mut script = start_script(&place, 1);
    let report = import(&place, &["--json"]).ends_with(0).json();
    assert_eq!(report["jobs"][0]["pid"], script.0.id(), "{report}");
    assert_eq!(stands(&place, 1), (JobStatus::Running, None));

    let daemon = quiet(place.command().arg("daemon"));
    let info = place.state().join("daemon/daemon.json");
    until("the daemon", || info.exists());
    assert_eq!(stands(&place, 1), (JobStatus::Running, None));
    place.write("gate", "");
    script.0.wait().unwrap();
    until("the job's end", || stands(&place, 1).0 != JobStatus::Running);
    assert_eq!(stands(&place, 1), (JobStatus::Succeeded, Some(0)));
    drop(daemon);
}
