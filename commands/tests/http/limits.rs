//! Limits: bodies, heads, slow and silent clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::client::Served;

#[test]
fn a_body_over_the_limit_is_refused() {
    let served = Served::new();
    let large = json!({ "command": ["true"], "title": "x".repeat(1 << 20) });
    served.post("/api/jobs", &large).problem(413, "body-too-large");
    let fits = json!({ "command": ["true"], "title": "x".repeat(200) });
    served.post("/api/jobs", &fits).is(201);
    // A head over the limit is refused, or the connection closed before it was all sent.
    let long = "x".repeat(2 << 20);
    let head = crate::http::client::exchange(&served.address, "GET", "/livez", None, &[("X-Long", &long)]);
    assert!(head.is_none_or(|reply| reply.status == 431));
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("X-{n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(served.ask_with("GET", "/livez", None, &many).status, 431);
    served.get("/api/jobs").is(200);
}

#[test]
fn slow_and_silent_clients_hold_up_nobody() {
    let served = Served::new();
    let token = served.token("admin");
    let half = format!(
        "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100\r\n\r\n{{\"comm"
    );
    let mut held: Vec<TcpStream> = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        match n % 3 {
            0 => {}
            1 => stream.write_all(b"GET /api/jobs HTTP/1.1\r\nHost: loc").unwrap(),
            _ => stream.write_all(half.as_bytes()).unwrap(),
        }
        held.push(stream);
    }
    // Some ask for much and read none of it.
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        let ask = format!(
            "GET /api/admin/recovery/dashboard-data HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        for _ in 0..200 {
            stream.write_all(ask.as_bytes()).unwrap();
        }
        held.push(stream);
    }
    let begun = Instant::now();
    served.get("/api/jobs").is(200);
    served.submit(&json!({ "id": "quick", "command": ["true"] }));
    served.wait_for("quick", "succeeded");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    drop(held);
}

#[test]
fn a_connection_is_used_again() {
    let served = Served::new();
    let mut stream = TcpStream::connect(&served.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut bytes = [0; 4096];
        let mut text = String::new();
        while !text.contains("alive") {
            let n = stream.read(&mut bytes).unwrap();
            assert!(n > 0, "closed: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
}

#[test]
fn a_daemon_that_is_to_end_does_so_in_time_although_clients_listen() {
    let served = Served::new();
    let token = served.token("viewer");
    let mut listeners = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        let ask = format!(
            "GET /api/admin/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        let mut first = [0; 64];
        assert!(stream.read(&mut first).unwrap() > 0);
        listeners.push(stream);
    }
    served.submit(&json!({ "id": "stays", "command": ["sleep", "600"] }));
    served.wait_for("stays", "running");
    let Served { daemon, scene, .. } = served;
    let begun = Instant::now();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    // The job belongs to its supervisor.
    let served = Served::with(scene, 1);
    assert_eq!(served.get("/api/jobs/stays").is(200).json()["status"], "running");
    served.post("/api/jobs/stays/cancel", &json!({})).is(200);
    served.wait_for("stays", "cancelled");
}

/// Both limits together: a client whose head never ends is disconnected, one whose body never ends is told so.
#[test]
fn who_never_ends_a_request_is_let_go() {
    let served = Served::new();
    let connect = |bytes: &str| {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    };
    let mut head = connect("GET /livez HTTP/1.1\r\nHost: loc");
    let mut body = connect(&format!(
        "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 99\r\n\r\n{{",
        served.token("admin")
    ));
    let mut answer = [0; 12];
    body.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    let mut rest = Vec::new();
    head.read_to_end(&mut rest).expect("it is closed");
    let said = String::from_utf8_lossy(&rest);
    assert!(rest.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    served.get("/api/jobs").is(200);
}
