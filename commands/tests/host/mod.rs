//! A host that is weak for a while: no job suffers from it, and no part of the daemon is silently missing.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests take files away and put others in their place.

mod clocks;
mod daemon;
mod directory;
mod filter;
mod missing_calls;
mod paths;
mod starts;

use crate::crash::scene::{Scene, wait_for};

/// Stops the rounds of a daemon's loop by a file that does not answer, as on a broken mount, until the
/// returned file is dropped.
fn hang_the_loop(scene: &Scene) -> std::fs::File {
    use std::os::unix::fs::OpenOptionsExt;
    let metadata = scene.place.state().join("locks/web.lock.json");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &metadata, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    scene.submit("waits", &["--repo", "web"], "true");
    let mut writer = None;
    wait_for("the loop to read it", || {
        // Without a reader it cannot be opened; with a writer that writes nothing the reader waits.
        let opened = std::fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&metadata);
        writer = opened.ok();
        writer.is_some()
    });
    writer.unwrap()
}
