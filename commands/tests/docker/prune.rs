//! `jobs prune` with an engine: what a job left there goes before the job does.

use serde_json::{Value, json};

use super::engine::{Engine, labels, strange_labels, with_engine};
use crate::common::{Background, Place, until};

fn ids(report: &Value, list: &str) -> Vec<String> {
    let all = report[list].as_array().unwrap_or_else(|| panic!("{report}"));
    let mut ids: Vec<String> = all.iter().map(|j| j["job_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn ended(engine: &Engine, place: &Place, id: &str) {
    engine.run(place, &["submit", "--id", id, "--", "sh", "-c", "echo x > file"]).ends_with(0);
    engine.run(place, &["work", "--once"]).ends_with(0);
}

#[test]
fn what_jobs_left_in_the_engine_goes_with_them_and_an_engine_that_is_away_keeps_them() {
    with_engine(|engine| {
        let place = Place::new();
        engine.run(&place, &["init"]).ends_with(0);
        for id in ["labelled", "named", "plain"] {
            ended(engine, &place, id);
        }
        let ours = labels(&place, "labelled");
        engine.container("l-runs", &ours);
        engine.make("network", "l-net", &ours);
        engine.make("volume", "l-vol", &ours);
        engine.created("cidx-named-1", &[]);
        engine.created("cidx-plain-strange", &strange_labels("plain"));
        engine.container("bystander", &[]);

        engine.word("kill");
        let away = engine.json(&place, &["jobs", "prune", "--keep-days", "0"]);
        assert_eq!((&away["removed"], &away["cleanups"]), (&json!([]), &json!([])), "{away}");
        let codes: Vec<&Value> = away["kept"].as_array().unwrap().iter().map(|k| &k["code"]).collect();
        assert_eq!(codes, [&json!("job-cleanup-pending"); 3], "{away}");
        assert!(away["kept"][0]["detail"].as_str().unwrap().contains("cannot be reached"), "{away}");
        engine.word("again");

        let done = engine.json(&place, &["jobs", "prune", "--keep-days", "0"]);
        assert_eq!(ids(&done, "removed"), ["labelled", "named", "plain"], "{done}");
        assert_eq!(ids(&done, "cleanups"), ["labelled", "named"], "{done}");
        assert_eq!(engine.names("container"), ["bystander", "cidx-plain-strange"]);
        assert!(engine.names("network").is_empty() && engine.names("volume").is_empty());
        assert_eq!(engine.json(&place, &["jobs", "list"])["total"], 0);
    });
}

/// The daemon looks again when the engine is back, long before the next day.
#[test]
fn a_daemon_prunes_when_the_engine_is_back() {
    with_engine(|engine| {
        let place = Place::new();
        engine.run(&place, &["init"]).ends_with(0);
        ended(engine, &place, "late");
        engine.created("late-1", &labels(&place, "late"));
        place.write("config.toml", "[jobs]\nkeep_days = 0\nkeep_last = 0\n");
        engine.word("kill");
        let daemon = Background::start(engine.command(&place).arg("daemon"));
        until("the daemon to be ready", || place.state().join("daemon/daemon.json").exists());
        let jobs = || engine.json(&place, &["jobs", "list"])["total"].clone();
        assert_eq!(jobs(), 1);
        engine.word("again");
        until("the job to be pruned", || jobs() == 0);
        drop(daemon);
        assert!(engine.names("container").is_empty());
    });
}
