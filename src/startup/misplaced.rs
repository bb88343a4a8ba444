//! Moves away folders, pipes and devices that have the name of a state file, which then can be neither read
//! nor replaced. They go to quarantine as they are; the file is made anew when it is needed.

use std::path::{Path, PathBuf};

use crate::durable::DiskError;
use crate::queue::SnapshotFile;
use crate::state::StateDir;

/// Moves them to quarantine; returns the paths of those that were moved.
pub(crate) fn put_misplaced_away(dir: &StateDir) -> Result<Vec<PathBuf>, DiskError> {
    let paths = &dir.paths;
    let mut wanted = vec![
        paths.place(),
        paths.startup_marker(),
        paths.startup_history_1(),
        paths.startup_cleanup_log_1(),
        paths.startup_lock(),
        paths.recovery_current(),
        paths.recovery_last(),
        paths.recovery_history(),
        paths.recovery_lock(),
        paths.losses(),
        paths.losses_lock(),
        paths.checkpoint_lock(),
        paths.names_lock(),
        paths.daemon_info(),
        paths.daemon_lock(),
        paths.admin_token(),
        paths.viewer_token(),
        paths.signing_secret(),
        paths.deliver_lock(),
        paths.cleanup_lock(),
        paths.orphans_plan(),
        paths.orphans_lock(),
    ];
    wanted.extend(paths.logs().iter().flat_map(|log| named(log, &[".log", ".lock", ".page"])));
    wanted.extend(SnapshotFile::list(&paths.queue())?.into_iter().map(|s| s.path));
    wanted.extend(named(&paths.jobs(), &[".job.json"]));
    wanted.extend(named(&paths.locks(), &[".lock.json", ".lock"]));
    wanted.extend(named(&paths.cleanup(), &[".json"]));
    let mut moved = Vec::new();
    for path in wanted {
        if is_misplaced(&path) {
            let why = "no file, but it has the name of one of ours";
            dir.quarantine().take_other(&path, why, &dir.clock.now().to_string())?;
            moved.push(path);
        }
    }
    Ok(moved)
}

fn is_misplaced(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| !m.is_file() && !m.is_symlink())
}

fn named(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let ours = |name: &str| endings.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending));
    entries.flatten().filter(|e| e.file_name().to_str().is_some_and(ours)).map(|e| e.path()).collect()
}
