//! Each kind of thing in the place of each file that is kept about an attempt, put there by a job of the
//! server's own user: nothing waits, nothing else is touched, other jobs go on, and the daemon can end and
//! start.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use recovery::queue::JobStatus;
use recovery::system::ProcessIdentity;

use crate::crash::scene::{Scene, wait_for};

const NAMES: [&str; 6] =
    ["sentinel.lock", "sentinel.json", "command.json", "exit.json", "output.log", "checkpoint"];
const KINDS: [&str; 8] = ["pipe", "folder", "socket", "dangling", "itself", "secret", "endless", "sparse"];
/// A command that has not answered by then hangs, also on a machine with other work; seconds.
const ANSWERED: &str = "30";

/// Puts something of this kind where the path is.
fn put(kind: &str, path: &Path, secret: &Path) {
    let _ = std::fs::remove_file(path);
    match kind {
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "folder" => std::fs::create_dir(path).unwrap(),
        // It stays when nobody listens any more.
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "dangling" => symlink("/nonexistent/x", path).unwrap(),
        "itself" => symlink(path, path).unwrap(),
        "secret" => symlink(secret, path).unwrap(),
        "endless" => symlink("/dev/zero", path).unwrap(),
        "sparse" => std::fs::File::create(path).unwrap().set_len(6 << 30).unwrap(),
        other => panic!("no kind {other}"),
    }
}

/// All jobs run, and each has something in the place of one file.
struct Stage {
    scene: Scene,
    jobs: Vec<String>,
    secret: std::path::PathBuf,
}

const SECRET: &str = "a secret of the server's user\n";

impl Stage {
    fn new() -> (Stage, crate::crash::scene::Daemon) {
        let scene = Scene::new();
        let secret = scene.place.write("secret", SECRET);
        let daemon = scene.daemon(NAMES.len() * KINDS.len() + 4);
        let mut jobs = Vec::new();
        for name in NAMES {
            for kind in KINDS {
                let id = format!("{}-{kind}", name.replace('.', "-"));
                scene.submit(
                    &id,
                    &[],
                    "echo began; [ \"$RECOVERYCTL_ATTEMPT\" = 1 ] || exit 0; exec sleep 600",
                );
                jobs.push(id);
            }
        }
        let is_running = |id: &String| scene.job_file(id, "command.json").exists();
        wait_for("all jobs to run", || jobs.iter().all(is_running));
        let stage = Stage { scene, jobs, secret };
        for (job, (name, kind)) in stage.jobs.iter().zip(pairs()) {
            put(kind, &stage.scene.job_file(job, name), &stage.secret);
        }
        (stage, daemon)
    }

    /// A command that must be over in time; what it printed.
    #[track_caller]
    fn asked(&self, arguments: &[&str]) -> String {
        let program = self.scene.place.command();
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", ANSWERED]).arg(program.get_program()).args(arguments);
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let answered = command.stdin(Stdio::null()).output().unwrap();
        assert!(answered.status.code().is_some_and(|code| code != 137), "{arguments:?} hangs: {answered:?}");
        let said = String::from_utf8_lossy(&[answered.stdout, answered.stderr].concat()).into_owned();
        assert!(!said.contains("panicked") && !said.contains(SECRET.trim()), "{arguments:?}: {said}");
        said
    }

    fn ask_everything(&self) {
        for report in [&["status"][..], &["jobs", "list"], &["findings"], &["jobs", "sentinels"], &["health"]]
        {
            self.asked(report);
        }
        for job in &self.jobs {
            self.asked(&["jobs", "show", job]);
            self.asked(&["jobs", "output", "--tail", "64KiB", job]);
        }
        self.asked(&["why", "job:output-log-pipe"]);
        self.asked(&["why", "job:sentinel-json-pipe"]);
    }

    fn others_run(&self, id: &str) {
        self.scene.submit(id, &[], "true");
        self.scene.wait_for_status(id, JobStatus::Succeeded);
    }

    fn nothing_else_is_touched(&self) {
        assert_eq!(std::fs::read_to_string(&self.secret).unwrap(), SECRET);
    }
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES.into_iter().flat_map(|name| KINDS.into_iter().map(move |kind| (name, kind)))
}

#[test]
fn everything_is_answered_and_jobs_are_cancelled_whatever_stands_in_the_place_of_files() {
    let (stage, daemon) = Stage::new();
    stage.ask_everything();
    stage.others_run("beside");
    let commands: Vec<ProcessIdentity> = marked(&stage);
    let all: Vec<&str> = stage.jobs.iter().map(String::as_str).collect();
    stage.asked(&[&["jobs", "cancel", "-q"][..], &all].concat());
    wait_for("all jobs' processes to be gone", || {
        commands.iter().all(|process| ProcessIdentity::of(process.pid) != Some(*process))
    });
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = stage.scene.daemon(4);
    wait_for("the jobs to be over", || {
        let over = |id: &String| stage.scene.status(id) != JobStatus::Running;
        // When both records of a job are gone nothing can be proven, and a finding says so.
        stage.jobs.iter().all(|id| over(id) || stage.asked(&["findings"]).contains(id.as_str()))
    });
    stage.others_run("after");
    stage.nothing_else_is_touched();
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn after_a_crash_the_daemon_starts_and_other_jobs_run_whatever_stands_in_the_place_of_files() {
    let (stage, daemon) = Stage::new();
    let processes = marked(&stage);
    daemon.kill();
    for process in processes {
        crate::crash::scene::kill(process);
    }
    let daemon = stage.scene.daemon(4);
    stage.others_run("after");
    stage.ask_everything();
    // Each of them is over, or reported; a job that is over is started again, or the command says why not.
    for job in &stage.jobs {
        stage.asked(&["resume", "-q", job]);
    }
    stage.others_run("beside");
    stage.nothing_else_is_touched();
    assert_eq!(daemon.terminate(), Some(0));
}

/// The supervisors and commands of all jobs, as they were started.
fn marked(stage: &Stage) -> Vec<ProcessIdentity> {
    let mark = format!("RECOVERYCTL_STATE_ID={}", stage.scene.dir().identity.state_id);
    let (mut found, _) = recovery::system::marked_processes(&[&mark], None);
    assert!(found.len() >= stage.jobs.len() * 2, "{} processes", found.len());
    // Supervisors come first: none is left that would record an end.
    found.sort_by_key(|process| process.start_time);
    found
}
