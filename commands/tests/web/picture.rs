//! The picture in the documentation: a server that really crashed, after its recovery.

use serde_json::json;

use super::browser::Browser;
use super::served::enter;
use crate::crash::scene::{Scene, wait_for};
use crate::http::client::Served;

/// The variable that says where the picture goes; without it, it is made and thrown away.
const WHERE: &str = "RECOVERYCTL_DASHBOARD_PICTURE";
/// So that it stays small in the repository.
const LARGEST: usize = 150_000;

/// A scene with jobs that run, wait, failed and vanished, after a crash and the recovery from it.
pub fn after_a_crash() -> Served {
    let scene = Scene::new();
    let daemon = scene.daemon(4);
    scene.submit("lint", &["--repo", "api"], "true");
    scene.submit("unit-tests", &["--repo", "api"], "echo '2 of 480 failed'; exit 1");
    scene.submit("build-web", &["--repo", "web"], "echo began >> $W/build-web; sleep 600");
    scene.submit("nightly-backup", &["--repo", "db"], "echo began >> $W/nightly-backup; sleep 600");
    scene.submit("index", &["--on-crash", "requeue"], "echo began >> $W/index; sleep 600");
    for id in ["build-web", "nightly-backup", "index"] {
        scene.wait_for_witness(id);
    }
    scene.submit("deploy-web", &["--repo", "web", "--priority", "5"], "true");
    scene.submit("smoke-tests", &["--repo", "web"], "true");
    daemon.kill();
    scene.kill_all_of("nightly-backup");
    Served::with(scene, 4)
}

#[test]
fn picture() {
    let Some(browser) = Browser::open() else { return };
    let served = after_a_crash();
    wait_for("the crashed job to be known", || {
        served.get("/api/jobs/nightly-backup").json()["status"] == "crashed"
    });
    browser.looks(1280, 704, false);
    enter(&browser, &served.address, &served.token("admin"));
    browser.wait_for_count(".graph .node", 7);
    browser.wait_for_text("[data-key='findings']", "nightly-backup");
    let picture = browser.picture();
    assert!(picture.len() < LARGEST, "{} bytes", picture.len());
    assert!(served.get("/api/admin/recovery/status").json()["findings"] != json!([]));
    if let Some(path) = std::env::var_os(WHERE) {
        std::fs::write(path, picture).unwrap();
    }
    browser.log_has_only(&[]);
}
