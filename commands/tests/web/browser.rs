//! A browser of a test's own: chromedriver on a free port, Chromium with an empty profile, and waiting for what the
//! page shows.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, Key, LoggingPrefsLogLevel};
use tokio::runtime::Runtime;

/// A page of it.
pub struct Browser {
    runtime: Runtime,
    driver: WebDriver,
    _chromedriver: Chromedriver,
    _profile: tempfile::TempDir,
}

/// The process, ended when it is dropped, and its browser with it.
struct Chromedriver {
    child: Child,
    port: u16,
}

impl Browser {
    /// Opens one; `None`, and said, where there is none.
    pub fn open() -> Option<Browser> {
        let Some(chromedriver) = Chromedriver::start() else {
            crate::common::skipped("chromium and chromedriver are not installed");
            return None;
        };
        let _ = rustls::crypto::ring::default_provider().install_default(); // Once is enough.
        let profile = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = format!("http://127.0.0.1:{}", chromedriver.port);
        let driver = runtime.block_on(WebDriver::new(url, capabilities(profile.path()))).expect("a browser");
        Some(Browser { runtime, driver, _chromedriver: chromedriver, _profile: profile })
    }

    #[track_caller]
    pub fn go(&self, url: &str) {
        self.runtime.block_on(self.driver.goto(url)).unwrap();
    }

    /// What a script returns; its arguments are `arguments[0]` and so on.
    #[track_caller]
    pub fn js(&self, script: &str, arguments: &[Value]) -> Value {
        let ran = self.runtime.block_on(self.driver.execute(script, arguments.to_vec()));
        ran.unwrap_or_else(|e| panic!("{e}: {script}")).json().clone()
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
        self.wait(|page| page.runtime.block_on(page.find(selector)?.click()).ok())
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
            is_there.then(|| page.runtime.block_on(page.find("[data-pressed]")?.click()).ok()).flatten()
        })
        .unwrap_or_else(|| panic!("there is no '{words}' in {within}\n{}", self.text("body")));
    }

    /// Types into a field that is there.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.wait(|page| {
            let field = page.find(selector)?;
            page.runtime
                .block_on(async {
                    field.clear().await?;
                    field.send_keys(text).await
                })
                .ok()
        })
        .unwrap_or_else(|| panic!("{selector} cannot be typed into"));
    }

    /// Presses a key, wherever the focus is.
    #[track_caller]
    pub fn key(&self, key: impl Into<thirtyfour::TypingData>) {
        let act = self.driver.action_chain().send_keys(key.into());
        self.runtime.block_on(act.perform()).unwrap();
    }

    #[track_caller]
    pub fn tab(&self) {
        self.key(Key::Tab);
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
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// A picture of what is seen.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.driver.screenshot_as_png()).unwrap()
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.runtime.block_on(self.driver.cdp().send_raw(command, parameters)).unwrap()
    }

    /// Asserts that the browser's log has nothing but failed requests with one of these words in them.
    #[track_caller]
    pub fn log_has_only(&self, expected: &[&str]) {
        for entry in self.runtime.block_on(self.driver.browser_log()).unwrap() {
            let is_request = entry.source.as_deref() == Some("network");
            let is_expected = is_request && expected.iter().any(|word| entry.message.contains(word));
            assert!(is_expected, "the browser's log: {entry:?}");
        }
    }

    fn find(&self, selector: &str) -> Option<WebElement> {
        self.runtime.block_on(self.driver.find(By::Css(selector))).ok()
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

impl Drop for Browser {
    fn drop(&mut self) {
        // One that is gone already, because a test failed, is as well.
        let _ = self.runtime.block_on(self.driver.clone().quit());
    }
}

fn capabilities(profile: &Path) -> thirtyfour::ChromeCapabilities {
    let mut capabilities = DesiredCapabilities::chrome();
    let profile = format!("--user-data-dir={}", profile.display());
    for argument in [
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
        profile.as_str(),
    ] {
        capabilities.add_arg(argument).unwrap();
    }
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    capabilities
}

impl Chromedriver {
    /// On a free port; none where it is not installed.
    fn start() -> Option<Chromedriver> {
        let is_there = |name: &str| Path::new("/usr/bin").join(name).exists();
        if !is_there("chromedriver") || !is_there("chromium") {
            return None;
        }
        let mut command = Command::new("/usr/bin/chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let chromedriver = Chromedriver { child, port: port.unwrap_or_default() };
        assert!(chromedriver.port > 0, "chromedriver does not say where it listens");
        Some(chromedriver)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
