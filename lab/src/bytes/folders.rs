//! A folder in place of a state file.

use std::fs;
use std::io;
use std::path::Path;

use super::base;
use crate::sandbox::tree;
use crate::{Sandbox, Tally};

/// Puts a folder with content in place of each state file, and recovers with the real binary, which must
/// report this code.
pub fn try_folders(binary: &Path, code: &str) -> io::Result<Tally> {
    let mut tally = Tally::new("bytes: a folder in place of a file");
    let place = Sandbox::new(binary)?;
    base::make(&place)?;
    let mut files: Vec<_> = base::files(&place)?.into_iter().map(|(_, file)| file).collect();
    files.extend(["recovery/recovery.lock", "startup/startup.lock", "queue/log/append.lock"].map(Into::into));
    for file in files {
        place.back_to_base()?;
        let path = place.state().join(&file);
        // The record of the folder's identity is left out of a copy, so this file may be absent.
        if path.exists() {
            fs::remove_file(&path)?;
        }
        fs::create_dir(&path)?;
        fs::write(path.join("mine"), "precious")?;
        tally.faults += 1;
        tally.note(&file.display().to_string(), check(&place, &file, code));
    }
    Ok(tally)
}

fn check(place: &Sandbox, file: &Path, wanted: &str) -> Result<(), String> {
    for time in 0..2 {
        let (report, code) = place.json(&["recover"])?;
        if !matches!(code, 0 | 3) {
            return Err(format!("recover ended with {code}: {report}"));
        }
        // A state directory without its identity is rebuilt, and the report is about that.
        let is_told = report.to_string().contains(&format!("\"code\":\"{wanted}\""));
        // Where a job's user may have put something, the cost is that job only: the folder counts as damage,
        // and liveness is unknown then.
        let is_ours = file.components().count() < 3 || !file.starts_with("attempts");
        if is_told != (time == 0) && is_ours && !file.ends_with("state.json") {
            return Err(format!("recovery {time} and {wanted}: {report}"));
        }
    }
    let (list, code) = place.json(&["jobs", "list", "--reverse"])?;
    let known = |id: &str| list["jobs"].as_array().is_some_and(|all| all.iter().any(|j| j["job_id"] == id));
    if code != 0 || !["done", "failed", "held", "away"].into_iter().all(known) {
        return Err(format!("jobs list: {code} {list}"));
    }
    let all = tree(&place.state(), &|_| false).map_err(|e| e.to_string())?;
    if all.values().any(|seen| seen.content == b"precious") {
        Ok(())
    } else {
        Err("what was in it is gone".into())
    }
}
