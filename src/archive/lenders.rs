//! The data of a kept repository outside its own folder: borrowed objects, links, large files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, RawDir};

use super::elsewhere::lines_of;
use super::git;
use super::judge::Judge;
use super::look::{FileId, entry_at, place_of};
use super::open::Opened;
use super::plan::{ArchivePlan, Outside, Part};
use super::settings::large_files_setting;
use super::tips;
use crate::durable::tree::{Unread, open_folder, shown};

impl Judge<'_> {
    /// A kept repository may borrow objects from others: lenders here, and lenders elsewhere that are removed
    /// too, are kept with it. Lenders that stay, or cannot be opened, are named. The same goes for other data
    /// behind links.
    pub(super) fn keep_lenders(
        &self,
        plan: &mut ArchivePlan,
        unproven: &BTreeSet<usize>,
    ) -> Result<(), Unread> {
        let mut seen: BTreeSet<FileId> =
            unproven.iter().filter_map(|number| self.found.stores[*number].objects).collect();
        let stores = unproven.iter().map(|number| self.found.stores[*number].path.as_path());
        let paths = stores.chain(self.found.pools.iter().map(PathBuf::as_path));
        let mut open = Vec::new();
        for path in paths {
            open.push((path.to_owned(), self.open_store(path)?));
        }
        while let Some((borrower, folder)) = open.pop() {
            self.keep_linked(plan, &borrower, &folder)?;
            for (name, lender) in self.lenders_of(&folder) {
                let lender = match lender {
                    Ok(lender) => lender,
                    Err(why) => {
                        plan.add_to_why(
                            &borrower,
                            &format!("it borrows objects from {}: {why}", named(&name)),
                        );
                        continue;
                    }
                };
                let place = place_of(&lender).map_err(|e| Unread::new(&borrower, e))?;
                if !seen.insert(place) {
                    continue;
                }
                let why = format!("{} borrows objects from it", shown(&borrower));
                let path = match self.found.stores.iter().find(|store| store.objects == Some(place)) {
                    Some(store) => Some(store.path.clone()),
                    None => self.path_of(&lender)?,
                };
                if let Some(path) = path {
                    plan.keep_whole_once(&path, why);
                    open.push((path.clone(), self.open_store(&path)?));
                    continue;
                }
                plan.add_to_why(&borrower, &format!("it borrows objects from {}", named(&name)));
                // A lender that is removed too may be gone when the archive is unpacked.
                if !self.elsewhere.stays(Path::new(&git::path_of(&lender))) {
                    let again = lender.try_clone().map_err(|e| Unread::new(&borrower, e))?;
                    plan.parts.push(Part::Outside(Outside::new(again, Some(&name))));
                    open.push((borrower.clone(), lender));
                }
            }
        }
        Ok(())
    }

    /// Returns the folders of objects from which a repository, or a folder of objects, borrows, or in which
    /// it has its own objects, by their names; an error for each that cannot be opened.
    fn lenders_of(&self, borrower: &Opened) -> Vec<(Vec<u8>, Result<Opened, String>)> {
        let author = borrower.author;
        let mut lenders = Vec::new();
        let mut add = |name: Vec<u8>, opened: std::io::Result<Opened>| {
            lenders.push((name, opened.map_err(|e| e.to_string())));
        };
        let objects = match entry_at(borrower.as_fd(), c"objects") {
            Ok(Some((FileType::Symlink, _))) => {
                let target = rustix::fs::readlinkat(borrower, c"objects", Vec::new());
                let target = target.map(std::ffi::CString::into_bytes).unwrap_or_default();
                let objects = self.open_named(borrower.as_fd(), &target, author);
                add(target.clone(), objects);
                self.open_named(borrower.as_fd(), &target, author)
            }
            Ok(Some((FileType::Directory, _))) => borrower.below(Path::new("objects")),
            _ => borrower.try_clone(),
        };
        let Ok(objects) = objects else { return lenders };
        match tips::small(objects.as_fd(), c"info/alternates") {
            Ok(text) => {
                for name in lines_of(&text.unwrap_or_default()) {
                    add(name.to_vec(), self.open_named(objects.as_fd(), name, objects.author));
                }
            }
            Err(why) => lenders.push((b"others".to_vec(), Err(why))),
        }
        lenders
    }

    /// The data of a kept repository that is in this folder but not in its own: behind links, and in the
    /// folder that its settings name for large files.
    fn keep_linked(&self, plan: &mut ArchivePlan, path: &Path, folder: &Opened) -> Result<(), Unread> {
        let mut targets = Vec::new();
        if let Some(large) = large_files_setting(folder.as_fd()) {
            targets.push(large);
        }
        let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
        let again = open_folder(folder.as_fd(), Path::new("")).map_err(|e| Unread::new(path, e))?;
        let mut entries = RawDir::new(again.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| Unread::new(path, e))?;
            let name = entry.file_name();
            // Lenders of objects are handled above.
            if matches!(name.to_bytes(), b"." | b".." | b"objects") {
                continue;
            }
            if let Ok(Some((FileType::Symlink, _))) = entry_at(folder.as_fd(), name) {
                let target = rustix::fs::readlinkat(folder, name, Vec::new());
                targets.push(target.map_err(|e| Unread::new(path, e))?.into_bytes());
            }
        }
        for target in targets {
            let why = || format!("{} has something in it", shown(path));
            if let Ok(opened) = self.open_named(folder.as_fd(), &target, folder.author) {
                if let Some(at) = self.path_of(&opened)?.filter(|at| !at.as_os_str().is_empty()) {
                    plan.keep_whole_once(&at, why());
                }
                continue;
            }
            // A file is found by the folder that it is in.
            let target = Path::new(OsStr::from_bytes(&target));
            let above = target.parent().map_or(&b"."[..], |above| above.as_os_str().as_bytes());
            let above = if above.is_empty() { b"." } else { above };
            if let (Ok(opened), Some(name)) =
                (self.open_named(folder.as_fd(), above, folder.author), target.file_name())
                && let Some(at) = self.path_of(&opened)?
            {
                plan.parts.push(Part::File(at.join(name)));
            }
        }
        Ok(())
    }
}

fn named(path: &[u8]) -> String {
    shown(Path::new(OsStr::from_bytes(path)))
}
