//! A browser of a test's own: Chromium with an empty profile, and waiting for what the page shows.

use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::webdriver::{Element, Session};

/// Keys that are no letters, as WebDriver writes them (chapter 15, "Keyboard actions").
pub const ENTER: char = '\u{e007}';
pub const ESCAPE: char = '\u{e00c}';
const TAB: char = '\u{e004}';

/// A page of it.
pub struct Browser {
    // Ended before its profile goes.
    session: Session,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens one; `None`, and said, where there is none.
    pub fn open() -> Option<Browser> {
        let profile = tempfile::tempdir().unwrap();
        let user_data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--window-size=1280,900",
            user_data.as_str(),
        ];
        let Some(session) = Session::start(&arguments) else {
            crate::common::skipped("chromium and chromedriver are not installed");
            return None;
        };
        Some(Browser { session, _profile: profile })
    }

    #[track_caller]
    pub fn go(&self, url: &str) {
        self.session.go(url).unwrap();
    }

    /// What a script returns; its arguments are `arguments[0]` and so on.
    #[track_caller]
    pub fn js(&self, script: &str, arguments: &[Value]) -> Value {
        self.session.execute(script, arguments).unwrap_or_else(|e| panic!("{e}: {script}"))
    }

    /// The text that is seen of the first element of a selector, on one line; empty when there is none.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.js(script, &[json!(selector)]);
        text.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// How many elements of a selector are seen.
    #[track_caller]
    pub fn count(&self, selector: &str) -> u64 {
        let script =
            "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).length";
        self.js(script, &[json!(selector)]).as_u64().unwrap()
    }

    /// Waits until the text of a selector has this in it.
    #[track_caller]
    pub fn wait_for_text(&self, selector: &str, part: &str) {
        let mut seen = String::new();
        self.wait(|page| {
            seen = page.text(selector);
            seen.contains(part)
        })
        .unwrap_or_else(|| panic!("'{part}' is not in {selector}: {seen}\n{}", self.text("body")));
    }

    /// Waits until so many elements of a selector are seen.
    #[track_caller]
    pub fn wait_for_count(&self, selector: &str, wanted: u64) {
        self.wait(|page| page.count(selector) == wanted)
            .unwrap_or_else(|| panic!("there are not {wanted} {selector}\n{}", self.text("body")));
    }

    /// Clicks, as a person with a mouse does: what is covered or disabled is not clicked.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.wait(|page| page.session.click(&page.find(selector)?).ok())
            .unwrap_or_else(|| panic!("{selector} cannot be clicked\n{}", self.text("body")));
    }

    /// Clicks the button with these words, below an element.
    #[track_caller]
    pub fn press(&self, within: &str, words: &str) {
        let mark = "const [within, words] = arguments;
            document.querySelectorAll('[data-pressed]').forEach(e => e.removeAttribute('data-pressed'));
            const all = [...document.querySelectorAll(`${within} button, ${within} a`)];
            const found = all.find(e => e.innerText.trim().startsWith(words) && !e.disabled && e.checkVisibility());
            found?.setAttribute('data-pressed', '');
            return Boolean(found)";
        self.wait(|page| {
            let is_there = page.js(mark, &[json!(within), json!(words)]) == true;
            is_there.then(|| page.session.click(&page.find("[data-pressed]")?).ok()).flatten()
        })
        .unwrap_or_else(|| panic!("there is no '{words}' in {within}\n{}", self.text("body")));
    }

    /// Types into a field that is there.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.wait(|page| page.session.fill(&page.find(selector)?, text).ok())
            .unwrap_or_else(|| panic!("{selector} cannot be typed into"));
    }

    /// Presses a key, wherever the focus is.
    #[track_caller]
    pub fn key(&self, key: char) {
        self.session.press(key).unwrap();
    }

    #[track_caller]
    pub fn tab(&self) {
        self.key(TAB);
    }

    /// Waits until something comes true.
    pub fn wait<T: Answer>(&self, mut condition: impl FnMut(&Browser) -> T) -> Option<()> {
        let begun = Instant::now();
        while begun.elapsed() < crate::common::PATIENCE {
            if condition(self).is_yes() {
                return Some(());
            }
            std::thread::park_timeout(Duration::from_millis(40));
        }
        None
    }

    /// A window of this size, bright or dark.
    #[track_caller]
    pub fn looks(&self, width: u32, height: u32, is_dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// A picture of what is seen.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(self.session.screenshot().unwrap()).unwrap()
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: &Value) {
        self.session.devtools(command, parameters).unwrap();
    }

    /// Asserts that the browser's log has nothing but failed requests with one of these words in them.
    #[track_caller]
    pub fn log_has_only(&self, expected: &[&str]) {
        for entry in self.session.log().unwrap() {
            let message = entry["message"].as_str().unwrap_or_default();
            let is_expected =
                entry["source"] == "network" && expected.iter().any(|word| message.contains(word));
            assert!(is_expected, "the browser's log: {entry}");
        }
    }

    fn find(&self, selector: &str) -> Option<Element> {
        self.session.find(selector).ok()
    }
}

/// Yes or no.
pub trait Answer {
    fn is_yes(&self) -> bool;
}

impl Answer for bool {
    fn is_yes(&self) -> bool {
        *self
    }
}

impl Answer for Option<()> {
    fn is_yes(&self) -> bool {
        self.is_some()
    }
}
