//! The operations that are killed, each on a state in which there is something to lose.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::check::Jobs;
use super::tracer::Target;
use crate::{Sandbox, witness};

/// One operation.
pub struct Scenario {
    /// Its name in the table.
    pub name: &'static str,
    /// The process to kill.
    pub target: Target,
    pub arguments: fn(&Sandbox) -> Vec<String>,
    /// For a process that does not end on its own: whether it has done everything.
    pub is_enough: Option<fn(&Sandbox) -> bool>,
    /// The promises on its standard output, and the required status of the jobs.
    pub promises: fn(&Sandbox, &str, &Jobs) -> Result<(), String>,
    /// Jobs of the base whose status may change.
    pub may: &'static [(&'static str, &'static [&'static str])],
    /// Whether the base has only waiting jobs and nothing crashed, for supervisors.
    pub calm: bool,
}

/// Jobs of a batch: more than one segment holds.
const BATCH: usize = 60;

/// Returns all scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let plain = |name, arguments: fn(&Sandbox) -> Vec<String>, promises| Scenario {
        name,
        target: Target::Itself,
        arguments,
        is_enough: None,
        promises,
        may: &[],
        calm: false,
    };
    vec![
        plain("submit", |place| submit(place, &[]), printed_ids_are_there),
        plain(
            "submit --id",
            |place| submit(place, &["--id", "named", "--repo", "web"]),
            printed_ids_are_there,
        ),
        plain("submit --from", |place| words(&["submit", "--from", &batch(place)]), printed_ids_are_there),
        Scenario {
            may: &[("held", &["crashed", "queued"])],
            ..plain(
                "resume",
                |_| words(&["resume", "held"]),
                |_, out, jobs| {
                    if out.contains("queued again") { jobs.expect("held", "queued", 2) } else { Ok(()) }
                },
            )
        },
        Scenario {
            may: &[("first", &["queued", "cancelled"])],
            ..plain(
                "jobs cancel",
                |_| words(&["jobs", "cancel", "first"]),
                |_, out, jobs| {
                    if out.ends_with('\n') { jobs.expect("first", "cancelled", 0) } else { Ok(()) }
                },
            )
        },
        plain("release", |_| words(&["release", "stale"]), nothing),
        plain("lock", |_| words(&["lock", "other", "--", "true"]), nothing),
        plain("recover", |_| words(&["recover"]), nothing),
        plain("import", |place| words(&["import", "claude-batch-server", &workspace(place)]), imported),
        Scenario {
            target: Target::Supervisors,
            may: &[("first", &["queued", "succeeded", "crashed"])],
            calm: true,
            ..plain("supervise", |_| words(&["run", "first"]), nothing)
        },
        Scenario {
            is_enough: Some(|place| {
                ["first", "second"].iter().all(|id| !witness::read(place, id).ended.is_empty())
                    && place.state().join("attempts/first/exit.json").exists()
                    && place.state().join("attempts/second/exit.json").exists()
            }),
            may: &[
                ("first", &["queued", "running", "succeeded"]),
                ("second", &["queued", "running", "succeeded"]),
                ("lost", &["queued", "running", "succeeded"]),
            ],
            ..plain("daemon", |_| words(&["daemon", "--workers", "2"]), nothing)
        },
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&w| w.to_owned()).collect()
}

fn submit(place: &Sandbox, options: &[&str]) -> Vec<String> {
    let script = witness::script(place, ":");
    [&["submit"], options, &["--", "/bin/sh", "-c", &script]].concat().iter().map(|&w| w.to_owned()).collect()
}

fn batch(place: &Sandbox) -> String {
    let path = place.root().join("batch.jsonl");
    let line = |n: usize| json!({"command": ["/bin/true"], "title": format!("the {n}th of its batch")});
    let text: String = (0..BATCH).map(|n| format!("{}\n", line(n))).collect();
    if !path.exists() {
        let _ = fs::write(&path, text);
    }
    path.display().to_string()
}

fn nothing(_: &Sandbox, _: &str, _: &Jobs) -> Result<(), String> {
    Ok(())
}

/// Checks that every complete line is the id of a queued job, in the order of the lines.
fn printed_ids_are_there(_: &Sandbox, out: &str, jobs: &Jobs) -> Result<(), String> {
    let whole = out.rfind('\n').map_or("", |end| &out[..end]);
    let ids: Vec<&str> = whole.lines().filter(|l| !l.is_empty()).collect();
    ids.iter().try_for_each(|id| jobs.expect(id, "queued", 0))?;
    jobs.expect_order(&ids)
}

fn imported(place: &Sandbox, out: &str, jobs: &Jobs) -> Result<(), String> {
    if !out.ends_with('\n') {
        return Ok(());
    }
    (0..LEGACY.len()).try_for_each(|n| match jobs.status(&legacy_id(n)) {
        Some(_) => Ok(()),
        None => Err(format!("{} was imported and is not there ({})", legacy_id(n), place.root().display())),
    })
}

/// The former server's numbers for queued, running and completed.
const LEGACY: [u32; 4] = [1, 6, 7, 1];

fn legacy_id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn workspace_path(place: &Sandbox) -> PathBuf {
    place.root().join("workspace")
}

fn workspace(place: &Sandbox) -> String {
    workspace_path(place).display().to_string()
}

fn make_workspace(place: &Sandbox) -> io::Result<()> {
    let root = workspace_path(place);
    for name in ["jobs", "staging", "repos/web"] {
        fs::create_dir_all(root.join(name))?;
    }
    for (n, status) in LEGACY.into_iter().enumerate() {
        let id = legacy_id(n);
        let folder = root.join("jobs").join(&id);
        fs::create_dir(&folder)?;
        let members = json!({
            "Id": id, "Username": "ana", "Prompt": format!("prompt {n}"), "Title": format!("title {n}"),
            "Repository": "web", "UploadedFiles": [], "Status": status, "Output": "",
            "ExitCode": (status == 7).then_some(0), "CowPath": folder, "QueuePosition": n,
            "CreatedAt": format!("2026-03-01T09:00:{n:02}.1234567Z"),
            "StartedAt": (status >= 6).then_some("2026-03-01T10:00:00.0000001Z"),
            "CompletedAt": (status == 7).then_some("2026-03-01T11:00:00.0000001Z"),
            "CancelledAt": null, "CancelReason": "", "GitPullStatus": "not_started",
            "GitStatus": "not_checked", "CidxStatus": "not_started", "ClaudeProcessId": null,
            "Options": {"TimeoutSeconds": 300, "AutoCleanup": true, "GitAware": true, "CidxAware": true,
                        "Environment": {}},
        });
        fs::write(root.join("jobs").join(format!("{id}.job.json")), members.to_string())?;
    }
    Ok(())
}

impl Scenario {
    /// Makes the state in which each try begins: a job that is over, one that crashed and is held, one whose
    /// server was killed while it ran, two that wait, and a lock whose holder is gone.
    pub(super) fn base(&self, place: &Sandbox) -> io::Result<()> {
        let run = |arguments: &[&str], status| {
            place.run(arguments).and_then(|ran| ran.expect(status).map_err(io::Error::other))
        };
        let submit = |id: &str, options: &[&str], work: &str| {
            let script = witness::script(place, work);
            let all = [&["submit", "--id", id], options, &["--", "/bin/sh", "-c", &script]].concat();
            run(&all, 0)
        };
        run(&["init"], 0)?;
        make_workspace(place)?;
        batch(place);
        submit("done", &["--repo", "web"], ":")?;
        if !self.calm {
            submit("held", &[], "test $RECOVERYCTL_ATTEMPT -gt 1 || { kill -9 $PPID; kill -9 $$; }")?;
            run(&["work", "--once"], 0)?;
            let gate = place.root().join("gate");
            let wait = format!("while ! test -e {}; do sleep 0.02; done", gate.display());
            submit("lost", &["--on-crash", "requeue", "--max-attempts", "9", "--repo", "web"], &wait)?;
            let mut work = place.command().args(["work", "--once"]).spawn()?;
            while witness::read(place, "lost").begun.is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            place.end_all();
            work.wait()?;
            fs::write(gate, "")?;
            let ran = place.run(["lock", "stale", "--", "/bin/sh", "-c", "kill -9 $PPID"])?;
            debug_assert!(ran.status < 0, "{ran:?}");
        } else {
            run(&["work", "--once"], 0)?;
        }
        submit("first", &["--repo", "web"], ":")?;
        submit("second", &[], ":")?;
        place.wait_until_nobody_works().map_err(io::Error::other)?;
        place.keep_as_base()
    }

    /// The allowed status of the base's jobs after the operation and a recovery.
    pub(super) fn allowed(&self) -> Vec<(&'static str, &'static [&'static str])> {
        let calm: [(&str, &'static [&str]); 3] =
            [("done", &["succeeded"]), ("first", &["queued"]), ("second", &["queued"])];
        let crashed: [(&str, &'static [&str]); 2] = [("held", &["crashed"]), ("lost", &["queued"])];
        let mut all: Vec<(&str, &'static [&str])> = calm.into();
        if !self.calm {
            all.extend(crashed);
        }
        for (id, statuses) in self.may {
            if let Some(found) = all.iter_mut().find(|(name, _)| name == id) {
                found.1 = statuses;
            }
        }
        all
    }
}
