//! Every next step that any test meets in a document is a command, and one that can be typed as it stands.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

/// What a next step may be besides a command of ours: it lets a process go on, or end, or a path be one's own.
const OF_THE_SYSTEM: [&str; 4] = ["kill -", "chmod ", "chown ", "ps -fp "];

/// Checks those that no test has met before.
pub(super) fn check(document: &Value) {
    static MET: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut steps = BTreeSet::new();
    collect(document, &mut steps);
    for step in steps {
        if MET.lock().unwrap().insert(step.clone()) {
            check_step(&step);
        }
    }
}

fn collect(value: &Value, steps: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            // What was done is an action too, in the audit trail.
            let is_state = members.contains_key("state") && members.contains_key("status");
            for (name, value) in members {
                match value {
                    // With a place for a name, as `explain` shows it.
                    Value::String(step) if step.contains('{') => {}
                    Value::String(step) if name == "next" || name == "action" && is_state => {
                        steps.insert(step.clone());
                    }
                    value => collect(value, steps),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, steps)),
        _ => {}
    }
}

fn check_step(step: &str) {
    if OF_THE_SYSTEM.iter().any(|start| step.starts_with(start)) {
        return;
    }
    let words = shlex::split(step).unwrap_or_else(|| panic!("cannot be typed: {step}"));
    assert_eq!(words.first().map(String::as_str), Some("recoveryctl"), "a next step is a command: {step}");
    let mut typed = Command::new(env!("CARGO_BIN_EXE_recoveryctl"));
    // It is read as it stands, and not carried out.
    let read =
        typed.args(&words[1..]).arg("--help").env("RECOVERYCTL_STATE_DIR", "/nowhere").output().unwrap();
    assert!(read.status.success(), "{step}: {}", String::from_utf8_lossy(&read.stderr));
}
