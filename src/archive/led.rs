//! Finds working trees elsewhere whose repository is in a folder to be removed. Those in other workspaces are
//! found by the paths that lead into the folder (`borrowers`).

use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::git::path_of;
use super::judge::Judge;
use super::look::{FileId, place_of};
use super::open::{Opened, open_anywhere};
use super::settings::work_tree_setting;
use super::tips::{self, small};
use crate::durable::tree::Unread;
use crate::system::Author;

impl Judge<'_> {
    /// Returns a working tree that a repository in the folder names, and that stays and leads back to it:
    /// without the repository it would be dead. Unreadable parts of the repository are reported by its
    /// judgement.
    pub(super) fn tree_elsewhere(&self) -> Result<Option<PathBuf>, Unread> {
        for store in self.found.stores.iter().filter(|store| !store.is_linked) {
            let folder = self.open_store(&store.path)?;
            if let Ok(Some(tree)) = work_tree_setting(folder.as_fd()) {
                let dot_git = Path::new(OsStr::from_bytes(&tree)).join(".git");
                if let Some(tree) = self.led_tree(&folder, &dot_git) {
                    return Ok(Some(tree));
                }
            }
            for name in tips::linked(folder.as_fd()).unwrap_or_default() {
                if let Some(tree) = self.linked_tree(&folder, &name) {
                    return Ok(Some(tree));
                }
            }
        }
        Ok(None)
    }

    fn linked_tree(&self, store: &Opened, name: &CStr) -> Option<PathBuf> {
        let at = Path::new("worktrees").join(OsStr::from_bytes(name.to_bytes()));
        let linked = store.below(&at).ok()?;
        let dot_git = small(linked.as_fd(), c"gitdir").ok().flatten()?;
        self.led_tree(&linked, Path::new(OsStr::from_bytes(dot_git.trim_ascii())))
    }

    /// Returns the working tree of a file `.git`, when it stays and leads to a folder of the repository.
    fn led_tree(&self, folder: &Opened, dot_git: &Path) -> Option<PathBuf> {
        // A path under one of the folder's names is in the folder.
        if self.was.iter().any(|was| dot_git.starts_with(was)) {
            return None;
        }
        let place: FileId = place_of(folder.as_fd()).ok()?;
        let above = Path::new(&path_of(folder.as_fd())).join(dot_git.parent()?).canonicalize().ok()?;
        if !self.elsewhere.stays(&above) {
            return None;
        }
        let tree = open_anywhere(self.top, above.as_os_str().as_bytes(), folder.author).ok()?;
        let text = small(tree.as_fd(), c".git").ok().flatten()?;
        let target = text.strip_prefix(b"gitdir:")?.trim_ascii();
        // The target is only compared: the way to it may be closed to other users.
        let target = self.open_named(tree.as_fd(), target, Author::Ourselves).ok()?;
        (place_of(&target).ok()? == place).then_some(above)
    }
}
