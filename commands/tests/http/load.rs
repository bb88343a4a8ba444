//! Load: it delays neither heartbeats nor the scheduler, memory stays as it is, and a thousand idle connections cost
//! nobody anything. The figures are those of `cargo bench -p recoveryctl --bench http`; here is what must hold
//! anywhere.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::client::Served;

const DASHBOARD: &str = "/api/admin/recovery/dashboard-data";

/// Requests the dashboard's data on many connections, as often as it is answered, while `beside` runs;
/// returns how often.
fn under_load(served: &Served, clients: usize, beside: impl FnOnce(&AtomicU64)) -> u64 {
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let ask = format!(
        "GET {DASHBOARD} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        served.token("viewer")
    );
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(&served.address).unwrap();
                stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
                while !over.load(Ordering::SeqCst) {
                    stream.write_all(ask.as_bytes()).unwrap();
                    read_one(&mut stream);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        beside(&answered);
        over.store(true, Ordering::SeqCst);
    });
    answered.load(Ordering::SeqCst)
}

/// One answer, with its length in its head.
fn read_one(stream: &mut TcpStream) {
    let (mut bytes, mut part) = (Vec::new(), [0; 1 << 16]);
    loop {
        let n = stream.read(&mut part).unwrap();
        assert!(n > 0, "closed: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if bytes.len() >= end + 4 + length.trim().parse::<usize>().unwrap() {
            return;
        }
    }
}

fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn load_delays_neither_heartbeats_nor_jobs() {
    let served = Served::configured(crate::crash::scene::Scene::new(), 2, "[jobs]\nheartbeat = \"1s\"");
    served.submit(&json!({ "id": "long", "command": ["sleep", "600"] }));
    served.wait_for("long", "running");
    let sentinel = served.scene.job_file("long", "sentinel.json");
    let begun = Instant::now();
    under_load(&served, 16, |_| {
        let (mut jobs, mut oldest) = (0, Duration::ZERO);
        while jobs < 20 || begun.elapsed() < Duration::from_secs(3) {
            let id = served.submit(&json!({ "command": ["true"] }));
            served.wait_for(&id, "succeeded");
            let beaten = std::fs::metadata(&sentinel).unwrap().modified().unwrap();
            oldest = oldest.max(beaten.elapsed().unwrap_or_default());
            jobs += 1;
        }
        // This is a quarter of the age that makes it stale.
        assert!(oldest < Duration::from_secs(30), "a heartbeat every second was {oldest:?} old");
    });
    served.cancel("long");
}

/// Threads, and what they allocate from, are made while more and more is asked at a time; then it stays.
#[test]
fn memory_stays_as_it_is() {
    const WINDOW: u64 = 3000;
    let served = Served::new();
    let pid = served.pid();
    let (mut seen, mut stays) = (vec![0], false);
    under_load(&served, 8, |answered| {
        for window in 1..=20 {
            crate::crash::scene::wait_for("answers", || answered.load(Ordering::SeqCst) >= window * WINDOW);
            let (before, now) = (seen[seen.len() - 1], memory(pid));
            seen.push(now);
            stays = now < before + before / 20;
            if stays {
                return;
            }
        }
    });
    assert!(stays, "it grows with every {WINDOW} answers: {seen:?} kB");
}

/// With the limit of open files that a shell has: the daemon raises its own, and jobs have the one it had.
#[test]
fn a_thousand_idle_connections_cost_nobody_anything() {
    raise_own_limit();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    if hard.is_some_and(|most| most < 4096) {
        return crate::common::skipped_by_the_machine("it allows less than 4,096 open files");
    }
    let served = Served::limited("ulimit -S -n 1024", "");
    let ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut idle: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(&served.address).unwrap()).collect();
    let id = served.submit(&json!({ "command": ["sh", "-c", "ulimit -S -n"] }));
    served.wait_for(&id, "succeeded");
    assert_eq!(served.get(&format!("/api/jobs/{id}/output")).is(200).json()["output"], "1024\n");
    // No connection was closed.
    for stream in &mut idle {
        stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        stream.write_all(ask).unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }
}

/// Raises this process's limit, because it has a thousand clients.
fn raise_own_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// 100 connections in all; 56 of them for those who have shown nothing.
#[test]
fn one_connection_more_than_there_may_be_takes_the_place_of_one_that_is_not_used() {
    let served = Served::limited("ulimit -n 200", "");
    let lives = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        let asked = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        asked.is_ok() && stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0)
    };
    let mut held: Vec<TcpStream> = Vec::new();
    // Each connection is used once, so that it is known to be accepted.
    for _ in 0..57 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        assert!(lives(&mut stream), "connection {}", held.len());
        held.push(stream);
    }
    assert!(!lives(&mut held[0]), "the oldest is closed");
    assert!(held[1..].iter_mut().all(lives));
}
