//! The conditions that must hold when the last process is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::actor::Known;
use crate::{Sandbox, witness};

/// Running all waiting jobs takes at most this long.
const LONGEST: Duration = Duration::from_secs(600);

/// Recovers, lets everything end, and compares the result with what was acknowledged.
pub(super) fn at_the_end(place: &Sandbox, known: &Known) -> Result<(), String> {
    let begun = std::time::Instant::now();
    // Jobs that go on without a supervisor or daemon end by themselves.
    place.wait_until_nobody_works()?;
    let mut rounds = 0;
    let jobs = loop {
        let (report, code) = place.json(&["recover"])?;
        if !matches!(code, 0 | 3) {
            return Err(format!("recover ended with {code}: {report}"));
        }
        let (report, code) = place.json_within(&["work", "--once", "--workers", "6"], LONGEST)?;
        if code != 0 {
            return Err(format!("work ended with {code}: {report}"));
        }
        place.wait_until_nobody_works()?;
        let jobs = jobs(place)?;
        rounds += 1;
        // Jobs to be tried again after a pause.
        let unfinished = |j: &&Value| j["status"] == "queued" || j["status"] == "running";
        let Some(waits) = jobs.values().find(unfinished) else { break jobs };
        if begun.elapsed().as_secs() > 400 {
            return Err(format!("after {rounds} rounds still: {waits}"));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    acknowledged(&jobs, known)?;
    for (id, job) in &jobs {
        let (seen, attempt) = (witness::read(place, id), job["attempt"].as_u64().unwrap_or(0));
        let last = seen.begun.iter().max().copied().unwrap_or(0);
        if u64::from(last) > attempt || seen.begun.len() as u64 > attempt {
            return Err(format!("{id} began {:?}, and is in attempt {attempt}: {job}", seen.begun));
        }
        let ended = seen.ended.iter().any(|n| u64::from(*n) == attempt);
        if job["status"] == "succeeded" && !ended {
            return Err(format!("{id} succeeded without having run: {seen:?} {job}"));
        }
    }
    clean(place)
}

fn jobs(place: &Sandbox) -> Result<BTreeMap<String, Value>, String> {
    let (list, _) = place.json(&["jobs", "list", "--reverse", "--limit", "1000000"])?;
    let all = list["jobs"].as_array().cloned().unwrap_or_default();
    let count = all.len();
    let numbered = all.into_iter().enumerate().map(|(place, mut job)| {
        job["place"] = place.into();
        (job["job_id"].as_str().unwrap_or_default().to_owned(), job)
    });
    let jobs: BTreeMap<String, Value> = numbered.collect();
    if jobs.len() == count { Ok(jobs) } else { Err("a job is there twice".to_owned()) }
}

/// Checks that every id that was printed is there once, and those of one process in their order.
fn acknowledged(jobs: &BTreeMap<String, Value>, known: &Known) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for ids in known.acknowledged() {
        let mut places = Vec::new();
        for id in ids {
            let job = jobs.get(&id).ok_or_else(|| format!("{id} was acknowledged, and is lost"))?;
            places.push(job["place"].as_u64());
            if !seen.insert(id.clone()) {
                return Err(format!("{id} was acknowledged twice"));
            }
        }
        if !places.is_sorted() {
            return Err(format!("jobs of one process changed their order: {places:?}"));
        }
    }
    // A cancelled job may have been resumed since; it must not be lost, and the loop above saw to that.
    match known.cancelled().iter().find(|id| !jobs.contains_key(*id)) {
        Some(id) => Err(format!("{id} was cancelled, and is lost")),
        None => Ok(()),
    }
}

/// Checks that nothing is damaged, no lock is held, and another recovery finds nothing to do.
fn clean(place: &Sandbox) -> Result<(), String> {
    let (wal, _) = place.json(&["queue", "wal"])?;
    if wal["damaged_records"] != 0 || wal["torn_bytes"] != 0 {
        return Err(format!("the log is damaged: {wal}"));
    }
    let (locks, _) = place.json(&["locks", "active"])?;
    if locks["locks"].as_array().is_none_or(|held| !held.is_empty()) {
        return Err(format!("locks are left: {locks}"));
    }
    let (report, code) = place.json(&["recover"])?;
    let bad = report.to_string().contains("\"severity\":\"critical\"") || code != 0;
    if bad { Err(format!("the last recovery ended with {code}: {report}")) } else { Ok(()) }
}
