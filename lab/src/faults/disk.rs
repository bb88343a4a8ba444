//! A disk that is really full, and one that is really read-only.

use std::fs;
use std::io::{self, Write};

use serde_json::Value;

use crate::{Sandbox, Tally};

/// Reports, which must work whatever the disk refuses.
const REPORTS: &[&[&str]] = &[
    &["status"],
    &["jobs", "list"],
    &["jobs", "show", "done"],
    &["jobs", "output", "done"],
    &["jobs", "status"],
    &["jobs", "sentinels"],
    &["jobs", "metrics"],
    &["jobs", "failed"],
    &["queue", "status"],
    &["queue", "wal"],
    &["queue", "snapshot"],
    &["queue", "metrics"],
    &["locks", "active"],
    &["locks", "inspect"],
    &["locks", "recovered"],
];

/// Commands that change something, and must refuse cleanly.
const CHANGES: &[&[&str]] = &[
    &["submit", "--", "true"],
    &["submit", "--id", "never", "--", "true"],
    &["jobs", "cancel", "waits"],
    &["resume", "failed"],
    &["recover"],
    &["work", "--once"],
    &["run", "waits"],
    &["lock", "web", "--", "true"],
];

/// Tries both; `None` where no file system can be mounted. `codes` are findings that a recovery on a full
/// disk must have.
pub fn try_disks(binary: &std::path::Path, codes: &[&str]) -> io::Result<Option<Tally>> {
    let mut tally = Tally::new("disk: full, read-only");
    let place = Sandbox::new(binary)?;
    if !place.mount_small_disk(4096)? {
        return Ok(None);
    }
    tally.note("before", prepare(&place));
    let mut faults = 0;
    tally.note("full", full(&place, codes, &mut faults));
    let looked = reports(&place).and_then(|before| read_only(&place, &before, &mut faults));
    tally.note("read-only", looked);
    tally.faults = faults;
    tally.note("at the end", at_the_end(&place));
    Ok(Some(tally))
}

fn prepare(place: &Sandbox) -> Result<(), String> {
    let run = |arguments: &[&str]| place.run(arguments).map_err(|e| e.to_string())?.expect(0);
    run(&["init"])?;
    run(&["submit", "--id", "done", "--", "echo", "hello"])?;
    run(&["submit", "--id", "failed", "--", "false"])?;
    run(&["work", "--once"])?;
    run(&["submit", "--id", "waits", "--", "true"])?;
    Ok(())
}

/// Fills the disk to the last byte, submits until that is refused, recovers, and frees space again.
fn full(place: &Sandbox, codes: &[&str], faults: &mut u64) -> Result<(), String> {
    let fill = place.state().join("quarantine/fill");
    let mut file = fs::File::create(&fill).map_err(|e| e.to_string())?;
    while file.write_all(&[7; 1024]).is_ok() {}
    let mut acknowledged = vec!["done".to_owned(), "failed".to_owned(), "waits".to_owned()];
    let refused = loop {
        let ran = place.run(["submit", "--", "true"]).map_err(|e| e.to_string())?;
        *faults += 1;
        if ran.status != 0 {
            break ran;
        }
        acknowledged.push(ran.stdout.trim().to_owned());
        if acknowledged.len() > 500 {
            return Err("a full disk takes job after job".to_owned());
        }
    };
    if refused.status != 1 || !refused.stdout.is_empty() || !refused.stderr.contains("No space left") {
        return Err(format!("submit is refused otherwise than cleanly: {refused:?}"));
    }
    let (status, code) = place.json(&["status"])?;
    if code != 3 || !has_finding(&status, "disk-not-writable") {
        return Err(format!("status says nothing of a full disk: {code} {status}"));
    }
    let (recovered, code) = place.json(&["recover"])?;
    if code != 3 || !codes.iter().all(|finding| has_finding(&recovered, finding)) {
        return Err(format!("recovery on a full disk: {code} {recovered}"));
    }
    for report in REPORTS {
        *faults += 1;
        answers(place, report)?;
    }
    same_jobs(place, &acknowledged)?;
    drop(file);
    fs::remove_file(fill).map_err(|e| e.to_string())?;
    same_jobs(place, &acknowledged)?;
    let (recovered, code) = place.json(&["recover"])?;
    if code != 0 {
        return Err(format!("recovery with room again: {code} {recovered}"));
    }
    same_jobs(place, &acknowledged)
}

fn read_only(place: &Sandbox, before: &[Value], faults: &mut u64) -> Result<(), String> {
    place.remount(true).map_err(|e| e.to_string())?;
    let outcome = without_writing(place, before, faults);
    place.remount(false).map_err(|e| e.to_string())?;
    outcome
}

fn without_writing(place: &Sandbox, before: &[Value], faults: &mut u64) -> Result<(), String> {
    for (report, then) in REPORTS.iter().zip(before) {
        *faults += 1;
        let now = answers(place, report)?;
        let jobs = |v: &Value| v["jobs"].as_array().map(|jobs| jobs.iter().map(essence).collect::<Vec<_>>());
        if jobs(&now) != jobs(then) {
            return Err(format!("{report:?} shows {now} where it showed {then}"));
        }
    }
    let (status, code) = place.json(&["status"])?;
    if code != 3 || !has_finding(&status, "disk-not-writable") {
        return Err(format!("status says nothing of a read-only disk: {code} {status}"));
    }
    for change in CHANGES {
        *faults += 1;
        let (answer, code) = place.json(change)?;
        let message = answer["error"].to_string();
        if code != 1 || !message.contains("/state/") || !message.contains("Read-only") {
            return Err(format!("{change:?} on a read-only disk: {code} {answer}"));
        }
    }
    Ok(())
}

/// The parts of a job that do not change with the time of reading.
fn essence(job: &Value) -> (Value, Value, Value) {
    (job["job_id"].clone(), job["status"].clone(), job["attempt"].clone())
}

fn reports(place: &Sandbox) -> Result<Vec<Value>, String> {
    REPORTS.iter().map(|report| answers(place, report)).collect()
}

fn answers(place: &Sandbox, report: &[&str]) -> Result<Value, String> {
    let (answer, code) = place.json(report)?;
    if matches!(code, 0 | 3) { Ok(answer) } else { Err(format!("{report:?}: {code} {answer}")) }
}

fn has_finding(report: &Value, code: &str) -> bool {
    report.to_string().contains(&format!("\"code\":\"{code}\""))
}

fn same_jobs(place: &Sandbox, wanted: &[String]) -> Result<(), String> {
    let (list, _) = place.json(&["jobs", "list", "--reverse", "--limit", "100000"])?;
    let jobs = list["jobs"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = jobs.iter().filter_map(|j| j["job_id"].as_str()).collect();
    if ids == wanted { Ok(()) } else { Err(format!("{wanted:?} were acknowledged, there are {ids:?}")) }
}

fn at_the_end(place: &Sandbox) -> Result<(), String> {
    let (worked, code) = place.json(&["work", "--once"])?;
    let (status, healthy) = place.json(&["status"])?;
    if code == 0 && healthy == 0 && status["counts"]["queued"] == 0 {
        Ok(())
    } else {
        Err(format!("with the fault gone: {code} {worked}, {healthy} {status}"))
    }
}
