//! Files that another user may not read: phases degrade, name the file, and do not hang; after a repair, they
//! say so.
//!
//! The program runs as the user `nobody`, who is refused what root never is. Without root, it runs as the
//! present user.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use recovery::queue::JobStatus;
use serde_json::{Value, json};

use super::phase_of;
use crate::common::{Place, Ran, copy_program, skipped};
use crate::crash::scene::{Scene, wait_for};

const NOBODY: u32 = 65534;

/// A place that belongs to nobody, with a copy of the program that nobody may run.
struct Unprivileged {
    place: Place,
}

impl Unprivileged {
    fn new() -> Unprivileged {
        let place = Place::new();
        place.write("config.toml", "[recovery]\npause = \"1ms\"\n");
        copy_program(env!("CARGO_BIN_EXE_recoveryctl"), &place.path("recoveryctl"));
        let unprivileged = Unprivileged { place };
        unprivileged.take();
        unprivileged.run(&["init"]).ends_with(0);
        unprivileged
    }

    /// All that is there belongs to nobody.
    fn take(&self) {
        if rustix::process::geteuid().is_root() {
            let (owner, root) = (format!("{NOBODY}:{NOBODY}"), self.place.path(""));
            assert!(Command::new("chown").arg("-R").arg(owner).arg(&root).status().unwrap().success());
        }
    }

    fn command(&self) -> Command {
        let own = self.place.command();
        let program = self.place.path("recoveryctl");
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env_clear().envs(own.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command.current_dir(self.place.path("")).stdin(std::process::Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command().args(arguments))
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], status: i32) -> Value {
        self.run(&[&["--json"], arguments].concat()).ends_with(status).json()
    }

    fn forbid(&self, relative: &str) {
        mode(&self.place.state().join(relative), 0);
    }

    fn allow(&self, relative: &str) {
        mode(&self.place.state().join(relative), 0o700);
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn can_be_refused() -> bool {
    let setpriv = Command::new("setpriv").arg("--version").output().is_ok_and(|o| o.status.success());
    if rustix::process::geteuid().is_root() && !setpriv {
        skipped("root is refused nothing, and there is no setpriv to be somebody else");
        return false;
    }
    true
}

#[test]
fn a_phase_that_always_fails_degrades_and_jobs_run_all_the_same() {
    if !can_be_refused() {
        return;
    }
    let scene = Unprivileged::new();
    scene.run(&["submit", "--id", "a", "--", "true"]).ends_with(0);
    scene.forbid("locks");
    let recovered = scene.json(&["recover"], 3);
    assert_eq!(recovered["outcome"], "degraded");
    let locks = &recovered["phases"][3];
    assert_eq!((&locks["status"], &locks["attempts"]), (&json!("failed"), &json!(3)), "{recovered:#}");
    let status = scene.json(&["status"], 3);
    let degraded = status["degraded_resources"].as_array().unwrap();
    assert!(degraded.iter().any(|r| r["object"] == "phase:locks"), "{status:#}");

    let mut daemon = scene.command().args(["--quiet", "daemon"]).spawn().unwrap();
    let succeeded = || scene.json(&["jobs", "show", "a"], 0)["status"] == JobStatus::Succeeded.as_str();
    wait_for("the job to run under a daemon that came up degraded", succeeded);
    scene.allow("locks");
    // The cleaning could not read it either; the dependents are tried again, too.
    let mended = scene.json(&["retry", "phase", "startup"], 0);
    assert_eq!((&mended["status"], &mended["by"]), (&json!("succeeded"), &json!("daemon")));
    let status = scene.json(&["status"], 0);
    assert_eq!(
        (&status["state"], &status["degraded_resources"]),
        (&json!("healthy"), &json!([])),
        "{status:#}"
    );
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn what_cannot_be_cleaned_is_named_and_mended_by_the_phase_tried_again() {
    if !can_be_refused() {
        return;
    }
    let scene = Unprivileged::new();
    scene.run(&["submit", "--id", "a", "--", "true"]).ends_with(0);
    scene.run(&["work", "--once"]).ends_with(0);
    std::fs::write(scene.place.state().join("attempts/a/.tmp-aB3dE9"), "half").unwrap();
    scene.take();
    scene.forbid("attempts/a");
    let recovered = scene.json(&["recover"], 3);
    let startup = &recovered["phases"][0];
    assert_eq!(startup["status"], "degraded", "{recovered:#}");
    assert_eq!(startup["findings"][0]["code"], "leftovers-not-removed", "{recovered:#}");
    scene.allow("attempts/a");
    let mended = scene.json(&["retry", "phase", "startup"], 0);
    assert_eq!(
        (&mended["status"], &mended["outcome"]),
        (&json!("succeeded"), &json!("completed")),
        "{mended}"
    );
    assert!(!scene.place.state().join("attempts/a/.tmp-aB3dE9").exists());
    assert_eq!(scene.json(&["status"], 0)["degraded_resources"], json!([]));
}

#[test]
fn a_startup_log_that_cannot_be_read_keeps_nobody_from_starting() {
    if !can_be_refused() {
        return;
    }
    let scene = Unprivileged::new();
    scene.run(&["submit", "--id", "a", "--", "true"]).ends_with(0);
    scene.forbid("startup/log");
    let recovered = scene.json(&["recover"], 3);
    assert_eq!(recovered["outcome"], "degraded", "{recovered:#}");
    let status = scene.json(&["status"], 3);
    assert!(
        status["findings"].as_array().unwrap().iter().any(|f| f["code"] == "startup-log-damaged"),
        "{status:#}"
    );
    scene.allow("startup/log");
    assert_eq!(scene.json(&["recover"], 0)["outcome"], "completed");
    assert_eq!(scene.json(&["status"], 3)["state"], "unwatched", "its job waits for a daemon");
}

/// A folder that cannot be made keeps only those phases down that need it.
#[test]
fn a_file_in_the_place_of_a_folder_degrades() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[recovery]\ntries = 1\n");
    scene.submit("waits", &[], "true");
    let locks = scene.dir().paths.locks();
    std::fs::remove_dir_all(&locks).unwrap();
    std::fs::write(&locks, "in the way").unwrap();
    let recovered = scene.json(&["recover"], 3);
    assert_eq!(recovered["outcome"], "degraded", "{recovered:#}");
    for (phase, status) in
        [("startup", "failed"), ("queue", "succeeded"), ("jobs", "succeeded"), ("locks", "failed")]
    {
        assert_eq!(phase_of(&recovered, phase)["status"], status, "{phase}: {recovered:#}");
    }
    assert_eq!(std::fs::read_to_string(&locks).unwrap(), "in the way");
    std::fs::remove_file(&locks).unwrap();
    scene.json(&["recover"], 0);
    assert_eq!(scene.status("waits"), JobStatus::Queued);
}
