//! `config show` and `config check`: layers, origins, errors with their place.
#![allow(clippy::disallowed_methods)]

use crate::common::{Place, Ran};
use serde_json::Value;

fn setting(shown: &Value, key: &str) -> Value {
    let settings = shown["settings"].as_array().unwrap();
    settings.iter().find(|s| s["key"] == key).unwrap().clone()
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let place = Place::new();
    let file =
        place.write("config.toml", "lock_wait = \"1s\"\n[jobs]\nheartbeat = \"5s\"\nkill_grace = '3s'\n");
    let mut command = place.command();
    command.args(["config", "show", "--json", "--lock-wait", "7s"]).env("RECOVERYCTL_JOBS_HEARTBEAT", "6s");
    let shown = Ran::of(&mut command).ends_with(0).json();
    let origin = |key| setting(&shown, key)["origin"].clone();
    assert_eq!(setting(&shown, "lock_wait")["value"], "7s");
    assert_eq!(origin("lock_wait"), serde_json::json!({ "from": "flag", "name": "--lock-wait" }));
    assert_eq!(setting(&shown, "jobs.heartbeat")["value"], "6s");
    assert_eq!(
        origin("jobs.heartbeat"),
        serde_json::json!({ "from": "environment", "name": "RECOVERYCTL_JOBS_HEARTBEAT" })
    );
    assert_eq!(
        origin("jobs.kill_grace"),
        serde_json::json!({ "from": "file", "path": file.to_str().unwrap(), "line": 4 })
    );
    assert_eq!(origin("recovery.tries"), serde_json::json!({ "from": "default" }));
    assert_eq!(shown["total"], shown["settings"].as_array().unwrap().len());

    assert_eq!(shown["file_read"], true);

    let text = place.run(["config", "show"]).ends_with(0).stdout;
    let line = text.lines().find(|l| l.starts_with("jobs.kill_grace")).unwrap();
    assert!(line.ends_with(&format!("file {}:4", file.display())), "{line}");
}

#[test]
fn wrong_keys_and_values_name_file_and_line() {
    let place = Place::new();
    for (text, place_in_file, hint) in [
        ("\n[jobs]\nhartbeat = '5s'\n", "config.toml:3: unknown key 'jobs.hartbeat'", Some("jobs.heartbeat")),
        ("[job]\nheartbeat = '5s'\n", "config.toml:1: unknown key 'job'", Some("jobs")),
        ("lock_wait = 10\n", "config.toml:1: lock_wait must be a duration", None),
        ("[daemon]\nworkers = 'four'\n", "config.toml:2: daemon.workers must be a whole number", None),
        ("[jobs]\non_crash = 'pray'\n", "config.toml:2: jobs.on_crash must be \"hold\"", None),
        ("a = 1\n[jobs\n", "config.toml:2: ", None),
    ] {
        place.write("config.toml", text);
        for arguments in [&["config", "check", "--json"][..], &["init", "--json"]] {
            let error = place.run(arguments).ends_with(2).error();
            assert!(error["message"].as_str().unwrap().contains(place_in_file), "{error}");
            if let Some(hint) = hint {
                assert!(error["hint"].as_str().unwrap().contains(&format!("'{hint}'")), "{error}");
            }
        }
    }
    assert!(!place.state().exists());
    place.run(["explain", "lock-kept"]).ends_with(0);
}

#[test]
fn wrong_variables_are_named() {
    let place = Place::new();
    let ran = Ran::of(place.command().args(["init"]).env("RECOVERYCTL_LOCK_WAIT", "soon")).ends_with(2);
    assert!(ran.stderr.contains("RECOVERYCTL_LOCK_WAIT: lock_wait must be"), "{}", ran.stderr);
    let mut check = place.command();
    check.args(["config", "check", "--json"]).env("RECOVERYCTL_JOB_ID", "x");
    Ran::of(&mut check).ends_with(0);
    let ran = Ran::of(check.env("RECOVERYCTL_LOCKWAIT", "1s")).ends_with(3);
    let unknown = &ran.json()["unknown_variables"][0];
    assert_eq!(unknown["name"], "RECOVERYCTL_LOCKWAIT");
    assert_eq!(unknown["suggestion"], "RECOVERYCTL_LOCK_WAIT");
}

#[test]
fn a_file_that_somebody_named_must_exist() {
    let place = Place::new();
    let missing = place.path("missing.toml");
    let ran = place.run(["config", "show", "--config", missing.to_str().unwrap()]).ends_with(2);
    assert!(ran.stderr.contains("missing.toml"), "{}", ran.stderr);
    Ran::of(place.command().args(["init"]).env("RECOVERYCTL_CONFIG", &missing)).ends_with(2);
}

#[test]
fn the_configured_state_directory_is_used() {
    let place = Place::new();
    let configured = place.path("configured");
    let file = place.write("c.toml", &format!("state_dir = {configured:?}\n"));
    Ran::of(place.bare_command().args(["init", "--config"]).arg(file)).ends_with(0);
    assert!(configured.join("state.json").exists());
}
