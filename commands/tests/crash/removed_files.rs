//! A job that runs and has cleared its environment, and whose files were removed: it is not run twice.

use recovery::queue::JobStatus;
use recovery::system::{ProcessIdentity, end_process};

use crate::crash::scene::{Scene, kill};

const BARE: &str = "echo began >> $W/job; exec env -i sleep 81";

/// A process that bears no mark of its scene: ended with the test.
struct Command(ProcessIdentity);

impl Drop for Command {
    fn drop(&mut self) {
        let _ = end_process(self.0, 20_000);
    }
}

fn running() -> (Scene, Command) {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("job", &[], BARE);
    scene.wait_for_witness("job");
    let command = Command(scene.command_of("job"));
    crate::crash::scene::wait_for("the command to clear its environment", || {
        std::fs::read(format!("/proc/{}/cmdline", command.0.pid)).unwrap().starts_with(b"sleep")
    });
    daemon.kill();
    (scene, command)
}

fn remove_all(scene: &Scene) {
    for folder in ["jobs", "attempts"].map(|name| scene.place.state().join(name)) {
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
    }
}

/// Neither a recovery nor a daemon starts it again; once its command is gone, its end is recorded.
fn assert_it_runs_once(scene: &Scene) {
    let recovered = scene.recover();
    assert_eq!(recovered.reattachment()["given_back"], 0, "{recovered:?}");
    assert_eq!(scene.status("job"), JobStatus::Running);
    let _daemon = scene.daemon(2);
    scene.submit("other", &[], "echo ran >> $W/other");
    scene.wait_for_status("other", JobStatus::Succeeded);
    assert_eq!(scene.status("job"), JobStatus::Running);
    assert_eq!(scene.witnessed("job"), ["began"]);
}

#[test]
fn with_a_living_supervisor() {
    let (scene, command) = running();
    remove_all(&scene);
    assert_it_runs_once(&scene);
    let _daemon = scene.daemon(2);
    drop(command);
    scene.wait_for_status("job", JobStatus::Failed);
    assert_eq!(scene.witnessed("job"), ["began"]);
}

#[test]
fn with_the_command_alone() {
    let (scene, _command) = running();
    kill(scene.supervisor_of("job"));
    remove_all(&scene);
    assert_it_runs_once(&scene);
}

#[test]
fn with_the_files_that_name_its_processes_removed() {
    for without_supervisor in [false, true] {
        let (scene, _command) = running();
        if without_supervisor {
            kill(scene.supervisor_of("job"));
        }
        for name in ["sentinel.json", "command.json"] {
            std::fs::remove_file(scene.job_file("job", name)).unwrap();
        }
        assert_it_runs_once(&scene);
    }
}
