//! Requests that are sent again with their `Idempotency-Key` are not executed again, also when the daemon
//! died.

use serde_json::{Value, json};

use crate::crash::scene::read_json;
use crate::http::client::{Reply, Served};

fn keyed(served: &Served, method: &str, path: &str, body: Option<&Value>, key: &str) -> Reply {
    let token = format!("Bearer {}", served.token("admin"));
    let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key)];
    served.ask_with(method, path, body.map(Value::to_string).as_deref(), &headers)
}

fn total(served: &Served) -> Value {
    served.get("/api/jobs").is(200).json()["total"].clone()
}

#[test]
fn a_key_is_answered_once_and_replayed_after() {
    let served = Served::new();
    let job = json!({ "command": ["true"] });
    let first = keyed(&served, "POST", "/api/jobs", Some(&job), "one").is(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = keyed(&served, "POST", "/api/jobs", Some(&job), "one").is(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    assert_eq!(total(&served), 1);
    let other = json!({ "command": ["false"] });
    keyed(&served, "POST", "/api/jobs", Some(&other), "one").problem(409, "idempotency-key-reused");
    keyed(&served, "POST", "/api/jobs", Some(&job), "two").is(201);
    assert_eq!(total(&served), 2);
    // What was refused is refused again, as it was.
    keyed(&served, "POST", "/api/jobs/gone/cancel", None, "three").problem(404, "no-such-job");
    let refused = keyed(&served, "POST", "/api/jobs/gone/cancel", None, "three");
    assert_eq!(refused.header("idempotency-replayed"), Some("true"));
    refused.problem(404, "no-such-job");
    for bad in [String::new(), "x".repeat(256)] {
        keyed(&served, "POST", "/api/jobs", Some(&job), &bad).problem(422, "bad-request");
    }
    // A rehearsal leaves its key unused.
    keyed(&served, "POST", "/api/jobs?dry_run=true", Some(&job), "four").is(200);
    keyed(&served, "POST", "/api/jobs", Some(&job), "four").is(201);
    assert_eq!(total(&served), 3);
}

/// Removes the stored answer, as if the daemon had died between executing the request and storing the answer.
fn forget_the_answer(served: &Served) {
    let folder = served.scene.place.state().join("daemon/answered");
    let newest = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    let newest = newest.max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    let mut kept = read_json(&newest);
    assert!(kept.as_object_mut().unwrap().remove("answer").is_some());
    std::fs::write(newest, kept.to_string()).unwrap();
}

#[test]
fn what_was_begun_before_a_crash_is_finished_and_not_repeated() {
    let served = Served::new();
    let job = json!({ "command": ["false"] });
    let first = keyed(&served, "POST", "/api/jobs", Some(&job), "submit").is(201);
    forget_the_answer(&served);
    let again = keyed(&served, "POST", "/api/jobs", Some(&job), "submit").is(201);
    assert_eq!(again.json()["job_id"], first.json()["job_id"]);
    assert_eq!(again.json()["seq"], first.json()["seq"]);
    assert_eq!(total(&served), 1);
    // A job of the same name that another client submitted is not the one that was asked for.
    served.submit(&json!({ "id": "taken", "command": ["true"] }));
    let other = json!({ "id": "taken", "command": ["false"] });
    keyed(&served, "POST", "/api/jobs", Some(&other), "taken").problem(409, "job-exists");
    forget_the_answer(&served);
    keyed(&served, "POST", "/api/jobs", Some(&other), "taken").problem(409, "job-exists");
    let own = json!({ "id": "own", "command": ["false"] });
    let named = keyed(&served, "POST", "/api/jobs", Some(&own), "own").is(201);
    forget_the_answer(&served);
    let again = keyed(&served, "POST", "/api/jobs", Some(&own), "own").is(201);
    assert_eq!(again.json()["seq"], named.json()["seq"]);
    let id = first.json()["job_id"].as_str().unwrap().to_owned();
    served.wait_for(&id, "failed");
    let resume = json!({ "job_ids": [id] });
    let path = "/api/admin/recovery/jobs/resume";
    let resumed = keyed(&served, "POST", path, Some(&resume), "resume").is(200).json();
    assert_eq!(resumed["resumed"][0]["attempt"], 2);
    served.wait_for(&id, "failed");
    forget_the_answer(&served);
    let again = keyed(&served, "POST", path, Some(&resume), "resume").is(200).json();
    assert_eq!(again["resumed"], resumed["resumed"]);
    assert_eq!(served.get(&format!("/api/jobs/{id}")).is(200).json()["attempt"], 2);
    // A first try gave this grant back; the present holder of the repository keeps its own.
    served.hold("before", "web");
    let release = "/api/admin/locks/web?force=true";
    let released = keyed(&served, "DELETE", release, None, "release").is(200).json();
    forget_the_answer(&served);
    served.cancel("before");
    served.hold("after", "web");
    let again = keyed(&served, "DELETE", release, None, "release");
    assert_eq!(again.status, 409, "{}", String::from_utf8_lossy(&again.body));
    let now = served.get("/api/admin/locks/inspect?repo=web").is(200).json();
    assert_eq!(now["locks"][0]["job_id"], "after");
    assert_ne!(now["locks"][0]["lock_id"], released["lock_id"]);
    served.cancel("after");
}
