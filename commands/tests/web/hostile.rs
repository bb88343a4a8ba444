//! Hostile names, texts and numbers: nothing of them is obeyed, and the page keeps its shape.

use serde_json::{Value, json};

use super::browser::Browser;
use super::served::{VIEWS, enter, opened, serve, view};
use crate::crash::scene::Scene;

const MARKUP: &str = "<img src=x onerror=\"window.hacked=1\">";

#[test]
fn nothing_from_outside_is_obeyed() {
    let Some((served, browser)) = opened("admin") else { return };
    browser.looks(360, 740, false);
    let long = format!("{}-{}", "very-long-name".repeat(8), "x".repeat(60));
    let repositories = [MARKUP, "\u{202e}gpj.exe", "مستودع", &long];
    for (n, repository) in repositories.iter().enumerate() {
        let command = [
            "sh",
            "-c",
            "printf '%s \\033[31m\\007 %s\\n' '<script>window.hacked=1</script>' end; sleep 600 #<b>",
        ];
        served.submit(&json!({ "id": format!("job-{n}"), "command": command, "repository": repository, "title": MARKUP }));
        served.submit(&json!({ "command": ["true"], "repository": repository }));
    }
    served.submit(
        &json!({ "id": long, "command": ["sh", "-c", "exit 3"], "callbacks": ["http://127.0.0.1:1/<b>"] }),
    );
    served.wait_for("job-1", "running");
    view(&browser, "#jobs/job-0", "Attempts");
    // Control characters are shown as pictures.
    browser.wait_for_text("#main pre", "<script>window.hacked=1</script> ␛[31m␇ end");
    for (hash, heading) in VIEWS.into_iter().chain([
        ("#jobs/job-1", "Attempts"),
        ("#locks", "onerror"),
        ("#jobs", "‹U+202E›gpj.exe"),
    ]) {
        view(&browser, hash, heading);
        let width = browser.js("return [document.documentElement.scrollWidth, innerWidth]", &[]);
        assert!(width[0].as_u64() <= width[1].as_u64(), "{hash} is too wide: {width}\n{}", widest(&browser));
        assert_eq!(browser.js("return [window.hacked ?? null, document.querySelectorAll('#main img, #main script, #main b:not(.counts b)').length]", &[]), json!([null, 0]));
    }
    browser.log_has_only(&[]);
}

/// What sticks out.
fn widest(browser: &Browser) -> Value {
    browser.js(
        "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.nodeName + '.' + e.className + ' ' + e.innerText?.slice(0, 60)).slice(0, 8)",
        &[],
    )
}

#[test]
fn ten_thousand_jobs_are_a_page_of_rows() {
    let Some(browser) = Browser::open() else { return };
    let scene = Scene::new();
    let jobs: String =
        (0..10_000).map(|n| format!("{{\"id\":\"job-{n}\",\"command\":[\"sleep\",\"600\"]}}\n")).collect();
    let file = scene.place.write("jobs.jsonl", &jobs);
    scene.run(&["submit", "--from", file.to_str().unwrap()]).ends_with(0);
    let served = serve(scene, "127.0.0.1:0", "");
    enter(&browser, &served.address, &served.token("admin"));
    for hash in ["#jobs", "#queue"] {
        view(&browser, hash, "Next page");
        assert!(browser.count("#main tbody tr") <= 120, "{}", browser.count("#main tbody tr"));
        assert!(browser.js("return document.querySelectorAll('*').length", &[]).as_u64().unwrap() < 4000);
    }
    browser.wait_for_text("#views", "9,998");
    let first = browser.text("#main tbody");
    browser.press("#main .pager", "Next page");
    assert!(
        browser.wait(|page| page.count("#main tbody tr") > 10 && page.text("#main tbody") != first).is_some()
    );
    browser.press("#main .pager", "First page");
    assert!(browser.wait(|page| page.text("#main tbody").contains("job-2 ")).is_some());
    browser.log_has_only(&[]);
}
