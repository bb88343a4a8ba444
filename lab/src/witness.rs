//! The jobs' own records of their attempts: these, not our state, show whether two attempts of a job ever ran
//! at once.
//!
//! Each attempt holds a flock of its own as long as it, or a process that it has started, lives.

use std::path::Path;

use crate::sandbox::Sandbox;

/// The lines of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// Attempts that began, by their numbers, in order.
    pub begun: Vec<u32>,
    /// Attempts that came to their end.
    pub ended: Vec<u32>,
    /// Attempts that found another one alive.
    pub overlapped: Vec<u32>,
}

/// A script that witnesses itself around `work`.
pub fn script(place: &Sandbox, work: &str) -> String {
    format!(
        "cd {}; exec 9>$RECOVERYCTL_JOB_ID.flock; \
         flock -n 9 || echo \"overlap $RECOVERYCTL_ATTEMPT\" >> $RECOVERYCTL_JOB_ID; \
         echo \"begin $RECOVERYCTL_ATTEMPT\" >> $RECOVERYCTL_JOB_ID; {work}\n \
         echo \"end $RECOVERYCTL_ATTEMPT\" >> $RECOVERYCTL_JOB_ID",
        place.witness().display()
    )
}

/// The lines of a job; empty when it never ran.
pub fn read(place: &Sandbox, job: &str) -> Witness {
    read_file(&place.witness().join(job))
}

fn read_file(path: &Path) -> Witness {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut witness = Witness::default();
    for line in text.lines() {
        let Some((what, number)) = line.split_once(' ') else { continue };
        let number = number.parse().unwrap_or(0);
        match what {
            "begin" => witness.begun.push(number),
            "end" => witness.ended.push(number),
            _ => witness.overlapped.push(number),
        }
    }
    witness
}

/// Fails for two attempts at once, and for the same attempt twice.
///
/// # Errors
/// With the job and its lines.
pub fn check_all(place: &Sandbox) -> Result<(), String> {
    let entries = std::fs::read_dir(place.witness()).map_err(|e| e.to_string())?;
    for entry in entries.flatten() {
        let witness = read_file(&entry.path());
        let mut attempts = witness.begun.clone();
        attempts.sort_unstable();
        attempts.dedup();
        if !witness.overlapped.is_empty() || attempts.len() != witness.begun.len() {
            return Err(format!("{}: {witness:?}", entry.file_name().display()));
        }
    }
    Ok(())
}
