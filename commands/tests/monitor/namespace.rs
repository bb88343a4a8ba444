//! A number that belongs to another process by now, provoked for real: in a process namespace of its own
//! the next number can be chosen.

use std::process::{Command, Stdio};

use crate::common::{Place, Ran, skipped, skipped_by_the_machine};

/// Runs a job, kills it with supervisor and daemon, and gives both numbers to processes that live.
const REUSE: &str = r#"
set -e
R=$1
$R submit --id it -- /bin/sleep 1000 >/dev/null
$R daemon --workers 1 >/dev/null 2>&1 &
D=$!
S=$RECOVERYCTL_STATE_DIR/jobs/it/sentinel.json
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
