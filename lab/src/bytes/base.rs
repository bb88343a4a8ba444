//! A state directory with every kind of file, in which no process lives.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use recovery::durable::Disk;
use recovery::startup::{StartedBy, Startup};
use recovery::state::{Clock, StateDir};

use super::StateFile;
use crate::{Sandbox, witness};

/// Jobs of the base, with their status after a recovery when nothing is damaged.
pub(super) const JOBS: &[(&str, &str)] = &[
    ("done", "succeeded"),
    ("failed", "failed"),
    ("held", "crashed"),
    ("away", "succeeded"),
    ("waits", "queued"),
];

pub(super) fn make(place: &Sandbox) -> io::Result<()> {
    let run = |arguments: &[&str], status: i32| {
        place.run(arguments).and_then(|ran| ran.expect(status).map_err(io::Error::other))
    };
    let submit = |id: &str, work: &str| {
        let script = witness::script(place, work);
        run(&["submit", "--id", id, "--repo", "web", "--", "/bin/sh", "-c", &script], 0)
    };
    place.configure_segments("4KiB")?;
    run(&["init"], 0)?;
    submit("done", ":")?;
    submit("failed", "exit 3")?;
    submit("held", "kill -9 $PPID; kill -9 $$")?;
    run(&["work", "--once"], 0)?;
    for _ in 0..2 {
        // Repairing this damage writes a checkpoint, so that there are snapshots.
        spoil_newest_segment(place)?;
        run(&["recover"], 3).or_else(|_| run(&["recover"], 0))?;
    }
    let record = place.state().join("jobs/away.job.json");
    let kept = place.root().join("record");
    let keep = format!("cp {} {}", record.display(), kept.display());
    submit("away", &format!("echo saved > \"$RECOVERYCTL_CHECKPOINT\"; {keep}"))?;
    run(&["work", "--once"], 0)?;
    forget_the_end_of(place, "away")?;
    fs::rename(kept, record)?;
    submit("waits", ":")?;
    let _ = place.run(["lock", "stale", "--", "/bin/sh", "-c", "kill -9 $PPID"])?;
    fs::write(
        place.state().join("daemon/daemon.json"),
        "{\"pid\":1,\"address\":null,\"socket\":null,\"started_at\":\"2026-03-01T09:30:00.000Z\"}",
    )?;
    let dir = StateDir::open(&place.state(), Disk::real(), Clock::system()).map_err(io::Error::other)?;
    // The startup is dropped before its end, as if its process had been killed.
    drop(Startup::begin(&dir, StartedBy::Recover).map_err(io::Error::other)?);
    place.wait_until_nobody_works().map_err(io::Error::other)?;
    place.keep_as_base()
}

fn newest_segment(place: &Sandbox) -> io::Result<PathBuf> {
    let entries = fs::read_dir(place.state().join("queue/log"))?.flatten().map(|e| e.path());
    let segments = entries.filter(|p| p.extension().is_some_and(|e| e == "log"));
    segments.max().ok_or_else(|| io::Error::other("there is no segment"))
}

fn spoil_newest_segment(place: &Sandbox) -> io::Result<()> {
    let path = newest_segment(place)?;
    let mut content = fs::read(&path)?;
    content[0] ^= 1;
    fs::write(path, content)
}

/// Removes the recorded end of a job, as if the supervisor had been killed before it recorded the end.
fn forget_the_end_of(place: &Sandbox, job: &str) -> io::Result<()> {
    let path = newest_segment(place)?;
    let mut content = fs::read(&path)?;
    let needle = format!("\"op\":\"end\",\"by\":\"supervisor\",\"job\":\"{job}\"");
    let text = String::from_utf8_lossy(&content).into_owned();
    let found = text.find(&needle).ok_or_else(|| io::Error::other(format!("no end of {job}: {text}")))?;
    let line = text[..found].rfind('\n').map_or(0, |at| at + 1);
    content[line..].fill(0);
    fs::write(path, content)?;
    fs::remove_file(place.state().join("queue/log/commit.page"))
}

/// Returns every file that is damaged, with its kind; files of one kind follow each other.
pub(super) fn files(place: &Sandbox) -> io::Result<Vec<(String, StateFile)>> {
    let state = place.base().join("state");
    let all = crate::sandbox::tree(&state, &|_| false)?;
    let mut found: Vec<(String, StateFile)> = Vec::new();
    for (path, seen) in all {
        let is_file = fs::symlink_metadata(state.join(&path))?.is_file();
        if let Some(kind) = kind(&path).filter(|_| is_file && !seen.content.is_empty()) {
            found.push((kind, path));
        }
    }
    found.sort();
    Ok(found)
}

fn kind(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent()?.to_str()?;
    let is_log = name.ends_with(".log");
    Some(match folder {
        "queue/log" if is_log => "log segment".to_owned(),
        "audit/log" if is_log => "audit log segment".to_owned(),
        "queue" if name.starts_with("snapshot") || name.ends_with(".snapshot") => "snapshot".to_owned(),
        "queue" if !name.ends_with(".lock") => format!("queue/{name}"),
        "jobs" => "job record".to_owned(),
        "quarantine" => return None,
        _ if name.ends_with(".lock.json") => "lock metadata".to_owned(),
        _ if folder.starts_with("attempts/") && name.ends_with(".json") => name.to_owned(),
        // The content is a hint for people, or belongs to the job.
        _ if folder.starts_with("jobs/") || folder.starts_with("attempts/") => return None,
        _ if name.ends_with(".lock") || is_log => return None,
        _ => path.display().to_string(),
    })
}
