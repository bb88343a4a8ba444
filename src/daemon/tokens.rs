//! Access to a daemon over HTTP: two bearer tokens, each in a file of its own that only the owner can read.
//!
//! A token is 32 random bytes in hexadecimal. For each request the files are read after it came, so that a
//! rotated token stops working at once, also in a running daemon. A file that is not trusted
//! ([`crate::state::Distrust`]) grants nothing, and a daemon that starts replaces it, because its token may
//! be known.

use std::io;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::durable::{DiskError, IoContext, replace};
use crate::state::StateDir;

/// Random bytes in a token.
const BYTES: usize = 32;

/// The role of a token's bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Admin,
    /// May only read.
    Viewer,
}

impl Role {
    /// Both roles.
    pub const ALL: [Role; 2] = [Role::Admin, Role::Viewer];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        }
    }

    /// Returns the path of its token's file.
    pub fn file(self, dir: &StateDir) -> PathBuf {
        match self {
            Role::Admin => dir.paths.admin_token(),
            Role::Viewer => dir.paths.viewer_token(),
        }
    }
}

/// Makes the tokens that are missing or cannot be trusted; returns the roles whose token is new.
pub fn make_tokens(dir: &StateDir) -> Result<Vec<Role>, DiskError> {
    let mut made = Vec::new();
    for role in Role::ALL {
        if dir.token_in(&role.file(dir))?.is_err() {
            rotate_token(dir, role)?;
            made.push(role);
        }
    }
    if made.is_empty() {
        // The maker of the files may have died, or got an error, before their names were synced.
        dir.disk.sync_dir(&dir.paths.daemon())?;
    }
    Ok(made)
}

/// Gives a role a new token; the old one stops working.
///
/// # Errors
/// The system's error; the old token then still works.
pub(crate) fn rotate_token(dir: &StateDir, role: Role) -> Result<(), DiskError> {
    let path = role.file(dir);
    if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        dir.quarantine().take_other(&path, "a folder in a token's place", &dir.clock.now().to_string())?;
    }
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(io::Error::from).context("make a token for", &path)?;
    let mut text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    replace(&dir.disk, &path, text.as_bytes())
}

/// The tokens at one moment, as digests: tokens that were read for one request can serve others that came
/// before the read.
#[derive(Clone)]
pub struct Tokens([Option<[u8; 32]>; 2]);

impl Tokens {
    /// Reads both files.
    pub fn read(dir: &StateDir) -> Result<Tokens, DiskError> {
        let mut digests = [None; 2];
        for (role, digest) in Role::ALL.into_iter().zip(&mut digests) {
            *digest = dir.token_in(&role.file(dir))?.ok().map(|token| digest_of(&token));
        }
        Ok(Tokens(digests))
    }

    /// Returns the role of a given token, if it is valid. Both tokens are compared, whole and by their
    /// digests, so that the time reveals nothing.
    pub fn role_of(&self, given: &str) -> Option<Role> {
        let given = digest_of(given);
        let mut found = None;
        for (role, digest) in Role::ALL.into_iter().zip(&self.0) {
            let is_it = digest.is_some_and(|digest| bool::from(digest.ct_eq(&given)));
            found = found.or(is_it.then_some(role));
        }
        found
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

fn digest_of(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
