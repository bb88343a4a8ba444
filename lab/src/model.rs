//! The durable and the volatile part of the disk while a recording is played.
//!
//! Files and folders are separate: a file's bytes become durable by its own sync, its name by the sync of its
//! folder. A rename within one folder happens as a whole or not at all; between two folders the new name may
//! appear before the old one goes, never the other way round (as in every journaling file system). A later
//! change of a name implies the earlier ones of the same name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::{Bytes, Change, Event};
use crate::tree::{Node, Tree};

pub(crate) type Id = usize;

/// A change of a file's bytes that is not durable.
#[derive(Debug, Clone)]
pub(crate) enum DataChange {
    Write {
        offset: u64,
        bytes: Bytes,
    },
    /// A page of shared memory: it is kept as a whole or lost.
    Page(Bytes),
    Truncate(u64),
    Allocate(u64),
}

#[derive(Debug, Clone)]
struct Pending {
    change: DataChange,
    /// A sync failed on it: no later sync makes it durable, although it can be read.
    dropped: bool,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Bytes,
    pending: Vec<Pending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    File(Id),
    Folder(Id),
}

/// A change of the names in one folder that is not durable.
#[derive(Debug, Clone)]
pub(crate) struct NameChange {
    folder: Id,
    gone: Option<String>,
    come: Option<(String, Entry)>,
    /// The number of the change that must have happened if this has.
    needs: Option<u64>,
    number: u64,
}

impl NameChange {
    fn touches(&self, name: &str) -> bool {
        self.gone.as_deref() == Some(name) || self.come.as_ref().is_some_and(|(n, _)| n == name)
    }

    fn follows(&self, earlier: &NameChange) -> bool {
        let same_name = self.folder == earlier.folder
            && (self.gone.as_deref().is_some_and(|n| earlier.touches(n))
                || self.come.as_ref().is_some_and(|(n, _)| earlier.touches(n)));
        same_name || self.needs == Some(earlier.number)
    }
}

type Names = BTreeMap<String, Entry>;

#[derive(Debug, Clone, Default)]
struct Folder {
    durable: Names,
    now: Names,
}

/// The disk as it is, and as it would be after a crash.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    files: Vec<Inode>,
    folders: Vec<Folder>,
    names: Vec<NameChange>,
    /// The targets of stale names of open files.
    former: BTreeMap<PathBuf, Id>,
    next: u64,
}

const ROOT: Id = 0;

impl Model {
    /// Makes a model in which everything in `base` is durable.
    pub(crate) fn new(base: &Tree) -> Model {
        let mut model = Model {
            files: Vec::new(),
            folders: vec![Folder::default()],
            names: Vec::new(),
            former: BTreeMap::new(),
            next: 1,
        };
        for (path, node) in &base.nodes {
            let entry = match node {
                Node::Folder => model.new_folder(),
                Node::File(bytes) => model.new_file(bytes.clone()),
            };
            let Some((folder, name)) = model.place(path) else { continue };
            model.folders[folder].durable.insert(name.clone(), entry);
            model.folders[folder].now.insert(name, entry);
        }
        model
    }

    fn new_folder(&mut self) -> Entry {
        self.folders.push(Folder::default());
        Entry::Folder(self.folders.len() - 1)
    }

    fn new_file(&mut self, durable: Bytes) -> Entry {
        self.files.push(Inode { durable, pending: Vec::new() });
        Entry::File(self.files.len() - 1)
    }

    fn folder(&self, path: &Path) -> Option<Id> {
        path.iter().try_fold(ROOT, |at, name| match self.folders[at].now.get(name.to_str()?)? {
            Entry::Folder(id) => Some(*id),
            Entry::File(_) => None,
        })
    }

    fn place(&self, path: &Path) -> Option<(Id, String)> {
        Some((self.folder(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let (folder, name) = self.place(path)?;
        self.folders[folder].now.get(&name).copied()
    }

    fn file(&self, path: &Path) -> Option<Id> {
        match self.entry(path) {
            Some(Entry::File(id)) => Some(id),
            _ => self.former.get(path).copied(),
        }
    }

    /// Plays one event.
    pub(crate) fn play(&mut self, event: &Event) {
        match event {
            Event::Changed { change, .. } => self.change(change),
            Event::SyncFailed { change } => self.drop_pages(change),
            Event::Page { path, bytes } => {
                if let Some(id) = self.file(path) {
                    let pending = &mut self.files[id].pending;
                    pending.retain(|p| !matches!(p.change, DataChange::Page(_)));
                    pending.push(Pending { change: DataChange::Page(bytes.clone()), dropped: false });
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Create { path } if self.entry(path).is_some() => {} // Opened for appending.
            Change::Create { path } => {
                let file = self.new_file(Bytes::default());
                self.link(path, file);
            }
            Change::CreateDir { path } => {
                let folder = self.new_folder();
                self.link(path, folder);
            }
            Change::Write { path, offset, bytes } => {
                self.data(path, DataChange::Write { offset: *offset, bytes: bytes.clone() });
            }
            Change::Truncate { path, len } => self.data(path, DataChange::Truncate(*len)),
            Change::Allocate { path, len } => self.data(path, DataChange::Allocate(*len)),
            Change::Sync { path } => {
                if let Some(id) = self.file(path) {
                    self.files[id].sync();
                }
            }
            Change::RemoveFile { path } | Change::RemoveDir { path } => {
                if let Some((folder, name)) = self.place(path) {
                    self.name_change(folder, Some(name), None, None);
                }
            }
            Change::Rename { from, to } => self.rename(from, to),
            Change::SyncDir { path } => {
                if let Some(folder) = self.folder(path) {
                    self.sync_names(|c| c.folder == folder);
                }
            }
            Change::SyncFilesystem => {
                self.files.iter_mut().for_each(Inode::sync);
                self.sync_names(|_| true);
            }
            Change::Attribute { .. } => {}
        }
    }

    fn data(&mut self, path: &Path, change: DataChange) {
        if let Some(id) = self.file(path) {
            self.files[id].pending.push(Pending { change, dropped: false });
        }
    }

    fn link(&mut self, path: &Path, entry: Entry) {
        if let Some((folder, name)) = self.place(path) {
            self.former.remove(path);
            self.name_change(folder, None, Some((name, entry)), None);
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let (Some(entry), Some(old), Some(new)) = (self.entry(from), self.place(from), self.place(to)) else {
            return;
        };
        if let Entry::File(id) = entry {
            self.former.insert(from.to_owned(), id);
        }
        if old.0 == new.0 {
            self.name_change(old.0, Some(old.1), Some((new.1, entry)), None);
        } else {
            let come = self.name_change(new.0, None, Some((new.1, entry)), None);
            self.name_change(old.0, Some(old.1), None, Some(come));
        }
    }

    fn name_change(
        &mut self,
        folder: Id,
        gone: Option<String>,
        come: Option<(String, Entry)>,
        needs: Option<u64>,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        let change = NameChange { folder, gone, come, needs, number };
        change.apply(&mut self.folders[folder].now);
        self.names.push(change);
        number
    }

    /// Makes changes of names durable, with the changes that they imply.
    fn sync_names(&mut self, wanted: impl Fn(&NameChange) -> bool) {
        let chosen = self.closed(self.names.iter().map(wanted).collect());
        let mut left = Vec::new();
        for (change, durable) in std::mem::take(&mut self.names).into_iter().zip(chosen) {
            if durable {
                change.apply(&mut self.folders[change.folder].durable);
            } else {
                left.push(change);
            }
        }
        self.names = left;
    }

    /// Adds to a choice of name changes those that must have happened before them.
    fn closed(&self, mut chosen: Vec<bool>) -> Vec<bool> {
        for later in (0..chosen.len()).rev() {
            if chosen[later] {
                let change = &self.names[later];
                for (earlier, is_chosen) in self.names.iter().zip(&mut chosen).take(later) {
                    *is_chosen |= change.follows(earlier);
                }
            }
        }
        chosen
    }

    fn drop_pages(&mut self, change: &Change) {
        match change {
            Change::Sync { path } => {
                if let Some(id) = self.file(path) {
                    self.files[id].pending.iter_mut().for_each(|p| p.dropped = true);
                }
            }
            // Changes of names are in the journal: they are not durable, and a later sync may still make them
            // so.
            Change::SyncDir { .. } => {}
            _ => {
                self.files.iter_mut().flat_map(|f| &mut f.pending).for_each(|p| p.dropped = true);
            }
        }
    }

    /// How many changes of names are not durable.
    pub(crate) fn unsynced_names(&self) -> usize {
        self.names.len()
    }

    /// The disk with these name changes kept (and those that they imply), and with `content` applied to every
    /// file.
    pub(crate) fn disk(&self, kept: &[bool], content: &mut dyn FnMut(Id) -> Bytes) -> Tree {
        let kept = self.closed(kept.to_vec());
        let mut folders: Vec<Names> = self.folders.iter().map(|f| f.durable.clone()).collect();
        for (change, _) in self.names.iter().zip(kept).filter(|(_, kept)| *kept) {
            change.apply(&mut folders[change.folder]);
        }
        let mut tree = Tree::default();
        add(&folders, ROOT, Path::new(""), content, &mut tree);
        tree
    }

    /// Everything as the processes see it: nothing is lost.
    pub(crate) fn everything(&self) -> Tree {
        self.disk(&vec![true; self.names.len()], &mut |id| self.kept(id))
    }

    /// A file with all its changes.
    pub(crate) fn kept(&self, id: Id) -> Bytes {
        self.with_changes(id, self.files[id].pending.len())
    }

    /// A file without its unsynced changes.
    pub(crate) fn lost(&self, id: Id) -> Bytes {
        self.files[id].durable.clone()
    }

    /// The changes of a file that are not durable.
    pub(crate) fn pending(&self, id: Id) -> impl Iterator<Item = &DataChange> {
        self.files[id].pending.iter().map(|p| &p.change)
    }

    /// The files that have changes which are not durable.
    pub(crate) fn dirty(&self) -> Vec<Id> {
        (0..self.files.len()).filter(|&id| !self.files[id].pending.is_empty()).collect()
    }

    /// A file with the first `count` of its unsynced changes.
    pub(crate) fn with_changes(&self, id: Id, count: usize) -> Bytes {
        let file = &self.files[id];
        if count == 0 {
            return file.durable.clone();
        }
        let mut bytes = file.durable.to_vec();
        file.pending.iter().take(count).for_each(|p| p.change.apply(&mut bytes));
        Arc::new(bytes)
    }
}

fn add(folders: &[Names], at: Id, path: &Path, content: &mut dyn FnMut(Id) -> Bytes, tree: &mut Tree) {
    for (name, entry) in &folders[at] {
        let path = path.join(name);
        match entry {
            Entry::File(id) => {
                tree.nodes.insert(path, Node::File(content(*id)));
            }
            Entry::Folder(id) => {
                tree.nodes.insert(path.clone(), Node::Folder);
                add(folders, *id, &path, content, tree);
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, entry)) = &self.come {
            names.insert(name.clone(), *entry);
        }
    }
}

impl Inode {
    fn sync(&mut self) {
        let mut bytes = self.durable.to_vec();
        let mut left: Vec<Pending> = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            // Shared memory can be changed again at any moment, so it never counts as synced.
            if pending.dropped || matches!(pending.change, DataChange::Page(_)) {
                left.push(pending);
            } else {
                // Pages behind the new end are gone, whatever happened to them before.
                if let DataChange::Truncate(len) = pending.change {
                    left.retain(|p| !matches!(p.change, DataChange::Write { offset, .. } if offset >= len));
                }
                pending.change.apply(&mut bytes);
            }
        }
        self.durable = Arc::new(bytes);
        self.pending = left;
    }
}

impl DataChange {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        let length = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
        match self {
            DataChange::Write { offset, bytes: written } => overwrite(bytes, length(*offset), written),
            DataChange::Page(written) => overwrite(bytes, 0, written),
            DataChange::Truncate(len) => bytes.resize(length(*len), 0),
            DataChange::Allocate(len) => bytes.resize(bytes.len().max(length(*len)), 0),
        }
    }
}

/// Writes at an offset; bytes between the end and the offset read as zeros.
pub(crate) fn overwrite(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}
