//! Every endpoint: happy, empty, bad, and what the contract's members are.

use serde_json::{Value, json};

use crate::http::client::Served;

/// The looks, with the members that each answer has at least, on an empty state directory too.
const LOOKS: &[(&str, &[&str])] = &[
    (
        "/api/admin/recovery/queue/status",
        &["state", "depth", "counts", "head", "recovered", "last_seq", "findings"],
    ),
    (
        "/api/admin/recovery/queue/metrics",
        &[
            "enqueued_total",
            "started_total",
            "finished_total",
            "requeued_total",
            "recoveries_total",
            "records_replayed_total",
            "records_damaged_total",
            "checkpoints_total",
            "wait_ms",
            "run_ms",
        ],
    ),
    ("/api/admin/queue/snapshot", &["seq", "taken_at", "jobs", "total", "next_cursor"]),
    (
        "/api/admin/recovery/queue/wal-status",
        &[
            "segments",
            "last_seq",
            "snapshot_seq",
            "records_since_checkpoint",
            "bytes",
            "torn_bytes",
            "damaged_records",
        ],
    ),
    ("/api/admin/recovery/jobs/status", &["reattachment", "jobs", "total", "next_cursor"]),
    ("/api/admin/recovery/jobs/sentinels", &["sentinels", "total", "next_cursor"]),
    (
        "/api/admin/recovery/jobs/metrics",
        &[
            "found_total",
            "reattached_total",
            "finished_while_away_total",
            "crashed_total",
            "died_after_reattach_total",
            "resumed_total",
            "success_rate",
            "reattach_ms",
        ],
    ),
    ("/api/admin/recovery/jobs/failed", &["jobs", "total", "next_cursor"]),
    ("/api/admin/cleanup/state", &["counts", "cleanups"]),
    ("/api/admin/cleanup/queue", &["cleanups"]),
    ("/api/admin/cleanup/resuming", &["cleanups"]),
    ("/api/admin/cleanup/completed", &["cleanups"]),
    ("/api/admin/cleanup/archive", &["archives", "total", "bytes_total", "next_cursor"]),
    ("/api/admin/startup/detection", &["aborted", "previous", "current", "consecutive_aborts", "safe_mode"]),
    ("/api/admin/startup/cleanup-log", &["entries", "total", "next_cursor"]),
    ("/api/admin/startup/history", &["startups", "total", "next_cursor"]),
    ("/api/admin/locks/active", &["locks", "total", "next_cursor"]),
    ("/api/admin/locks/recovered", &["locks", "total", "next_cursor"]),
    ("/api/admin/locks/inspect", &["locks", "total", "next_cursor"]),
    ("/api/admin/orphans/candidates", &["plan_id", "candidates"]),
    ("/api/admin/orphans/cleanup-log", &["entries"]),
    (
        "/api/admin/recovery/status",
        &["state", "status", "action", "recovery", "degraded_resources", "counts", "findings"],
    ),
    ("/api/admin/recovery/phases", &["phases"]),
    (
        "/api/admin/recovery/dashboard-data",
        &["status", "phases", "queue", "jobs", "locks", "cleanup", "orphans", "webhooks", "startup"],
    ),
    (
        "/api/admin/recovery/metrics",
        &[
            "recoveries_total",
            "last_duration_ms",
            "mean_duration_ms",
            "phase_duration_ms",
            "degraded_total",
            "skipped_total",
            "retried_total",
        ],
    ),
    ("/api/admin/webhooks/pending", &["deliveries", "by_endpoint"]),
    ("/api/admin/webhooks/recovered", &["deliveries"]),
    ("/api/admin/webhooks/delivery-log", &["entries"]),
    ("/api/admin/startup-log", &["startup", "before"]),
    ("/api/admin/findings", &["findings", "total", "next_cursor"]),
    ("/api/admin/audit", &["entries", "total", "next_cursor"]),
    ("/api/jobs", &["jobs", "total", "next_cursor"]),
];

#[test]
fn every_look_has_its_members_and_is_known_by_its_tag() {
    let served = Served::new();
    for (path, members) in LOOKS {
        let reply = served.get(path).is(200);
        assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
        let document = reply.json();
        for member in *members {
            assert!(document.as_object().unwrap().contains_key(*member), "{path}: {member}: {document}");
        }
        assert!(reply.header("etag").is_some_and(|tag| tag.starts_with('"')), "{path}: {}", reply.head);
        assert!(reply.header("x-request-id").is_some(), "{path}");
        served.get(&format!("{path}?nonsense=1")).problem(422, "bad-request");
        served.ask("PUT", path, None).problem(405, "wrong-method");
    }
    assert!(served.get("/metrics").is(200).header("etag").is_some_and(|tag| tag.starts_with('"')));
    let history = served.get("/api/admin/startup/history").is(200);
    let tag = format!("If-None-Match: {}", history.header("etag").unwrap());
    let (name, value) = tag.split_once(": ").unwrap();
    let token = format!("Bearer {}", served.token("viewer"));
    let headers = [("Authorization", token.as_str()), (name, value)];
    let known = served.ask_with("GET", "/api/admin/startup/history", None, &headers).is(304);
    assert!(known.body.is_empty());
}

#[test]
fn a_job_goes_through_http_from_end_to_end() {
    let served = Served::new();
    let reply = served.post(
        "/api/jobs",
        &json!({ "id": "it", "command": ["sh", "-c", "echo hello; exit 3"], "repository": "web" }),
    );
    assert_eq!(reply.header("location"), Some("/api/jobs/it"));
    assert_eq!(reply.is(201).json()["job_id"], "it");
    served.wait_for("it", "failed");
    let shown = served.get("/api/jobs/it").is(200).json();
    assert_eq!((&shown["exit_code"], &shown["repository"]), (&json!(3), &json!("web")));
    assert_eq!(served.get("/api/jobs/it/output").is(200).json()["output"], "hello\n");
    let token = format!("Bearer {}", served.token("admin"));
    let headers = [("Authorization", token.as_str()), ("Accept", "text/plain")];
    assert_eq!(served.ask_with("GET", "/api/jobs/it/output", None, &headers).is(200).body, b"hello\n");
    let failed = served.get("/api/admin/recovery/jobs/failed").is(200).json();
    assert_eq!(failed["jobs"][0]["output_tail"], "hello\n", "{failed}");
    let listed = served.get("/api/jobs?status=failed&repo=web").is(200).json();
    assert_eq!(listed["total"], 1);
    assert_eq!(served.get("/api/jobs?status=queued").is(200).json()["total"], 0);
    let resumed =
        served.post("/api/admin/recovery/jobs/resume", &json!({ "job_ids": ["it", "gone"] })).is(200).json();
    assert_eq!(resumed["resumed"][0]["attempt"], 2, "{resumed}");
    assert_eq!(resumed["refused"][0]["code"], "no-such-job", "{resumed}");
    let why = served.get("/api/admin/why?object=job:it").is(200).json();
    assert_eq!(why["object"], "job:it");
    // The trail names the client, not the words that make up the job.
    let trail = served.get("/api/admin/audit?action=submit").is(200).json();
    let by = trail["entries"][0]["by"].as_str().unwrap();
    assert!(by.starts_with("token:admin submit (http 127.0.0.1:"), "{by}");
}

#[test]
fn pages_cover_a_list_once() {
    let served = Served::with(crate::crash::scene::Scene::new(), 1);
    served.submit(&json!({ "id": "first", "command": ["sleep", "600"] }));
    for n in 0..6 {
        served.submit(&json!({ "id": format!("job-{n}"), "command": ["true"] }));
    }
    for path in ["/api/jobs", "/api/admin/queue/snapshot"] {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = served.get(&format!("{path}?limit=3{cursor}")).is(200).json();
            assert_eq!(page["total"], 7);
            ids.extend(page["jobs"].as_array().unwrap().iter().map(|j| j["job_id"].to_string()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(ids.len(), 7, "{path}: {ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7, "{path}");
        served.get(&format!("{path}?cursor=nonsense")).problem(422, "bad-cursor");
    }
    served.post("/api/jobs/first/cancel", &json!({})).is(200);
}

#[test]
fn what_a_check_protects_is_refused() {
    let served = Served::new();
    served.scene.place.write("state/jobs/ghost/file", "left a moment ago");
    served.post("/api/admin/orphans/scan", &json!({})).is(200);
    let plan = served.get("/api/admin/orphans/candidates").is(200).json();
    let (plan_id, ghost) = (&plan["plan_id"], &plan["candidates"][0]);
    assert_eq!((&ghost["object"], &ghost["safe"]), (&json!("job_directory:ghost"), &json!(false)), "{plan}");
    let body = json!({ "plan_id": plan_id, "ids": [ghost["id"]] });
    served.post("/api/admin/orphans/cleanup", &body).problem(423, "orphan-protected");
    let why = served.get(&format!("/api/admin/why?object=orphan:{}", ghost["id"].as_str().unwrap()));
    let why = why.is(200).json();
    assert_eq!((&why["verdict"], &why["plan_id"]), (&json!("protected"), plan_id), "{why}");
    assert!(why["reason"].as_str().unwrap().starts_with("grace: "), "{why}");
}

#[test]
fn what_is_not_there_or_does_not_fit_is_said_by_its_status() {
    let served = Served::new();
    served.get("/api/jobs/gone").problem(404, "no-such-job");
    served.get("/api/jobs/gone/output").problem(404, "no-such-job");
    served.get("/api/admin/locks/inspect?repo=gone").problem(404, "no-such-lock");
    served.get("/api/admin/why?object=job:gone").problem(404, "no-such-job");
    served.get("/api/admin/why?object=orphan:gone").problem(404, "no-such-orphan");
    served.get("/api/admin/why").problem(422, "bad-request");
    served.get("/api/admin/why?object=nonsense").problem(422, "unknown-object");
    served.get("/nowhere").problem(404, "no-such-endpoint");
    served.ask("DELETE", "/api/admin/locks/web", None).problem(404, "lock-not-held");
    served.ask("DELETE", "/api/admin/locks/..%2F..%2Fetc", None).problem(404, "lock-not-held");
    served.ask("DELETE", "/api/admin/locks/a%00b", None).is(422);
    served.ask("DELETE", &format!("/api/admin/locks/{}", "x".repeat(5000)), None).is(422);
    served.ask("DELETE", "/api/admin/locks/", None).is(404);
    served.ask("DELETE", "/api/admin/locks/a%zz", None).problem(422, "bad-request");
    let posts: &[(&str, Value)] = &[
        ("/api/admin/recovery/jobs/resume", json!({ "job_ids": [] , "fresh": 1 })),
        ("/api/admin/startup/retry", json!({})),
        ("/api/admin/recovery/skip-phase", json!({ "phase": 7 })),
        ("/api/admin/orphans/cleanup", json!({})),
        ("/api/admin/orphans/scan", json!({ "kinds": ["nonsense"] })),
        ("/api/admin/orphans/scan", json!({ "kinds": [] })),
        ("/api/admin/orphans/cleanup", json!({ "plan_id": "any", "ids": [] })),
        ("/api/admin/orphans/cleanup", json!({ "plan_id": "any", "kinds": [] })),
        ("/api/admin/cleanup/start", json!({ "job_ids": [] })),
        ("/api/admin/webhooks/retry", json!({ "delivery_ids": [] })),
        ("/api/admin/webhooks/retry", json!({ "delivery_ids": [], "all_parked": true })),
        ("/api/admin/webhooks/retry", json!({})),
        ("/api/admin/locks/detect-stale", json!({ "release": "yes" })),
        ("/api/admin/recovery/queue/repair", json!({ "nonsense": true })),
        ("/api/jobs", json!({})),
        ("/api/jobs", json!({ "command": ["true"], "nonsense": 1 })),
        ("/api/jobs", json!({ "command": ["true"], "id": "../x" })),
    ];
    for (path, body) in posts {
        let reply = served.post(path, body);
        assert_eq!(reply.status, 422, "{path} {body}: {}", String::from_utf8_lossy(&reply.body));
        served.ask("POST", path, Some("{")).problem(400, "malformed");
        served
            .ask("POST", &format!("{path}?dry_run=maybe"), Some(&body.to_string()))
            .problem(422, "bad-request");
    }
    served.post("/api/admin/recovery/skip-phase", &json!({ "phase": "gone" })).problem(404, "no-such-phase");
    served.post("/api/admin/startup/retry", &json!({ "component": "gone" })).problem(404, "no-such-phase");
    let none = served.post("/api/admin/recovery/jobs/resume", &json!({ "job_ids": ["gone"] }));
    let problem = none.problem(404, "no-such-job");
    assert_eq!(problem["refused"][0]["job_id"], "gone", "{problem}");
    let none = served.post("/api/admin/cleanup/start", &json!({ "job_ids": ["gone", "nope"] }));
    let problem = none.problem(404, "no-such-job");
    assert_eq!(problem["refused"].as_array().unwrap().len(), 2, "{problem}");
    let plan = json!({ "plan_id": "0191f8a0-0000-7000-8000-000000000000" });
    served.post("/api/admin/orphans/scan", &json!({})).is(200);
    served.post("/api/admin/orphans/cleanup", &plan).problem(412, "plan-out-of-date");
    served.submit(&json!({ "id": "twice", "command": ["true"] }));
    served.post("/api/jobs", &json!({ "id": "twice", "command": ["true"] })).problem(409, "job-exists");
}

#[test]
fn every_change_can_be_done_and_be_only_shown() {
    let served = Served::new();
    served.hold("long", "web");
    // A lock that a job holds.
    let held = served.ask("DELETE", "/api/admin/locks/web", None).problem(409, "lock-held");
    assert!(held["next"].as_str().unwrap().contains("recoveryctl locks inspect web"), "{held}");
    let shown = served.ask("DELETE", "/api/admin/locks/web?force=true&dry_run=true", None).is(200).json();
    assert_eq!((&shown["released"], &shown["dry_run"]), (&json!(false), &json!(true)));
    served
        .ask("DELETE", "/api/admin/locks/web?force=true&id=nonsense", None)
        .problem(409, "lock-id-mismatch");
    let stale = served.post("/api/admin/locks/detect-stale", &json!({ "release": true })).is(200).json();
    assert_eq!((&stale["stale"], &stale["live"]), (&json!([]), &json!(1)), "{stale}");
    // The change is rehearsed, then made.
    let would = served.post("/api/jobs/long/cancel?dry_run=true", &json!({})).is(200).json();
    assert_eq!(would["cancelled"][0]["outcome"], "would_cancel");
    served.post("/api/jobs/long/cancel", &json!({ "reason": "enough" })).is(200);
    served.wait_for("long", "cancelled");
    served.post("/api/jobs/long/cancel", &json!({})).problem(409, "job-is-over");
    let trail = served.get("/api/admin/audit?object=job:long&action=cancel").is(200).json();
    assert_eq!(trail["entries"][0]["reason"], "enough", "{trail}");
    let new =
        served.post("/api/jobs?dry_run=true", &json!({ "id": "new", "command": ["true"] })).is(200).json();
    assert_eq!((&new["dry_run"], &new["seq"]), (&json!(true), &Value::Null));
    served.get("/api/jobs/new").is(404);
    let repair = served.post("/api/admin/recovery/queue/repair", &json!({ "dry_run": true })).is(200).json();
    for member in ["actions", "quarantined", "before", "after"] {
        assert!(repair.get(member).is_some(), "{member}: {repair}");
    }
    served.post("/api/admin/recovery/queue/repair", &json!({ "reason": "to be sure" })).is(200);
    let skip = served.post("/api/admin/recovery/skip-phase?dry_run=true", &json!({ "phase": "orphans" }));
    assert!(skip.is(200).json()["accepted"].is_boolean());
    let retried = served.post("/api/admin/startup/retry", &json!({ "component": "locks" })).is(200).json();
    assert_eq!((&retried["component"], &retried["status"]), (&json!("locks"), &json!("succeeded")));
    let scan = served.post("/api/admin/orphans/scan", &json!({ "kinds": ["job_directory"] })).is(200).json();
    for member in
        ["plan_id", "taken_at", "scanned", "candidates_total", "bytes_total", "protected_total", "findings"]
    {
        assert!(scan.get(member).is_some(), "{member}: {scan}");
    }
    // It is a rehearsal if either says so.
    for (query, body) in [("", true), ("?dry_run=true", false), ("?dry_run=false", true)] {
        let plan = json!({ "plan_id": scan["plan_id"], "dry_run": body });
        let shown = served.post(&format!("/api/admin/orphans/cleanup{query}"), &plan).is(200).json();
        assert_eq!(shown["dry_run"], true, "{query} {body}");
    }
    let would = served.post("/api/admin/orphans/scan?dry_run=true", &json!({})).is(200).json();
    assert_eq!((&would["plan_id"], &would["dry_run"]), (&Value::Null, &json!(true)), "{would}");
    let plan = served.get("/api/admin/orphans/candidates").is(200).json();
    assert_eq!(plan["plan_id"], scan["plan_id"]);
    let retry = json!({ "cleanup_id": "gone", "dry_run": true });
    served.post("/api/admin/cleanup/retry", &retry).problem(404, "no-such-cleanup");
    served.post("/api/admin/webhooks/retry", &json!({ "all_parked": true })).is(200);
    let none = json!({ "delivery_ids": ["gone", "nope"] });
    let none = served.post("/api/admin/webhooks/retry", &none).problem(404, "no-such-delivery");
    assert_eq!(none["retried"], json!([]), "{none}");
    assert_eq!(none["refused"].as_array().unwrap().len(), 2, "{none}");
}

#[test]
fn what_cannot_be_used_is_no_health() {
    let served = Served::new();
    served.get("/healthz").is(200);
    served.scene.place.write("state/locks/web.lock.json", "{");
    let health = served.get("/healthz").is(503).json();
    assert_eq!((&health["healthy"], &health["state"]), (&json!(false), &json!("degraded")), "{health}");
    assert_eq!(health["degraded_resources"], 1, "{health}");
    assert_eq!(served.scene.json(&["health"], 3), health);
    served.get("/livez").is(200);
    served.get("/readyz").is(200);
}
