//! A PID that belongs to another process by now, provoked for real: in a separate process namespace, the next
//! PID can be chosen.

use std::process::{Command, Stdio};

use recovery::queue::JobStatus;
use recovery::system::{Host, Presence, presence};
use serde_json::Value;

use crate::common::{Background, Place, Ran, skipped, skipped_by_the_machine};
use crate::crash::scene::{Scene, kill, read_json, wait_for};

/// Runs a job, kills it with supervisor and daemon, and gives both numbers to processes that live.
const REUSE: &str = r#"
set -e
R=$1
$R submit --id it -- /bin/sleep 1000 >/dev/null
$R daemon --workers 1 >/dev/null 2>&1 &
D=$!
S=$RECOVERYCTL_STATE_DIR/attempts/it/sentinel.json
until grep -q '"command":{' "$S" 2>/dev/null; do sleep 0.02; done
number() { sed -n "s/.*\"$1\":{\"pid\":\([0-9]*\).*/\1/p" "$S"; }
for what in supervisor command; do number $what; done > numbers
kill -KILL $D $(cat numbers)
wait $D || true
for pid in $(cat numbers); do
    until [ ! -e /proc/$pid ]; do sleep 0.02; done
    for i in 1 2 3 4 5 6 7 8 9 10; do
        echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid
        /bin/sleep 1000 & 
        [ $! = $pid ] && break
    done
    [ "$(cat /proc/$pid/comm)" = sleep ] || exit 77
done
$R --json why job:it > why.json
$R --json recover > recovered.json || [ $? = 3 ]
$R --json jobs show it > shown.json
"#;

#[test]
fn a_number_that_was_given_again_is_no_sign_of_life() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let mut unshare = Command::new("unshare");
    unshare.args(["-p", "-f", "--mount-proc", "--kill-child"]).stdin(Stdio::null());
    let can = unshare.args(["sh", "-c", "echo 300 > /proc/sys/kernel/ns_last_pid"]).output();
    if !can.is_ok_and(|o| o.status.success()) {
        return skipped("no process namespace can be made here");
    }
    let inner = place.command();
    let mut command = Command::new("unshare");
    command.args(["-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", REUSE, "sh"]);
    command.arg(inner.get_program()).stdin(Stdio::null()).current_dir(place.path("")).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::of(&mut command);
    if ran.status == 77 {
        return skipped_by_the_machine("the number was taken by somebody else each time");
    }
    let ran = ran.ends_with(0);
    let read = |name: &str| crate::crash::scene::read_json(&place.path(name));
    let why = read("why.json");
    assert_eq!((&why["liveness"], &why["verdict"]), (&"dead".into(), &"crashed".into()), "{why} {ran:?}");
    let said = |role: &str| {
        let wanted = format!("{role} ");
        why["evidence"].as_array().unwrap().iter().any(|e| {
            let detail = e["detail"].as_str().unwrap();
            detail.starts_with(&wanted) && detail.contains("belongs to another process now")
        })
    };
    assert!(said("supervisor") && said("command"), "{why}");
    let counts = &read("recovered.json")["details"]["jobs"];
    assert_eq!((&counts["crashed"], &counts["reattached"]), (&1.into(), &0.into()), "{counts}");
    assert_eq!(read("shown.json")["status"], "crashed");
}

/// A command of this place, in a process namespace of its own that sees none of the others' processes.
fn elsewhere(place: &Place, arguments: &[&str]) -> Command {
    let inner = place.command();
    let mut command = Command::new("unshare");
    command.args(["-p", "-f", "--mount-proc", "--kill-child"]).arg(inner.get_program()).args(arguments);
    command.stdin(Stdio::null()).current_dir(place.path("")).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn json_elsewhere(place: &Place, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
    Ran::of(&mut elsewhere(place, &arguments)).json()
}

fn can_make_namespaces() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["-p", "-f", "--mount-proc", "--kill-child", "true"]).stdin(Stdio::null());
    unshare.output().is_ok_and(|o| o.status.success())
}

#[test]
fn job_whose_group_has_processes_is_alive_also_where_they_cannot_be_seen() {
    let scene = Scene::new();
    if !can_make_namespaces() {
        return skipped("no process namespace can be made here");
    }
    scene.place.write("config.toml", "[jobs]\nkill_grace = \"100ms\"\n");
    let daemon = scene.daemon(1);
    scene.submit("it", &[], "echo began >> $W/it; exec sleep 1000");
    scene.wait_for_witness("it");
    wait_for("the command to be recorded", || scene.job_file("it", "command.json").exists());
    if read_json(&scene.job_file("it", "command.json"))["cgroup"].is_null() {
        return skipped_by_the_machine("no control group can be made here");
    }
    let command = scene.command_of("it");
    daemon.kill();
    kill(scene.supervisor_of("it"));
    let why = json_elsewhere(&scene.place, &["why", "job:it"]);
    assert_eq!((&why["liveness"], &why["verdict"]), (&"alive".into(), &"orphaned_process".into()), "{why}");
    assert!(why["evidence"].to_string().contains("control group has processes that cannot be seen"), "{why}");
    let status = json_elsewhere(&scene.place, &["status"]);
    let found = status["findings"].as_array().unwrap().iter().find(|f| f["code"] == "job-orphaned-process");
    assert!(found.is_some_and(|f| f["sentence"].to_string().contains("cannot be seen")), "{status}");
    let assumed = ["repair", "jobs", "--assume-dead", "it", "--yes", "--reason", "known to be over"];
    let refused = Ran::of(&mut elsewhere(&scene.place, &assumed));
    assert_ne!(refused.status, 0, "{refused:?}");
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("it is alive"), "{refused:?}");
    json_elsewhere(&scene.place, &["recover"]);
    assert_eq!((scene.status("it"), presence(command)), (JobStatus::Running, Presence::Alive));
    // A job whose end is requested is ended through its group.
    json_elsewhere(&scene.place, &["jobs", "cancel", "it"]);
    assert_eq!((scene.status("it"), presence(command)), (JobStatus::Cancelled, Presence::Gone));
}

#[test]
fn lock_of_a_process_namespace_that_is_gone_is_given_back() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    if !can_make_namespaces() {
        return skipped("no process namespace can be made here");
    }
    let held = place.path("held");
    let script = format!("echo held > {}; exec sleep 1000", held.display());
    let mut holder = Background::start(&mut elsewhere(&place, &["lock", "web", "--", "sh", "-c", &script]));
    wait_for("the lock", || held.exists());
    holder.kill();
    let metadata = place.state().join("locks/web.lock");
    wait_for("the flock to be free", || recovery::durable::is_held(&metadata).is_ok_and(|held| !held));
    // Where not all namespaces can be seen, nothing can be proven, and that is reported before any recovery.
    let found = json_elsewhere(&place, &["findings"]);
    let unavailable = |found: &Value| {
        let all = found["findings"].as_array().unwrap();
        all.iter().find(|f| f["code"] == "lock-unavailable" && f["object"] == "lock:web").cloned()
    };
    let finding = unavailable(&found).unwrap_or_else(|| panic!("{found}"));
    assert!(finding["sentence"].to_string().contains("another process namespace"), "{finding}");
    assert_eq!(finding["next"], "recoveryctl why lock:web", "{finding}");
    if !Host::this().sees_all_namespaces() || !rustix::process::geteuid().is_root() {
        return skipped_by_the_machine("not all process namespaces are seen from here");
    }
    let found = Ran::of(place.command().args(["--json", "findings"])).json();
    assert_eq!(unavailable(&found), None, "{found}");
    let why = place.run(["--json", "why", "lock:web"]).json();
    assert!(why.to_string().contains("has no process any more"), "{why}");
    let stale = place.run(["--json", "locks", "detect-stale", "--release"]).ends_with(0).json();
    assert_eq!(
        (&stale["stale"][0]["repository"], &stale["stale"][0]["released"]),
        (&"web".into(), &true.into())
    );
    place.run(["lock", "web", "--wait", "1ms", "--", "true"]).ends_with(0);
}

/// While a process of the namespace lives its lock is nobody else's, though its holder is killed.
#[test]
fn lock_of_a_process_namespace_that_lives_is_not_given_back() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    if !can_make_namespaces() {
        return skipped("no process namespace can be made here");
    }
    let held = place.path("held");
    // The shell that is the namespace's first process outlives the lock's holder and command.
    let script = "\"$0\" lock web -- sh -c 'echo $$ > \"$0\"; exec sleep 1000' \"$1\" & \
                  until [ -s \"$1\" ]; do sleep 0.05; done; kill -KILL $! $(cat \"$1\"); exec sleep 1000";
    let command = elsewhere(&place, &[]);
    let program = command.get_args().last().unwrap().to_owned();
    let mut shell = Command::new("unshare");
    shell.args(["-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", script]).arg(program).arg(&held);
    shell.stdin(Stdio::null()).current_dir(place.path("")).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut namespace = Background::start(&mut shell);
    wait_for("the lock", || held.exists());
    let flock = place.state().join("locks/web.lock");
    wait_for("the flock to be free", || recovery::durable::is_held(&flock).is_ok_and(|held| !held));
    assert_eq!(place.run(["lock", "web", "--wait", "1ms", "--", "true"]).status, 12);
    namespace.kill();
}
