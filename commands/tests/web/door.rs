//! The page itself, and who is admitted.

use serde_json::json;

use super::browser::{Browser, ESCAPE};
use super::served::{VIEWS, enter, opened, view};
use crate::http::client::{Served, exchange};

/// Every file of the page, as the page and its scripts name them.
const FILES: [&str; 5] =
    ["/", "/assets/main.js", "/assets/views/overview.js", "/assets/base.css", "/assets/icon.svg"];

#[test]
fn the_page_is_served_to_everybody_and_may_do_nothing_else() {
    let served = Served::new();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        exchange(&served.address, method, path, None, headers).unwrap()
    };
    for path in FILES {
        let page = ask("GET", path, &[]).is(200);
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let tag = page.header("etag").unwrap();
        assert!(ask("GET", path, &[("If-None-Match", tag)]).is(304).body.is_empty());
        let head = ask("HEAD", path, &[]).is(200);
        assert!(head.body.is_empty() && head.header("etag") == Some(tag), "{}", head.head);
        for method in ["POST", "PUT", "DELETE"] {
            let refused = ask(method, path, &[]);
            assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{}", refused.head);
            refused.problem(405, "wrong-method");
        }
        ask("GET", path, &[("Host", "evil.example")]).problem(421, "wrong-host");
    }
    let page = String::from_utf8(ask("GET", "/", &[]).body).unwrap();
    assert!(!page.contains(served.scene.place.state().to_str().unwrap()), "the page tells nothing");
    for inline in ["<script>", "style=", "onclick", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline}");
    }
    ask("GET", "/assets/../main.js", &[]).is(401);
    ask("GET", "/assets/none.js", &[]).is(401);
}

#[test]
fn a_token_opens_the_page_for_this_tab() {
    let Some(browser) = Browser::open() else { return };
    let served = Served::new();
    let url = format!("http://{}/", served.address);
    browser.go(&url);
    browser.wait_for_text("#door", "Token");
    assert_eq!(browser.count("main, #top"), 0);
    assert_eq!(browser.js("return document.activeElement.id", &[]), "token");
    browser.fill("#token", "0123456789abcdef");
    browser.press("#door", "Open");
    browser.wait_for_text("#door-said", "not valid");
    browser.fill("#token", &served.token("admin"));
    browser.press("#door", "Open");
    browser.wait_for_text("#standing", "all is well");
    // The token survives a reload, and is only in this tab.
    browser.go(&url);
    browser.wait_for_text("#standing", "all is well");
    let kept = browser.js("return [localStorage.length, document.cookie, location.href]", &[]);
    assert_eq!(kept, json!([0, "", url]));
    // A rotated token is not valid any more: the page returns to the door, which says so.
    served.scene.json(&["token", "rotate", "admin"], 0);
    served.submit(&json!({ "id": "news", "command": ["true"] }));
    browser.wait_for_text("#door-said", "not valid any more");
    assert_eq!(browser.count("#main, #top"), 0);
    browser.fill("#token", &served.token("admin"));
    browser.press("#door", "Open");
    browser.wait_for_text("#standing", "all is well");
    browser.press("#top", "Forget the token");
    browser.wait_for_text("#door", "Token");
    assert_eq!(browser.js("return sessionStorage.getItem('recoveryctl-token')", &[]), json!(null));
    assert_eq!(browser.text("main"), "");
    browser.log_has_only(&["401"]);
}

#[test]
fn a_viewer_sees_and_is_offered_no_change() {
    let Some((served, browser)) = opened("viewer") else { return };
    served.submit(&json!({ "id": "broken", "command": ["false"] }));
    served.wait_for("broken", "failed");
    served.hold("holder", "web");
    browser.wait_for_text("#link", "view only");
    for (hash, heading) in VIEWS.into_iter().chain([("#jobs/holder", "Attempts"), ("#locks/web", "Evidence")])
    {
        view(&browser, hash, heading);
        assert_eq!(browser.count("[data-changes]"), 0, "{hash}");
    }
    // Viewers may not see the output of jobs: the page says so once, with what to do.
    view(&browser, "#jobs/broken", "Attempts");
    browser.wait_for_text(".output-box", "daemon.viewer_output");
    browser.wait_for_text(".output-box", "daemon/admin.token");
    view(&browser, "#jobs", "broken");
    // If the page tries all the same, it is told why not.
    let refused =
        browser.js("const { cancelJob } = await import('/assets/actions/jobs.js'); cancelJob('holder')", &[]);
    assert_eq!(refused, json!(null));
    browser.wait_for_text("#dialog", "may look, and change nothing");
    browser.key(ESCAPE);
    // The same browser, as somebody else.
    browser.press("#top", "Forget the token");
    enter(&browser, &served.address, &served.token("admin"));
    view(&browser, "#jobs", "broken");
    assert!(browser.count("[data-changes]") > 1);
    browser.log_has_only(&["403"]);
}
