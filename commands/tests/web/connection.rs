//! A connection that is lost and comes back; and how often the page asks.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

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
    // A user can try at once; that fails as long as no daemon is there.
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

/// Passes everything on, each request on a connection of its own, but the answer to a request for events: as a proxy
/// that waits for the end of an answer.
fn holding_events_back(to: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap().to_string(), to.to_owned());
    std::thread::spawn(move || {
        for browser in listener.incoming().flatten() {
            let to = to.clone();
            std::thread::spawn(move || pass_on(browser, &to));
        }
    });
    address
}

fn pass_on(mut browser: TcpStream, to: &str) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        browser.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    if head.starts_with("GET /api/admin/events") {
        // Until the browser leaves.
        let _ = browser.read(&mut byte);
        return None;
    }
    let mut daemon = TcpStream::connect(to).ok()?;
    let head = head.replace("Connection: keep-alive\r\n", "");
    let (first, rest) = head.split_once("\r\n")?;
    write!(daemon, "{first}\r\nConnection: close\r\n{rest}").ok()?;
    let (mut from_browser, mut to_daemon) = (browser.try_clone().ok()?, daemon.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from_browser, &mut to_daemon));
    std::io::copy(&mut daemon, &mut browser).ok()?;
    browser.shutdown(Shutdown::Both).ok()
}

#[test]
fn where_events_are_held_back_that_is_said_and_reports_are_asked_for() {
    let Some(browser) = Browser::open() else { return };
    let served = serve(Scene::new(), "127.0.0.1:0", "");
    let proxy = holding_events_back(&served.address);
    enter(&browser, &proxy, &served.token("admin"));
    browser.wait_for_text("#link", "no events, asks every 5 s");
    served.submit(&json!({ "id": "unheard", "command": ["sleep", "600"] }));
    view(&browser, "#jobs", "unheard");
    assert_eq!((browser.count("body.old"), browser.text("#lost").as_str()), (0, ""), "nothing is lost");
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
