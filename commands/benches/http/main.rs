//! The daemon over HTTP, with 10,000 jobs of which 1,000 run: `dashboard-data` against a handler that returns a
//! fixed body of the same size, both asked by wrk in turn; what load does to the scheduler and to heartbeats; 500
//! listeners, 1,000 idle connections, and the memory of it all over a while (`RECOVERYCTL_SOAK_SECONDS`, 20 unless
//! given).
//!
//! The running jobs are held by another process, which is the supervisor of all of them, and beats for them; the
//! queued ones wait for a repository that one of these has, so none is started.
#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs, unreachable_pub)]

mod fixed;
mod listeners;
mod load;
mod scene;
#[path = "../../../benches/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use load::{Load, under_load};
use scene::Served;
use support::table::{Target, heading, not_measured, row};
use support::{median, megabytes, memory, time};

const ROUNDS: usize = 3;
const DASHBOARD: &str = "/api/admin/recovery/dashboard-data";

fn main() {
    match support::role() {
        Some((role, arguments)) if role == "holder" => return scene::hold(&arguments[0]),
        Some((role, arguments)) if role == "fixed" => return fixed::serve(&arguments[0]),
        Some((role, _)) => panic!("no role {role}"),
        None => {}
    }
    heading("HTTP: 10,000 jobs, 1,000 of them running");
    if !support::is_installed("wrk") {
        return not_measured("all of it", "wrk is not installed");
    }
    let served = match support::binary() {
        Ok(binary) => Served::new(&binary),
        Err(why) => return not_measured("all of it", &why),
    };
    rates(&served);
    changing(&served);
    jobs(&served);
    listeners(&served);
    idle(&served);
    soak(&served);
}

/// Against the fixed body, in turn.
fn rates(served: &Served) {
    let body = served.get(DASHBOARD);
    let fixed = fixed::Fixed::start(body.len());
    for connections in [64, 8] {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            floor.push(fixed.load(connections).run());
            ours.push(served.load(DASHBOARD, connections).run());
        }
        let rate = |loads: &[Load]| median(&loads.iter().map(|l| l.rate).collect::<Vec<_>>());
        let (ours_rate, floor_rate) = (rate(&ours), rate(&floor));
        row(
            &format!("dashboard-data, {} bytes, {connections} connections (× the rate)", body.len()),
            &shown(&ours, ours_rate),
            &shown(&floor, floor_rate),
            ours_rate / floor_rate,
            Target::AtLeast(0.5),
        );
    }
}

fn shown(loads: &[Load], rate: f64) -> String {
    let of = |member: fn(&Load) -> Duration| time(median(&loads.iter().map(member).collect::<Vec<_>>()));
    format!("{rate:.0}/s, p50 {}, p99 {}", of(|l| l.p50), of(|l| l.p99))
}

/// While something is submitted ten times a second, so that no answer is of use for long.
fn changing(served: &Served) {
    let load = under_load(served.load(DASHBOARD, 64), |goes_on| {
        while goes_on() {
            served.submit_waiting();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    row(
        "dashboard-data while ten jobs a second are submitted (p99, ms)",
        &shown(&[load], load.rate),
        "",
        load.p99.as_secs_f64() * 1e3,
        Target::AtMost(1000.0),
    );
}

/// From the submission to the job's end, and how old the heartbeat of a real job gets.
fn jobs(served: &Served) {
    let once = || {
        let begun = Instant::now();
        served.run_a_job();
        begun.elapsed()
    };
    let quiet: Vec<Duration> = (0..10).map(|_| once()).collect();
    let (mut busy, mut oldest) = (Vec::new(), Duration::ZERO);
    let long = served.start_a_job();
    under_load(served.load(DASHBOARD, 64).for_seconds(15), |goes_on| {
        while goes_on() {
            busy.push(once());
            oldest = oldest.max(served.heartbeat_age(&long));
        }
    });
    served.cancel(&long);
    let worst = *busy.iter().max().expect("a job under load");
    row(
        "a job from submission to end, under load (ms)",
        &format!("{}, at worst {}", time(median(&busy)), time(worst)),
        &format!("{} without load", time(median(&quiet))),
        worst.as_secs_f64() * 1e3,
        Target::AtMost(2000.0),
    );
    row(
        "the oldest heartbeat under load (s)",
        &time(oldest),
        "10 s apart",
        oldest.as_secs_f64(),
        Target::AtMost(12.0),
    );
}

/// From the answer to a submission until the last of 500 listeners has its event.
fn listeners(served: &Served) {
    let before = memory(served.pid(), "VmRSS").unwrap_or_default();
    let mut listeners = listeners::Listeners::start(served, 500);
    let after = memory(served.pid(), "VmRSS").unwrap_or_default();
    let took: Vec<Duration> = (0..10).map(|_| listeners.hear(&served.submit_waiting())).collect();
    let grown = megabytes(after.saturating_sub(before));
    row(
        "500 listeners, the last one has it (ms)",
        &format!("{}, {grown} more", time(median(&took))),
        "",
        median(&took).as_secs_f64() * 1e3,
        Target::AtMost(1000.0),
    );
}

/// What a request takes beside 1,000 connections on which nothing is asked.
fn idle(served: &Served) {
    let ask = || support::floor::timed(|| served.get("/api/admin/health"));
    let alone: Vec<Duration> = (0..20).map(|_| ask()).collect();
    let connections: Vec<_> = (0..1000).map(|_| served.connect()).collect();
    let beside: Vec<Duration> = (0..20).map(|_| ask()).collect();
    drop(connections);
    let ratio = median(&beside).as_secs_f64() / median(&alone).as_secs_f64();
    row(
        "a request beside 1,000 idle connections (× alone)",
        &time(median(&beside)),
        &time(median(&alone)),
        ratio,
        Target::AtMost(2.0),
    );
}

/// The daemon's memory: at its end as after its first quarter.
fn soak(served: &Served) {
    let seconds = std::env::var("RECOVERYCTL_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(20);
    let mut sizes = Vec::new();
    let load = under_load(served.load(DASHBOARD, 32).for_seconds(seconds), |goes_on| {
        while goes_on() {
            served.run_a_job();
            for path in ["/api/jobs?limit=100", "/metrics", "/api/admin/queue/snapshot?limit=50"] {
                served.get(path);
            }
            sizes.extend(memory(served.pid(), "VmRSS"));
        }
    });
    let (early, late) = (sizes[sizes.len() / 4], sizes[sizes.len() - 1]);
    row(
        &format!("memory after {seconds} s of {:.0} requests a second (× after a quarter)", load.rate),
        &megabytes(late),
        &megabytes(early),
        late as f64 / early as f64,
        Target::AtMost(1.1),
    );
}
