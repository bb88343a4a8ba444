//! A folder with its content, as a value.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::event::Bytes;
use crate::reboot::with_boot;

/// The record of a state directory's folder: a disk that is made elsewhere is to pass for the original, and
/// has none, as from an earlier version. Only a copy keeps one ([`crate::copy`]).
const PLACE: &str = "place.json";
/// The attribute of a folder with the same purpose.
const ATTRIBUTE: &str = "user.recoveryctl.incarnation";

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Folder,
    File(Bytes),
}

/// Everything in a folder, by relative path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// Reads a folder.
    pub(crate) fn read(root: &Path) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        tree.add(root, Path::new(""))?;
        Ok(tree)
    }

    fn add(&mut self, root: &Path, inside: &Path) -> Result<(), Error> {
        for entry in std::fs::read_dir(root.join(inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.nodes.insert(path.clone(), Node::Folder);
                self.add(root, &path)?;
            } else if kind.is_file() {
                let content = std::fs::read(entry.path())?;
                if path.ends_with(PLACE) && crate::copy::here(&content, &root.join(inside))?.is_none() {
                    continue;
                }
                self.nodes.insert(path, Node::File(Arc::new(content)));
            }
        }
        Ok(())
    }

    /// Makes a folder's content equal to this; equal parts are not touched.
    pub(crate) fn restore(&self, root: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(root)?;
        self.remove_others(root, Path::new(""))?;
        for (path, node) in &self.nodes {
            let full = root.join(path);
            if path.ends_with(PLACE) {
                continue;
            }
            match node {
                Node::Folder if full.is_dir() => {}
                Node::Folder => {
                    std::fs::create_dir(&full)?;
                    std::fs::set_permissions(&full, std::fs::Permissions::from_mode(0o700))?;
                }
                Node::File(bytes) => {
                    if std::fs::read(&full).ok().as_ref() != Some(bytes.as_ref()) {
                        // The file is replaced, never written over: a mapping of it may still be alive.
                        let _ = std::fs::remove_file(&full);
                        std::fs::write(&full, bytes.as_slice())?;
                        std::fs::set_permissions(&full, std::fs::Permissions::from_mode(0o600))?;
                    }
                }
            }
        }
        self.restore_place(root)
    }

    /// Writes the record of the folder, when everything else is there: a copy's, or none.
    fn restore_place(&self, root: &Path) -> Result<(), Error> {
        for (path, node) in self.nodes.iter().filter(|(path, _)| path.ends_with(PLACE)) {
            let full = root.join(path);
            let folder = full.parent().unwrap_or(root);
            // The folder's own attribute does not belong to this disk either.
            let _ = rustix::fs::removexattr(folder, ATTRIBUTE);
            let Node::File(content) = node else { continue };
            match crate::copy::here(content, folder)? {
                Some(record) => std::fs::write(&full, record)?,
                None => {
                    let _ = std::fs::remove_file(&full);
                }
            }
        }
        Ok(())
    }

    fn remove_others(&self, root: &Path, inside: &Path) -> Result<(), Error> {
        for entry in std::fs::read_dir(root.join(inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            let is_folder = entry.file_type()?.is_dir();
            match self.nodes.get(&path) {
                Some(Node::Folder) if is_folder => self.remove_others(root, &path)?,
                Some(Node::File(_)) if !is_folder => {}
                _ if is_folder => std::fs::remove_dir_all(entry.path())?,
                _ => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    /// A number that is the same for equal trees.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The content of a file.
    pub(crate) fn file(&self, path: &Path) -> Option<&Bytes> {
        match self.nodes.get(path) {
            Some(Node::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The files, with their content.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, &Bytes)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::File(bytes) => Some((path, bytes)),
            Node::Folder => None,
        })
    }

    /// The tree after a reboot: files with the old boot's id are another boot's now, and shared memory in a
    /// file is of that boot.
    pub(crate) fn after_reboot(&self, boot_id: &str) -> Tree {
        let finder = memchr::memmem::Finder::new(boot_id);
        // Another boot id of the same length and form.
        let other: String = boot_id.chars().map(|c| if c == '-' { '-' } else { rotated(c) }).collect();
        let mut nodes = self.nodes.clone();
        for (path, node) in &mut nodes {
            let Node::File(bytes) = node else { continue };
            if path.ends_with("commit.page") {
                let mut page = bytes.to_vec();
                page.iter_mut().skip(8).take(8).for_each(|b| *b ^= 0x5a);
                *bytes = Arc::new(page);
            } else if let Some(changed) = with_boot(bytes, &finder, other.as_bytes(), true) {
                *bytes = Arc::new(changed);
            }
        }
        Tree { nodes }
    }
}

impl Tree {
    /// The same with another boot id in its files.
    pub(crate) fn with_boot(&self, from: &str, to: &str) -> Tree {
        let finder = memchr::memmem::Finder::new(from);
        let mut nodes = self.nodes.clone();
        for node in nodes.values_mut() {
            let Node::File(bytes) = node else { continue };
            if from.len() == to.len()
                && from != to
                && let Some(changed) = with_boot(bytes, &finder, to.as_bytes(), false)
            {
                *bytes = Arc::new(changed);
            }
        }
        Tree { nodes }
    }
}

fn rotated(c: char) -> char {
    let digit = c.to_digit(16).unwrap_or(0);
    char::from_digit((digit + 7) % 16, 16).unwrap_or('0')
}
