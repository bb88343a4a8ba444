//! A daemon that can be asked, and a client of a few lines that sends exactly what a test says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::Value;

use crate::crash::scene::{Daemon, Scene, read_json, wait_for};

/// A scene with a daemon that listens on a free port.
pub struct Served {
    // The daemon ends before its scene.
    pub daemon: Daemon,
    pub scene: Scene,
    pub address: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {}", String::from_utf8_lossy(&self.body)))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts a problem with this status and code, and with all members of a problem.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let reply = self.is(status);
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{member}: {problem}");
        }
        assert!(problem.as_object().unwrap().contains_key("next"), "{problem}");
        problem
    }
}

impl Served {
    pub fn new() -> Served {
        Served::with(Scene::new(), 2)
    }

    /// On a scene that is prepared.
    #[track_caller]
    pub fn with(scene: Scene, workers: usize) -> Served {
        Served::configured(scene, workers, "")
    }

    /// The same, with more in its configuration.
    #[track_caller]
    pub fn configured(scene: Scene, workers: usize, more: &str) -> Served {
        scene.place.write("config.toml", &format!("{more}\n[daemon]\nlisten = \"127.0.0.1:0\"\n"));
        Served::started(scene, workers)
    }

    /// As its configuration says.
    #[track_caller]
    pub fn started(scene: Scene, workers: usize) -> Served {
        let daemon = scene.daemon(workers);
        let info = read_json(&scene.place.state().join("daemon/daemon.json"));
        let address = info["address"].as_str().unwrap().to_owned();
        Served { daemon, scene, address }
    }

    /// With a daemon that shows what jobs print to viewers too.
    #[track_caller]
    pub fn showing_viewers_the_output() -> Served {
        let scene = Scene::new();
        scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\nviewer_output = true\n");
        Served::started(scene, 2)
    }

    /// With a daemon that a shell becomes, which first sets limits.
    #[track_caller]
    pub fn limited(limits: &str, configuration: &str) -> Served {
        let scene = Scene::new();
        scene.place.write("config.toml", &format!("{configuration}\n[daemon]\nlisten = \"127.0.0.1:0\"\n"));
        let mut command = std::process::Command::new("/bin/sh");
        let script = format!("{limits}; exec \"$0\" daemon --workers 2");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_recoveryctl")]).env_clear();
        let known = scene.place.command();
        command.envs(known.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let daemon = Daemon { child: command.spawn().unwrap() };
        let info = scene.place.state().join("daemon/daemon.json");
        let is_ready = || std::fs::read_to_string(&info).is_ok_and(|text| text.contains("\"ready\":true"));
        wait_for("the daemon to take jobs", is_ready);
        let address = read_json(&info)["address"].as_str().unwrap().to_owned();
        Served { daemon, scene, address }
    }

    pub fn pid(&self) -> u32 {
        self.daemon.child.id()
    }

    pub fn token(&self, role: &str) -> String {
        let file = self.scene.place.state().join(format!("daemon/{role}.token"));
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Sends a request with the admin's token.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        self.ask_with(method, path, body, &[("Authorization", &format!("Bearer {}", self.token("admin")))])
    }

    /// Sends a request with these headers.
    #[track_caller]
    pub fn ask_with(&self, method: &str, path: &str, body: Option<&str>, headers: &[(&str, &str)]) -> Reply {
        exchange(&self.address, method, path, body, headers).expect("an answer")
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, Some(&body.to_string()))
    }

    /// Over the unix socket, without a token.
    #[track_caller]
    pub fn over_socket(&self, method: &str, path: &str) -> Reply {
        let mut stream = UnixStream::connect(self.scene.place.state().join("daemon/admin.sock")).unwrap();
        stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        parse(&bytes).unwrap()
    }

    /// Submits a job over HTTP; returns its id.
    #[track_caller]
    pub fn submit(&self, body: &Value) -> String {
        let reply = self.post("/api/jobs", body).is(201);
        reply.json()["job_id"].as_str().unwrap().to_owned()
    }

    /// Submits a job that holds a repository until it is cancelled, and waits until it has it.
    #[track_caller]
    pub fn hold(&self, id: &str, repository: &str) {
        let command = ["sleep", "600"];
        self.submit(&serde_json::json!({ "id": id, "command": command, "repository": repository }));
        wait_for(&format!("job {id} to have {repository}"), || {
            let locks = self.get("/api/admin/locks/active").is(200).json();
            locks["locks"].as_array().unwrap().iter().any(|lock| lock["job_id"] == id)
        });
    }

    /// Cancels a job that holds a repository, and waits until it has ended.
    #[track_caller]
    pub fn cancel(&self, id: &str) {
        self.post(&format!("/api/jobs/{id}/cancel"), &serde_json::json!({})).is(200);
        self.wait_for(id, "cancelled");
    }

    /// Waits for a job's status, as HTTP says it.
    #[track_caller]
    pub fn wait_for(&self, id: &str, status: &str) {
        wait_for(&format!("job {id} to be {status}"), || {
            self.get(&format!("/api/jobs/{id}")).is(200).json()["status"] == status
        });
    }
}

/// One request on a connection of its own; `None` when the other end went away.
pub fn exchange(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&str>,
    headers: &[(&str, &str)],
) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(crate::common::PATIENCE)).ok()?;
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !has_host {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    if let Some(body) = body {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    // The request may be refused before all of it has come.
    let _ = stream.write_all(body.unwrap_or_default().as_bytes());
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 << 10]);
    // The answer is read up to its declared length, because not every server closes the connection.
    while !is_whole(&bytes) {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    parse(&bytes)
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(reply) = parse(bytes) else { return false };
    let length = reply.header("content-length").and_then(|length| length.parse().ok());
    length.is_some_and(|length: usize| reply.body.len() >= length)
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut body = bytes[end + 4..].to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body)?;
    }
    Some(Reply { status, head, body })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(end + 2..end + 2 + length)?);
        rest = rest.get(end + 4 + length..)?;
    }
}
