//! chromedriver on a free port and what its protocol says (W3C WebDriver, <https://www.w3.org/TR/webdriver2/>), as far
//! as these tests need it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::client::exchange;

/// The member under which an element's reference comes and goes (WebDriver, chapter 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser's session. The browser ends with it, and chromedriver too.
pub struct Session {
    chromedriver: Child,
    address: String,
    /// `/session/ID`.
    path: String,
}

/// An element of the page, as chromedriver refers to it.
pub struct Element(String);

/// What chromedriver answers where it cannot do what it is asked.
#[derive(Debug)]
pub struct Refused(Value);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0["error"], self.0["message"])
    }
}

impl Session {
    /// Starts both; `None` where they are not installed.
    pub fn start(arguments: &[&str]) -> Option<Session> {
        let is_there = |name: &str| Path::new("/usr/bin").join(name).exists();
        if !is_there("chromedriver") || !is_there("chromium") {
            return None;
        }
        let (chromedriver, port) = chromedriver();
        let mut session = Session { chromedriver, address: format!("127.0.0.1:{port}"), path: String::new() };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let created = session.ask("POST", "/session", &wanted).unwrap_or_else(|e| panic!("no browser: {e}"));
        session.path = format!("/session/{}", created["sessionId"].as_str().expect("a session"));
        Some(session)
    }

    pub fn go(&self, url: &str) -> Result<(), Refused> {
        self.post("url", &json!({ "url": url })).map(drop)
    }

    /// What a script returns; its arguments are `arguments[0]` and so on.
    pub fn execute(&self, script: &str, arguments: &[Value]) -> Result<Value, Refused> {
        self.post("execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// The first element of a selector.
    pub fn find(&self, selector: &str) -> Result<Element, Refused> {
        let found = self.post("element", &json!({ "using": "css selector", "value": selector }))?;
        Ok(Element(found[ELEMENT].as_str().expect("an element").to_owned()))
    }

    pub fn click(&self, element: &Element) -> Result<(), Refused> {
        self.post(&format!("element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Replaces a field's text.
    pub fn fill(&self, element: &Element, text: &str) -> Result<(), Refused> {
        self.post(&format!("element/{}/clear", element.0), &json!({}))?;
        self.post(&format!("element/{}/value", element.0), &json!({ "text": text })).map(drop)
    }

    /// Presses a key and lets it go, wherever the focus is.
    pub fn press(&self, key: char) -> Result<(), Refused> {
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("actions", &json!({ "actions": [keyboard] })).map(drop)
    }

    /// A command of the developer tools' protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value, Refused> {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// A picture of what is seen, as base64 of a PNG.
    pub fn screenshot(&self) -> Result<String, Refused> {
        let taken = self.ask("GET", &format!("{}/screenshot", self.path), &Value::Null)?;
        Ok(taken.as_str().expect("a picture").to_owned())
    }

    /// What the browser logged since it was last asked.
    pub fn log(&self) -> Result<Vec<Value>, Refused> {
        let entries = self.post("se/log", &json!({ "type": "browser" }))?;
        Ok(entries.as_array().expect("entries").clone())
    }

    fn post(&self, command: &str, body: &Value) -> Result<Value, Refused> {
        self.ask("POST", &format!("{}/{command}", self.path), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refused> {
        let text = (!body.is_null()).then(|| body.to_string());
        let gone = || Refused(json!({ "error": "no answer", "message": "chromedriver went away" }));
        let reply = exchange(&self.address, method, path, text.as_deref(), &[]).ok_or_else(gone)?;
        let value = reply.json()["value"].take();
        if reply.status == 200 { Ok(value) } else { Err(Refused(value)) }
    }
}

/// A chromedriver and its port.
///
/// It takes a port that is free for IPv4 and ends if another process has that number for IPv6, which is tried again.
fn chromedriver() -> (Child, u16) {
    let mut said = Vec::new();
    for _ in 0..10 {
        let mut command = Command::new("/usr/bin/chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut chromedriver = command.spawn().unwrap();
        let mut lines = BufReader::new(chromedriver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let port = line
                .rsplit_once("successfully on port ")
                .and_then(|(_, n)| n.trim_end_matches('.').parse().ok());
            said.push(line);
            port
        });
        if let Some(port) = port {
            // What else it says must not fill the pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return (chromedriver, port);
        }
        // Its standard output is closed: it has ended, or is about to.
        chromedriver.wait().unwrap();
    }
    panic!("chromedriver does not say where it listens: {said:#?}");
}

impl Drop for Session {
    fn drop(&mut self) {
        // A browser that is gone already, because a test failed, is as well.
        let _ = self.ask("DELETE", &self.path, &Value::Null);
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
    }
}
