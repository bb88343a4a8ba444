//! Bodies are refused by their heads, and at most a fixed amount of them is in memory.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::common::Ran;
use crate::http::client::Served;

/// The head of a request with a body of so many bytes.
fn head_of(method: &str, path: &str, bearer: &str, length: usize) -> String {
    let first = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n");
    format!("{first}Content-Length: {length}\r\n\r\n")
}

/// A client that sends a head for a body of so many bytes, and nothing of the body; the status of the answer.
fn answered_by_the_head(served: &Served, method: &str, path: &str, bearer: &str, length: usize) -> u16 {
    let mut stream = TcpStream::connect(&served.address).unwrap();
    stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
    stream.write_all(head_of(method, path, bearer, length).as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[test]
fn head_alone_is_refused_whatever_body_is_to_follow() {
    let served = Served::new();
    let (admin, viewer, nobody) = (served.token("admin"), served.token("viewer"), "ab".repeat(32));
    let command = "/api/admin/command";
    for (method, path, bearer, length, status) in [
        ("POST", "/api/jobs", &nobody, 60 << 20, 401),
        ("POST", command, &nobody, 60 << 20, 401),
        ("POST", "/nothing/here", &nobody, 60 << 20, 401),
        ("POST", "/api/jobs", &viewer, 10, 403),
        ("DELETE", "/api/admin/locks/web", &viewer, 60 << 20, 403),
        ("POST", command, &viewer, (64 << 10) + 1, 413),
        ("POST", "/nothing/here", &viewer, 60 << 20, 404),
        ("PUT", "/api/jobs", &admin, 60 << 20, 405),
        ("POST", "/", &admin, 60 << 20, 405),
        ("POST", "/api/jobs", &admin, (1 << 20) + 1, 413),
        ("POST", command, &admin, (64 << 20) + 1, 413),
    ] {
        let answered = answered_by_the_head(&served, method, path, bearer, length);
        assert_eq!(answered, status, "{method} {path} {length}");
    }
}

/// A client that may not send a body is told so also when it has sent it at once, and the daemon goes on
/// answering.
#[test]
fn body_that_nobody_reads_costs_its_answer_nothing() {
    let served = Served::new();
    let viewer = format!("Bearer {}", served.token("viewer"));
    let body = "x".repeat(900 << 10);
    for _ in 0..20 {
        let reply = served.ask_with("POST", "/api/jobs", Some(&body), &[("Authorization", &viewer)]);
        reply.problem(403, "not-authorised");
    }
    served.get("/api/jobs").is(200);
}

fn peak(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

const MOST: u64 = 200_000_000;

#[test]
fn many_large_bodies_stay_below_the_bound() {
    let served = Served::new();
    let (admin, viewer) = (served.token("admin"), served.token("viewer"));
    let send = |path: &str, bearer: &str, length: usize| {
        let Ok(mut stream) = TcpStream::connect(&served.address) else { return };
        stream.set_write_timeout(Some(crate::common::PATIENCE)).unwrap();
        let head = head_of("POST", path, bearer, length);
        // The body may be refused before all of it has come.
        let part = vec![b'x'; 1 << 20];
        let _ = stream.write_all(head.as_bytes());
        for _ in 0..length >> 20 {
            if stream.write_all(&part).is_err() {
                break;
            }
        }
        let _ = stream.read(&mut [0; 64]);
    };
    std::thread::scope(|scope| {
        for _ in 0..25 {
            scope.spawn(|| send("/api/admin/command", &viewer, 60 << 20));
            scope.spawn(|| send("/api/admin/command", &admin, 60 << 20));
            scope.spawn(|| send("/api/jobs", &admin, 60 << 20));
        }
        for _ in 0..100 {
            scope.spawn(|| send("/api/jobs", &admin, 1 << 20));
        }
    });
    let most = peak(served.pid());
    assert!(most < MOST, "{most} bytes");
    served.get("/api/jobs").is(200);
}

/// 60 MiB of jobs: most are only rehearsed, so that the queue does not take the memory; some are submitted.
#[test]
fn many_jobs_at_once_go_through_the_daemon_and_not_through_its_memory() {
    let served = Served::new();
    let place = &served.scene.place;
    let lines = |from: usize, to: usize| {
        let line = |n: usize| json!({ "id": format!("j{n}"), "command": ["true", "x".repeat(20 << 10)] });
        (from..to).map(|n| format!("{}\n", line(n))).collect::<String>()
    };
    let submit = |file: &str, more: &[&str]| {
        let mut command = place.bare_command();
        command.arg("--socket").arg(place.state().join("daemon/admin.sock"));
        command.args(["--quiet", "submit", "--export", "none", "--from"]).arg(place.path(file)).args(more);
        Ran::of(&mut command)
    };
    place.write("many.jsonl", &lines(0, 3000));
    let rehearsed = submit("many.jsonl", &["--dry-run"]).ends_with(0);
    assert_eq!(rehearsed.stdout.lines().count(), 3000);
    let most = peak(served.pid());
    assert!(most < MOST, "{most} bytes");
    // None of the jobs is started meanwhile.
    served.hold("first", "web");
    served.hold("second", "api");
    place.write("some.jsonl", &lines(0, 300));
    let entered = submit("some.jsonl", &[]).ends_with(0);
    assert_eq!(entered.stdout.lines().count(), 300);
    place.write("together.jsonl", &lines(300, 600));
    submit("together.jsonl", &["--all-or-nothing"]).ends_with(0);
    assert_eq!(served.scene.queue().state().counts().queued, 600);
}

/// The jobs that came before the input broke off are in the queue, and the half line does not count as a job.
#[test]
fn input_that_breaks_off_ends_the_command_and_half_a_line_is_no_job() {
    let served = Served::new();
    let mut stream = TcpStream::connect(&served.address).unwrap();
    stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
    let asked = json!({ "operation": "submit --from", "request": {} });
    let begun = format!(
        "{asked}\n{{\"id\":\"whole\",\"command\":[\"true\"]}}\n{{\"id\":\"half\",\"command\":[\"true\"]}}"
    );
    let head = head_of("POST", "/api/admin/command", &served.token("admin"), begun.len() + 1000);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(begun.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    served.wait_for("whole", "succeeded");
    served.get("/api/jobs/half").problem(404, "no-such-job");
}
