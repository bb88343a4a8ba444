//! A job of root gives its workspace to another user, who forges, exchanges and links files in it: nothing
//! outside is read, written, made or signalled, and what the server knows does not change.

use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use recovery::queue::JobStatus;
use recovery::system::ProcessIdentity;
use serde_json::json;

use crate::common::skipped;
use crate::crash::scene::{Scene, kill, read_json, wait_for};

/// A user that does not exist.
const SOMEBODY: u32 = 61_235;

fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    skipped("giving a folder to another user needs root");
    false
}

/// As the other user, in a workspace that belongs to it.
fn as_somebody(scene: &Scene, job: &str, script: &str) -> bool {
    let workspace = scene.job_file(job, "");
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={SOMEBODY}"), &format!("--regid={SOMEBODY}"), "--clear-groups"]);
    // Where it is already: the folders above are closed to it.
    command.args(["sh", "-c", script]).current_dir(workspace).env_clear();
    command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

fn give_away(scene: &Scene, job: &str) {
    chown(scene.job_file(job, ""), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
}

fn secret(scene: &Scene) -> PathBuf {
    scene.place.write("secret", "a secret of root\n")
}

#[test]
fn forged_and_linked_files_of_a_workspace_change_no_attempt() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let secret = secret(&scene);
    let outside = scene.place.path("outside");
    std::fs::create_dir(&outside).unwrap();
    scene.submit("it", &[], "echo first; exit 1");
    scene.run(&["work", "--once"]);
    give_away(&scene, "it");
    // The sentinel seems to belong to the next attempt.
    let mut forged = read_json(&scene.job_file("it", "sentinel.json"));
    forged["attempt"] = json!(2);
    forged["claim"] = json!(forged["claim"].as_u64().unwrap() + 3);
    for (name, target) in [("output.log", &secret), ("exit.json", &secret), ("attempts", &outside)] {
        symlink(target, scene.job_file("it", "").join(name)).unwrap();
    }
    assert!(as_somebody(
        &scene,
        "it",
        "rm -f sentinel.json command.json; echo '{}' > sentinel.json; mkfifo checkpoint"
    ));
    // What the server keeps is out of its reach.
    let kept = "../../attempts/it";
    assert!(!as_somebody(
        &scene,
        "it",
        &format!("ls {kept} || cat {kept}/output.log || touch {kept}/exit.json")
    ));
    scene.run(&["resume", "it"]).ends_with(0);
    scene.run(&["work", "--once"]);
    assert_eq!((scene.status("it"), scene.job("it").attempt), (JobStatus::Failed, 2));
    for attempt in ["1", "2"] {
        assert_eq!(scene.run(&["jobs", "output", "--attempt", attempt, "it"]).ends_with(0).stdout, "first\n");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "a secret of root\n");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    scene.run(&["jobs", "prune", "--keep-last", "0", "--yes"]).ends_with(0);
    assert!(secret.exists() && outside.exists() && !scene.job_file("it", "").exists());
}

#[test]
fn records_that_name_a_foreign_process_are_not_believed() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("it", &[], "echo began >> $W/it; exec sleep 600");
    scene.wait_for_witness("it");
    give_away(&scene, "it");
    let mut foreign = Command::new("sleep").arg("600").env_clear().spawn().unwrap();
    let identity = ProcessIdentity::of(foreign.id()).unwrap();
    let command = scene.command_of("it");
    let mut record = read_json(&scene.job_file("it", "command.json"));
    record["command"] = json!({ "pid": identity.pid, "start_time": identity.start_time });
    let supervisor = scene.supervisor_of("it");
    for name in ["command.json", "sentinel.json"] {
        let path = scene.job_file("it", "").join(name);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, record.to_string()).unwrap();
        chown(&path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    kill(supervisor);
    scene.run(&["jobs", "cancel", "it"]);
    wait_for("the job to be over", || scene.status("it") == JobStatus::Cancelled);
    assert_ne!(ProcessIdentity::of(command.pid), Some(command), "its own process is ended");
    assert_eq!(ProcessIdentity::of(foreign.id()), Some(identity), "somebody else's is not");
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    drop(daemon);
}

/// The output of a job that was taken over is in the other server's workspace, which belongs to another user.
#[test]
fn output_of_an_imported_job_is_not_read_through_a_link() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let secret = secret(&scene);
    let id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    let old = scene.place.path("workspace");
    let folder = old.join("jobs").join(id);
    std::fs::create_dir_all(&folder).unwrap();
    let record = json!({
        "Id": id, "Username": "u", "Prompt": "say it", "Repository": "web", "Title": "t", "Status": 5,
        "QueuePosition": 0, "CreatedAt": "2026-03-01T10:00:00Z", "StartedAt": "2026-03-01T10:00:01Z",
        "CompletedAt": "2026-03-01T10:00:09Z", "ExitCode": 0, "Output": "", "CowPath": folder,
    });
    std::fs::write(old.join(format!("jobs/{id}.job.json")), record.to_string()).unwrap();
    let output = folder.join(format!(".claude-job-{id}.output"));
    std::fs::write(&output, "printed before\n").unwrap();
    for path in [&old, &old.join("jobs"), &folder, &output] {
        chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    scene.run(&["import", "claude-batch-server", old.to_str().unwrap()]).ends_with(0);
    assert_eq!(scene.run(&["jobs", "output", id]).ends_with(0).stdout, "printed before\n");
    let aside = folder.with_file_name("aside");
    for way in ["link", "folder", "second name"] {
        match way {
            "link" => {
                std::fs::remove_file(&output).unwrap();
                symlink(&secret, &output).unwrap();
            }
            "folder" => {
                std::fs::rename(&folder, &aside).unwrap();
                std::fs::write(secret.with_file_name(output.file_name().unwrap()), "a secret of root\n")
                    .unwrap();
                symlink(secret.parent().unwrap(), &folder).unwrap();
            }
            _ => {
                std::fs::remove_file(&folder).unwrap();
                std::fs::rename(&aside, &folder).unwrap();
                std::fs::remove_file(&output).unwrap();
                std::fs::hard_link(&secret, &output).unwrap();
                assert_eq!(secret.metadata().unwrap().nlink(), 2);
            }
        }
        for arguments in
            [&["jobs", "output", id][..], &["jobs", "output", id, "--json"], &["jobs", "show", id]]
        {
            let ran = scene.run(arguments);
            assert!(!ran.stdout.contains("a secret"), "{way} {arguments:?}: {}", ran.stdout);
        }
        let told = scene.run(&["jobs", "output", id]).ends_with(1).stderr;
        assert!(told.contains("link"), "{way}: {told}");
    }
}
