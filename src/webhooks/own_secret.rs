//! `webhooks/signing.secret`: the secret that a state directory signs its deliveries with where the
//! configuration names none. One line, `whsec_` and 32 random bytes in base64; mode 0600. There is no
//! version: the prefix is that of Standard Webhooks 1.0.0.
//!
//! `init` makes it, and so does each engine that finds none, so nothing is ever sent without a signature. A
//! file that is not as this program makes it ([`Distrust`](crate::state::Distrust)) may be known to others,
//! or chosen by them, and is replaced.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::durable::{DiskError, IoContext, replace};
use crate::state::{Secret, StateDir};

/// How many random bytes a secret has.
const BYTES: usize = 32;

/// Returns the directory's own secret, if there is one that is trusted.
pub(crate) fn own_secret(dir: &StateDir) -> Result<Option<Secret>, DiskError> {
    let is_secret = |text: &str| Secret::parse(text).is_some();
    let held = dir.held_in(&dir.paths.signing_secret(), is_secret)?;
    Ok(held.ok().and_then(|text| Secret::parse(&text)))
}

/// Returns the directory's own secret. If there is none that is trusted, a new one is made, which the
/// receivers then need.
pub fn make_own_secret(dir: &StateDir) -> Result<Secret, DiskError> {
    let path = dir.paths.signing_secret();
    if let Some(secret) = own_secret(dir)? {
        // The maker of the file may have died, or got an error, before the file's name was synced.
        dir.disk.sync_dir(&dir.paths.webhooks())?;
        return Ok(secret);
    }
    if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        dir.quarantine().take_other(&path, "a folder in a secret's place", &dir.clock.now().to_string())?;
    }
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(io::Error::from).context("make a secret for", &path)?;
    let text = format!("whsec_{}\n", STANDARD.encode(random));
    replace(&dir.disk, &path, text.as_bytes())?;
    let made = Secret::parse(&text).ok_or_else(|| io::Error::other("what was made is no secret"));
    made.context("make a secret for", &path)
}
