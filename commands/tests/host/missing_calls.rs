//! What a file system or a container does not offer is done in another way, or refused at the start, not
//! during the work.

use std::process::Stdio;

use recovery::queue::JobStatus;

use super::filter::{Refused, refuse};
use crate::common::{Place, Ran};
use crate::crash::scene::{Daemon, Scene, wait_for};

const PROFILES: [(&str, &[Refused]); 5] = [
    ("a file system without flags of renameat2", &[Refused::rename_flags(libc::EINVAL)]),
    ("a kernel without renameat2", &[Refused::always(libc::SYS_renameat2, libc::ENOSYS)]),
    (
        "a profile that refuses what it does not know",
        &[
            Refused::always(libc::SYS_openat2, libc::EPERM),
            Refused::always(libc::SYS_pidfd_open, libc::EPERM),
            Refused::always(libc::SYS_pidfd_send_signal, libc::EPERM),
            Refused::rename_flags(libc::EPERM),
        ],
    ),
    (
        "a kernel without openat2 and pidfds",
        &[
            Refused::always(libc::SYS_openat2, libc::ENOSYS),
            Refused::always(libc::SYS_pidfd_open, libc::ENOSYS),
            Refused::always(libc::SYS_pidfd_send_signal, libc::ENOSYS),
        ],
    ),
    ("a file system without flags, that says so", &[Refused::rename_flags(libc::EOPNOTSUPP)]),
];

fn run(place: &Place, refused: &[Refused], arguments: &[&str]) -> Ran {
    let mut command = place.command();
    refuse(&mut command, refused);
    Ran::of(command.args(arguments))
}

fn daemon(scene: &Scene, refused: &[Refused]) -> Daemon {
    let mut command = scene.place.command();
    refuse(&mut command, refused);
    command.args(["daemon", "--workers", "2", "--listen", "none"]);
    Daemon { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() }
        .ready_in(&scene.place.state())
}

#[test]
fn jobs_locks_and_removals_work_where_system_calls_are_missing() {
    for (what, refused) in PROFILES {
        let scene = Scene::new();
        run(&scene.place, refused, &["init"]).ends_with(0);
        let _daemon = daemon(&scene, refused);
        scene.submit("twice", &["--repo", "web"], "exit 5");
        scene.wait_for_status("twice", JobStatus::Failed);
        run(&scene.place, refused, &["resume", "twice"]).ends_with(0);
        wait_for(&format!("a second attempt under {what}"), || {
            let job = scene.job("twice");
            job.attempt == 2 && job.status == JobStatus::Failed
        });
        assert_eq!(scene.job("twice").run_state().exit_code, Some(5), "{what}");
        run(&scene.place, refused, &["lock", "other", "--wait", "0s", "--", "true"]).ends_with(0);
        scene.submit("goes", &["--auto-cleanup"], "mkdir -p a/b/c; echo x > a/b/c/file");
        scene.wait_for_status("goes", JobStatus::Succeeded);
        wait_for(&format!("the workspace to go under {what}"), || !scene.job_file("goes", "").exists());
        scene.submit("long", &[], "sleep 600");
        wait_for("the command", || scene.job_file("long", "command.json").exists());
        run(&scene.place, refused, &["jobs", "cancel", "long"]).ends_with(0);
        scene.wait_for_status("long", JobStatus::Cancelled);
        let keep = ["jobs", "prune", "--keep-days", "0", "--keep-last", "0", "--yes"];
        run(&scene.place, refused, &keep).ends_with(0);
        assert!(!scene.job_file("twice", "").exists(), "{what}");
    }
}

#[test]
fn folder_whose_file_system_cannot_keep_names_apart_is_refused_at_init_and_at_start() {
    let place = Place::new();
    // There is no way to give a name only once: FAT and some FUSE file systems.
    let refused = [
        Refused::rename_flags(libc::EINVAL),
        Refused::always(libc::SYS_linkat, libc::EOPNOTSUPP),
        Refused::always(libc::SYS_link, libc::EOPNOTSUPP),
    ];
    let ran = run(&place, &refused, &["--json", "init"]).ends_with(12);
    let error = ran.error();
    assert_eq!(error["code"], "file-system-unfit");
    assert!(error["message"].as_str().unwrap().contains("rename a file without replacing"), "{error}");
    assert!(!place.state().exists(), "nothing is left");
    place.run(["init"]).ends_with(0);
    assert_eq!(run(&place, &refused, &["--json", "daemon", "--listen", "none"]).error()["exit"], 12);
}

#[test]
fn locks_that_keep_nobody_out_are_found_at_init() {
    let place = Place::new();
    let ran = run(&place, &[Refused::always(libc::SYS_flock, libc::EOPNOTSUPP)], &["--json", "init"]);
    let error = ran.ends_with(12).error();
    assert!(error["message"].as_str().unwrap().contains("lock (flock)"), "{error}");
}

#[test]
fn limit_of_file_sizes_begins_a_segment_or_is_a_refusal_and_ends_nothing() {
    let scene = Scene::new();
    scene.run(&["init"]).ends_with(0);
    let submit = |limit: u32| {
        let own = scene.place.command();
        let mut command = std::process::Command::new("prlimit");
        command.arg(format!("--fsize={limit}:{limit}")).arg(own.get_program()).args(["submit", "--", "true"]);
        command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(scene.place.path("")).output().unwrap()
    };
    // This is more than two such files hold.
    for _ in 0..60 {
        let output = submit(6000);
        assert!(output.status.success(), "{output:?}");
    }
    // No file can take a record.
    let refused = submit(64);
    // The signal has not ended it.
    assert!(refused.status.code().is_some_and(|code| code != 0), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("File too large"), "{refused:?}");
    let jobs = scene.json(&["jobs", "list"], 0);
    assert!(jobs["total"].as_u64().unwrap() >= 60, "{jobs}");
    assert_eq!(scene.json(&["queue", "wal"], 0)["damaged_records"], 0);
}
