//! Checks the promises with the real binary and the jobs' own witness files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::scenario::Scenario;
use super::tracer::Traced;
use crate::sandbox::{Seen, differences, tree};
use crate::{Sandbox, witness};

/// The document of `jobs list`.
#[derive(Debug, Clone, PartialEq)]
pub struct Jobs(Vec<Value>);

impl Jobs {
    /// All jobs, in the order of their submission.
    pub fn of(place: &Sandbox) -> Result<Jobs, String> {
        let (list, status) = place.json(&["jobs", "list", "--reverse", "--limit", "100000"])?;
        let jobs = list["jobs"].as_array().cloned().unwrap_or_default();
        if status != 0 {
            return Err(format!("jobs list ended with {status}: {list}"));
        }
        let mut ids: Vec<&str> = jobs.iter().filter_map(|j| j["job_id"].as_str()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != all {
            return Err(format!("a job is there twice: {list}"));
        }
        Ok(Jobs(jobs))
    }

    fn find(&self, id: &str) -> Option<&Value> {
        self.0.iter().find(|j| j["job_id"] == id)
    }

    /// The job's status; `None` when there is no such job.
    pub fn status(&self, id: &str) -> Option<&str> {
        self.find(id)?["status"].as_str()
    }

    /// Fails for a job that is absent, or has another status.
    ///
    /// # Errors
    /// With the job as it is.
    pub fn expect(&self, id: &str, status: &str, attempt: u64) -> Result<(), String> {
        let job = self.find(id).ok_or_else(|| format!("acknowledged, and lost: {id}"))?;
        // The next attempt's number is one more than the number of attempts so far.
        let attempts = job["attempt"].as_u64().unwrap_or(0);
        if job["status"] == status && attempts + 1 >= attempt { Ok(()) } else { Err(format!("{job}")) }
    }

    /// Refuses jobs that are in another order than these ids.
    ///
    /// # Errors
    /// With both orders.
    pub fn expect_order(&self, ids: &[&str]) -> Result<(), String> {
        let here: Vec<&str> = self.0.iter().filter_map(|j| j["job_id"].as_str()).collect();
        let found: Vec<&str> = here.into_iter().filter(|id| ids.contains(id)).collect();
        if found == ids { Ok(()) } else { Err(format!("{ids:?} were acknowledged, in order: {found:?}")) }
    }
}

/// Returns the files beside the state directory that are not the jobs' own.
pub(super) fn outside(place: &Sandbox) -> io::Result<BTreeMap<PathBuf, Seen>> {
    tree(&place.root(), &|path| path.starts_with("state") || path.starts_with("witness"))
}

pub(super) fn unchanged_outside(place: &Sandbox, before: &BTreeMap<PathBuf, Seen>) -> Result<(), String> {
    let after = outside(place).map_err(|e| e.to_string())?;
    match differences(before, &after).first() {
        None => Ok(()),
        Some(difference) => Err(format!("outside of the state directory: {difference}")),
    }
}

/// The files that a second recovery must leave unchanged: all but the record of the recovery.
fn lasting(place: &Sandbox) -> Result<BTreeMap<PathBuf, Seen>, String> {
    let told = |path: &Path| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // These files record that there was a recovery, and the audit trail.
        path.starts_with("audit")
            || path.starts_with("recovery")
            || path.starts_with("startup")
            || name.ends_with(".lock")
            || name == "commit.page"
            || path.starts_with("daemon")
    };
    tree(&place.state(), &told).map_err(|e| e.to_string())
}

/// Recovers twice, checks everything, runs the waiting jobs, and checks again.
pub(super) fn all(place: &Sandbox, scenario: &Scenario, traced: &Traced) -> Result<(), String> {
    if traced.ran.stderr.contains("panicked") {
        return Err(traced.ran.stderr.clone());
    }
    recover(place)?;
    let jobs = Jobs::of(place)?;
    let before = lasting(place)?;
    recover(place)?;
    let difference = differences(&before, &lasting(place)?);
    if !difference.is_empty() {
        return Err(format!("the second recovery changed something: {difference:?}"));
    }
    (scenario.promises)(place, &traced.ran.stdout, &jobs)?;
    for (id, statuses) in scenario.allowed() {
        match jobs.status(id) {
            Some(status) if statuses.contains(&status) => {}
            other => return Err(format!("{id} is {other:?}, not one of {statuses:?}")),
        }
    }
    witness::check_all(place)?;
    work_off(place)
}

fn recover(place: &Sandbox) -> Result<(), String> {
    let (report, status) = place.json(&["recover"])?;
    if matches!(status, 0 | 3) { Ok(()) } else { Err(format!("recover ended with {status}: {report}")) }
}

/// Runs all waiting jobs: each attempt must run at most once, never beside another, and no lock may be left.
fn work_off(place: &Sandbox) -> Result<(), String> {
    // An imported job cannot be run here: its program is missing.
    let (report, status) = place.json(&["work", "--once", "--workers", "4"])?;
    if status != 0 {
        return Err(format!("work ended with {status}: {report}"));
    }
    place.wait_until_nobody_works()?;
    witness::check_all(place)?;
    let jobs = Jobs::of(place)?;
    for job in &jobs.0 {
        let id = job["job_id"].as_str().unwrap_or_default();
        let (attempt, seen) = (job["attempt"].as_u64().unwrap_or(0), witness::read(place, id));
        if job["status"] == "succeeded" && witnesses(job) {
            let ended = seen.ended.iter().any(|n| u64::from(*n) == attempt);
            if !ended {
                return Err(format!("{id} succeeded, its witness says {seen:?}"));
            }
        }
        if seen.begun.len() as u64 > attempt || job["status"] == "running" {
            return Err(format!("{job} stands so, and its witness says {seen:?}"));
        }
    }
    let (locks, _) = place.json(&["locks", "active"])?;
    match locks["locks"].as_array() {
        Some(held) if held.is_empty() => Ok(()),
        _ => Err(format!("locks are left: {locks}")),
    }
}

/// Whether the job writes a witness file.
fn witnesses(job: &Value) -> bool {
    !job["title"].is_string()
}
