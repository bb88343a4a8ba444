//! How the page looks, and how it is used without a mouse, without colours, and without seeing it.

use recovery::state::{Timestamp, human};
use serde_json::{Value, json};

use super::browser::{Browser, ENTER, ESCAPE};
use super::picture::after_a_crash;
use super::served::{VIEWS, enter, opened, view};

/// Every text that is seen, whose contrast with what is behind it is below WCAG's AA.
const FAINT: &str = r"
    const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => {
        const part = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const behind = (e) => {
        for (; e; e = e.parentElement) {
            const colour = rgb(getComputedStyle(e).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const faint = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const at = texts.currentNode.parentElement;
        if (!texts.currentNode.nodeValue.trim() || !at.checkVisibility() || at.closest('.unseen, .skip, :disabled')) continue;
        const style = getComputedStyle(at);
        const front = rgb(at.closest('svg') ? style.fill : style.color);
        const [a, b] = [light(front), light(behind(at))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${at.className} ${texts.currentNode.nodeValue}`);
    }
    return faint";

#[test]
fn it_is_readable_bright_and_dark_and_on_a_phone() {
    let Some(browser) = Browser::open() else { return };
    let served = after_a_crash();
    enter(&browser, &served.address, &served.token("admin"));
    let pages = VIEWS.into_iter().chain([("#jobs/build-web", "Attempts"), ("#locks/web", "Evidence")]);
    let pages: Vec<_> = pages.collect();
    let mut papers = Vec::new();
    for (name, width, is_dark) in [("bright", 1280, false), ("dark", 1280, true), ("phone", 360, false)] {
        browser.looks(width, 900, is_dark);
        for (hash, heading) in &pages {
            view(&browser, hash, heading);
            assert_eq!(browser.js(FAINT, &[]), json!([]), "{name} {hash}: too little contrast");
            let sizes = browser.js("return [document.documentElement.scrollWidth, innerWidth]", &[]);
            assert!(sizes[0].as_u64() <= sizes[1].as_u64(), "{name} {hash}: {sizes}");
        }
        papers.push(browser.js("return getComputedStyle(document.documentElement).backgroundColor", &[]));
        keep(name, &browser.picture());
    }
    assert_ne!(papers[0], papers[1], "dark is not bright");
    assert!(
        browser
            .js("return getComputedStyle(document.querySelector('.graph, body')).animationName", &[])
            .is_string()
    );
    browser.log_has_only(&[]);
}

/// Beside what cargo builds, to be looked at.
fn keep(name: &str, picture: &[u8]) {
    assert!(picture.len() > 10_000, "{name}: an empty picture");
    std::fs::write(
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{name}.png")),
        picture,
    )
    .unwrap();
}

#[test]
fn it_is_used_with_the_keyboard_alone() {
    let Some((served, browser)) = opened("admin") else { return };
    served.submit(&json!({ "id": "works", "command": ["sleep", "600"] }));
    let focused =
        || browser.js("const e = document.activeElement; return e.id || e.innerText || e.nodeName", &[]);
    browser.js("document.activeElement.blur()", &[]);
    browser.tab();
    assert_eq!(focused(), "skip");
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.js(outline, &[]), "solid", "the focus is seen");
    browser.key(ENTER);
    assert_eq!(focused(), "main");
    browser.key('3');
    browser.wait_for_text("#main", "All jobs");
    browser.key('/');
    assert_eq!(focused(), "narrow-status");
    browser.js("document.activeElement.blur()", &[]);
    browser.key('?');
    browser.wait_for_text("#dialog", "these keys");
    browser.key(ESCAPE);
    assert_eq!(browser.count("#dialog"), 0);
    // To a job, its cancellation, and out again without a change.
    browser.wait_for_text("#main", "works");
    browser.js("document.querySelector('[data-key=\"row-works\"] button').focus()", &[]);
    browser.key(ENTER);
    browser.wait_for_text("#dialog", "would be cancelled");
    browser.key(ENTER);
    assert!(browser.wait(|page| page.count("#dialog") == 0).is_some(), "Enter alone leaves it as it is");
    assert_eq!(served.get("/api/jobs/works").json()["cancel_requested"], false);
    browser.log_has_only(&[]);
}

#[test]
fn it_tells_those_who_do_not_see_it() {
    let Some((served, browser)) = opened("admin") else { return };
    let there = |selector: &str| {
        browser.js("return document.querySelectorAll(arguments[0]).length", &[json!(selector)])
    };
    for (selector, n) in [
        ("main", 1),
        ("header", 1),
        ("nav[aria-label]", 1),
        ("h1", 2),
        ("[role=status]#said", 1),
        ("[role=alert]#lost", 1),
        ("html[lang]", 1),
    ] {
        assert_eq!(there(selector), n, "{selector}");
    }
    assert_eq!(browser.js("return document.querySelector('#said').textContent", &[]), "healthy: all is well");
    served.scene.submit("vanishes", &[], "echo began >> $W/vanishes; sleep 600");
    served.scene.wait_for_witness("vanishes");
    served.scene.kill_all_of("vanishes");
    let said = || browser.js("return document.querySelector('#said').textContent", &[]);
    assert!(browser.wait(|_| said().as_str().unwrap().contains("1 crashed job")).is_some(), "{}", said());
    // Every field has a name, every status a word beside its shape.
    view(&browser, "#jobs", "vanishes");
    let nameless = "return [...document.querySelectorAll('input, select, button, a')].filter(e => e.checkVisibility())
        .filter(e => !(e.innerText?.trim() || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML)";
    assert_eq!(browser.js(nameless, &[]), json!([]));
    let wordless: Value = browser.js(
        "return [...document.querySelectorAll('.tag')].filter(e => e.innerText.trim().length < 3).length",
        &[],
    );
    assert_eq!(wordless, 0);
    browser.log_has_only(&[]);
}

#[test]
fn durations_ages_and_sizes_are_said_as_everywhere() {
    let Some((served, browser)) = opened("viewer") else { return };
    let now = 1_800_000_000_000i64;
    let spans: [i64; 12] = [
        0,
        412,
        1100,
        2000,
        9_999,
        59_999,
        240_000,
        2_129_000,
        3_599_999,
        7_500_000,
        90_061_000,
        180_000_000,
    ];
    let bytes: [u64; 7] = [0, 1023, 1024, 2007, 123_456, 22_032_384, 3 << 30];
    let said = browser.js(
        "return import(`http://${arguments[0]}/assets/format.js`).then((format) => [
            arguments[2].map((ms) => format.duration(ms)),
            arguments[2].map((ms) => format.ago(new Date(arguments[1] - ms).toISOString(), arguments[1])),
            arguments[2].map((ms) => format.ago(new Date(arguments[1] + ms).toISOString(), arguments[1])),
            arguments[3].map((n) => format.bytes(n)),
        ])",
        &[served.address.as_str().into(), now.into(), json!(spans), json!(bytes)],
    );
    let at = Timestamp::from_millis(now);
    let expected = json!([
        spans.map(|ms| human::duration(ms.unsigned_abs())),
        spans.map(|ms| human::ago(at, at.plus_millis(-ms))),
        spans.map(|ms| human::ago(at, at.plus_millis(ms))),
        bytes.map(human::size),
    ]);
    assert_eq!(said, expected);
}
