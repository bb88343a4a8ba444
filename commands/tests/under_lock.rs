//! Commands that run under `lock`: they keep the repository, know that they have it, and end with `lock`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use recovery::system::{ProcessIdentity, end_process, signal_process};
use rustix::process::Signal;
use serde_json::json;

use crate::common::{Background, Place, Ran, until};

/// `lock web -- sh -c SCRIPT`, with what the script wrote to `pid`.
fn locked(place: &Place, words: &[&str], script: &str) -> (Background, ProcessIdentity) {
    locked_by(place, place.command(), words, script)
}

fn locked_by(
    place: &Place,
    mut program: Command,
    words: &[&str],
    script: &str,
) -> (Background, ProcessIdentity) {
    let mut arguments = vec!["lock", "web", "--"];
    arguments.extend(words);
    arguments.extend(["sh", "-c", script]);
    let lock = Background::start(program.args(arguments));
    until("the command runs", || place.path("pid").exists());
    (lock, process(place))
}

const PID: &str = "echo $$ > pid.new; mv pid.new pid; ";

fn process(place: &Place) -> ProcessIdentity {
    let pid = fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap();
    ProcessIdentity::of(pid).unwrap()
}

fn is_granted(place: &Place) -> bool {
    is_granted_in(place, &place.state())
}

fn is_granted_in(place: &Place, state: &Path) -> bool {
    let ask = ["lock", "web", "--wait", "200ms", "--", "true"];
    let status = Ran::of(place.command().arg("--state-dir").arg(state).args(ask)).status;
    assert!([0, 11, 12].contains(&status), "{status}");
    status == 0
}

#[test]
fn killed_lock_keeps_the_repository_for_whatever_it_started() {
    // Each leaves one process, whose PID is in the file `pid`, and ends or becomes that process.
    let ways = [
        ("cleared environment", format!("{PID} exec env -i sleep 600")),
        ("another session", format!("setsid env -i sh -c '{PID} exec sleep 600' & sleep 600")),
        (
            "daemonised",
            format!("(setsid env -i sh -c '{PID} exec sleep 600' < /dev/null > /dev/null 2>&1 &)"),
        ),
        ("working elsewhere", format!("cd /; cd - > /dev/null; {PID} exec env -i -C / sleep 600")),
    ];
    // Killed right after the command began, and when the metadata tells of the command.
    for (is_recorded, (name, script)) in
        [false, true].into_iter().flat_map(|r| ways.iter().map(move |w| (r, w)))
    {
        let place = Place::new();
        let (mut lock, left) = locked(&place, &[], &format!("{script}; sleep 0.3"));
        if is_recorded {
            until("the command is recorded", || {
                !inspected(&place, &place.state())["metadata"]["command"].is_null()
            });
        }
        lock.kill();
        assert!(!is_granted(&place), "{name}");
        place.run(["locks", "detect-stale", "--release"]);
        assert!(!is_granted(&place), "{name}, after detect-stale");
        let shown = inspected(&place, &place.state());
        assert_eq!(shown["liveness"], "alive", "{name}: {shown}");
        // These are all other processes that the shell left.
        let group = shown["metadata"]["cgroup"].as_str().map(str::to_owned);
        assert!(!is_recorded || group.is_none() || is_named(&shown, left), "{name}: {shown}");
        end_process(left, 10_000).unwrap();
        end_rest(&place);
        until(&format!("{name}: it is free"), || is_granted(&place));
        assert!(
            group.is_none_or(|group| !std::path::Path::new(&group).exists()),
            "{name}: its group is left"
        );
    }
}

/// The lock of `web`, as `locks inspect` shows it.
fn inspected(place: &Place, state: &Path) -> serde_json::Value {
    let mut command = place.command();
    command.arg("--state-dir").arg(state).args(["locks", "inspect", "web", "--json"]);
    Ran::of(&mut command).ends_with(0).json()["locks"][0].clone()
}

/// Whether a process is among those that are said to keep the lock.
fn is_named(shown: &serde_json::Value, process: ProcessIdentity) -> bool {
    let said = shown["evidence"].as_array().unwrap().iter().filter_map(|line| line.as_str());
    let mut pids =
        said.filter_map(|line| line.split_once("lives on: process ")).flat_map(|(_, pids)| pids.split(", "));
    pids.any(|pid| pid == process.pid.to_string())
}

/// Moves the state directory away, as people do with mv(1); where it is then.
fn moved_away(place: &Place) -> PathBuf {
    let there = place.path("moved");
    fs::rename(place.state(), &there).unwrap();
    there
}

/// This also holds when nothing is at the old path, or another directory is, with a lock of the same name.
#[test]
fn lock_is_given_back_in_the_directory_that_was_moved_meanwhile() {
    for has_successor in [false, true] {
        let place = Place::new();
        let (lock, _) = locked(&place, &[], &format!("{PID} until [ -e open ]; do sleep 0.02; done"));
        let moved = moved_away(&place);
        if has_successor {
            assert!(is_granted(&place), "another directory's lock");
        }
        let before = has_successor.then(|| inspected(&place, &place.state()));
        assert!(!is_granted_in(&place, &moved));
        place.write("open", "");
        assert_eq!(lock.wait(), 0);
        let shown = inspected(&place, &moved);
        assert_eq!(shown["metadata"]["state"], "released", "{shown}");
        assert!(
            shown["metadata"]["released_by"].is_null() && shown["metadata"]["recovered"] == false,
            "{shown}"
        );
        assert!(is_granted_in(&place, &moved));
        assert_eq!(before, has_successor.then(|| inspected(&place, &place.state())));
        assert_eq!(place.state().exists(), has_successor);
    }
}

#[test]
fn lock_of_a_directory_that_was_moved_stays_with_what_its_command_left_running() {
    let place = Place::new();
    let script = format!(
        "(sh -c '{PID} exec sleep 600' > /dev/null 2>&1 &); until [ -e open ]; do sleep 0.02; done; exit 5"
    );
    let mut command = place.command();
    command.args(["lock", "web", "--", "sh", "-c", &script]);
    let lock = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the command runs", || place.path("pid").exists());
    let left = process(&place);
    let moved = moved_away(&place);
    place.write("open", "");
    let said = lock.wait_with_output().unwrap();
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains(&format!("left running: process {};", left.pid)), "{stderr}");
    assert!(!is_granted_in(&place, &moved));
    let shown = inspected(&place, &moved);
    assert!(shown["liveness"] == "alive" && is_named(&shown, left), "{shown}");
    end_process(left, 10_000).unwrap();
    until("it is free", || is_granted_in(&place, &moved));
}

/// Ends what works in the place still.
fn end_rest(place: &Place) {
    let folder = fs::canonicalize(place.path("")).unwrap();
    let is_in_it =
        |entry: &fs::DirEntry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
    // The loop repeats, for processes that one of them started meanwhile.
    loop {
        let in_it = fs::read_dir("/proc").unwrap().flatten().filter(is_in_it);
        let pids = in_it.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
        let found: Vec<ProcessIdentity> = pids.filter_map(ProcessIdentity::of).collect();
        if found.is_empty() {
            return;
        }
        for process in found {
            end_process(process, 10_000).unwrap();
        }
    }
}

#[test]
fn descendant_that_gave_up_its_descriptors_too_is_known_by_its_group() {
    let place = Place::new();
    // A shell closes descriptors by number.
    let closing = "for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && eval \"exec $n>&-\"; done";
    let script =
        format!("setsid env -i bash -c '{closing}; {PID} exec sleep 600' > /dev/null 2>&1 & sleep 600");
    let (mut lock, left) = locked(&place, &[], &script);
    let shown = place.run(["locks", "inspect", "web", "--json"]).ends_with(0).json();
    if shown["locks"][0]["metadata"]["cgroup"].is_null() {
        end_process(left, 10_000).unwrap();
        return crate::common::skipped_by_the_machine("no control group can be made");
    }
    lock.kill();
    end_rest(&place);
    // The shell between is gone as well; where the descendant works does not matter.
    if ProcessIdentity::of(left.pid).is_some_and(|now| now == left) {
        assert!(!is_granted(&place));
        end_process(left, 10_000).unwrap();
    }
}

#[test]
fn command_that_left_something_running_keeps_the_lock_as_with_flock() {
    let place = Place::new();
    let ran = place.run([
        "lock",
        "web",
        "--",
        "sh",
        "-c",
        &format!(
            "(sh -c '{PID} exec sleep 600' > /dev/null 2>&1 &); until [ -e pid ]; do sleep 0.01; done; exit 5"
        ),
    ]);
    let ran = ran.ends_with(5);
    assert!(ran.stderr.contains("stays with what its command left running"), "{}", ran.stderr);
    assert!(!is_granted(&place));
    end_process(process(&place), 10_000).unwrap();
    until("it is free", || is_granted(&place));
    // A process that closes the descriptor keeps nothing.
    fs::remove_file(place.path("pid")).unwrap();
    let closing = format!(
        "(bash -c 'for fd in /proc/self/fd/*; do n=${{fd##*/}}; [ $n -gt 2 ] && eval \"exec $n>&-\"; done; {PID} exec sleep 600' > /dev/null 2>&1 &); until [ -e pid ]; do sleep 0.01; done"
    );
    place.run(["lock", "web", "--", "sh", "-c", &closing]).ends_with(0);
    assert!(is_granted(&place));
    end_process(process(&place), 10_000).unwrap();
}

#[test]
fn signal_ends_lock_and_command_and_gives_the_lock_back() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        for script in ["exec sleep 600", "sleep 600; true", "trap '' HUP; sleep 600; sleep 600"] {
            let place = Place::new();
            place.write("config.toml", "[jobs]\nkill_grace = \"1s\"\n");
            // These tests may run under nohup.
            let own = place.command();
            let mut command = Command::new("env");
            command.arg("--default-signal=HUP").arg(own.get_program()).current_dir(place.path(""));
            command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let (lock, command) = locked_by(&place, command, &[], &format!("{PID}{script}"));
            signal_process(ProcessIdentity::of(lock.pid()).unwrap(), signal).unwrap();
            assert_eq!(lock.wait(), status, "{script}");
            assert!(ProcessIdentity::of(command.pid).is_none_or(|now| now != command), "{script}");
            let shown = place.run(["locks", "inspect", "web", "--json"]).ends_with(0).json();
            assert_eq!(shown["locks"][0]["metadata"]["state"], "released", "{script}: {shown}");
        }
    }
}

#[test]
fn ignored_hangup_is_nohups_wish() {
    let place = Place::new();
    let own = place.command();
    let mut command = Command::new("env");
    command.arg("--ignore-signal=HUP").arg(own.get_program()).current_dir(place.path(""));
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args([
        "lock",
        "web",
        "--",
        "sh",
        "-c",
        &format!("{PID} until [ -e open ]; do sleep 0.02; done; exit 6"),
    ]);
    let lock = Background::start(&mut command);
    until("the command runs", || place.path("pid").exists());
    signal_process(ProcessIdentity::of(lock.pid()).unwrap(), Signal::HUP).unwrap();
    place.write("open", "");
    assert_eq!(lock.wait(), 6);
}

#[test]
fn lock_inside_of_what_has_the_repository_is_refused_at_once() {
    let place = Place::new();
    let own = place.command();
    let program = own.get_program().to_str().unwrap();
    let inner = format!("{program} --json lock web --wait 60s -- true");
    let state = format!("RECOVERYCTL_STATE_DIR={} ", place.state().display());
    for (name, script) in [
        ("plainly", inner.clone()),
        ("through a cleared environment", format!("env -i PATH=$PATH {state} {inner}")),
        ("through another lock", format!("{program} lock other -- {inner}")),
        ("from a session of its own", format!("setsid -w {inner}")),
    ] {
        let begun = std::time::Instant::now();
        let ran = place.run(["lock", "web", "--", "sh", "-c", &script]).ends_with(11);
        assert!(begun.elapsed().as_secs() < 30, "{name}");
        let error = ran.error();
        assert_eq!(error["code"], "lock-held-by-caller", "{name}: {error}");
        assert!(error["message"].as_str().unwrap().contains("runs inside it"), "{name}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("leave"), "{name}: {error}");
    }
    // Another repository makes no difference.
    place.run(["lock", "web", "--", "sh", "-c", &format!("{program} lock other -- true")]).ends_with(0);
}

#[test]
fn job_is_told_that_it_has_the_repository_itself() {
    let place = Place::new();
    let own = place.command();
    let program = own.get_program().to_str().unwrap();
    let config = place.path("config.toml");
    let ours = format!("{program} --state-dir {} --config {}", place.state().display(), config.display());
    let script = format!(
        "{ours} lock web --wait 60s -- true; echo lock $?; {ours} release web; echo release $?; \
         {ours} run other; echo run $?"
    );
    place.run(["submit", "--id", "other", "--repo", "web", "--priority", "-1", "--", "true"]).ends_with(0);
    place.run(["submit", "--id", "j", "--repo", "web", "--", "sh", "-c", &script]).ends_with(0);
    place.run(["work", "--once", "--workers", "1"]).ends_with(0);
    let said = place.run(["jobs", "output", "j"]).ends_with(0).stdout;
    assert!(said.contains("job j (attempt 1), and this command runs inside it"), "{said}");
    assert!(
        said.contains("lock 11\n") && said.contains("release 11\n") && said.contains("run 3\n"),
        "{said}"
    );
    assert_eq!(said.matches("this command runs inside it").count(), 3, "{said}");
}

#[test]
fn follower_ends_when_its_reader_is_gone() {
    let place = Place::new();
    place.run(["submit", "--id", "j", "--", "sh", "-c", "echo one; sleep 600"]).ends_with(0);
    let worker = Background::start(place.command().args(["work", "--once"]));
    until("it has printed", || place.run(["jobs", "output", "j"]).stdout == "one\n");
    let mut follower =
        place.command().args(["jobs", "output", "-f", "j"]).stdout(Stdio::piped()).spawn().unwrap();
    let reader = follower.stdout.take().unwrap();
    let mut lines = std::io::BufReader::new(reader);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(lines);
    until("the follower ends", || follower.try_wait().unwrap().is_some());
    place.run(["jobs", "cancel", "j"]).ends_with(0);
    assert_eq!(worker.wait(), 0);
}

#[test]
fn metadata_names_the_command_and_old_metadata_is_read() {
    let place = Place::new();
    let (_lock, command) = locked(&place, &[], &format!("{PID} exec sleep 600"));
    until("the command is recorded", || {
        let shown = place.run(["locks", "inspect", "web", "--json"]).ends_with(0).json();
        shown["locks"][0]["metadata"]["command"]["pid"] == json!(command.pid)
    });
    end_process(command, 10_000).unwrap();
    let _: Ran = place.run(["status"]);
}
