//! A recovery that hangs is watched as it goes, and a phase of it skipped.

use recovery::durable::FileLock;
use serde_json::json;

use super::browser::Browser;
use super::served::{confirm, enter, serve};
use crate::crash::scene::{Scene, wait_for};

#[test]
fn a_phase_that_hangs_is_seen_and_skipped() {
    let Some(browser) = Browser::open() else { return };
    let scene = Scene::new();
    scene.daemon(1).kill();
    // Another process keeps the deliveries' log, as a disk that does not answer.
    let log = scene.dir().paths.webhooks_log();
    let held = FileLock::try_acquire(&scene.dir().disk, &log.join("append.lock")).unwrap();
    let served = serve(scene, "127.0.0.1:0", "");
    enter(&browser, &served.address, &served.token("admin"));
    browser.wait_for_text("[data-key='row-webhooks']", "running");
    browser.wait_for_text("#standing", "Recovering");
    browser.wait_for_text("[data-key='row-jobs']", "succeeded");
    assert_eq!(browser.count(".graph .node.busy[data-key='node-webhooks']"), 1);
    assert!(
        browser
            .js("return document.querySelector('.graph').getAttribute('aria-label')", &[])
            .as_str()
            .unwrap()
            .contains("webhooks running")
    );
    browser.press("[data-key='row-webhooks']", "Skip");
    browser.wait_for_text("#dialog .rehearsal", "It would be passed over");
    assert_eq!(browser.js("return document.activeElement.innerText", &[]), "Leave it as it is");
    browser.fill("#dialog-reason", "the disk hangs");
    assert_eq!(browser.text("#dialog .command code"), "recoveryctl skip --reason 'the disk hangs' webhooks");
    confirm(&browser, "Skip the phase");
    browser.wait_for_text("[data-key='row-webhooks']", "skipped");
    drop(held);
    wait_for("the daemon to take jobs", || served.get("/readyz").status == 200);
    let trail = served.get("/api/admin/audit?action=skip").is(200).json();
    assert_eq!(
        (&trail["entries"][0]["object"], &trail["entries"][0]["reason"]),
        (&json!("phase:webhooks"), &json!("the disk hangs")),
        "{trail}"
    );
    // And tried again, when the disk answers.
    browser.press("[data-key='row-webhooks']", "Retry");
    browser.wait_for_text("#dialog", "recoveryctl retry phase webhooks");
    confirm(&browser, "Try it again");
    browser.wait_for_text("[data-key='row-webhooks']", "succeeded");
    browser.log_has_only(&["503"]);
}

/// When the report itself waits for the same disk, the phases are shown all the same.
#[test]
fn phases_are_shown_when_the_report_hangs_too() {
    let Some(browser) = Browser::open() else { return };
    let scene = Scene::new();
    let pipe = scene.place.path("slow");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let link = scene.dir().paths.locks().join("slow.lock.json");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    let served = serve(scene, "127.0.0.1:0", "");
    browser.go(&format!("http://{}/", served.address));
    browser.fill("#token", &served.token("admin"));
    browser.press("#door", "Open");
    browser.wait_for_text("[data-key='row-locks']", "running");
    // It says that the report is missing, and what it shows all the same is of now.
    browser.wait_for_text("#lost", "The daemon answers, but gives no report");
    browser.wait_for_text("#standing", "The recovery is under way");
    assert!(!browser.text("[data-key='recovery'] h2").contains("old"));
    browser.press("[data-key='row-locks']", "Skip");
    browser.press("#dialog .choices", "Skip the phase");
    browser.wait_for_text("[data-key='row-locks']", "skipped");
    std::fs::remove_file(&link).unwrap();
}
