//! `docs/openapi.json` is true: real answers of every operation, full and empty, good and bad, are checked
//! against it, and contain nothing that it does not name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::crash::scene::{Scene, read_json, wait_for};
use crate::http::client::{Reply, Served, exchange};

/// The description, and what was checked against it.
struct Described {
    document: Value,
    seen: RefCell<BTreeSet<String>>,
    /// By their schema: each is made of the whole document.
    validators: RefCell<BTreeMap<String, Rc<Validator>>>,
}

impl Described {
    fn new() -> Described {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let mut document = read_json(&file);
        // Reports may get more members; those that they have now are all named. A problem has its report's.
        for (name, schema) in document["components"]["schemas"].as_object_mut().unwrap() {
            if schema["properties"].is_object() && name != "Problem" {
                schema["unevaluatedProperties"] = json!(false);
            }
        }
        Described { document, seen: RefCell::default(), validators: RefCell::default() }
    }

    /// What a reference leads to, or the thing itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    fn validator(&self, schema: &Value) -> Rc<Validator> {
        let make = || {
            let whole = json!({ "allOf": [schema], "components": self.document["components"] });
            Rc::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap())
        };
        Rc::clone(self.validators.borrow_mut().entry(schema.to_string()).or_insert_with(make))
    }

    /// Checks an answer against its description: status, headers, media type, body.
    #[track_caller]
    fn hold(&self, method: &str, template: &str, reply: &Reply) {
        let what = format!("{method} {template} {}", reply.status);
        let body = String::from_utf8_lossy(&reply.body);
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let response = &operation["responses"][reply.status.to_string()];
        assert!(response.is_object(), "{what} is not described: {body}");
        let response = self.resolved(response);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.resolved(header);
            match reply.header(name) {
                None => assert_ne!(header["required"], true, "{what}: no {name}"),
                Some(value) => {
                    let number = value.parse::<u64>().map(Value::from);
                    let is_number = header["schema"]["type"] == "integer";
                    let value = if is_number { number.unwrap() } else { value.into() };
                    assert!(self.validator(&header["schema"]).is_valid(&value), "{what}: {name}: {value}");
                }
            }
        }
        if let Some(content) = response["content"].as_object() {
            let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap();
            let media = content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not described"));
            if kind.ends_with("json") {
                let validator = self.validator(&media["schema"]);
                let body = reply.json();
                let wrong: Vec<String> =
                    validator.iter_errors(&body).map(|e| format!("{} at {}", e, e.instance_path())).collect();
                assert!(wrong.is_empty(), "{what}:\n{}\n{body:#}", wrong.join("\n"));
            }
        }
        self.seen.borrow_mut().insert(what);
    }

    /// Every operation.
    fn operations(&self) -> impl Iterator<Item = (String, &str)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(move |method| (method.to_uppercase(), path.as_str()))
        })
    }
}

/// A path with names in the place of its parameters: one that is there, or none.
fn named(template: &str, is_there: bool) -> String {
    let (job, repository, archive) =
        if is_there { ("long", "web", "kept.1") } else { ("gone", "gone", "gone") };
    let path = template.replace("{id}", job).replace("{repo}", repository).replace("{archive_id}", archive);
    match template {
        "/api/admin/why" => format!("{path}?object=job:{job}"),
        _ => path,
    }
}

/// Looks at everything that can be looked at.
#[track_caller]
fn look_at_all(described: &Described, served: &Served, is_there: bool) {
    for (method, template) in described.operations() {
        if method == "GET" && template != "/api/admin/events" {
            let path = named(template, is_there);
            described.hold(&method, template, &served.get(&path));
            described.hold(&method, template, &exchange(&served.address, "GET", &path, None, &[]).unwrap());
        }
    }
}

/// Requests each change with a body that does not fit, and with one that is no JSON.
fn refuse_all(described: &Described, served: &Served) {
    for (method, template) in described.operations().filter(|(method, _)| method != "GET") {
        let path = named(template, false);
        for body in [Some("{"), Some("{\"nonsense\":1}"), Some("[]"), Some("{}")] {
            described.hold(&method, template, &served.ask(&method, &path, body));
        }
        let viewer = format!("Bearer {}", served.token("viewer"));
        let refused = served.ask_with(&method, &path, None, &[("Authorization", &viewer)]);
        described.hold(&method, template, &refused.is(403));
        let nobody = exchange(&served.address, &method, &path, None, &[]).unwrap();
        described.hold(&method, template, &nobody.is(401));
    }
}

/// Orphans may be removed at once; the index tool fails, so that a cleanup waits.
const CONFIGURATION: &str = "[orphans]\ngrace = \"0s\"\n[cleanup]\nindex_command = [\"/bin/false\"]\n";

/// A daemon that has been through something: jobs of every kind, a crash, orphans, undelivered callbacks,
/// cleanups, a lock with a waiting line.
fn eventful() -> Served {
    let served = Served::configured(Scene::new(), 3, CONFIGURATION);
    served.hold("long", "web");
    served.submit(&json!({ "id": "waits", "command": ["true"], "repository": "web" }));
    served.submit(&json!({
        "id": "bad", "command": ["sh", "-c", "echo oh; exit 1"], "env": { "A": "b" }, "title": "of no use",
        "callbacks": ["http://127.0.0.1:9/x"], "auto_cleanup": true, "timeout": "1h",
    }));
    served.submit(&json!({ "id": "lost", "command": ["sleep", "600"], "repository": "other" }));
    served.submit(&json!({ "id": "indexed", "command": ["mkdir", ".code-indexer"], "auto_cleanup": true }));
    served.wait_for("bad", "failed");
    served.wait_for("indexed", "succeeded");
    served.wait_for("lost", "running");
    wait_for("a cleanup to be over", || {
        served.get("/api/admin/cleanup/completed").is(200).json()["total"] == 1
    });
    let Served { daemon, scene, .. } = served;
    daemon.kill();
    scene.kill_all_of("lost");
    for ghost in ["ghost", "phantom"] {
        scene.place.write(&format!("state/jobs/{ghost}/file"), "left");
    }
    scene.place.write("state/locks/strange.lock.json", "{");
    scene.place.write("workspace/repo/file", "kept");
    for id in ["kept.1", "other.1"] {
        let archive = scene.place.path(&format!("state/cleanup/archive/{id}.tar"));
        std::fs::create_dir_all(archive.parent().unwrap()).unwrap();
        let mut tar = std::process::Command::new("tar");
        let made = tar.arg("-C").arg(scene.place.path("")).arg("-cf").arg(archive).arg("workspace").status();
        assert!(made.unwrap().success());
    }
    Served::configured(scene, 1, CONFIGURATION)
}

#[test]
fn every_answer_is_as_described() {
    let described = Described::new();
    let empty = Served::new();
    look_at_all(&described, &empty, false);
    refuse_all(&described, &empty);
    drop(empty);
    let served = eventful();
    look_at_all(&described, &served, true);
    for template in ["/api/admin/why", "/api/admin/locks/inspect"] {
        let query = if template.ends_with("why") { "?object=lock:web" } else { "?repo=web" };
        described.hold("GET", template, &served.get(&format!("{template}{query}")).is(200));
    }
    change_all(&described, &served);
    look_at_all(&described, &served, true);
    let seen = described.seen.borrow();
    // A word beside `{repo}` or `{archive_id}` stands for one of that name.
    let is_alias = |method: &str, path: &str| match method {
        "DELETE" => path != "/api/admin/locks/{repo}",
        "GET" => ["prune", "restore"].iter().any(|word| path == format!("/api/admin/cleanup/archive/{word}")),
        _ => false,
    };
    for (method, template) in described.operations() {
        if template == "/api/admin/events" || is_alias(&method, template) {
            continue;
        }
        let good = |status: &&str| seen.contains(&format!("{method} {template} {status}"));
        assert!(["200", "201"].iter().any(good), "{method} {template} was never done: {seen:?}");
    }
    // The described lists must be met with items, too.
    for (path, list) in FULL {
        let report = served.get(path).is(200).json();
        assert!(!report[list].as_array().unwrap().is_empty(), "{path}: {list} is empty: {report:#}");
    }
}

/// Reports whose items were there to be held against their description.
const FULL: &[(&str, &str)] = &[
    ("/api/admin/queue/snapshot", "jobs"),
    ("/api/admin/recovery/queue/wal-status", "segments"),
    ("/api/admin/recovery/jobs/status", "jobs"),
    ("/api/admin/recovery/jobs/sentinels", "sentinels"),
    ("/api/admin/recovery/jobs/failed", "jobs"),
    ("/api/admin/cleanup/completed", "cleanups"),
    ("/api/admin/cleanup/archive", "archives"),
    ("/api/admin/startup/history", "startups"),
    ("/api/admin/startup-log", "before"),
    ("/api/admin/locks/active", "locks"),
    ("/api/admin/locks/recovered", "locks"),
    ("/api/admin/locks/inspect", "locks"),
    ("/api/admin/orphans/candidates", "candidates"),
    ("/api/admin/orphans/candidates", "trash"),
    ("/api/admin/orphans/cleanup-log", "entries"),
    ("/api/admin/recovery/status", "findings"),
    ("/api/admin/recovery/status", "degraded_resources"),
    ("/api/admin/recovery/phases", "phases"),
    ("/api/admin/recovery/history", "recoveries"),
    ("/api/admin/webhooks/pending", "deliveries"),
    ("/api/admin/webhooks/pending", "by_endpoint"),
    ("/api/admin/webhooks/recovered", "deliveries"),
    ("/api/admin/webhooks/delivery-log", "entries"),
    ("/api/admin/findings", "findings"),
    ("/api/admin/audit", "entries"),
    ("/api/jobs", "jobs"),
];

/// Makes each change once, as a rehearsal and for real, with success and without.
fn change_all(described: &Described, served: &Served) {
    let post = |template: &str, body: Value| {
        let reply = served.post(&named(template, true), &body);
        described.hold("POST", template, &reply);
        reply
    };
    let delete = |query: &str| {
        let reply = served.ask("DELETE", &format!("/api/admin/locks/web{query}"), None);
        described.hold("DELETE", "/api/admin/locks/{repo}", &reply);
        reply
    };
    post("/api/jobs", json!({ "id": "new", "command": ["true"], "priority": -1 })).is(201);
    post("/api/jobs", json!({ "id": "new", "command": ["true"] })).problem(409, "job-exists");
    let resume = "/api/admin/recovery/jobs/resume";
    post(resume, json!({ "job_ids": ["lost", "gone", "long"], "dry_run": true })).is(200);
    post(resume, json!({ "job_ids": ["lost", "gone", "long"] })).is(200);
    post(resume, json!({ "job_ids": ["gone"] })).problem(404, "no-such-job");
    post("/api/admin/recovery/queue/repair", json!({ "dry_run": true })).is(200);
    post("/api/admin/recovery/queue/repair", json!({})).is(200);
    post("/api/admin/recovery/skip-phase", json!({ "phase": "orphans" })).is(200);
    post("/api/admin/recovery/skip-phase", json!({ "phase": "gone" })).problem(404, "no-such-phase");
    post("/api/admin/startup/retry", json!({ "component": "orphans", "dry_run": true })).is(200);
    post("/api/admin/startup/retry", json!({ "component": "orphans" })).is(200);
    post("/api/admin/startup/clear", json!({})).is(200);
    post("/api/admin/cleanup/start", json!({ "job_ids": ["bad"] })).is(200);
    post("/api/admin/cleanup/start", json!({ "job_ids": ["gone"] })).is(404);
    let open = served.get("/api/admin/cleanup/state").is(200).json();
    let cleanup = &open["cleanups"][0]["cleanup_id"];
    post("/api/admin/cleanup/retry", json!({ "cleanup_id": cleanup, "dry_run": true })).is(200);
    post("/api/admin/cleanup/retry", json!({ "cleanup_id": cleanup })).is(200);
    let (unpack, prune) = ("/api/admin/cleanup/archive/restore", "/api/admin/cleanup/archive/prune");
    let to = served.scene.place.path("unpacked");
    let body = json!({ "archive_id": "kept.1", "to": to });
    post(unpack, json!({ "archive_id": "kept.1", "to": to, "dry_run": true })).is(200);
    post(unpack, body.clone()).is(200);
    assert_eq!(std::fs::read_to_string(to.join("workspace/repo/file")).unwrap(), "kept");
    post(unpack, body).problem(423, "place-taken");
    post(unpack, json!({ "archive_id": "gone", "to": to })).problem(404, "no-such-archive");
    post(prune, json!({ "archive_ids": ["other.1"], "dry_run": true })).is(200);
    post(prune, json!({ "archive_ids": ["other.1"] })).is(200);
    post(prune, json!({ "archive_ids": ["other.1"] })).problem(404, "no-such-archive");
    let trail = served.scene.place.state().join("audit/log/00000000000000000001.log");
    let mut bytes = std::fs::read(&trail).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&trail, bytes).unwrap();
    let lost = served.get("/api/admin/findings?code=audit-damaged").is(200).json();
    let ids: Vec<&Value> = lost["findings"].as_array().unwrap().iter().map(|f| &f["id"]).collect();
    let acknowledge = "/api/admin/findings/ack";
    post(acknowledge, json!({ "ids": ids, "reason": "seen", "dry_run": true })).is(200);
    post(acknowledge, json!({ "ids": ids })).problem(422, "bad-request");
    post(acknowledge, json!({ "ids": ids, "reason": "seen" })).is(200);
    post(acknowledge, json!({ "ids": ["gone"], "reason": "seen" })).problem(404, "no-such-finding");
    let (mute, unmute) = ("/api/admin/findings/mute", "/api/admin/findings/unmute");
    post(mute, json!({ "findings": ["job-crashed"], "for": "1h", "dry_run": true })).is(200);
    post(mute, json!({ "findings": ["job-crashed"], "for": "1h" })).is(200);
    post(mute, json!({ "findings": ["job-lost"], "for": "1h" })).problem(423, "not-to-be-muted");
    post(unmute, json!({ "findings": ["job-crashed"] })).is(200);
    post(unmute, json!({ "findings": ["job-crashed"] })).problem(404, "no-such-finding");
    let retry = "/api/admin/webhooks/retry";
    let undelivered = served.get("/api/admin/webhooks/pending").is(200).json();
    let first = &undelivered["deliveries"][0]["delivery_id"];
    post(retry, json!({ "delivery_ids": [first, "gone"], "dry_run": true })).is(200);
    post(retry, json!({ "all_parked": true })).is(200);
    post(retry, json!({ "delivery_ids": ["gone"] })).problem(404, "no-such-delivery");
    post("/api/admin/orphans/scan", json!({ "dry_run": true })).is(200);
    let scan = post("/api/admin/orphans/scan", json!({})).is(200).json();
    let cleanup = "/api/admin/orphans/cleanup";
    post(cleanup, json!({ "plan_id": scan["plan_id"], "dry_run": true })).is(200);
    let candidates = served.get("/api/admin/orphans/candidates").is(200).json();
    let ids: Vec<&Value> = candidates["candidates"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert!(ids.len() > 1, "{candidates:#}");
    post(cleanup, json!({ "plan_id": scan["plan_id"], "ids": [ids[0]] })).is(200);
    post(cleanup, json!({ "plan_id": "other" })).problem(412, "plan-out-of-date");
    let stale = "/api/admin/locks/detect-stale";
    post(stale, json!({ "release": true })).is(200);
    delete("").problem(409, "lock-held");
    delete("?force=true&dry_run=true").is(200);
    delete("?force=true").is(200);
    post("/api/jobs/{id}/cancel", json!({ "dry_run": true })).is(200);
    post("/api/jobs/{id}/cancel", json!({})).is(200);
    served.wait_for("long", "cancelled");
    post("/api/jobs/{id}/cancel", json!({})).problem(409, "job-is-over");
}
