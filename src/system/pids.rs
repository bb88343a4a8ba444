//! The processes of this machine, by their numbers.

use std::io;

/// The PIDs of all processes that this one can see, its own among them.
///
/// # Errors
///
/// When `/proc` cannot be listed. It is then unknown which processes live.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}
