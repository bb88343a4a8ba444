//! Startups and the recovery sequence from outside: real kills in each phase, crash loops, phases that hang or
//! cannot be done, tried again, rehearsed; and the reports on all that.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.
#![allow(clippy::print_stderr)] // What a test cannot do on a machine, it says.

mod again;
mod hanging;
mod killed;
mod loops;
mod one_at_a_time;
mod rehearsal;
mod reports;
#[allow(dead_code)] // Shared with the scenes of crashes.
mod unreadable;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::crash::scene::{Scene, wait_for};
use recovery::durable::FileLock;
use serde_json::Value;

/// A real obstacle at which a recovery waits in a phase.
struct Stop {
    pipe: Option<PathBuf>,
    _lock: Option<FileLock>,
}

impl Stop {
    /// Makes the next recovery wait in this phase: another process holds a log's append lock, or a file is a
    /// pipe that nobody writes to, as on a disk that does not answer.
    fn in_phase(scene: &Scene, phase: &str) -> Stop {
        let dir = scene.dir();
        match phase {
            "startup" => {
                // There is something to clean, and the act cannot be logged.
                std::fs::write(dir.paths.jobs().join(".tmp-aB3dE9"), "half").unwrap();
                Stop::at_log(scene, &dir.paths.startup_log())
            }
            "queue" => Stop::at_log(scene, &dir.paths.queue_log()),
            // Links: a pipe with the name of a state file would be put away.
            "jobs" => Stop::at_link(scene, dir.paths.job("gone").unwrap().record),
            "locks" => Stop::at_link(scene, dir.paths.locks().join("slow.lock.json")),
            "webhooks" => Stop::at_log(scene, &dir.paths.webhooks_log()),
            "cleanup" => Stop::at_link(scene, dir.paths.cleanup().join("slow.json")),
            "orphans" => Stop::at_link(scene, dir.paths.orphans_plan()),
            other => panic!("no phase {other}"),
        }
    }

    fn at_log(scene: &Scene, folder: &Path) -> Stop {
        let lock = FileLock::try_acquire(&scene.dir().disk, &folder.join("append.lock")).unwrap();
        Stop { pipe: None, _lock: Some(lock) }
    }

    fn at_link(scene: &Scene, link: PathBuf) -> Stop {
        let pipe = scene.place.path("slow");
        make_pipe(&pipe);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        Stop { pipe: Some(link), _lock: None }
    }
}

fn make_pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
}

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            let _ = std::fs::remove_file(pipe);
        }
    }
}

/// A process of ours, killed when it is dropped.
struct Running(Child);

impl Running {
    fn start(scene: &Scene, arguments: &[&str]) -> Running {
        let mut command = scene.place.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Waits until it is in this phase, as its marker says.
    #[track_caller]
    fn wait_for_phase(&self, scene: &Scene, phase: &str) {
        let path = scene.dir().paths.startup_marker();
        wait_for(&format!("phase {phase}"), || {
            let marker: Value =
                std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
            let entered = marker["phases_entered"].as_array().cloned().unwrap_or_default();
            marker["process"]["pid"] == self.0.id() && entered.iter().any(|p| p == phase)
        });
    }

    /// Skips these phases as soon as they are under way, until the recovery ends; one that does not hang is over
    /// before.
    fn skip_what_hangs(&mut self, scene: &Scene, phases: &[&str], but: &str) {
        let path = scene.dir().paths.startup_marker();
        wait_for("the recovery to end", || {
            let marker: Value =
                std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
            for phase in phases.iter().filter(|phase| **phase != but) {
                if marker["phases_entered"].as_array().is_some_and(|all| all.iter().any(|p| p == phase)) {
                    scene.run(&["skip", phase]);
                }
            }
            self.0.try_wait().unwrap().is_some()
        });
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn wait(mut self) -> (Option<i32>, Value) {
        use std::io::Read;
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.0.wait().unwrap();
        (status.code(), serde_json::from_str(&text).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A scene with a job that succeeded, one that waits, and one that vanished with its supervisor while no
/// daemon lived.
fn after_a_crash() -> Scene {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("done", &[], "true");
    scene.wait_for_status("done", recovery::queue::JobStatus::Succeeded);
    scene.submit("gone", &["--repo", "web"], "echo began >> $W/gone; sleep 600");
    scene.wait_for_witness("gone");
    daemon.kill();
    scene.kill_all_of("gone");
    scene.submit("waits", &["--repo", "web"], "echo ran >> $W/waits");
    scene
}

/// Three recoveries that are killed one after the other in this phase.
fn crash_loop(scene: &Scene, phase: &str) {
    let stop = Stop::in_phase(scene, phase);
    for _ in 0..3 {
        let recover = Running::start(scene, &["recover"]);
        recover.wait_for_phase(scene, phase);
        recover.kill();
    }
    drop(stop);
}

fn phase_of<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["phases"].as_array().unwrap().iter().find(|p| p["phase"] == name).unwrap()
}
