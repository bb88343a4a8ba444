//! Every next step that any test finds in a document is a command, and can be typed as it stands.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

/// Next steps that are not commands of ours: they continue or end a process, or make a path one's own.
const OF_THE_SYSTEM: [&str; 4] = ["kill -", "chmod ", "chown ", "ps -fp "];

/// Checks the next steps that no test has found before.
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
            // In the audit trail, an action is what was done.
            let is_state = members.contains_key("state") && members.contains_key("status");
            for (name, value) in members {
                match value {
                    // The step has a placeholder, as `explain` shows it.
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
    // The step is parsed as it stands, and not run.
    let read =
        typed.args(&words[1..]).arg("--help").env("RECOVERYCTL_STATE_DIR", "/nowhere").output().unwrap();
    assert!(read.status.success(), "{step}: {}", String::from_utf8_lossy(&read.stderr));
}
