//! The output of a job is kept, however the job opens its output again, and whichever of our processes is
//! killed.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use recovery::queue::JobStatus;
use recovery::system::{ProcessIdentity, end_process};

use crate::crash::scene::{Daemon, Scene, read_json, wait_for};

fn output(scene: &Scene, id: &str) -> String {
    scene.run(&["jobs", "output", id]).ends_with(0).stdout
}

/// Ends the process with SIGKILL and waits until it is gone.
fn kill(pid: u32) {
    if let Some(process) = ProcessIdentity::of(pid) {
        assert!(end_process(process, 10_000).unwrap());
    }
}

fn supervisor(scene: &Scene, id: &str) -> u32 {
    let pid = read_json(&scene.job_file(id, "sentinel.json"))["supervisor"]["pid"].as_u64();
    u32::try_from(pid.unwrap()).unwrap()
}

/// The processes that have the job's output open: its keepers.
fn keepers(scene: &Scene, id: &str) -> Vec<u32> {
    let file: PathBuf = std::fs::canonicalize(scene.job_file(id, "output.log")).unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_keeper = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_named = words.split(|&b| b == 0).nth(1) == Some(b"keep-output");
        is_named && std::fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|link| link == file)
    };
    pids.filter(is_keeper).collect()
}

/// A keeper of this job, waited for.
fn keeper(scene: &Scene, id: &str) -> u32 {
    wait_for("a keeper", || !keepers(scene, id).is_empty());
    keepers(scene, id)[0]
}

/// Counts, a number every few milliseconds, until the gate is open; then prints what it came to.
const COUNTING: &str = "i=0; echo began >> $W/it; until [ -e $W/open ]; do i=$((i+1)); echo $i; sleep 0.01; done; \
                        echo $i > $W/last; echo end";

/// All numbers from 1 to what the job came to, each once and in order, and the last line.
fn assert_counted(scene: &Scene, id: &str) {
    let last: u32 = scene.witnessed("last")[0].parse().unwrap();
    let shown = output(scene, id);
    let numbers: Vec<&str> = shown.lines().collect();
    let wanted: Vec<String> = (1..=last).map(|n| n.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(numbers, wanted);
}

fn begun(id: &str, script: &str) -> (Scene, Daemon) {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit(id, &[], script);
    scene.wait_for_witness("it");
    (scene, daemon)
}

/// A clean checkout removes the file, and so does a job that has a file of that name.
#[test]
fn output_that_the_job_removes_or_replaces_is_there_when_it_is_over() {
    for (script, theirs) in [
        ("rm -rf ./*", None),
        ("rm -rf \"$RECOVERYCTL_WORKSPACE\"; cd /", None),
        ("echo theirs > output.log", None),
        ("rm -rf \"$RECOVERYCTL_STATE_DIR/attempts/it\"", None),
        (
            "cd \"$RECOVERYCTL_STATE_DIR/attempts/it\"; mv output.log x; echo theirs > output.log",
            Some("output.log.1"),
        ),
    ] {
        let scene = Scene::new();
        scene.submit("it", &[], &format!("echo before; {script}; echo after; echo error >&2; exit 3"));
        scene.run(&["work", "--once"]);
        assert_eq!(scene.status("it"), JobStatus::Failed);
        assert_eq!(output(&scene, "it"), "before\nafter\nerror\n", "{script}");
        if let Some(name) = theirs {
            assert_eq!(std::fs::read_to_string(scene.job_file("it", name)).unwrap(), "theirs\n");
        }
    }
}

#[test]
fn reopened_output_loses_nothing_and_keeps_its_order() {
    let scene = Scene::new();
    let before = "for i in 1 2 3; do echo line-$i; done; ";
    let ways = [
        "echo more > /dev/stderr",
        "echo more >> /dev/stdout",
        "echo more | tee /dev/stderr > /dev/null",
        "echo more > /proc/self/fd/1",
        "exec 5> /dev/stdout; echo more >&5; exec 5>&-",
        "printf 'more\\n' | dd of=/dev/stdout bs=1 2> /dev/null",
        "truncate -s 0 /dev/stdout 2> /dev/null; : > /dev/stderr; echo more",
        "flock /dev/stdout echo more",
        "( flock 1; echo more )",
        "sh -c 'echo more > /dev/stderr'",
    ];
    for (at, way) in ways.iter().enumerate() {
        scene.submit(&format!("way-{at}"), &[], &format!("{before}{way}; echo end"));
    }
    scene.run(&["work", "--once"]).ends_with(0);
    for (at, way) in ways.iter().enumerate() {
        assert_eq!(output(&scene, &format!("way-{at}")), "line-1\nline-2\nline-3\nmore\nend\n", "{way}");
    }
}

#[test]
fn output_limit_holds_after_the_job_reopened_its_output() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\noutput_limit = \"64KiB\"\n");
    scene.submit("it", &[], "seq 100000; : > /dev/stdout; seq 100001 200000 > /dev/stderr; echo last");
    scene.run(&["work", "--once"]).ends_with(0);
    let kept = std::fs::metadata(scene.job_file("it", "output.log")).unwrap().blocks() * 512;
    assert!(kept <= (64 << 10) + 8192, "{kept} bytes are kept");
    let shown = output(&scene, "it");
    assert!(shown.starts_with("[recoveryctl: the first ") && shown.ends_with("\n200000\nlast\n"));
}

#[test]
fn supervisor_killed_job_prints_on_without_a_gap() {
    let (scene, daemon) = begun("it", COUNTING);
    let keeper = keeper(&scene, "it");
    // Of our processes, only the keeper is left.
    daemon.kill();
    kill(supervisor(&scene, "it"));
    let len = || std::fs::metadata(scene.job_file("it", "output.log")).unwrap().len();
    let then = len();
    wait_for("the job to print on", || len() > then + 400);
    assert_eq!(keepers(&scene, "it"), [keeper]);
    scene.open_gate("open");
    scene.wait_for_witness("last");
    wait_for("the keeper to end", || ProcessIdentity::of(keeper).is_none());
    assert_counted(&scene, "it");
}

#[test]
fn keeper_killed_is_replaced_and_nothing_is_lost() {
    let (scene, _daemon) = begun("it", COUNTING);
    for _ in 0..3 {
        let keeper = keeper(&scene, "it");
        kill(keeper);
        wait_for("another keeper", || keepers(&scene, "it").iter().any(|&other| other != keeper));
    }
    scene.open_gate("open");
    scene.wait_for_status("it", JobStatus::Succeeded);
    assert_counted(&scene, "it");
    assert!(keepers(&scene, "it").is_empty(), "it ends with its job");
}

#[test]
fn all_of_ours_killed_job_waits_for_the_next_daemon_and_nothing_is_lost() {
    // More than a pipe holds.
    let script = "echo began >> $W/it; until [ -e $W/go ]; do sleep 0.02; done; seq 200000; echo printed >> $W/done; \
                  until [ -e $W/open ]; do sleep 0.02; done; echo end";
    let (scene, daemon) = begun("it", script);
    let keeper = keeper(&scene, "it");
    daemon.kill();
    kill(supervisor(&scene, "it"));
    kill(keeper);
    scene.open_gate("go");
    let command = read_json(&scene.job_file("it", "command.json"))["command"]["pid"].as_u64().unwrap();
    let _daemon = scene.daemon(1);
    // Without a process that empties the pipe, the job could not have printed all of that.
    scene.wait_for_witness("done");
    assert!(ProcessIdentity::of(u32::try_from(command).unwrap()).is_some(), "SIGPIPE would have ended it");
    scene.open_gate("open");
    wait_for("the end to be recorded", || scene.status("it") != JobStatus::Running);
    let wanted: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    wait_for("the rest to be moved", || output(&scene, "it").ends_with("end\n"));
    assert_eq!(output(&scene, "it"), format!("{wanted}end\n"));
}

/// The keeper continues in a file without a name, which nobody would put back when the job is over.
#[test]
fn job_that_removed_its_output_and_lost_its_supervisor_prints_into_one_output() {
    let script = "echo before; echo began >> $W/it; until [ -e $W/go ]; do sleep 0.02; done; \
                  rm \"$RECOVERYCTL_STATE_DIR\"/attempts/it/output.log; echo removed; echo gone >> $W/gone; \
                  until [ -e $W/open ]; do sleep 0.02; done; echo end";
    let (scene, daemon) = begun("it", script);
    let first = keeper(&scene, "it");
    scene.open_gate("go");
    scene.wait_for_witness("gone");
    daemon.kill();
    kill(supervisor(&scene, "it"));
    let _daemon = scene.daemon(1);
    wait_for("another keeper", || {
        scene.job_file("it", "output.log").exists()
            && keepers(&scene, "it").iter().any(|&other| other != first)
    });
    assert!(ProcessIdentity::of(first).is_none(), "two would share what is printed");
    assert_eq!(keepers(&scene, "it").len(), 1);
    scene.open_gate("open");
    wait_for("the end to be recorded", || scene.status("it") != JobStatus::Running);
    wait_for("the rest to be moved", || output(&scene, "it").ends_with("end\n"));
    assert_eq!(output(&scene, "it"), "before\nremoved\nend\n");
}

#[test]
fn job_that_closed_its_output_costs_no_processor_and_ends() {
    let scene = Scene::new();
    scene.submit("it", &[], "echo one; exec > /dev/null 2>&1; sleep 0.7; exit 3");
    scene.run(&["work", "--once"]).ends_with(0);
    assert_eq!(output(&scene, "it"), "one\n");
    let exit = read_json(&scene.job_file("it", "exit.json"));
    assert_eq!(exit["exit_code"], 3, "{exit}");
}

#[test]
fn keeper_is_no_part_of_the_job() {
    let (scene, _daemon) =
        begun("it", "echo began >> $W/it; sleep 0.1; until [ -e $W/open ]; do sleep 0.05; done");
    let keeper = keeper(&scene, "it");
    let shown = scene.json(&["why", "job:it"], 0).to_string();
    assert!(!shown.contains(&format!("\"pid\":{keeper}")), "{shown}");
    scene.open_gate("open");
    scene.wait_for_status("it", JobStatus::Succeeded);
    let exit = read_json(&scene.job_file("it", "exit.json"));
    assert_eq!((&exit["tree_empty"], &exit["leftovers_ended"]), (&true.into(), &0.into()), "{exit}");
}

#[test]
fn silent_process_with_a_cleared_environment_is_known_by_its_pipe() {
    let script = "env -i setsid -f sleep 600; echo began >> $W/it; until [ -e $W/open ]; do sleep 0.02; done";
    let (scene, daemon) = begun("it", script);
    let shell = read_json(&scene.job_file("it", "command.json"))["command"]["pid"].as_u64().unwrap();
    let keeper = keeper(&scene, "it");
    daemon.kill();
    kill(supervisor(&scene, "it"));
    // Neither the files nor the group show the job, as if the job had removed them.
    for file in ["sentinel.json", "command.json"] {
        std::fs::remove_file(scene.job_file("it", file)).unwrap();
    }
    scene.open_gate("open");
    wait_for("the shell to end", || ProcessIdentity::of(u32::try_from(shell).unwrap()).is_none());
    assert!(ProcessIdentity::of(keeper).is_some());
    let why = scene.json(&["why", "job:it"], 0);
    assert_eq!(why["liveness"], "alive", "{why}");
    // This is the process that prints into the pipe, which the keeper empties.
    let pipe = std::fs::read_link(format!("/proc/{keeper}/fd/0")).unwrap();
    let printing = recovery::system::process_table().into_iter().map(|process| process.identity);
    for process in printing.filter(|one| one.pid != keeper) {
        if std::fs::read_link(format!("/proc/{}/fd/1", process.pid)).is_ok_and(|link| link == pipe) {
            kill(process.pid);
        }
    }
    wait_for("the keeper to end", || ProcessIdentity::of(keeper).is_none());
}
