//! `cleanup` without an engine: the index tool, what cannot be removed, and what comes alive again.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests make what is to be removed.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::common::{Background, Place, Ran, is_untouched, skipped, skipped_by_the_machine, until};

/// Runs a command without an engine: the phase is skipped as on a machine without one.
fn run(place: &Place, arguments: &[&str]) -> Ran {
    Ran::of(command(place).args(arguments))
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    Ran::of(command(place).arg("--json").args(arguments)).json()
}

fn command(place: &Place) -> Command {
    let mut command = place.command();
    command.env("RECOVERYCTL_CLEANUP_TRIES", "2").env("RECOVERYCTL_CLEANUP_PAUSE", "10ms");
    command.env("RECOVERYCTL_DOCKER_HOST", format!("unix://{}", engine_of(place).display()));
    command
}

/// An engine that has nothing: every list is empty.
fn engine_of(place: &Place) -> std::path::PathBuf {
    use std::io::{Read, Write};
    let path = place.path("engine.sock");
    if let Ok(listener) = std::os::unix::net::UnixListener::bind(&path) {
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let n = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..n]).into_owned();
                let body = match () {
                    () if request.contains("/version") => r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12"}"#,
                    () if request.contains("/volumes") => r#"{"Volumes":[],"Warnings":[]}"#,
                    () => "[]",
                };
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
    }
    path
}

fn ended_job(place: &Place, id: &str, options: &[&str], script: &str) {
    let submit = [&["submit", "--id", id], options, &["--", "sh", "-c", script]].concat();
    run(place, &submit).ends_with(0);
    run(place, &["work", "--once"]);
}

#[test]
fn an_ended_job_that_asked_for_it_is_cleaned_and_the_others_are_not() {
    let place = Place::new();
    let labels = place.path("labels");
    let script = format!("echo $RECOVERYCTL_DOCKER_LABELS > {}; echo x > file", labels.display());
    ended_job(&place, "auto", &["--auto-cleanup"], &script);
    ended_job(&place, "plain", &[], "echo x > file");
    let told = std::fs::read_to_string(labels).unwrap();
    assert!(told.starts_with("--label io.recoveryctl.job=auto --label io.recoveryctl.state="), "{told}");
    let queue = json(&place, &["cleanup", "queue"]);
    assert_eq!((&queue["total"], &queue["cleanups"][0]["cleanup_id"]), (&1.into(), &"auto.1".into()));
    let report = json(&place, &["cleanup", "run"]);
    assert_eq!(report["completed"], 1, "{report}");
    assert!(report["bytes_freed"].as_u64().unwrap() >= 4096);
    assert!(!place.state().join("jobs/auto").exists() && place.state().join("jobs/plain/file").exists());
    let completed = json(&place, &["cleanup", "completed"]);
    assert_eq!(completed["cleanups"][0]["job_id"], "auto");
    assert_eq!(completed["cleanups"][0]["source"], "auto");
    // The cleanup is done once: neither another run nor a recovery repeats it.
    assert_eq!(json(&place, &["cleanup", "run"])["completed"], 0);
    run(&place, &["recover"]).ends_with(0);
    assert_eq!(json(&place, &["cleanup", "completed"])["total"], 1);
    // On request it is done for the other one too, with the reason in the audit trail.
    run(&place, &["cleanup", "start", "plain", "--reason", "space"]).ends_with(0);
    run(&place, &["cleanup", "start", "nobody"]).ends_with(5);
    let longest = "n".repeat(5000);
    for wrong in ["nobody.1", "../../state", "a\nb", "", longest.as_str()] {
        run(&place, &["cleanup", "skip", wrong, "docker"]).ends_with(5);
        run(&place, &["retry", "cleanup", wrong]).ends_with(5);
        run(&place, &["cleanup", "skip", wrong, "docker", "--dry-run"]).ends_with(5);
        run(&place, &["retry", "cleanup", wrong, "--dry-run"]).ends_with(5);
    }
    let rehearsed = json(&place, &["cleanup", "skip", "plain.1", "docker", "--dry-run"]);
    assert_eq!((&rehearsed["accepted"], &rehearsed["was"]), (&true.into(), &"pending".into()), "{rehearsed}");
    let state = json(&place, &["cleanup", "state"]);
    assert_eq!(state["cleanups"][0]["phases"][1]["status"], "pending", "{state}");
    run(&place, &["cleanup", "run"]).ends_with(0);
    assert!(!place.state().join("jobs/plain").exists());
    assert!(is_untouched(&place.state().join("cleanup/trash")));
}

#[test]
fn a_job_that_is_not_over_is_not_cleaned() {
    let place = Place::new();
    run(&place, &["submit", "--id", "waits", "--auto-cleanup", "--", "true"]).ends_with(0);
    run(&place, &["cleanup", "start", "waits"]).ends_with(11);
    assert_eq!(json(&place, &["cleanup", "run"])["derived"], 0);
}

#[test]
fn a_later_attempt_overtakes_the_cleanup_of_the_one_before() {
    let place = Place::new();
    ended_job(&place, "again", &["--auto-cleanup"], "echo first > file; exit 1");
    assert_eq!(json(&place, &["cleanup", "queue"])["total"], 1);
    run(&place, &["resume", "again"]).ends_with(0);
    let report = json(&place, &["cleanup", "run"]);
    assert_eq!(report["cleanups"][0]["overtaken"], true, "{report}");
    assert!(place.state().join("jobs/again/file").exists());
    run(&place, &["work", "--once"]);
    assert_eq!(json(&place, &["cleanup", "run"])["cleanups"][0]["cleanup_id"], "again.2");
    assert!(!place.state().join("jobs/again").exists());
}

fn tool(place: &Place, script: &str) -> String {
    let path = place.write("bin/index-tool", &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{} uninstall", path.display())
}

#[test]
fn the_index_tool_runs_in_the_workspace_and_one_that_fails_is_parked() {
    let place = Place::new();
    let index = "mkdir .code-indexer; echo i > .code-indexer/db";
    let works = tool(&place, &format!("pwd > {0}; rm -r .code-indexer", place.path("ran-in").display()));
    ended_job(&place, "one", &["--auto-cleanup"], index);
    let with = |tool: &str, arguments: &[&str]| {
        Ran::of(command(&place).env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", tool).arg("--json").args(arguments))
    };
    with(&works, &["cleanup", "run"]).ends_with(0);
    let ran_in = std::fs::read_to_string(place.path("ran-in")).unwrap();
    assert!(ran_in.trim().ends_with("state/jobs/one"), "{ran_in}");

    ended_job(&place, "two", &["--auto-cleanup"], index);
    let fails = tool(&place, "echo no such project; exit 3");
    let first = with(&fails, &["cleanup", "run"]).ends_with(3).json();
    let phases = &first["cleanups"][0]["phases"];
    assert_eq!((&phases[0]["status"], &phases[1]["status"]), (&"failed".into(), &"done".into()));
    assert!(phases[0]["error"].as_str().unwrap().contains("exit status 3; it printed: no such project"));
    assert_eq!(phases[2]["status"], "pending", "the index is in the files");
    let second = with(&fails, &["cleanup", "run"]).ends_with(3).json();
    // The phase is parked after two tries; the files do not wait any longer, so the folder is removed with
    // them.
    assert_eq!((&second["completed"], &second["parked"]), (&0.into(), &1.into()), "{second}");
    assert_eq!(second["findings"][0]["code"], "cleanup-parked");
    assert!(!place.state().join("jobs/two").exists());
    let rehearsed = with(&works, &["retry", "cleanup", "two.1", "--dry-run"]).ends_with(0).json();
    assert_eq!(json(&place, &["cleanup", "state"])["counts"]["parked"], 1, "only shown");
    let retried = with(&works, &["retry", "cleanup", "two.1"]).ends_with(0).json();
    assert_eq!((&rehearsed["dry_run"], &retried["dry_run"]), (&true.into(), &false.into()));
    assert_eq!(
        (&rehearsed["phases"], &retried["phases"]),
        (&serde_json::json!(["cidx"]), &rehearsed["phases"])
    );
    with(&works, &["cleanup", "run"]).ends_with(0);
    assert_eq!(json(&place, &["cleanup", "completed"])["total"], 2);

    ended_job(&place, "three", &["--auto-cleanup"], index);
    let slow = tool(&place, "sleep 100");
    let begun = std::time::Instant::now();
    let mut slow_run = command(&place);
    slow_run.env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", slow).env("RECOVERYCTL_CLEANUP_INDEX_TIMEOUT", "200ms");
    let report = Ran::of(slow_run.args(["--json", "cleanup", "run"])).ends_with(3).json();
    assert!(report["cleanups"][0]["phases"][0]["error"].as_str().unwrap().contains("longer than 200 ms"));
    assert!(begun.elapsed().as_secs() < 60);

    let absent = with("/nowhere/index-tool uninstall", &["cleanup", "run"]).ends_with(0).json();
    let notes = &absent["cleanups"][0]["phases"][0]["notes"];
    assert!(notes[0].as_str().unwrap().contains("not installed"), "{absent}");
}

/// Files of the job control the tool, so it runs with the rights of the user who wrote them.
#[test]
fn the_index_tool_runs_as_the_owner_of_the_workspace_with_nothing_of_the_cleaner_s() {
    if !rustix::process::geteuid().is_root() {
        return skipped_by_the_machine("it needs root");
    }
    let place = Place::new();
    place.program_for_all(); // Everybody may enter the place.
    let tells = "id -u; id -G; env | cut -d= -f1 | sort | tr '\\n' ' '; echo; ls /proc/self/fd | wc -l; \
                 grep NoNewPrivs /proc/self/status; rm -r .code-indexer";
    let tool = tool(&place, tells);
    let run_with = |owner: &str, id: &str| {
        ended_job(
            &place,
            id,
            &["--auto-cleanup"],
            &format!("mkdir .code-indexer; echo i >.code-indexer/db; {owner}"),
        );
        let mut run = command(&place);
        run.env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", &tool).env("SECRET", "1");
        let report = Ran::of(run.args(["--json", "cleanup", "run"])).json();
        let phase = report["cleanups"][0]["phases"][0].clone();
        let told = phase["notes"][0].as_str().or(phase["error"].as_str()).unwrap_or_default().to_owned();
        (phase["status"] == "done", told)
    };
    let known = "DOCKER_HOST HOME LANG LOGNAME PATH PWD RECOVERYCTL_CLEANUP SHELL USER";
    for (owner, uid) in [
        ("true", "0"),
        ("chown -R 61000:0 .", "61000"),
        ("chown -R 61000 .code-indexer; chown 61000 .", "61000"),
    ] {
        let (is_done, told) = run_with(owner, &format!("own-{}", owner.len()));
        let lines: Vec<&str> = told.lines().map(str::trim).collect();
        assert!(is_done && lines[0].ends_with(&format!("printed: {uid}")), "{owner}: {told}");
        // The group of a file gives nobody rights.
        assert_eq!(lines[1], if uid == "0" { lines[1] } else { "65534" }, "{told}");
        let strange: Vec<&str> = lines[2]
            .split(' ')
            .filter(|name| !known.contains(name) && !matches!(*name, "_" | "OLDPWD" | "SHLVL"))
            .collect();
        assert!(strange.is_empty(), "{strange:?} in {told}");
        assert_eq!((lines[3], lines[4].ends_with('1')), ("4", true), "{told}");
    }
    // Two users could have written it: the tool runs as `nobody`, who may not do it.
    let (is_done, told) = run_with("chown -R 61000 .; chown 61001 .code-indexer/db", "two");
    assert!(!is_done && told.contains("printed: 65534"), "{told}");
}

/// Neither the cleaner's own path nor the folder that the tool is run in lets a tool of the workspace run.
#[test]
fn a_tool_is_never_taken_from_the_workspace() {
    let place = Place::new();
    let evil = format!("echo ran >>{}", place.path("ran").display());
    let script = format!(
        "mkdir .code-indexer bin; for f in cidx bin/cidx; do printf '#!/bin/sh\\n{evil}\\n' >$f; chmod 755 $f; done"
    );
    ended_job(&place, "j", &["--auto-cleanup"], &script);
    let workspace = place.state().join("jobs/j");
    let run_with = |tool: &str, tools: Option<String>| {
        let mut run = command(&place);
        run.env("PATH", format!(":.:bin:{}:/usr/bin:/bin", workspace.display()));
        run.env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", tool).env("RECOVERYCTL_CLEANUP_TRIES", "6");
        run.envs(tools.map(|path| ("RECOVERYCTL_TOOLS_PATH", path)));
        Ran::of(run.args(["--json", "cleanup", "run"]))
    };
    for relative in ["./cidx", "bin/cidx uninstall"] {
        let refused = run_with(relative, None).ends_with(2);
        assert!(refused.error()["message"].as_str().unwrap().contains("a name or an absolute path"));
    }
    // A folder of the configuration that lies in the workspace is refused, and the files wait.
    let report = run_with("cidx", Some(workspace.join("bin").display().to_string())).json();
    let phases = &report["cleanups"][0]["phases"];
    assert!(
        phases[0]["error"].as_str().unwrap().contains("in the folder that it is to be run in"),
        "{report}"
    );
    let absolute = workspace.join("cidx").display().to_string();
    until("its next try", || run_with(&absolute, None).json()["cleanups"][0]["phases"][0]["attempts"] == 2);
    assert!(!place.path("ran").exists());
    run(&place, &["retry", "cleanup", "j.1"]);
    let report = run_with("cidx", None).ends_with(0).json();
    let note = report["cleanups"][0]["phases"][0]["notes"].to_string();
    assert!(note.contains("not installed") && note.contains("tools.path"), "{report}");
    assert!(!place.path("ran").exists() && !workspace.exists());
}

/// A tool may be killed together with the cleaner; what it left running is ended before the second run.
#[test]
fn a_tool_that_outlived_its_cleaner_is_ended_before_the_next_one_runs() {
    let place = Place::new();
    ended_job(&place, "k", &["--auto-cleanup"], "mkdir .code-indexer");
    let log = place.path("log");
    let slow = tool(&place, &format!("echo $$ >> {0}; exec sleep 1000", log.display()));
    let mut cleaner = Background::start(
        command(&place).env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", slow).args(["cleanup", "run"]),
    );
    until("the tool to run", || std::fs::read_to_string(&log).is_ok_and(|t| t.ends_with('\n')));
    cleaner.kill();
    let resuming = json(&place, &["cleanup", "resuming"]);
    let from = &resuming["cleanups"][0]["resumed_from"];
    assert_eq!((&from["phase"], &from["step"]), (&"cidx".into(), &"uninstall".into()), "{resuming}");
    let pid: u32 = std::fs::read_to_string(&log).unwrap().trim().parse().unwrap();
    assert!(recovery::system::process_stat(pid).is_ok_and(|s| !s.is_dead));
    let recovered =
        Ran::of(command(&place).env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", "true").args(["--json", "recover"]));
    assert!(recovered.stdout.contains("cleanup-resumed"), "{}", recovered.stdout);
    assert!(recovery::system::process_stat(pid).map_or(true, |s| s.is_dead));
    assert!(!place.state().join("jobs/k").exists());
}

#[test]
fn what_cannot_be_deleted_is_told_and_parked_until_somebody_mends_it() {
    let place = Place::new();
    ended_job(&place, "pinned", &["--auto-cleanup"], "mkdir a b; echo x > a/one; echo x > b/two");
    let pinned = place.state().join("jobs/pinned/a/one");
    let pin = |sign: &str, path: &std::path::Path| {
        Command::new("chattr").arg(sign).arg(path).output().is_ok_and(|o| o.status.success())
    };
    if !pin("+i", &pinned) {
        return skipped_by_the_machine("the file system here knows no immutable files");
    }
    run(&place, &["cleanup", "run"]).ends_with(3);
    let report = json(&place, &["cleanup", "run"]);
    let in_trash = place.state().join("cleanup/trash/pinned.1/a/one");
    let told = report["findings"][0]["sentence"].as_str().unwrap().to_owned();
    let left_over = place.state().join("cleanup/trash/pinned.1/b").exists();
    assert!(pin("-i", &in_trash));
    assert!(report["parked"] == 1 && told.contains("a/one"), "{report}");
    assert!(!left_over);
    run(&place, &["retry", "cleanup", "pinned.1"]).ends_with(0);
    run(&place, &["cleanup", "run"]).ends_with(0);
    assert!(!in_trash.exists());
}

#[test]
fn uncommitted_work_is_kept_before_the_workspace_goes() {
    if !Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return skipped("it needs git");
    }
    let place = Place::new();
    let script = "mkdir repo; cd repo; git init -q -b main .; git config user.name t; git config user.email t@t; \
                  echo one > a; git add a; git commit -q -m first; echo two > a; echo new > untracked";
    ended_job(&place, "dirty", &["--auto-cleanup"], script);
    run(&place, &["cleanup", "run"]).ends_with(0);
    assert!(!place.state().join("jobs/dirty").exists());
    let archive = place.state().join("cleanup/archive/dirty.1.tar");
    let again = place.path("again");
    std::fs::create_dir(&again).unwrap();
    let tar = Command::new("tar").arg("-C").arg(&again).arg("-xf").arg(&archive).status().unwrap();
    assert!(tar.success());
    let repo = again.join("workspace/repo");
    let git = Command::new("git").arg("-C").arg(&repo).args(["status", "--porcelain"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&git.stdout), " M a\n?? untracked\n");
    assert_eq!(std::fs::read_to_string(repo.join("a")).unwrap(), "two\n");
    assert_eq!(std::fs::read_to_string(repo.join("untracked")).unwrap(), "new\n");
}

/// The pause of one phase is not shortened by another phase that waits for it.
#[test]
fn a_daemon_keeps_to_the_pauses_between_tries() {
    let place = Place::new();
    let counted = tool(&place, &format!("echo tried >> {}; exit 1", place.path("tries").display()));
    ended_job(&place, "slow", &["--auto-cleanup"], "mkdir .code-indexer");
    let mut daemon = command(&place);
    daemon.env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", counted).env("RECOVERYCTL_CLEANUP_TRIES", "6");
    daemon.env("RECOVERYCTL_CLEANUP_PAUSE", "1h").args(["daemon", "--listen", "none"]);
    let daemon = Background::start(&mut daemon);
    until("the first try", || place.path("tries").exists());
    until("its failure to be noted", || {
        json(&place, &["cleanup", "state"])["cleanups"][0]["phases"][0]["next_try_at"].is_string()
    });
    // Other due cleanups are worked on meanwhile, and each pass looks at this one, too.
    for id in ["one", "two", "three"] {
        run(&place, &["submit", "--id", id, "--auto-cleanup", "--", "true"]).ends_with(0);
        until("its cleanup", || !place.state().join("jobs").join(id).exists());
    }
    assert_eq!(std::fs::read_to_string(place.path("tries")).unwrap(), "tried\n");
    let phases = json(&place, &["cleanup", "state"])["cleanups"][0]["phases"].clone();
    assert_eq!(
        (&phases[0]["status"], &phases[2]["status"]),
        (&"failed".into(), &"pending".into()),
        "{phases}"
    );
    drop(daemon);
}

#[test]
fn a_cleanup_that_cannot_be_understood_is_told_and_left() {
    let place = Place::new();
    run(&place, &["init"]).ends_with(0);
    let path = place.write("state/cleanup/odd.json", "{\"format\":99}");
    let state = json(&place, &["cleanup", "state"]);
    assert_eq!(state["findings"][0]["code"], "cleanup-damaged", "{state}");
    run(&place, &["cleanup", "run"]).ends_with(0);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"format\":99}");
}

/// One of everything: a link to the outside, a mount inside, an immutable file, names of any bytes, deep
/// folders, and many files. What is not the job's stays as it is, and of the job's files only those that
/// cannot be removed stay.
#[test]
fn a_workspace_with_one_of_everything_is_removed_as_far_as_it_can_be() {
    use std::os::unix::ffi::OsStrExt;
    if !rustix::process::geteuid().is_root() {
        return skipped("mounting needs root");
    }
    let place = Place::new();
    ended_job(&place, "all", &["--auto-cleanup"], "mkdir mnt many deep; ln -s /etc etc; echo x > pinned");
    let workspace = place.state().join("jobs/all");
    for n in 0..50_000 {
        let folder = workspace.join(format!("many/{}", n / 500));
        if n % 500 == 0 {
            std::fs::create_dir(&folder).unwrap();
        }
        std::fs::write(folder.join(n.to_string()), "").unwrap();
    }
    let mut deep = workspace.join("deep");
    (0..100).for_each(|n| deep.push(format!("level-{n}")));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), "x").unwrap();
    for name in [&b"new\nline"[..], b"\xff\xfe not text", b"-rf *", b" ", b"\x1b[31mred", b"\xe2\x80\xaetxt"]
    {
        std::fs::write(workspace.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    std::os::unix::fs::symlink("loop", workspace.join("loop")).unwrap();
    std::os::unix::fs::symlink(place.path("victim"), workspace.join("many/out")).unwrap();
    place.write("victim/precious", "precious");
    std::fs::hard_link(place.path("victim/precious"), workspace.join("second-name")).unwrap();
    let pin = |sign: &str, path: &std::path::Path| {
        Command::new("chattr").arg(sign).arg(path).output().is_ok_and(|o| o.status.success())
    };
    if !pin("+i", &workspace.join("pinned")) {
        return skipped("the file system here knows no immutable files");
    }
    let etc_before = names_in(std::path::Path::new("/etc"));
    let script = "mount --bind \"$1\" \"$2/mnt\" || exit 77; exec \"$3\" --json cleanup run";
    let plain = command(&place);
    let mut mounted = Command::new("unshare");
    mounted.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    mounted.arg(place.path("victim")).arg(&workspace).arg(plain.get_program()).env_clear();
    for (name, value) in plain.get_envs().filter_map(|(n, v)| Some((n, v?))) {
        mounted.env(name, value);
    }
    let ran = Ran::of(mounted.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    let in_trash = place.state().join("cleanup/trash/all.1");
    let left = names_in(&in_trash);
    let pinned = if in_trash.exists() { in_trash.join("pinned") } else { workspace.join("pinned") };
    assert!(pin("-i", &pinned), "{ran:?}");
    if ran.status == 77 {
        return skipped("no mounts here");
    }
    let report = ran.ends_with(3).json();
    assert_eq!(left, ["mnt", "pinned"], "{report}");
    let files = &report["cleanups"][0]["phases"][2];
    assert!(files["error"].as_str().unwrap().starts_with("2 of its entries cannot be removed"), "{files}");
    assert!(files["items_done"].as_u64().unwrap() > 50_200, "{files}");
    assert_eq!(report["findings"][0]["code"], "cleanup-waiting", "{report}");
    let told = report["findings"][0]["sentence"].as_str().unwrap();
    assert!(told.contains("/pinned: ") && told.contains("/mnt: ") && told.contains("mount"), "{told}");
    // The mount went with its namespace, and nothing blocks the removal any more.
    run(&place, &["cleanup", "run"]).ends_with(0);
    assert!(!in_trash.exists() && !workspace.exists());
    assert_eq!(std::fs::read_to_string(place.path("victim/precious")).unwrap(), "precious");
    assert_eq!(names_in(std::path::Path::new("/etc")), etc_before);
    assert_eq!(json(&place, &["cleanup", "completed"])["total"], 1);
}

fn names_in(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The longest name that a job may have leaves room for its cleanup's.
#[test]
fn a_job_with_the_longest_name_is_cleaned_up_too() {
    let place = Place::new();
    let long = "n".repeat(240);
    ended_job(&place, &long, &["--auto-cleanup"], "echo x > file");
    assert!(place.state().join("jobs").join(&long).exists());
    assert_eq!(json(&place, &["cleanup", "run"])["completed"], 1);
    assert!(!place.state().join("jobs").join(&long).exists());
}
