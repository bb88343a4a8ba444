//! Behind nginx and Caddy as they are installed, set up as docs/http.md says, below a path.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::browser::Browser;
use super::served::{serve, view};
use crate::common::skipped;
use crate::crash::scene::{Scene, wait_for};
use crate::http::client::Served;

const DOCS: &str = include_str!("../../../docs/http.md");

/// Ended with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // With its workers: it leads a group of its own.
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// The set-up that the docs show in this language, for this daemon.
fn documented(language: &str, daemon: &str) -> String {
    let begin = format!("```{language}\n");
    let (_, rest) = DOCS.split_once(&begin).expect("the docs show it");
    let (block, _) = rest.split_once("```").unwrap();
    assert!(block.contains("127.0.0.1:9797"), "{block}");
    block.replace("127.0.0.1:9797", daemon)
}

/// Starts it; `None` where it is not installed.
fn start(program: &str, arguments: &[&str], home: &Path, address: &str) -> Option<Proxy> {
    let mut command = Command::new(program);
    command.args(arguments).env("HOME", home).env("XDG_DATA_HOME", home).env("XDG_CONFIG_HOME", home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let proxy = match command.spawn() {
        Ok(child) => Proxy(child),
        Err(e) => {
            skipped(&format!("{program} is not installed: {e}"));
            return None;
        }
    };
    wait_for("the proxy to listen", || TcpStream::connect(address).is_ok());
    Some(proxy)
}

/// An address of this machine that no other test is given: the ports are below those that are given out, and each
/// process of tests has its own part of 127.0.0.0/8.
fn address_of_our_own(port: u16) -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{}.7:{port}", 1 + high % 254, low)
}

fn nginx(daemon: &str, address: &str, home: &Path) -> Option<Proxy> {
    let block = documented("nginx", daemon);
    let file = home.join("nginx.conf");
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", home.display()))
        .join(" ");
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "daemon off; {user} pid {home}/pid; error_log {home}/error;\nevents {{}}\n\
         http {{ access_log off; {places}\nserver {{ listen {address};\n{block}}} }}\n",
        home = home.display()
    );
    std::fs::write(&file, text).unwrap();
    let error = home.join("error");
    let arguments = ["-c", file.to_str().unwrap(), "-e", error.to_str().unwrap()];
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    start(program, &arguments, home, address)
}

fn caddy(daemon: &str, address: &str, home: &Path) -> Option<Proxy> {
    let block = documented("caddy", daemon);
    let (host, port) = address.split_once(':').unwrap();
    let file = home.join("Caddyfile");
    let text = format!("{{\nadmin off\nauto_https off\n}}\nhttp://:{port} {{\nbind {host}\n{block}}}\n");
    std::fs::write(&file, text).unwrap();
    let arguments = ["run", "--config", file.to_str().unwrap(), "--adapter", "caddyfile"];
    start("caddy", &arguments, home, address)
}

/// The page, events, a change, the command line and what the daemon names itself, all through the proxy.
fn all_of_it_works(browser: &Browser, served: &Served, proxy: &str) {
    browser.go(&format!("http://{proxy}/recovery"));
    browser.fill("#token", &served.token("admin"));
    browser.press("#door", "Open");
    browser.wait_for_text("#link", "live");
    // Nothing but an event leads the page to ask for this one.
    served.submit(&json!({ "id": "heard", "command": ["sleep", "600"] }));
    view(browser, "#jobs", "heard");
    view(browser, "#jobs/heard", "Attempts");
    browser.press("#main", "Cancel");
    super::served::confirm(browser, "Cancel the job");
    served.wait_for("heard", "cancelled");
    browser.log_has_only(&[]);

    let token = served.scene.place.state().join("daemon/admin.token");
    let (url, token) = (format!("http://{proxy}/recovery"), token.to_str().unwrap().to_owned());
    let at = ["--url", url.as_str(), "--token-file", token.as_str()];
    let shown = served.scene.place.run(at.iter().copied().chain(["jobs", "show", "heard", "--json"]));
    assert_eq!(shown.ends_with(0).json()["status"], "cancelled");
    // Many at once: an answer is not broken off because its client has nothing more to say.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let asked = at.iter().copied().chain(["jobs", "show", "nobody"]);
                    let refused = served.scene.place.run(asked).ends_with(5);
                    assert!(refused.stderr.contains("nobody"), "{refused:?}");
                }
            });
        }
    });
}

/// `POST /recovery/api/jobs` at this address, and where the answer says that the job is.
fn location_of_a_job(address: &str, served: &Served, id: &str) -> String {
    use std::io::{Read, Write};
    let body = json!({ "id": id, "command": ["true"] }).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /recovery/api/jobs HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        served.token("admin"),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let location = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("location:"));
    location.unwrap_or_else(|| panic!("{answer}"))["location:".len()..].trim().to_owned()
}

#[test]
fn dashboard_works_behind_nginx_that_hands_the_path_on() {
    let Some(browser) = Browser::open() else { return };
    let served = serve(Scene::new(), "127.0.0.1:0", "base_path = \"/recovery/\"\n");
    let (address, home) = (address_of_our_own(8081), tempfile::tempdir().unwrap());
    let Some(_proxy) = nginx(&served.address, &address, home.path()) else { return };
    all_of_it_works(&browser, &served, &address);
    assert_eq!(location_of_a_job(&address, &served, "made"), "/recovery/api/jobs/made");
    // As those who reach the daemon itself ask.
    assert_eq!(location_of_a_job(&served.address, &served, "direct"), "/recovery/api/jobs/direct");
}

#[test]
fn dashboard_works_behind_caddy_that_takes_the_path_off() {
    let Some(browser) = Browser::open() else { return };
    let served = serve(Scene::new(), "127.0.0.1:0", "base_path = \"/recovery\"\n");
    let (address, home) = (address_of_our_own(8082), tempfile::tempdir().unwrap());
    let Some(_proxy) = caddy(&served.address, &address, home.path()) else { return };
    all_of_it_works(&browser, &served, &address);
    assert_eq!(location_of_a_job(&address, &served, "made"), "/recovery/api/jobs/made");
}
