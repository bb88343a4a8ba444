//! wrk, and what it tells.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct Wrk {
    pub url: String,
    pub token: Option<String>,
    pub connections: u32,
    pub seconds: u32,
}

impl Wrk {
    pub fn for_seconds(self, seconds: u32) -> Wrk {
        Wrk { seconds, ..self }
    }

    /// Runs it. An answer that is not good ends the benchmark.
    pub fn run(self) -> Load {
        let mut command = Command::new("wrk");
        command.args(["-t2", "--latency", "--timeout=30s"]);
        command.arg(format!("-c{}", self.connections)).arg(format!("-d{}s", self.seconds));
        if let Some(token) = &self.token {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let output = command.arg(&self.url).stderr(Stdio::inherit()).output().expect("wrk runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let bad = said.lines().find(|l| l.contains("Non-2xx") || l.contains("Socket errors"));
        assert!(bad.is_none(), "{}: {said}", self.url);
        let word = |name: &str| {
            let line = said.lines().find_map(|l| l.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name}: {said}")).trim().to_owned()
        };
        Load {
            rate: word("Requests/sec:").parse().expect("a rate"),
            p50: duration(&word("50%")),
            p99: duration(&word("99%")),
        }
    }
}

fn duration(text: &str) -> Duration {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).expect("a unit");
    let number: f64 = text[..end].parse().expect("a number");
    let unit = match &text[end..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "m" => 60.0,
        _ => 1.0,
    };
    Duration::from_secs_f64(number * unit)
}

/// Runs it, and something beside it as long as it goes on.
pub fn under_load(wrk: Wrk, beside: impl FnOnce(&dyn Fn() -> bool)) -> Load {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let load = wrk.run();
            over.store(true, Ordering::SeqCst);
            load
        });
        beside(&|| !over.load(Ordering::SeqCst));
        runs.join().expect("the load")
    })
}
