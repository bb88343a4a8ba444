//! A daemon, and a browser that is in.

use super::browser::Browser;
use crate::crash::scene::{Daemon, Scene, read_json, wait_for};
use crate::http::client::Served;

/// Goes to the page and shows it a token.
#[track_caller]
pub fn enter(browser: &Browser, address: &str, token: &str) {
    browser.go(&format!("http://{address}/"));
    browser.fill("#token", token);
    browser.press("#door", "Open");
    browser.wait_for_text("#link", "as of");
}

/// A daemon with this configuration behind `[daemon]`, and where it listens. Its recovery may be under way still.
#[track_caller]
pub fn serve(scene: Scene, listen: &str, more: &str) -> Served {
    scene.place.write("config.toml", &format!("[daemon]\nlisten = \"{listen}\"\n{more}"));
    let daemon = scene.start_daemon(2);
    let address = address_of(&scene, &daemon);
    Served { daemon, scene, address }
}

fn address_of(scene: &Scene, daemon: &Daemon) -> String {
    let info = scene.place.state().join("daemon/daemon.json");
    let read = || info.exists().then(|| read_json(&info)).filter(|info| info["pid"] == daemon.child.id());
    wait_for("the daemon to say where it listens", || read().is_some());
    read().unwrap()["address"].as_str().unwrap().to_owned()
}

/// A daemon, and a browser that is in as this role.
pub fn opened(role: &str) -> Option<(Served, Browser)> {
    let browser = Browser::open()?;
    let served = Served::new();
    enter(&browser, &served.address, &served.token(role));
    Some((served, browser))
}

/// Goes to a view, and waits until it is there.
#[track_caller]
pub fn view(browser: &Browser, hash: &str, heading: &str) {
    browser.js("location.hash = arguments[0]", &[hash.into()]);
    browser.wait_for_text("#main", heading);
    assert!(browser.wait(|page| !page.text("#main").contains("Reading …")).is_some(), "{hash} is not read");
}

/// Confirms what the dialog asks, and waits until it is done.
#[track_caller]
pub fn confirm(browser: &Browser, doing: &str) {
    browser.press("#dialog .choices", doing);
    browser.wait_for_text("#dialog", "Done");
    browser.press("#dialog .choices", "Close");
}

/// The views with a heading of each.
pub const VIEWS: [(&str, &str); 8] = [
    ("#overview", "Recovery"),
    ("#queue", "Waiting line"),
    ("#jobs", "All jobs"),
    ("#locks", "Locks"),
    ("#cleanup", "Completed"),
    ("#orphans", "Plan of the last scan"),
    ("#webhooks", "Undelivered"),
    ("#startup", "History"),
];
