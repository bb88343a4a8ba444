//! Decides which repositories are proven to exist elsewhere, with everything that they anchor.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::elsewhere::heads_of_bundle;
use super::git::{Owned, RemoteStore};
use super::judge::Judge;
use super::look::{FileId, Store, place_of};
use super::note::Repository;
use super::open::{
    Objects, Opened, common_of, holds_anything, is_store, objects_of, open_anywhere, optional_file,
};
use super::plan::{ArchivePlan, Outside, Part};
use super::remote::{Here, Remote};
use super::settings::settings_of;
use super::tips::{self, Id, Tips};
use crate::durable::tree::open_folder;
use crate::system::Author;

impl Judge<'_> {
    /// Proves that everything that a repository in the folder anchors is known to be elsewhere.
    pub(super) fn prove_store(
        &self,
        store: &Store,
        folder: &Opened,
        trees: &[&Path],
    ) -> Result<Option<File>, String> {
        if store.is_linked {
            return self.prove_linked(store, folder).map(|()| None);
        }
        let (mut tips, _) = self.read(folder)?;
        let objects = objects_of(folder)?;
        let shallow = optional_file(folder.as_fd(), c"shallow")?;
        for name in tips::linked(folder.as_fd())? {
            let at = Path::new("worktrees").join(OsStr::from_bytes(name.to_bytes()));
            let linked = folder.below(&at).map_err(|e| e.to_string())?;
            let head = self.read_one(&linked, &mut tips).map_err(|e| format!("{}: {e}", at.display()))?;
            self.prove_index_of(&linked, &objects, head)?;
        }
        let head = self.read_one(folder, &mut tips)?;
        self.prove_index_of(folder, &objects, head)?;
        match open_folder(folder.as_fd(), Path::new("lfs/objects")) {
            Ok(large) if holds_anything(&large).map_err(|e| e.to_string())? => {
                return Err("it has LFS objects, and no remote is known to have them".to_owned());
            }
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(format!("lfs/objects: {e}")),
            _ => {}
        }
        let own = Owned { objects: &objects, shallow: shallow.as_ref() };
        let author = folder.author;
        let lacking = |remote: &Remote, ids: &BTreeSet<Id>| self.lacking(remote, &own, ids, author);
        tips.resolve(&self.remotes_of(store, folder, trees)?, &lacking);
        tips.cloned_at = tips::cloned_at(folder.as_fd());
        self.git.prove_commits(&objects, shallow.as_ref(), &tips, Some(self.since))
    }

    /// Returns the remotes of a repository, each with whether it is known to be elsewhere.
    pub(super) fn remotes_of(
        &self,
        store: &Store,
        folder: &Opened,
        trees: &[&Path],
    ) -> Result<Vec<Remote>, String> {
        // git itself begins at the top of the working tree that it is in.
        let bases = if trees.is_empty() { &[store.path.as_path()][..] } else { trees };
        let bases: Vec<PathBuf> = bases.iter().map(|base| self.folder.join(base)).collect();
        Ok(self.elsewhere.remotes(&settings_of(folder.as_fd())?, &bases, folder.author))
    }

    /// Returns the commits recorded as a remote's that the remote, which is on this machine, lacks: another
    /// repository may be there now, or the pushed commits may have been removed. A remote that cannot be read
    /// counts as empty.
    fn lacking(&self, remote: &Remote, own: &Owned<'_>, ids: &BTreeSet<Id>, author: Author) -> BTreeSet<Id> {
        let mut lacking = BTreeSet::new();
        for here in &remote.here {
            let found = match here {
                Here::Repository(path) => self.lacking_there(path, own, ids, author).ok(),
                Here::Bundle(path) => {
                    heads_of_bundle(path, author).map(|heads| ids.difference(&heads).copied().collect())
                }
            };
            lacking.extend(found.unwrap_or_else(|| ids.clone()));
        }
        lacking
    }

    fn lacking_there(
        &self,
        path: &Path,
        own: &Owned<'_>,
        ids: &BTreeSet<Id>,
        author: Author,
    ) -> Result<BTreeSet<Id>, String> {
        let cannot = |e: std::io::Error| e.to_string();
        let folder = open_anywhere(self.top, path.as_os_str().as_bytes(), author).map_err(cannot)?;
        let objects = open_anywhere(folder.as_fd(), b"objects", folder.author).map_err(cannot)?;
        let objects = Objects::new(objects.folder, objects.author)?;
        let mut there = Tips::default();
        tips::read_names(folder.as_fd(), &mut there)?;
        let names = there.names.into_values().collect();
        self.git.lacking(&RemoteStore { objects: &objects, names }, own, ids)
    }

    /// The files that belong to one working tree only: HEAD and its like, reflogs, names below `refs/`.
    pub(super) fn read_one(&self, folder: &Opened, tips: &mut Tips) -> Result<Option<Id>, String> {
        let folder = folder.as_fd();
        tips::at_rest(folder)?;
        settings_of(folder)?;
        tips::read_names(folder, tips)?;
        tips::read_logs(folder, self.since, tips)?;
        tips::read_heads(folder, tips)
    }

    pub(super) fn read(&self, folder: &Opened) -> Result<(Tips, Option<Id>), String> {
        let mut tips = Tips::default();
        if let Some(common) = common_of(folder)? {
            tips::read_names(common.as_fd(), &mut tips)?;
        }
        let head = self.read_one(folder, &mut tips)?;
        Ok((tips, head))
    }

    pub(super) fn prove_index_of(
        &self,
        folder: &Opened,
        objects: &Objects,
        head: Option<Id>,
    ) -> Result<(), String> {
        let Some(index) = optional_file(folder.as_fd(), c"index")? else { return Ok(()) };
        self.git.prove_index(objects, &index, head)
    }

    /// Proves the own folder of a linked working tree inside the folder to be removed: it is part of its
    /// repository's proof when the repository is there too; otherwise nothing is proven.
    pub(super) fn prove_linked(&self, store: &Store, folder: &Opened) -> Result<(), String> {
        let common = common_of(folder)?.ok_or("it does not say to which repository it belongs")?;
        let place = place_of(&common).map_err(|e| e.to_string())?;
        let owner = self.found.store_at(place).map(|owner| self.found.stores[owner].path.join("worktrees"));
        match (owner, store.path.parent()) {
            (Some(owner), Some(above)) if owner == above => Ok(()),
            _ => Err("it belongs to a repository that is elsewhere".to_owned()),
        }
    }

    /// Judges a working tree here of a repository elsewhere, which stays: the anchors of this tree's own
    /// folder there.
    pub(super) fn judge_outside(
        &self,
        plan: &mut ArchivePlan,
        tree: &Path,
        folder: Opened,
        kept: &mut HashSet<FileId>,
    ) {
        let proven = || -> Result<(), String> {
            let Some(common) = common_of(&folder)? else { return Ok(()) };
            let mut all = Tips::default();
            tips::read_names(common.as_fd(), &mut all)?;
            // Names in that repository stay, whatever happens to the tree here.
            let mut own =
                Tips { stays: all.names.values().copied().collect(), names: all.names, ..Tips::default() };
            let head = self.read_one(&folder, &mut own)?;
            let objects = objects_of(&folder)?;
            self.prove_index_of(&folder, &objects, head)?;
            let shallow = optional_file(common.as_fd(), c"shallow")?;
            match self.git.prove_commits(&objects, shallow.as_ref(), &own, None)? {
                None => Ok(()),
                Some(_) => Err("it names a tag that has no name in its repository".to_owned()),
            }
        };
        if let Err(why) = proven() {
            plan.repositories.push(Repository::new(tree, why));
            // Other targets of a `commondir` are not handled.
            let common = common_of(&folder).ok().flatten().filter(|common| is_store(common.as_fd()));
            let outside = common.unwrap_or(folder);
            // Other working trees of that repository may be here.
            if place_of(&outside).map_or(true, |place| kept.insert(place)) {
                plan.parts.push(Part::Outside(Outside::new(outside, None)));
            }
        }
    }
}
