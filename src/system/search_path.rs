//! Where programs for a job's folder are searched for: never where another user could put one.
//!
//! The `PATH` of the environment is not used: it may have relative or empty elements, which mean the folder in
//! which a program runs, and it comes from the user who started the daemon. The configuration gives the folders
//! (`tools.path`). A folder that other users may write, or that lies in such a folder, is skipped, and so is a
//! program that other users may write.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::account::USUAL_PATH;

const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const EXECUTE: u32 = 0o111;

/// Folders in which programs are searched for, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath(Vec<PathBuf>);

/// Why a program is not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoProgram {
    /// No folder has a program of that name.
    #[error("{name} is in none of the folders {folders} (tools.path)")]
    Absent {
        name: String,
        /// The folders that were searched.
        folders: String,
    },
    /// There is no program at that path.
    #[error("there is no program {}", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The program is given by a path relative to the folder in which it would run.
    #[error(
        "'{name}' is a relative path: give an absolute one, or the name alone of a program in tools.path"
    )]
    Relative {
        /// As it was given.
        name: String,
    },
    /// Another user could have put the program there.
    #[error("{} is not run: {why}", path.display())]
    Unsafe {
        /// Where it is.
        path: PathBuf,
        /// That user, and the path.
        why: String,
    },
    /// The program cannot be examined.
    #[error("{} cannot be looked at: {source}", path.display())]
    Unread {
        /// Where it is.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl NoProgram {
    /// Whether its absence is certain.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, NoProgram::Absent { .. } | NoProgram::Missing { .. })
    }
}

impl Default for SearchPath {
    /// The folders in which every machine has its programs.
    fn default() -> SearchPath {
        SearchPath(std::env::split_paths(USUAL_PATH).collect())
    }
}

impl SearchPath {
    /// A search path of these folders; `None` when one of them is not an absolute path, or none is given.
    pub fn new(folders: Vec<PathBuf>) -> Option<SearchPath> {
        let is_plain = |folder: &PathBuf| {
            folder.is_absolute()
                && !folder.as_os_str().as_encoded_bytes().contains(&b':')
                && folder.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        };
        (!folders.is_empty() && folders.iter().all(is_plain)).then_some(SearchPath(folders))
    }

    /// The folders.
    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// The value of `PATH`, without the folders that are skipped.
    pub(crate) fn variable(&self) -> OsString {
        let safe =
            self.0.iter().filter(|folder| danger_of(folder, true).is_ok_and(|danger| danger.is_none()));
        std::env::join_paths(safe).unwrap_or_default()
    }

    /// Finds a program by its name, or checks one that is given by its absolute path. A program in `folder`, in
    /// which it is to run, is never accepted.
    pub fn find(&self, name: &str, folder: Option<&Path>) -> Result<PathBuf, NoProgram> {
        if Path::new(name).is_absolute() {
            let path = Path::new(name);
            let missing = || NoProgram::Missing { path: path.to_owned() };
            return if is_there(path)? { checked(path, folder) } else { Err(missing()) };
        }
        if name.is_empty() || name.contains('/') || name == ".." || name == "." {
            return Err(NoProgram::Relative { name: name.to_owned() });
        }
        let mut refused = None;
        for at in self.0.iter().map(|folder| folder.join(name)) {
            match is_there(&at) {
                Ok(false) => {}
                Ok(true) => match checked(&at, folder) {
                    Ok(found) => return Ok(found),
                    Err(why) => drop(refused.get_or_insert(why)),
                },
                Err(why) => drop(refused.get_or_insert(why)),
            }
        }
        Err(refused.unwrap_or_else(|| self.absent(name)))
    }

    fn absent(&self, name: &str) -> NoProgram {
        let folders: Vec<String> = self.0.iter().map(|folder| folder.display().to_string()).collect();
        NoProgram::Absent { name: name.to_owned(), folders: folders.join(", ") }
    }
}

/// Whether an executable file has this path.
fn is_there(path: &Path) -> Result<bool, NoProgram> {
    use io::ErrorKind as E;
    match path.metadata() {
        Ok(found) => Ok(found.is_file() && found.permissions().mode() & EXECUTE != 0),
        Err(e) if matches!(e.kind(), E::NotFound | E::NotADirectory | E::InvalidFilename) => Ok(false),
        Err(source) => Err(NoProgram::Unread { path: path.to_owned(), source }),
    }
}

/// The program itself, with links resolved, if no other user could exchange it.
fn checked(path: &Path, folder: Option<&Path>) -> Result<PathBuf, NoProgram> {
    let unread = |source| NoProgram::Unread { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(unread)?;
    let danger = |why: String| NoProgram::Unsafe { path: path.to_owned(), why };
    // The folders of the links on the way must be checked, too.
    for (at, is_folder) in [(path.parent().unwrap_or(path), true), (&*real, false)] {
        if let Some(why) = danger_of(at, is_folder).map_err(unread)? {
            return Err(danger(why));
        }
    }
    if let Some(folder) = folder {
        let id = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
        let own = id(folder).map_err(unread)?;
        for above in real.ancestors().skip(1) {
            if id(above).map_err(unread)? == own {
                return Err(danger("it lies in the folder that it is to be run in".to_owned()));
            }
        }
    }
    Ok(real)
}

/// Another user who could exchange a file or its content, by its owner and mode and by those of all folders
/// above.
fn danger_of(path: &Path, is_folder: bool) -> io::Result<Option<String>> {
    let own = rustix::process::geteuid().as_raw();
    for (number, at) in path.ancestors().enumerate() {
        let found = at.metadata()?;
        if found.uid() != 0 && found.uid() != own {
            return Ok(Some(format!("{} belongs to user {}", at.display(), found.uid())));
        }
        // Where the sticky bit is set, a user who may make an entry beside a program cannot exchange the program,
        // but may make one of a name that is searched for.
        let is_searched = number == 0 && is_folder;
        let is_kept = found.mode() & STICKY != 0 && found.is_dir() && !is_searched;
        if found.mode() & OTHERS_WRITE != 0 && !is_kept {
            return Ok(Some(format!("everybody may write {}", at.display())));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes the programs that are looked for.
mod tests {
    use super::*;

    fn program(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        mode(path, 0o755);
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn search_path_absolute_only() {
        for wrong in ["", "bin", "/a/../b", "/a:b", "./x"] {
            assert_eq!(SearchPath::new(vec!["/usr/bin".into(), wrong.into()]), None, "{wrong}");
        }
        assert_eq!(SearchPath::new(Vec::new()), None);
        assert!(SearchPath::new(SearchPath::default().folders().to_vec()).is_some());
    }

    #[test]
    fn search_path_skips_writable_by_others() {
        let place = tempfile::tempdir().unwrap();
        let [one, two, work] = ["one", "two", "work"].map(|name| place.path().join(name));
        let path = SearchPath::new(vec![one.clone(), two.clone()]).unwrap();
        assert!(path.find("tool", None).unwrap_err().is_absent());
        program(&two.join("tool"));
        program(&one.join("other"));
        let real = two.canonicalize().unwrap().join("tool");
        assert_eq!(path.find("tool", None).unwrap(), real);
        assert_eq!(path.find(two.join("tool").to_str().unwrap(), None).unwrap(), real);
        for relative in ["./tool", "two/tool", "", "..", "."] {
            assert!(matches!(path.find(relative, None), Err(NoProgram::Relative { .. })), "{relative}");
        }
        // A folder or no program of that name is passed over.
        std::fs::create_dir(one.join("tool")).unwrap();
        assert_eq!(path.find("tool", None).unwrap(), real);
        std::fs::remove_dir(one.join("tool")).unwrap();
        std::fs::write(one.join("tool"), "text").unwrap();
        assert_eq!(path.find("tool", None).unwrap(), real);
        // Everybody could have put this one there.
        mode(&one.join("tool"), 0o755);
        mode(&one, 0o1777);
        assert_eq!(path.find("tool", None).unwrap(), real);
        assert_eq!(path.variable(), two.as_os_str());
        assert!(matches!(path.find("other", None), Err(NoProgram::Unsafe { .. })));
        mode(&one, 0o755);
        mode(&one.join("tool"), 0o777);
        assert_eq!(path.find("tool", None).unwrap(), real);
        // The workspace, also behind a link.
        program(&work.join("bin/own"));
        std::os::unix::fs::symlink(work.join("bin/own"), two.join("own")).unwrap();
        let why = path.find("own", Some(&work)).unwrap_err().to_string();
        assert!(why.contains("lies in the folder"), "{why}");
        assert!(path.find("own", Some(&one)).is_ok());
    }
}
