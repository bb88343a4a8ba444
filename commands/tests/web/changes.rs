//! Changes in the page: each has its dialog, shows its command, and is rehearsed, confirmed, and in the
//! trail.

use serde_json::json;

use super::browser::{Browser, ESCAPE};
use super::served::{confirm, enter, opened, serve, view};
use crate::common::{Background, Foreign};
use crate::crash::scene::{Scene, wait_for};

/// A lock whose holder was killed with SIGKILL, its command too.
fn leave_a_dead_holder(scene: &Scene, repository: &str) {
    let mut command = scene.place.command();
    command.args(["lock", repository, "--", "sh", "-c", "echo $$ > pid; exec sleep 600"]);
    let mut holder = Background::start(&mut command);
    let read = || std::fs::read_to_string(scene.place.path("pid")).ok()?.trim().parse::<u64>().ok();
    wait_for("the lock to be held", || read().is_some());
    let held = Foreign::of(read().unwrap());
    holder.kill();
    held.kill();
}

#[test]
fn a_lock_is_released_when_its_holder_is_dead_and_by_force_when_it_lives() {
    let Some((served, browser)) = opened("admin") else { return };
    leave_a_dead_holder(&served.scene, "tools");
    served.hold("holder", "web");
    view(&browser, "#locks/tools", "Evidence");
    browser.wait_for_text("#main", "dead");
    browser.press("#main", "Release");
    // The harmless choice has the focus, and the command is there word by word.
    browser.wait_for_text("#dialog", "It would be given back");
    assert_eq!(browser.js("return document.activeElement.innerText", &[]), "Leave it as it is");
    browser.fill("#dialog-reason", "its host's gone");
    let line = browser.text("#dialog .command code");
    assert!(
        line.starts_with("recoveryctl release --id ")
            && line.ends_with(r"--reason 'its host'\''s gone' tools"),
        "{line}"
    );
    confirm(&browser, "Release the lock");
    let trail = served.get("/api/admin/audit?action=release").is(200).json();
    assert_eq!(
        (&trail["entries"][0]["object"], &trail["entries"][0]["reason"]),
        (&json!("lock:tools"), &json!("its host's gone")),
        "{trail}"
    );
    // A lock whose holder lives is only released by force, for which its name must be typed.
    view(&browser, "#locks/web", "Evidence");
    browser.press("#main", "Release");
    browser.wait_for_text("#dialog", "which is alive");
    assert_eq!(browser.count("#dialog .choices button.main:disabled"), 1);
    browser.press("#dialog .choices", "Release by force");
    browser.wait_for_text("#dialog", "It would be given back");
    assert!(browser.text("#dialog .command code").contains("--force"));
    assert_eq!(browser.count("#dialog .choices button.danger:disabled"), 1);
    browser.fill("#dialog-typed", "wed");
    assert_eq!(browser.count("#dialog .choices button.danger:disabled"), 1);
    browser.fill("#dialog-typed", "web");
    confirm(&browser, "Release by force");
    let trail = served.get("/api/admin/audit?action=release").is(200).json();
    let forced =
        trail["entries"].as_array().unwrap().iter().find(|entry| entry["object"] == "lock:web").unwrap();
    assert!(forced["detail"].as_str().unwrap().contains("by force"), "{trail}");
    browser.log_has_only(&["409"]);
}

#[test]
fn jobs_are_resumed_and_cancelled_and_their_output_grows() {
    let Some((served, browser)) = opened("admin") else { return };
    served.scene.submit(
        "works",
        &[],
        "echo first; while [ ! -e $W/gate ]; do sleep 0.05; done; echo second; sleep 600",
    );
    served.scene.submit("broken", &[], "test -e $W/mended || exit 7");
    served.wait_for("broken", "failed");
    view(&browser, "#jobs", "works");
    browser.press("[data-key='row-works']", "works");
    browser.wait_for_text("#main pre", "first");
    assert!(!browser.text("#main pre").contains("second"));
    served.scene.open_gate("gate");
    browser.wait_for_text("#main pre", "second");
    browser.press("#main", "Cancel");
    browser.wait_for_text("#dialog", "would be cancelled");
    assert_eq!(browser.text("#dialog .command code"), "recoveryctl jobs cancel works");
    confirm(&browser, "Cancel the job");
    served.wait_for("works", "cancelled");
    browser.wait_for_text("[data-key='job']", "cancelled");
    // Escape leaves everything as it is.
    served.scene.open_gate("mended");
    view(&browser, "#jobs?status=failed", "broken");
    browser.press("[data-key='row-broken']", "Resume");
    browser.wait_for_text("#dialog", "attempt 2");
    browser.key(ESCAPE);
    assert_eq!(browser.count("#dialog"), 0);
    assert_eq!(served.get("/api/jobs/broken").json()["status"], "failed");
    browser.press("[data-key='row-broken']", "Resume");
    browser.wait_for_text("#dialog", "attempt 2");
    confirm(&browser, "Resume");
    served.wait_for("broken", "succeeded");
    browser.wait_for_text("#main", "No jobs match");
    browser.log_has_only(&[]);
}

#[test]
fn an_orphan_is_removed_when_its_name_was_typed() {
    let Some(browser) = Browser::open() else { return };
    let served = serve(Scene::new(), "127.0.0.1:0", "[orphans]\ngrace = \"0s\"\n");
    enter(&browser, &served.address, &served.token("admin"));
    let left = served.scene.place.write("state/jobs/ghost/sub/file", "left");
    view(&browser, "#orphans", "Plan of the last scan");
    browser.press("#main", "Scan");
    confirm(&browser, "Scan");
    browser.wait_for_text("#main", "ghost");
    // With the evidence of each check.
    browser.click("[data-key^='checks-'] summary");
    browser.wait_for_text("#main .checks", "the queue knows no job ghost");
    browser.press("#main .card", "Remove");
    browser.wait_for_text("#dialog .rehearsal", "1 orphan would be removed");
    assert!(browser.text("#dialog .command code").contains("orphans cleanup --plan "));
    assert_eq!(browser.count("#dialog .choices button.danger:disabled"), 1);
    assert!(left.exists());
    browser.fill("#dialog-typed", "ghost");
    confirm(&browser, "Remove");
    assert!(!left.exists());
    browser.wait_for_text("[data-key='removed']", "ghost");
    browser.log_has_only(&[]);
}

#[test]
fn what_is_parked_is_sent_again() {
    let Some(browser) = Browser::open() else { return };
    // Nobody is to be called there.
    let served = serve(Scene::new(), "127.0.0.1:0", "[webhooks]\nretry = [\"1ms\"]\n");
    served.submit(&json!({ "id": "tells", "command": ["true"], "callbacks": ["http://127.0.0.1:1/done"] }));
    wait_for("a parked delivery", || {
        served.get("/api/admin/webhooks/pending").json()["counts"]["parked"] == 1
    });
    let tried = served.get("/api/admin/webhooks/delivery-log").json()["total"].as_u64().unwrap();
    enter(&browser, &served.address, &served.token("admin"));
    view(&browser, "#webhooks", "parked");
    browser.press("[data-key='pending']", "Retry all parked");
    browser.wait_for_text("#dialog .rehearsal", "1 delivery would be sent again");
    assert_eq!(browser.text("#dialog .command code"), "recoveryctl retry webhook --all-parked");
    confirm(&browser, "Send again");
    wait_for("another try", || {
        served.get("/api/admin/webhooks/delivery-log").json()["total"].as_u64() > Some(tried)
    });
    browser.log_has_only(&[]);
}

/// Actions whose cause is hard to produce are included: each shows its command, and what the daemon answers.
#[test]
fn every_action_has_its_dialog() {
    let Some((_served, browser)) = opened("admin") else { return };
    let orphan = json!({ "id": "x", "object": "job_directory:x" });
    for (module, action, arguments, line) in [
        ("recovery", "skipPhase", json!(["locks"]), "recoveryctl skip locks"),
        ("recovery", "retryPhase", json!(["locks"]), "recoveryctl retry phase locks"),
        ("recovery", "leaveSafeMode", json!([]), "recoveryctl startup clear"),
        ("jobs", "resumeJobs", json!([["a b", "-c"]]), "recoveryctl resume -- 'a b' -c"),
        ("jobs", "cancelJob", json!(["gone"]), "recoveryctl jobs cancel gone"),
        ("locks", "releaseStale", json!([]), "recoveryctl locks detect-stale --release"),
        ("leftovers", "retryCleanup", json!([{ "cleanup_id": "x.1" }]), "recoveryctl retry cleanup x.1"),
        ("leftovers", "scanOrphans", json!([]), "recoveryctl scan"),
        (
            "leftovers",
            "cleanOrphans",
            json!(["plan", [orphan]]),
            "recoveryctl orphans cleanup --plan plan --id x",
        ),
        ("webhooks", "retryWebhooks", json!([["x"]]), "recoveryctl retry webhook x"),
    ] {
        let open = "const [module, action, given] = arguments;
            (await import(`/assets/actions/${module}.js`))[action](...given)";
        browser.js(open, &[json!(module), json!(action), arguments]);
        browser.wait_for_text("#dialog .command code", line);
        assert!(browser.wait(|page| !page.text("#dialog").contains("Asking …")).is_some(), "{action}");
        assert_eq!(
            browser.js("return document.activeElement.innerText", &[]),
            "Leave it as it is",
            "{action}"
        );
        assert!(!browser.text("#dialog").contains("undefined"), "{action}: {}", browser.text("#dialog"));
        browser.press("#dialog .choices", "Leave it as it is");
    }
    // The object does not exist, or the action is not possible now.
    browser.log_has_only(&["404", "409", "412", "423"]);
}

#[test]
fn a_loss_is_acknowledged_from_the_first_line() {
    let Some(browser) = Browser::open() else { return };
    let scene = Scene::new();
    scene.submit("payroll", &[], "true");
    scene.flip_record("submit", "payroll");
    let served = serve(scene, "127.0.0.1:0", "");
    enter(&browser, &served.address, &served.token("admin"));
    browser.wait_for_text("#standing", "job:payroll");
    browser.press("#standing", "Acknowledge");
    browser.wait_for_text("#dialog", "It is told no more");
    assert_eq!(browser.js("return document.querySelector('#dialog-reason').value", &[]), "seen");
    let line = browser.text("#dialog .command code");
    assert!(line.starts_with("recoveryctl findings ack --reason seen "), "{line}");
    confirm(&browser, "Acknowledge it");
    let listed = served.get("/api/admin/findings?acknowledged=true").is(200).json();
    assert_eq!(listed["findings"][0]["object"], "job:payroll", "{listed}");
    assert_eq!(listed["findings"][0]["acknowledged"]["reason"], "seen", "{listed}");
    browser.log_has_only(&[]);
}
