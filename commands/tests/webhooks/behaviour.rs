//! What is sent and when, and that a crash changes neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use recovery::queue::JobStatus;
use serde_json::Value;
use standardwebhooks::Webhook;

use super::office::{OLD_SECRET, Office, SECRET};
use super::receiver::{Receiver, Reply};
use crate::crash::scene::wait_for;

fn body(receiver: &Receiver, n: usize) -> Value {
    serde_json::from_slice(&receiver.requests()[n].body).unwrap()
}

#[test]
fn the_end_of_a_real_job_is_told_with_all_that_is_known() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let _daemon = office.scene.daemon(1);
    office.scene.submit("fails", &["--callback", &receiver.url("/x"), "--repo", "web"], "exit 3");
    wait_for("the callback", || receiver.count() == 1);
    let told = body(&receiver, 0);
    assert_eq!(told["type"], "job.ended");
    let data = &told["data"];
    assert_eq!((&data["job_id"], &data["status"]), (&"fails".into(), &"failed".into()));
    assert_eq!((&data["exit_code"], &data["attempt"]), (&3.into(), &1.into()));
    assert_eq!(data["repository"], "web");
    assert_eq!(told["timestamp"], data["finished_at"]);
    let request = &receiver.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/x"));
    assert_eq!(request.headers["content-type"], "application/json");
    Webhook::new(SECRET).unwrap().verify(&request.body, &request.headers).unwrap();

    // The next attempt has an end of its own, with an id of its own.
    office.scene.run(&["resume", "fails"]).ends_with(0);
    wait_for("the second callback", || receiver.count() == 2);
    assert_eq!(receiver.by_id().len(), 2);
    assert_eq!(body(&receiver, 1)["data"]["attempt"], 2);
}

#[test]
fn a_crash_is_told_when_it_is_the_end_and_only_then() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let daemon = office.scene.daemon(2);
    let url = receiver.url("/x");
    let script = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done";
    office.scene.submit("held", &["--callback", &url], script);
    office.scene.submit("again", &["--callback", &url, "--on-crash", "requeue"], script);
    for id in ["held", "again"] {
        office.scene.wait_for_witness(id);
    }
    daemon.kill();
    for id in ["held", "again"] {
        office.scene.kill_all_of(id);
    }
    office.scene.open_gate("open");
    let _daemon = office.scene.daemon(2);
    office.scene.wait_for_status("again", JobStatus::Succeeded);
    wait_for("both callbacks", || receiver.count() == 2);
    let mut told: Vec<(String, String)> = (0..2)
        .map(|n| body(&receiver, n))
        .map(|b| (b["data"]["job_id"].as_str().unwrap().into(), b["type"].as_str().unwrap().into()))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [("again".to_owned(), "job.ended".to_owned()), ("held".to_owned(), "job.crashed".to_owned())]
    );
}

#[test]
fn method_headers_and_body_follow_the_callback() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let line = serde_json::json!({ "id": "templated", "command": ["true"], "callbacks": [{
        "url": receiver.url("/t"),
        "method": "PUT",
        "headers": { "authorization": "Bearer hunter2", "x-job": "{job_id}" },
        "body": "{\"text\":\"{job_id} {status}\",\"code\":{exit_code},\"raw\":{}}",
    }]});
    let path = office.scene.place.write("jobs", &line.to_string());
    office.scene.run(&["submit", "--from", path.to_str().unwrap()]).ends_with(0);
    let _daemon = office.scene.daemon(1);
    wait_for("the callback", || receiver.count() == 1);
    let request = &receiver.requests()[0];
    assert_eq!(request.method, "PUT");
    assert_eq!(request.headers["x-job"], "templated");
    assert_eq!(request.headers["authorization"], "Bearer hunter2");
    assert_eq!(request.body, b"{\"text\":\"templated succeeded\",\"code\":0,\"raw\":{}}");
    for report in [&["jobs", "show", "templated"][..], &["webhooks", "log"], &["status"]] {
        let ran = office.scene.run(&[&["--json"], report].concat());
        assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
    }
}

#[test]
fn while_secrets_are_changed_both_signatures_are_sent() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let file = office.scene.place.write("secret", &format!("{SECRET}\n"));
    let text = format!("[webhooks]\nsecrets = ['file:{}', '{OLD_SECRET}']\n", file.display());
    office.scene.place.write("config.toml", &text);
    office.one("signed", &receiver.url("/"));
    office.deliver();
    let request = &receiver.requests()[0];
    for secret in [SECRET, OLD_SECRET] {
        Webhook::new(secret).unwrap().verify(&request.body, &request.headers).unwrap();
    }
    let other = Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    assert!(other.verify(&request.body, &request.headers).is_err());
}

#[test]
fn without_a_configured_secret_deliveries_are_signed_with_the_directory_s_own() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    office.scene.place.write("config.toml", "");
    let file = office.scene.place.state().join("webhooks/signing.secret");
    let verifies = |n: usize| {
        let request = &receiver.requests()[n];
        let secret = std::fs::read_to_string(&file).unwrap();
        Webhook::new(secret.trim()).unwrap().verify(&request.body, &request.headers).is_ok()
    };
    office.scene.run(&["init"]).ends_with(0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    let before = std::fs::read(&file).unwrap();
    office.one("first", &receiver.url("/"));
    office.deliver();
    assert!(verifies(0));
    assert_eq!(office.json(&["webhooks", "test", &receiver.url("/")])["signed"], true);
    assert!(verifies(1));
    // A directory of an earlier version has none.
    std::fs::remove_file(&file).unwrap();
    office.one("second", &receiver.url("/"));
    office.deliver();
    assert!(verifies(2));
    assert_ne!(std::fs::read(&file).unwrap(), before);
    // What others can read, they may know.
    let known = std::fs::read(&file).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    office.one("third", &receiver.url("/"));
    office.deliver();
    assert!(verifies(3));
    assert_ne!(std::fs::read(&file).unwrap(), known);
    let shown = office.scene.run(&["config", "show"]).stdout;
    assert!(!shown.contains("whsec_"), "{shown}");
}

/// The state directory, the reports and the processes show no secret.
#[test]
fn secrets_are_nowhere_to_be_seen() {
    let receiver = Receiver::start(|_| Reply::Status(410));
    let office = Office::new(
        "[[webhooks.endpoints]]\nname = 'ops'\nurl = 'http://127.0.0.1:1/ops'\nevents = ['job.ended']\nheaders = { x-key = 'hunter2' }",
    );
    let url = receiver.url("/x?token=hunter3").replace("http://", "http://user:hunter4@");
    let daemon = office.scene.daemon(1);
    office.one("secret", &url);
    wait_for("both attempts", || {
        let outcomes = office.outcomes("secret");
        ["retry", "parked"].iter().all(|o| outcomes.iter().any(|found| found == o))
    });
    let command_line = std::fs::read(format!("/proc/{}/cmdline", daemon.child.id())).unwrap();
    let mut seen = String::from_utf8_lossy(&command_line).into_owned();
    for report in [
        &["config", "show"][..],
        &["webhooks", "pending"],
        &["webhooks", "log"],
        &["webhooks", "recovered"],
        &["status"],
        &["jobs", "show", "secret"],
        &["retry", "webhook", "--all-parked", "--dry-run"],
    ] {
        for json in [&["--json"][..], &[]] {
            let ran = office.scene.run(&[json, report].concat());
            seen += (ran.stdout + ran.stderr.as_str()).as_str();
        }
    }
    let log = office.scene.place.state().join("webhooks/log");
    for entry in std::fs::read_dir(log).unwrap().flatten().filter(|e| e.path().extension().is_some()) {
        seen += &String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap());
    }
    for secret in ["hunter", &SECRET[6..20]] {
        assert!(!seen.contains(secret), "{secret} is shown");
    }
}

#[test]
fn operators_endpoints_are_told_of_jobs_and_recoveries_from_then_on() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    office.one("before", &receiver.url("/callback"));
    assert_eq!(office.deliver()["delivered"], 1);
    let text = format!(
        "[[webhooks.endpoints]]\nname = 'ops'\nurl = '{}'\nsecrets = ['{SECRET}']\n\
         events = ['job.ended', 'recovery.finished']\n",
        receiver.url("/ops")
    );
    office.scene.place.write("config.toml", &text);
    assert_eq!(office.deliver()["delivered"], 0, "what was before it was configured is not for it");
    office.scene.run(&["recover"]).ends_with(0);
    office.one("after", &receiver.url("/ops/callback"));
    assert_eq!(office.deliver()["delivered"], 3);
    let at_ops: Vec<String> = receiver
        .requests()
        .iter()
        .filter(|r| r.path == "/ops")
        .map(|r| serde_json::from_slice::<Value>(&r.body).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(at_ops.len(), 2, "{at_ops:?}");
    assert!(at_ops.contains(&"job.ended".to_owned()) && at_ops.contains(&"recovery.finished".to_owned()));
    let requests = receiver.requests();
    let below = requests.iter().find(|r| r.path == "/ops/callback").unwrap();
    Webhook::new(SECRET).unwrap().verify(&below.body, &below.headers).unwrap();
    assert_eq!(office.deliver()["delivered"], 0, "nothing comes twice");
}

/// The client resolves `..` before it calls: a request that then lies outside of the endpoint gets none of
/// its secrets.
#[test]
fn an_endpoints_secrets_go_to_nothing_outside_of_it() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let text = format!(
        "[[webhooks.endpoints]]\nname = 'ops'\nurl = '{}'\nsecrets = ['{SECRET}']\nheaders = {{ x-key = 'hunter2' }}\n",
        receiver.url("/ok/hooks")
    );
    office.scene.place.write("config.toml", &text);
    let outside = ["/../../ok/dotdot", "/%2e%2e/%2E%2E/ok/enc", "/..%2fslash", "2"];
    let inside = ["/below", "/a/../here"];
    for (n, rest) in outside.iter().chain(&inside).enumerate() {
        office.one(&format!("job-{n}"), &receiver.url(&format!("/ok/hooks{rest}")));
    }
    assert_eq!(office.deliver()["delivered"], outside.len() + inside.len());
    let is_given = |path: &str| matches!(path, "/ok/hooks/below" | "/ok/hooks/here");
    let requests = receiver.requests();
    assert_eq!(requests.iter().filter(|r| is_given(&r.path)).count(), inside.len());
    for request in requests {
        let signed = Webhook::new(SECRET).unwrap().verify(&request.body, &request.headers).is_ok();
        let expected = is_given(&request.path);
        assert_eq!((request.headers.contains_key("x-key"), signed), (expected, expected), "{}", request.path);
    }
}

#[test]
fn what_was_under_way_in_a_crash_is_delivered_again_with_the_same_id() {
    let hang = Arc::new(AtomicBool::new(true));
    let hangs = hang.clone();
    let receiver =
        Receiver::start(move |_| if hangs.load(Ordering::SeqCst) { Reply::Hang } else { Reply::Status(200) });
    let office = Office::new("retry = []");
    office.one("caught", &receiver.url("/"));
    let daemon = office.scene.daemon(1);
    wait_for("the attempt", || receiver.count() == 1);
    assert_eq!(office.delivery("caught")["status"], "in_flight");
    daemon.kill();
    hang.store(false, Ordering::SeqCst);
    let recovered = office.scene.recover();
    recovered.names("webhook-interrupted");
    let found = office.json(&["webhooks", "recovered"]);
    assert_eq!(found["deliveries"][0]["was"], "in_flight", "{found}");
    let _daemon = office.scene.daemon(1);
    // `retry = []` gives one try only: the interrupted one did not count.
    office.wait_for_outcomes("caught", &["delivered"]);
    let found = &office.json(&["webhooks", "recovered"])["deliveries"][0];
    assert_eq!((&found["status"], &found["attempts"]), (&"delivered".into(), &2.into()), "{found}");
    assert_eq!((receiver.count(), receiver.by_id().len()), (2, 1));
    let requests = receiver.requests();
    assert_eq!(requests[0].body, requests[1].body);
}

#[test]
fn the_time_of_the_next_try_survives_a_crash() {
    let receiver = Receiver::start(|_| Reply::With(503, "retry-after", "3600".to_owned()));
    let office = Office::new("retry = ['1s']\nretry_after_max = '30m'");
    office.one("later", &receiver.url("/"));
    let daemon = office.scene.daemon(1);
    wait_for("the attempt", || office.delivery("later")["status"] == "waiting");
    let next = office.delivery("later")["next_try_at"].clone();
    daemon.kill();
    let kind = Receiver::kind();
    let _daemon = office.scene.daemon(1);
    office.one("witness", &kind.url("/"));
    wait_for("the daemon to deliver", || kind.count() == 1);
    assert_eq!(office.delivery("later")["next_try_at"], next);
    assert_eq!(receiver.count(), 1);
}

/// A time in the log from before the clock was set back lies far in the future: the wait is at most the
/// longest possible pause.
#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    use recovery::webhooks::record::{DeliveryOutcome, Operation};
    use recovery::webhooks::{Attempted, DeliveryLog, Event};

    let receiver = Receiver::kind();
    let office = Office::new("retry = ['300ms']\nretry_after_max = '500ms'");
    office.one("stuck", &receiver.url("/"));
    let id = office.delivery("stuck")["delivery_id"].as_str().unwrap().parse().unwrap();
    let mut log = DeliveryLog::open(&office.scene.dir()).unwrap();
    let next_try_at = office.scene.dir().clock.now().plus_millis(400 * 24 * 3_600_000);
    let attempted = Attempted {
        delivery: id,
        attempt: 1,
        job_id: Some("stuck".to_owned()),
        event: Event::JobEnded,
        url: String::new(),
        outcome: DeliveryOutcome::Retry,
        status_code: Some(500),
        duration_ms: 1,
        error: None,
        next_try_at: Some(next_try_at),
        not_before: None,
    };
    let begin = Operation::Begin { delivery: id, attempt: 1 };
    log.append(&[begin, Operation::Attempted(attempted)], &mut |_| {}).unwrap();
    log.commit().unwrap();
    drop(log);
    let begun = Instant::now();
    let _daemon = office.scene.daemon(1);
    wait_for("the delivery", || receiver.count() == 1);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn strict_order_keeps_the_order_of_the_ends() {
    let failed = AtomicBool::new(false);
    let receiver = Receiver::start(move |_| {
        if failed.swap(true, Ordering::SeqCst) { Reply::Status(200) } else { Reply::Status(500) }
    });
    let office = Office::new("strict_order = true\nper_endpoint = 8\nretry = ['10ms', '10ms']");
    for name in ["a", "b", "c", "d"] {
        office.one(name, &receiver.url(&format!("/{name}")));
        // Of ends in one millisecond none is the first.
        let (clock, ended) = (office.scene.dir().clock, office.scene.dir().clock.now());
        wait_for("the next millisecond", || clock.now() > ended);
    }
    let _daemon = office.scene.daemon(1);
    wait_for("all", || receiver.count() == 5);
    let paths: Vec<String> = receiver.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/a", "/a", "/b", "/c", "/d"]);
}

#[test]
fn bad_callbacks_are_refused_when_the_job_is_submitted() {
    let office = Office::new("");
    for callback in [
        serde_json::json!({ "url": "http://x/", "method": "BREW" }),
        serde_json::json!({ "url": "http://x/", "headers": { "webhook-id": "mine" } }),
        serde_json::json!({ "url": "http://x/", "headers": { "x": "hunter2\r\ny: z" } }),
        serde_json::json!({ "url": "http://x/", "unknown": 1 }),
    ] {
        let line = serde_json::json!({ "command": ["true"], "callbacks": [callback] });
        let path = office.scene.place.write("bad", &line.to_string());
        let ran = office.scene.run(&["submit", "--from", path.to_str().unwrap(), "--all-or-nothing"]);
        assert_ne!(ran.status, 0, "{callback}");
        assert!(!(ran.stdout + ran.stderr.as_str()).contains("hunter2"));
    }
}

#[test]
fn operators_are_told_of_orphans_and_of_what_a_recovery_could_not_mend() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let text = format!(
        "[orphans]\ngrace = '0s'\n[[webhooks.endpoints]]\nname = 'ops'\nurl = '{}'\n\
         events = ['orphans.found', 'recovery.degraded']\n",
        receiver.url("/ops")
    );
    office.scene.place.write("config.toml", &text);
    office.scene.run(&["recover"]).ends_with(0);
    assert_eq!(office.deliver()["delivered"], 0, "all is well");
    office.scene.place.write("state/jobs/ghost/file", "left");
    office.scene.place.write("state/locks/web.lock.json", "{ damaged");
    office.scene.run(&["recover"]).ends_with(3);
    assert_eq!(office.deliver()["delivered"], 2);
    let mut told: Vec<Value> = (0..2).map(|n| body(&receiver, n)).collect();
    told.sort_by_key(|t| t["type"].to_string());
    assert_eq!((&told[0]["type"], &told[1]["type"]), (&"orphans.found".into(), &"recovery.degraded".into()));
    assert_eq!(office.deliver()["delivered"], 0, "nothing comes twice");
}
