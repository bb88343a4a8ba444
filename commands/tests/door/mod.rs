//! Access: who may not enter, and what they can do outside. The tests use real daemons and sockets, and other
//! users where that matters.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

mod ancestors;
mod bodies;
mod connections;
mod sockets;
mod tokens;
mod viewers;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::common::skipped;

/// A user who has no account on this machine.
const STRANGER: u32 = 61_234;

/// Whether this test may give files to another user.
fn is_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        skipped("it needs root");
    }
    is
}

/// Gives a file or folder to a user and a group, with these permissions.
fn give(path: &Path, (owner, group): (u32, u32), mode: u32) {
    chown(path, Some(owner), Some(group)).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
