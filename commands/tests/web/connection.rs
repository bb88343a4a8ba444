//! A connection that is lost and comes back; and how much the page asks.

use serde_json::{Value, json};

use super::browser::Browser;
use super::served::{enter, opened, serve, view};
use crate::crash::scene::Scene;
use crate::http::client::Served;

#[test]
fn a_killed_daemon_is_said_to_be_gone_and_is_found_again() {
    let Some(browser) = Browser::open() else { return };
    let served = serve(Scene::new(), "127.0.0.1:0", "");
    served.submit(&json!({ "id": "before", "command": ["sleep", "600"] }));
    served.wait_for("before", "running");
    enter(&browser, &served.address, &served.token("admin"));
    view(&browser, "#jobs", "before");
    let Served { daemon, scene, address } = served;
    daemon.kill();
    browser.wait_for_text("#lost", "Connection lost since");
    assert!(browser.text("#lost").contains("may no longer be true"), "{}", browser.text("#lost"));
    browser.wait_for_text("#lost", "The next try is in");
    assert_eq!(browser.count("body.old"), 1);
    assert!(browser.js("return document.title", &[]).as_str().unwrap().contains("connection lost"));
    let mark = "return getComputedStyle(document.querySelector('.part h2'), '::after').content";
    assert!(browser.js(mark, &[]).as_str().unwrap().contains("old"));
    // What was seen last is still there to be read.
    assert!(browser.text("#main").contains("before"));
    // Who does not want to wait tries at once; in vain, as long as nobody is there.
    browser.press("#lost", "Try now");
    browser.wait_for_text("#lost", "the daemon cannot be reached");
    let served = serve(scene, &address, "");
    served.wait_for("before", "running");
    served.submit(&json!({ "id": "after", "command": ["sleep", "600"] }));
    browser.wait_for_text("#link", "live");
    browser.wait_for_text("#main", "after");
    assert_eq!((browser.count("body.old"), browser.text("#lost").as_str()), (0, ""));
    browser.log_has_only(&[
        "ERR_CONNECTION_REFUSED",
        "ERR_INCOMPLETE_CHUNKED_ENCODING",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
    ]);
}

/// Begin and end of each read of the whole, in milliseconds of the page's life.
fn reads(browser: &Browser) -> Vec<(f64, f64)> {
    let script =
        "return performance.getEntriesByType('resource').filter(e => e.name.includes('dashboard-data'))
        .map(e => [e.startTime, e.responseEnd])";
    let of = |pair: &Value| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
    browser.js(script, &[]).as_array().unwrap().iter().map(of).collect()
}

#[test]
fn much_that_happens_is_read_at_most_once_a_second_and_by_nobody_who_does_not_look() {
    let Some((served, browser)) = opened("admin") else { return };
    for n in 0..60 {
        served.submit(&json!({ "id": format!("job-{n}"), "command": ["true"] }));
    }
    served.wait_for("job-59", "succeeded");
    browser.wait_for_text("#standing", "60 ✓ succeeded");
    let seen = reads(&browser);
    assert!(seen.len() > 1, "{seen:?}");
    // Of all together: the browser tells when a request left, and may have let one wait longer than the next.
    let (first, last) = (seen[0].0, seen[seen.len() - 1].0);
    let seconds = (last - first) / 1000.0;
    assert!((seen.len() - 1) as f64 <= seconds.round(), "more than one a second: {seen:?}");
    for pair in seen.windows(2) {
        assert!(pair[1].0 >= pair[0].1, "two at a time: {seen:?}");
    }
    let hide = "Object.defineProperty(document, 'hidden', { configurable: true, get: () => arguments[0] });
        document.dispatchEvent(new Event('visibilitychange'))";
    let hide_as = |hidden: bool| hide.replace("arguments[0]", &hidden.to_string());
    browser.js(&hide_as(true), &[]);
    // One that had begun may still end.
    let before = reads(&browser).len();
    for n in 0..30 {
        served.submit(&json!({ "id": format!("unseen-{n}"), "command": ["sleep", "0.1"] }));
    }
    served.wait_for("unseen-29", "succeeded");
    assert!(reads(&browser).len() <= before + 1);
    browser.js(&hide_as(false), &[]);
    browser.wait_for_text("#standing", "90 ✓ succeeded");
    browser.log_has_only(&[]);
}
