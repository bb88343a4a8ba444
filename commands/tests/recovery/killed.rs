//! SIGKILL in each phase, then a start: the history names the phase, the sequence completes, and what was done
//! before is not harmed.

use recovery::queue::JobStatus;
use serde_json::json;

use super::{Running, Stop, after_a_crash, phase_of};

/// In the order in which they are entered; `webhooks` waits for `jobs` alone, and is told apart below.
const PHASES: [&str; 7] = ["startup", "queue", "jobs", "locks", "cleanup", "orphans", "webhooks"];

#[test]
fn a_kill_in_each_phase_is_told_and_the_next_start_completes() {
    for (before_it, phase) in PHASES.into_iter().enumerate() {
        let scene = after_a_crash();
        let stop = Stop::in_phase(&scene, phase);
        let recover = Running::start(&scene, &["recover"]);
        recover.wait_for_phase(&scene, phase);
        let last_beside = match phase {
            "webhooks" => Some("orphans"),
            "locks" | "cleanup" | "orphans" => Some("webhooks"),
            _ => None,
        };
        if let Some(beside) = last_beside {
            crate::crash::scene::wait_for("what runs beside it", || {
                let current = &scene.json(&["startup", "detection"], 0)["current"];
                current["phases_done"].as_array().unwrap().contains(&json!(beside))
            });
        }
        let running = scene.json(&["startup", "detection"], 0);
        assert_eq!(running["current"]["outcome"], "running", "{running}");
        recover.kill();
        let detection = scene.json(&["startup", "detection"], 0);
        assert_eq!((&detection["aborted"], &detection["current"]), (&json!(true), &json!(null)));
        assert_eq!(detection["previous"]["phase"], phase, "{detection}");
        let done = detection["previous"]["phases_done"].as_array().unwrap();
        if phase != "webhooks" {
            let before: Vec<&serde_json::Value> = done.iter().filter(|p| **p != "webhooks").collect();
            assert_eq!(json!(before), json!(PHASES[..before_it]), "{detection}");
        }
        assert!(!done.contains(&json!(phase)), "{detection}");
        assert_eq!(detection["consecutive_aborts"], 1);
        drop(stop);

        let recovered = scene.recover();
        recovered.names("startup-aborted");
        assert_eq!(recovered.document["outcome"], "completed", "{phase}: {:#}", recovered.document);
        for name in PHASES {
            let status = &phase_of(&recovered.document, name)["status"];
            assert!(status == "succeeded", "{phase}: {name} {status}");
        }
        let history = scene.json(&["startup", "history"], 0);
        let (now, then) = (&history["startups"][0], &history["startups"][1]);
        assert_eq!((&now["outcome"], &then["outcome"]), (&json!("completed"), &json!("aborted")));
        assert_eq!(then["phase"], phase);
        let detection = scene.json(&["startup", "detection"], 0);
        assert_eq!((&detection["aborted"], &detection["consecutive_aborts"]), (&json!(true), &json!(0)));
        assert_eq!(detection["current"]["startup_id"], now["startup_id"]);
        // What the killed recovery had done was done once.
        assert_eq!(scene.status("done"), JobStatus::Succeeded);
        assert_eq!(scene.status("gone"), JobStatus::Crashed);
        assert_eq!(scene.job("gone").run_state().attempts.len(), 1, "{phase}");
        assert_eq!(scene.json(&["locks", "active"], 0)["total"], 0, "{phase}");
        scene.work();
        assert_eq!(scene.witnessed("waits"), ["ran"], "{phase}");
        if phase == "startup" {
            let log = scene.json(&["startup", "cleanup-log"], 0);
            assert!(!scene.dir().paths.jobs().join(".tmp-aB3dE9").exists(), "{log}");
        }
    }
}
