//! What every command says, in one small state directory: exit status, standard output, standard error, and
//! the report that `--json` prints. The snapshots lie beside this file.
//! `INSTA_UPDATE=always cargo test -p recoveryctl texts` writes them anew; read the difference before you commit
//! it.
//!
//! What differs from run to run (times, ids, processes, places) is replaced, and runs of spaces by two.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::Ran;
use crate::crash::scene::Scene;

/// Commands with arguments that show something; each also with `--json`. Those that change something come last, and see
/// what those before them did.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["health"],
    &["health", "--nagios"],
    &["findings"],
    &["findings", "ack", "gone"],
    &["findings", "mute", "gone", "--for", "1h"],
    &["findings", "unmute", "gone"],
    &["queue", "status"],
    &["queue", "metrics"],
    &["queue", "snapshot"],
    &["queue", "wal"],
    &["jobs", "list"],
    &["jobs", "list", "--status", "failed"],
    &["jobs", "show", "test"],
    &["jobs", "show", "gone"],
    &["jobs", "output", "test"],
    &["jobs", "status"],
    &["jobs", "log", "gone"],
    &["jobs", "sentinels"],
    &["jobs", "failed"],
    &["jobs", "metrics"],
    &["locks", "active"],
    &["locks", "recovered"],
    &["locks", "inspect"],
    &["locks", "detect-stale"],
    &["why", "job:test"],
    &["why", "lock:web"],
    &["why", "orphan:gone"],
    &["audit", "--action", "submit"],
    &["cleanup", "state"],
    &["cleanup", "queue"],
    &["cleanup", "resuming"],
    &["cleanup", "completed"],
    &["cleanup", "archive", "list"],
    &["cleanup", "archive", "show", "gone"],
    &["cleanup", "archive", "restore", "gone", "--to", "there"],
    &["cleanup", "archive", "prune"],
    &["orphans", "candidates"],
    &["orphans", "cleanup-log"],
    &["recovery", "status"],
    &["recovery", "phases"],
    &["recovery", "metrics"],
    &["recovery", "dashboard"],
    &["recovery", "history"],
    &["startup", "detection"],
    &["startup", "cleanup-log"],
    &["startup", "history"],
    &["startup", "log"],
    &["webhooks", "pending"],
    &["webhooks", "recovered"],
    &["webhooks", "log"],
    &["webhooks", "test", "http://127.0.0.1:9/", "--dry-run"],
    &["state", "show"],
    &["state", "adopt", "--as-new"],
    &["config", "check"],
    &["explain", "job-crashed"],
    // These commands change something.
    &["init"],
    &["scan"],
    &["repair"],
    &["repair", "--dry-run"],
    &["submit", "--id", "late", "--dry-run", "--export", "none", "--", "true"],
    &["submit", "--id", "test", "--export", "none", "--", "true"],
    &["jobs", "cancel", "deploy", "gone"],
    &["jobs", "prune", "--dry-run"],
    &["resume", "test", "--dry-run"],
    &["resume", "gone"],
    &["release", "web"],
    &["release", "gone"],
    &["retry", "cleanup", "gone"],
    &["retry", "phase", "locks", "--dry-run"],
    &["retry", "webhook", "gone"],
    &["skip", "locks", "--dry-run"],
    &["cleanup", "start", "test", "--dry-run"],
    &["cleanup", "run"],
    &["cleanup", "skip", "gone", "cidx"],
    &["orphans", "cleanup"],
    &["orphans", "restore", "gone"],
    &["orphans", "empty-trash"],
    &["webhooks", "deliver", "--once"],
    &["webhooks", "discard", "gone"],
    &["startup", "clear"],
    &["token", "rotate", "viewer"],
    &["lock", "web", "--", "true"],
    &["work", "--once"],
    &["run", "test"],
    &["import", "claude-batch-server", "nowhere"],
];

/// Commands whose output is long, a picture, or empty: other tests have them.
const ELSEWHERE: &[&str] =
    &["daemon", "demo", "tui", "completions", "man", "openapi", "config show", "recover"];

/// Replaces what differs from run to run.
const FILTERS: &[(&str, &str)] = &[
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
    (r"\b[0-9a-f]{16,64}\b", "[hash]"),
    (r"/tmp/\.tmp\w+", "[place]"),
    (r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "[time]"),
    (r"20\d\d-\d\d-\d\d", "[day]"),
    (r"\b\d+(\.\d+)? ?(ms|s|min|h|d)\b( \d+ (s|min|h)\b)?", "[span]"),
    (r"\[span\] ago|just now|\bnow\b", "[ago]"),
    (r"\b\d+(\.\d+)? (B|KiB|MiB|GiB)\b", "[size]"),
    (r"(process|pid|inode|uid:?|boot) ?\d+", "$1 [n]"),
    (r"boot [0-9a-f-]+", "boot [id]"),
    // The log of what runs in parallel.
    (r"(?m)^\[time\] INFO .*\n", ""),
    // Processes, ports, sizes: no count here is this large.
    (r"\b\d{3,}\b", "[n]"),
    (r"(?m) +$", ""),
    (r"  +", "  "),
];

#[test]
fn every_command_says_what_it_said() {
    let scene = scene();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    settings.add_filter(&format!(r"\b{}\b", host.trim()), "[host]");
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, *replacement);
    }
    settings.bind(|| {
        for words in COMMANDS {
            let text = scene.run(words);
            let json = scene.run(&[&["--json"], *words].concat());
            let name = words.join(" ").replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
            insta::assert_snapshot!(name, told(&text, &json));
        }
    });
}

/// A job that succeeded, one that failed, one that waits.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.submit("build", &["--repo", "web", "--export", "none"], "echo built; sleep 0.3");
    scene.submit(
        "test",
        &["--repo", "web", "--export", "none", "--title", "all tests"],
        "echo 1 failed; sleep 0.3; exit 2",
    );
    scene.run(&["run", "build", "test"]).ends_with(3);
    scene.submit("deploy", &["--repo", "api", "--priority", "5", "--export", "none"], "true");
    scene
}

fn told(text: &Ran, json: &Ran) -> String {
    let mut report = serde_json::from_str(&json.stdout).unwrap_or(Value::Null);
    blank(&mut report);
    format!(
        "status {}\n--- stdout\n{}--- stderr\n{}--- json, status {}\n{}\n",
        text.status,
        text.stdout,
        text.stderr,
        json.status,
        serde_json::to_string_pretty(&report).unwrap()
    )
}

/// Numbers that differ from run to run.
const DIFFERS: [&str; 6] = ["_ms", "pid", "bytes", "_bytes", "start_time", "offset"];

fn blank(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(members) => {
            for (name, value) in members {
                match DIFFERS.iter().any(|end| name.ends_with(end)) {
                    true => blank_numbers(value),
                    false => blank(value),
                }
                // Phases run in parallel.
                if let (true, Value::Array(phases)) = (name == "phases_done", value) {
                    phases.sort_by_key(ToString::to_string);
                }
            }
        }
        _ => {}
    }
}

fn blank_numbers(value: &mut Value) {
    match value {
        Value::Number(_) => *value = "[n]".into(),
        Value::Array(items) => items.iter_mut().for_each(blank_numbers),
        Value::Object(members) => members.values_mut().for_each(blank_numbers),
        _ => {}
    }
}

/// A new command must be in the table or in the list of exceptions.
#[test]
fn every_command_is_in_the_table() {
    let scene = Scene::new();
    let mut leaves = BTreeSet::new();
    leaves_below(&scene, &mut Vec::new(), &mut leaves);
    assert!(leaves.len() > 60, "{leaves:?}");
    let is_shown = |leaf: &String| {
        COMMANDS.iter().any(|words| format!("{} ", words.join(" ")).starts_with(&format!("{leaf} ")))
    };
    let missing: Vec<&String> =
        leaves.iter().filter(|leaf| !ELSEWHERE.contains(&leaf.as_str()) && !is_shown(leaf)).collect();
    assert!(missing.is_empty(), "not in COMMANDS: {missing:?}");
}

fn leaves_below(scene: &Scene, words: &mut Vec<String>, leaves: &mut BTreeSet<String>) {
    let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = scene.run(&arguments).ends_with(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<String> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    if names.is_empty() {
        leaves.insert(words.join(" "));
    }
    for name in names {
        words.push(name);
        leaves_below(scene, words, leaves);
        words.pop();
    }
}
