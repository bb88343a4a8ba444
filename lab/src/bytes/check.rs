//! The conditions that must hold when one file is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use recovery::durable::Disk;
use recovery::recovery::RecoveryOutcome;

use super::StateFile;
use super::base::JOBS;
use crate::Sandbox;
use crate::recovering::{open, sequence};
use crate::sandbox::{Seen, tree};

/// No recovery of such a small state takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The base after a recovery without damage.
pub(super) struct Control {
    names: BTreeSet<PathBuf>,
}

/// Jobs and their statuses.
type Jobs = BTreeMap<String, String>;

pub(super) fn control(place: &Sandbox) -> Result<Control, String> {
    place.back_to_base().map_err(|e| e.to_string())?;
    let jobs = recover(place)?;
    let wanted: Jobs = JOBS.iter().map(|(id, s)| ((*id).to_owned(), (*s).to_owned())).collect();
    if jobs != wanted {
        return Err(format!("the undamaged base is {jobs:?}, not {wanted:?}"));
    }
    Ok(Control { names: files(place)?.into_keys().collect() })
}

fn files(place: &Sandbox) -> Result<BTreeMap<PathBuf, Seen>, String> {
    tree(&place.state(), &|_| false).map_err(|e| e.to_string())
}

/// Damages the file and recovers twice.
pub(super) fn damaged(
    place: &Sandbox,
    control: &Control,
    file: &StateFile,
    content: &[u8],
) -> Result<(), String> {
    place.back_to_base().map_err(|e| e.to_string())?;
    fs::write(place.state().join(file), content).map_err(|e| e.to_string())?;
    let jobs = recover(place)?;
    check_jobs(&jobs, file)?;
    let after = files(place)?;
    check_kept(place, file, content, &after)?;
    let lost: Vec<&PathBuf> =
        control.names.iter().filter(|name| *name != file && !after.contains_key(*name)).collect();
    // A damaged log is repaired with a checkpoint, which removes the old segments. When the only record of a
    // job that never began is lost, its name goes too, after the loss of the job was reported: the name may
    // be submitted again.
    let own = ["jobs/waits.job.json", "jobs/waits"];
    let is_its_own = |path: &Path| own.iter().any(|own| path.ends_with(own)) && !jobs.contains_key("waits");
    let mut lost = lost.into_iter();
    // A lock that cannot be judged is not given back, so no entry is made about it.
    let is_of_release = |path: &Path| file.starts_with("locks") && path.starts_with("audit/log");
    if let Some(lost) =
        lost.find(|path| !path.starts_with("queue") && !is_its_own(path) && !is_of_release(path))
    {
        return Err(format!("{} is gone as well", lost.display()));
    }
    let again = recover(place)?;
    if again != jobs {
        return Err(format!("the second recovery made {again:?} of {jobs:?}"));
    }
    let changed = changed(&after, &files(place)?);
    if changed.is_empty() { Ok(()) } else { Err(format!("the second recovery changed {changed:?}")) }
}

/// Checks that no job goes, and that jobs that the damaged file does not describe keep their status.
fn check_jobs(jobs: &Jobs, file: &Path) -> Result<(), String> {
    let is_log = file.starts_with("queue");
    let mut others = 0;
    for (id, status) in JOBS {
        let Some(found) = jobs.get(*id) else {
            // The log's line may be the only trace of a job that waits.
            if is_log && *id == "waits" {
                continue;
            }
            return Err(format!("{id} is lost: {jobs:?}"));
        };
        if found != status {
            others += 1;
            let own = file.components().any(|c| c.as_os_str() == *id);
            if !own && !is_log {
                return Err(format!("{id} is {found}, and was {status}"));
            }
        }
    }
    // One damage may destroy two lines.
    if others > 2 {
        return Err(format!("{others} jobs stand otherwise: {jobs:?}"));
    }
    match jobs.keys().find(|id| JOBS.iter().all(|(known, _)| known != id)) {
        Some(new) => Err(format!("there is a job {new:?} that nobody submitted")),
        None => Ok(()),
    }
}

/// Checks that unreadable bytes that are not in their file any more are in quarantine.
fn check_kept(
    place: &Sandbox,
    file: &StateFile,
    damaged: &[u8],
    after: &BTreeMap<PathBuf, Seen>,
) -> Result<(), String> {
    if after.get(file).is_some_and(|seen| seen.content == damaged) || is_readable(file, damaged) {
        return Ok(());
    }
    let kept = fs::read_dir(place.state().join("quarantine")).map_err(|e| e.to_string())?;
    let is_part = |bytes: &[u8]| {
        !bytes.is_empty() && bytes.len() <= damaged.len() && memchr::memmem::find(damaged, bytes).is_some()
    };
    let found = kept.flatten().any(|e| {
        let is_note = e.file_name().as_encoded_bytes().ends_with(b".why.json");
        !is_note && fs::read(e.path()).is_ok_and(|bytes| is_part(&bytes) || bytes == damaged)
    });
    let nothing = damaged.iter().all(|b| *b == 0);
    if found || nothing { Ok(()) } else { Err("what cannot be read of it is nowhere".to_owned()) }
}

/// Whether the content can still be read as its kind: then it may be replaced like any other.
fn is_readable(file: &Path, content: &[u8]) -> bool {
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    match name {
        // The page is rebuilt from the log whenever it is in doubt: nothing in it is worth keeping.
        "commit.page" => true,
        _ if name.ends_with(".log") || name.contains("snapshot") => {
            let whole = |line: &[u8]| recovery::durable::log::decode(line).is_some();
            let used = content.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            content[..used].split_inclusive(|b| *b == b'\n').all(whole)
        }
        _ => serde_json::from_slice::<serde_json::Value>(content).is_ok(),
    }
}

fn changed(before: &BTreeMap<PathBuf, Seen>, after: &BTreeMap<PathBuf, Seen>) -> Vec<String> {
    let told = |path: &Path| {
        path.starts_with("recovery")
            || path.ends_with("orphans/candidates.json")
            || path.starts_with("startup")
            || path.ends_with("commit.page")
            || path.extension().is_some_and(|e| e == "lock")
    };
    let all = crate::sandbox::differences(before, after);
    all.into_iter().filter(|d| !told(Path::new(d.split(' ').next().unwrap_or_default()))).collect()
}

/// Recovers within this process, in a separate thread: a panic and a hang are failures of the recovery, not
/// of the laboratory.
fn recover(place: &Sandbox) -> Result<Jobs, String> {
    let world = place.root();
    let (sender, receiver) = channel();
    let worker = std::thread::spawn(move || drop(sender.send(recover_here(&world))));
    match receiver.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(format!("it does not end within {PATIENCE:?}")),
        Err(RecvTimeoutError::Disconnected) => {
            let panic = worker.join().err();
            let text = panic.as_ref().and_then(|p| p.downcast_ref::<String>().cloned());
            Err(format!("it panicked: {}", text.unwrap_or_default()))
        }
    }
}

fn recover_here(world: &Path) -> Result<Jobs, String> {
    let dir = open(world, Disk::real()).map_err(|e| format!("it cannot be opened: {e}"))?;
    let (record, queue) = sequence(&dir)?;
    let findings = || {
        let all = record.snapshot.all_findings().map(|f| format!("{} {}: {}", f.code, f.object, f.sentence));
        all.collect::<Vec<_>>().join("; ")
    };
    if findings().contains("panicked") || record.snapshot.outcome == RecoveryOutcome::Failed {
        return Err(format!("recovery is {:?}: {}", record.snapshot.outcome, findings()));
    }
    let queue = queue.ok_or("there is no queue")?;
    Ok(queue.state().jobs().map(|j| (j.id.to_string(), j.status.to_string())).collect())
}
