//! Deliveries: their rate beside bare requests of the same number at a time, and how memory and start-up
//! grow with what is pending.
//!
//! The receiver is in this process, verifies each signature with the crate of the standard's authors, and answers
//! 200. The floor is what a program would do that forgets everything: it makes the JSON, signs it with that crate and
//! sends it. Ours and the floor run one after the other, seven times; the medians count. What is pending is measured
//! in a process of its own for each number.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use recovery::queue::{Callback, JobSpec, Operation, Queue, Submission, append};
use recovery::state::{Secret, StateDir};
use recovery::webhooks::{
    BreakerSettings, DeliveryLog, DeliveryScheduler, Deriver, Engine, Limits, Settings,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;
use support::table::{Target, heading, row};
use support::{library, megabytes, memory, time};

const DELIVERIES: usize = 10_000;
const PLACES: usize = 16;
const PENDING: [usize; 3] = [25_000, 50_000, 100_000];
const ROUNDS: usize = 7;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn main() {
    if let Some((_, arguments)) = support::role() {
        return pending(Path::new(&arguments[0]));
    }
    heading("10,000 deliveries, 16 at a time");
    rates();
    heading("pending deliveries");
    growth();
}

fn rates() {
    let address = receiver();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(our_rate(address));
        bare.push(bare_rate(address));
    }
    let (ours, bare) = (support::median(&ours), support::median(&bare));
    let shown = |rate: f64| format!("{rate:.0}/s");
    row(
        "deliveries a second, beside bare requests",
        &shown(ours),
        &shown(bare),
        ours / bare,
        Target::AtLeast(0.7),
    );
}

fn our_rate(address: SocketAddr) -> f64 {
    let place = support::workplace();
    let dir = ended(&place.path().join("state"), DELIVERIES, &format!("http://{address}/end"));
    let secrets = vec![Secret::parse(SECRET).expect("a secret")];
    let settings = Settings { concurrency: PLACES, per_endpoint: PLACES, secrets, ..Settings::default() };
    let (engine, feed) = Engine::start(&dir, settings, "benchmark").expect("an engine");
    let queue = Queue::open(&dir).expect("a queue");
    let since = engine.endpoints_since();
    let mut deriver = Deriver::new(dir.identity.state_id, &[], &since);
    feed.offer(queue.state().jobs().flat_map(|job| deriver.of_job(job)).collect());
    let begun = Instant::now();
    let done = engine.run(true, &|| false, &mut |why| panic!("{why}")).expect("deliveries");
    assert_eq!(done.delivered, DELIVERIES as u64);
    DELIVERIES as f64 / begun.elapsed().as_secs_f64()
}

/// The same number of the same requests, and nothing is written down.
fn bare_rate(address: SocketAddr) -> f64 {
    // The engine has chosen a provider for this process already; that will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only(Vec::new()).build().expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let begun = Instant::now();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..PLACES {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                for n in (task..DELIVERIES).step_by(PLACES) {
                    let answer = bare(&client, address, n).send().await.expect("an answer");
                    assert!(answer.status().is_success());
                    answer.bytes().await.expect("its end");
                }
            }));
        }
        for task in tasks {
            task.await.expect("a task");
        }
    });
    DELIVERIES as f64 / begun.elapsed().as_secs_f64()
}

/// One of them, with what an end's delivery says.
fn bare(client: &reqwest::Client, address: SocketAddr, n: usize) -> reqwest::RequestBuilder {
    let (id, now) = (format!("msg_{n:032x}"), jiff::Timestamp::now());
    let body = serde_json::json!({
        "type": "job.ended",
        "timestamp": now.to_string(),
        "data": {
            "job_id": format!("01998d5e-{n:028x}"), "status": "cancelled", "attempt": 0, "repository": null,
            "submitted_at": now.to_string(), "started_at": null, "finished_at": now.to_string(),
            "exit_code": null, "signal": null, "reason": null,
        },
    });
    let body = body.to_string();
    let webhook = Webhook::new(SECRET).expect("a secret");
    let signature = webhook.sign(&id, now.as_second(), body.as_bytes()).expect("a signature");
    client
        .post(format!("http://{address}/bare"))
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", now.as_second())
        .header("webhook-signature", signature)
        .body(body)
}

/// Jobs that have come to an end, each with a callback.
fn ended(root: &Path, jobs: usize, url: &str) -> StateDir {
    let dir = library::queue_of(root, 0);
    let ids: Vec<_> = (0..jobs).map(|_| recovery::queue::JobId::new()).collect();
    let spec = JobSpec {
        command: vec!["true".to_owned()],
        callbacks: vec![Callback::to(url)],
        ..JobSpec::default()
    };
    for part in ids.chunks(5_000) {
        let submit = |job: &recovery::queue::JobId| {
            Operation::Submit(Submission {
                job: job.clone(),
                priority: 0,
                repository: None,
                spec: spec.clone(),
            })
        };
        let cancel = |job: &recovery::queue::JobId| Operation::Cancel { job: job.clone() };
        let all: Vec<_> = part.iter().map(submit).chain(part.iter().map(cancel)).collect();
        append(&dir, &library::actor(), &all).expect("jobs");
    }
    dir
}

fn growth() {
    let mut figures: Vec<(usize, Duration, u64)> = Vec::new();
    for number in PENDING {
        let place = support::workplace();
        let root = place.path().join("state");
        let dir = ended(&root, number, "http://127.0.0.1:9/end");
        let mut queue = Queue::open(&dir).expect("a queue");
        queue.checkpoint().expect("a checkpoint");
        drop(queue);
        let output =
            support::in_role("pending", &[root.to_str().expect("a path")]).output().expect("a process");
        let text = String::from_utf8(output.stdout).expect("text");
        let mut words = text.split_whitespace().map(|w| w.parse::<u64>().expect("a number"));
        let (micros, bytes) = (words.next().expect("a time"), words.next().expect("a size"));
        figures.push((number, Duration::from_micros(micros), bytes));
    }
    for (number, took, bytes) in &figures {
        let each = *bytes as f64 / *number as f64;
        let shown = format!("{} and {}", time(*took), megabytes(*bytes));
        row(
            &format!("{number} pending: time and memory; bytes each"),
            &shown,
            "",
            each,
            Target::AtMost(1500.0),
        );
    }
    let (first, last) = (&figures[0], &figures[figures.len() - 1]);
    let times = (last.0 / first.0) as f64;
    let growth = last.1.as_secs_f64() / first.1.as_secs_f64() / times;
    row("time for one of 100,000, beside one of 25,000", "", "", growth, Target::AtMost(1.3));
    let growth = last.2 as f64 / first.2 as f64 / times;
    row("memory for one of 100,000, beside one of 25,000", "", "", growth, Target::AtMost(1.2));
}

/// What a daemon does with them at its start, past its queue: prints microseconds and bytes.
fn pending(root: &Path) {
    let dir = library::open_dir(root);
    let queue = Queue::open(&dir).expect("a queue");
    let before = memory(std::process::id(), "VmRSS").expect("its memory");
    let begun = Instant::now();
    let log = DeliveryLog::open(&dir).expect("a log");
    let since = log.state().endpoints().clone();
    let mut deriver = Deriver::new(dir.identity.state_id, &[], &since);
    let breaker =
        BreakerSettings { failures: 5, pause: Duration::from_secs(30), pause_max: Duration::from_secs(600) };
    let mut scheduler = DeliveryScheduler::new(Limits { per_endpoint: 1, strict_order: false, breaker });
    for job in queue.state().jobs() {
        for delivery in deriver.of_job(job) {
            scheduler.add(Arc::new(delivery), Some(begun));
        }
    }
    assert!(scheduler.next(Instant::now()).is_some());
    let took = begun.elapsed();
    let after = memory(std::process::id(), "VmRSS").expect("its memory");
    println!("{} {}", took.as_micros(), after.saturating_sub(before));
}

fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_all(&stream));
        }
    });
    address
}

fn answer_all(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut out) = (BufReader::new(stream), stream);
    let webhook = Webhook::new(SECRET).expect("a secret");
    let mut line = String::new();
    loop {
        let (mut length, mut headers) = (0, HeaderMap::new());
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.trim_end().split_once(": ") {
                if name == "content-length" {
                    length = value.parse().unwrap_or(0);
                }
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                headers.insert(name, HeaderValue::from_str(value).expect("a value"));
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let status = if webhook.verify(&body, &headers).is_ok() { "200 OK" } else { "400 Bad Request" };
        write!(out, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
    }
}
