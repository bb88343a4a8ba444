//! The note of a judgement of a folder's git work, so that a folder in a trash need not be judged again: its
//! relative links may lead nowhere from there. The note comes from a judgement that succeeded, and holds as
//! long as the archives that it names exist.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cannot_keep::CannotKeep;
use super::fingerprint::fingerprint;
use super::keep::{KeepOutcome, KeepRequest, keep};
use super::store::has_archive_of;
use crate::durable::DiskError;
use crate::durable::tree::TreeIdentity;
use crate::state::StateDir;

/// The note of a judgement; empty before the first one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The folder's [`fingerprint()`] from before the judgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
    /// The archives that hold its work. Earlier versions did not note them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archives: Option<Vec<String>>,
}

impl Judged {
    /// Whether a folder need not be judged again: it is gone, or unchanged and all archives of it still
    /// exist. An archive may have been removed since, by a rule or by hand.
    pub fn still_holds(&self, dir: &StateDir, folder: &Path) -> Result<bool, CannotKeep> {
        let Some(is) = fingerprint(folder)? else { return Ok(true) };
        let is_unchanged = self.archives.is_some() && self.seen.as_deref() == Some(&is);
        Ok(is_unchanged && !self.lacks_an_archive(dir, folder)?)
    }

    /// Whether an archive of a folder's work is gone. Also checked for a half-deleted folder, which has
    /// changed anyway.
    pub fn lacks_an_archive(&self, dir: &StateDir, folder: &Path) -> Result<bool, DiskError> {
        let Some(tree) = TreeIdentity::of(folder)? else { return Ok(false) };
        for archive_id in self.archives.iter().flatten() {
            if !has_archive_of(dir, archive_id, tree)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Does what [`keep()`] does, and returns the note that replaces `before`.
///
/// # Errors
/// [`CannotKeep`]: nothing is noted.
pub fn keep_noted(
    dir: &StateDir,
    request: &KeepRequest<'_>,
    before: &Judged,
) -> Result<(KeepOutcome, Judged), CannotKeep> {
    // Before the judgement, so that changes during it are noticed. If this fails, the walk reports why.
    let seen = fingerprint(request.folder).ok().flatten();
    let kept = keep(dir, request)?;
    let mut archives = Vec::new();
    if let (KeepOutcome::Archived { archive_id, .. }, Some(tree)) = (&kept, TreeIdentity::of(request.folder)?)
    {
        // An earlier archive may have work that the folder no longer leads to.
        for earlier in before.archives.iter().flatten().filter(|earlier| *earlier != archive_id) {
            if has_archive_of(dir, earlier, tree)? {
                archives.push(earlier.clone());
            }
        }
        archives.push(archive_id.clone());
    }
    Ok((kept, Judged { seen, archives: Some(archives) }))
}
