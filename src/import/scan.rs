//! Finds what lies in a workspace: job files, job folders, staged uploads. Only names are read; a file is
//! opened only when a caller asks for it.
//!
//! Other users, who may all be different, write the workspace: each may put anything in the place of its
//! files. So no link is followed, folders are opened one below the other, and of files only regular ones are
//! opened, without blocking ([`Workspace::open_file`]). Another name of a file that the owner of the folder
//! may not read does not count as one of the folder's files.
//!
//! A job's id is the name of its file. GUIDs in upper and lower case are the same id, and become lower case.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, RawDir, fstat, openat};
use rustix::io::Errno;
use uuid::Uuid;

use crate::durable::tree::{entry_at, open_file, open_top};
use crate::queue::JobId;
use crate::system::Author;

const JOB_SUFFIX: &str = ".job.json";

/// Why a workspace cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Nothing exists at the path.
    #[error("there is no workspace at {}", path.display())]
    Missing {
        /// The given path.
        path: PathBuf,
    },
    /// The path is something else than a workspace.
    #[error("{} is no workspace of a batch server: {why}", path.display())]
    NotAWorkspace {
        /// The given path.
        path: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// The system refused to read a folder.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Why a file in the workspace cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// The file, or a folder on the way to it, is a link.
    #[error("it is a link, and none is followed in a workspace")]
    Link,
    /// A folder, a pipe, a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// Another name of a file that the owner of the folder may not read; that owner's user id.
    #[error("it is a further name of a file that user {0}, to whom its folder belongs, may not read")]
    NotTheirs(u32),
    /// The file is too large for its purpose; its size.
    #[error("it has {0} bytes, too many for a job file")]
    TooLarge(u64),
    /// The system's error: permissions, a failing disk.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// The folder of the former server.
#[derive(Debug, Clone)]
pub(super) struct Workspace {
    root: PathBuf,
    top: Arc<OwnedFd>,
}

/// One job as its names show it: a job file, its folder, its staged uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundJob {
    /// Its id.
    pub id: JobId,
    /// The name of its file without the suffix.
    pub stem: String,
    /// The name of its folder below `jobs/`.
    pub folder: Option<OsString>,
    /// The name of its folder below `staging/`.
    pub staging: Option<OsString>,
}

/// A folder whose job has no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoneFolder {
    /// Its path.
    pub path: PathBuf,
    /// Its name, as far as it is valid UTF-8.
    pub id: String,
}

/// Everything that was found, by name.
#[derive(Debug, Default)]
pub struct Scan {
    /// Jobs with a job file.
    pub jobs: Vec<FoundJob>,
    /// Job files whose name cannot be an id.
    pub unusable: Vec<PathBuf>,
    /// Job files whose id another file has too, in another case.
    pub duplicates: Vec<PathBuf>,
    /// Folders below `jobs/` without a job file.
    pub lone_jobs: Vec<LoneFolder>,
    /// Folders below `staging/` without a job file.
    pub lone_staging: Vec<LoneFolder>,
}

impl Workspace {
    /// Checks that a path is a workspace.
    pub(crate) fn open(path: &Path) -> Result<Workspace, ScanError> {
        let named = || path.to_owned();
        let root = std::fs::canonicalize(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ScanError::Missing { path: named() },
            _ => ScanError::Read { path: named(), source },
        })?;
        if !root.is_dir() {
            return Err(ScanError::NotAWorkspace { path: named(), why: "it is not a folder" });
        }
        if root.to_str().is_none() {
            let why = "its path is not valid UTF-8, and jobs are recorded with it";
            return Err(ScanError::NotAWorkspace { path: named(), why });
        }
        let top = open_top(&root).map_err(|source| ScanError::Read { path: named(), source })?;
        let workspace = Workspace { root, top: Arc::new(top) };
        let kind = |name: &str| workspace.kind_of(name).ok().flatten();
        if ["jobs", "staging"].iter().any(|name| kind(name) == Some(FileType::Symlink)) {
            let why = "its folder jobs or staging is a link";
            return Err(ScanError::NotAWorkspace { path: named(), why });
        }
        if !["jobs", "staging", "repos"].iter().any(|name| kind(name) == Some(FileType::Directory)) {
            let why = "it has none of the folders jobs, staging, repos";
            return Err(ScanError::NotAWorkspace { path: named(), why });
        }
        Ok(workspace)
    }

    fn kind_of(&self, name: &str) -> io::Result<Option<FileType>> {
        let name = CString::new(name)?;
        Ok(entry_at(self.top.as_fd(), &name)?)
    }

    /// Returns its path, without links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of a job's file.
    pub(crate) fn job_file(&self, job: &FoundJob) -> PathBuf {
        self.root.join("jobs").join(format!("{}{JOB_SUFFIX}", job.stem))
    }

    /// Returns the path of a job's folder, if it has one.
    pub(crate) fn job_folder(&self, job: &FoundJob) -> Option<PathBuf> {
        job.folder.as_ref().map(|name| self.root.join("jobs").join(name))
    }

    /// Returns the path of a job's staged uploads, if it has any.
    pub(crate) fn staging_folder(&self, job: &FoundJob) -> Option<PathBuf> {
        job.staging.as_ref().map(|name| self.root.join("staging").join(name))
    }

    /// Opens a folder of the workspace by its path; no part of the path may be a link.
    pub(super) fn open_folder(&self, path: &Path) -> Result<OwnedFd, Unreadable> {
        let below = path.strip_prefix(&self.root).map_err(|_| Unreadable::Missing)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = self.top.try_clone()?;
        for part in below.components() {
            let Component::Normal(name) = part else { return Err(Unreadable::Missing) };
            folder = match openat(&folder, name, flags, Mode::empty()) {
                Ok(folder) => folder,
                Err(Errno::NOENT) => return Err(Unreadable::Missing),
                Err(e @ (Errno::NOTDIR | Errno::LOOP)) => return Err(not_a_folder(folder.as_fd(), name, e)),
                Err(e) => return Err(Unreadable::System(e.into())),
            };
        }
        Ok(folder)
    }

    /// Opens a regular file for reading, by its path; never the target of a link, and never anything that
    /// blocks.
    pub(crate) fn open_file(&self, path: &Path) -> Result<File, Unreadable> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Unreadable::Missing);
        };
        open_in(self.open_folder(above)?.as_fd(), name)
    }

    /// Reads the names.
    ///
    /// # Errors
    /// `jobs/` or `staging/` cannot be listed.
    pub(crate) fn scan(&self) -> Result<Scan, ScanError> {
        let mut scan = Scan::default();
        let mut jobs: BTreeMap<String, FoundJob> = BTreeMap::new();
        let mut folders: BTreeMap<String, Vec<OsString>> = BTreeMap::new();
        for (name, is_folder) in self.list("jobs")? {
            match stem_of(&name) {
                Some(stem) => self.note_job_file(&name, stem, &mut jobs, &mut scan),
                None if is_folder => folders.entry(key(&name)).or_default().push(name),
                None => {}
            }
        }
        let mut staging: BTreeMap<String, Vec<OsString>> = BTreeMap::new();
        for (name, is_folder) in self.list("staging")? {
            if is_folder {
                staging.entry(key(&name)).or_default().push(name);
            }
        }
        for (id, job) in &mut jobs {
            job.folder = take_name(&mut folders, id, &job.stem);
            job.staging = take_name(&mut staging, id, &job.stem);
        }
        scan.jobs = jobs.into_values().collect();
        scan.lone_jobs = self.lone("jobs", folders, is_job_folder);
        scan.lone_staging = self.lone("staging", staging, |_, _| true);
        Ok(scan)
    }

    fn note_job_file(
        &self,
        name: &OsStr,
        stem: &OsStr,
        jobs: &mut BTreeMap<String, FoundJob>,
        scan: &mut Scan,
    ) {
        let path = || self.root.join("jobs").join(name);
        let Some((stem, id)) = stem.to_str().and_then(|s| Some((s, canonical(s).parse::<JobId>().ok()?)))
        else {
            scan.unusable.push(path());
            return;
        };
        let id_text = id.to_string();
        let found = FoundJob { id, stem: stem.to_owned(), folder: None, staging: None };
        match jobs.get_mut(&id_text) {
            None => {
                jobs.insert(id_text, found);
            }
            // The name as that server writes it is preferred; the entries come sorted, so the choice is
            // stable.
            Some(other) if found.stem == id_text => {
                let loser = std::mem::replace(other, found);
                scan.duplicates.push(self.job_file(&loser));
            }
            Some(_) => scan.duplicates.push(path()),
        }
    }

    /// Returns the names in a folder, sorted, and whether each is a folder.
    fn list(&self, folder: &str) -> Result<Vec<(OsString, bool)>, ScanError> {
        let path = self.root.join(folder);
        let refused = |source| ScanError::Read { path: path.clone(), source };
        let opened = match self.open_folder(&path) {
            Ok(opened) => opened,
            Err(Unreadable::Missing) => return Ok(Vec::new()),
            Err(Unreadable::System(e)) => return Err(refused(e)),
            Err(e) => return Err(refused(io::Error::other(e.to_string()))),
        };
        let mut names = Vec::new();
        let mut buffer: Vec<u8> = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(opened.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| refused(e.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => entry_at(opened.as_fd(), name).map_err(|e| refused(e.into()))?,
                kind => Some(kind),
            };
            names.push((OsStr::from_bytes(name.to_bytes()).to_owned(), kind == Some(FileType::Directory)));
        }
        names.sort();
        Ok(names)
    }

    fn lone(
        &self,
        folder: &str,
        names: BTreeMap<String, Vec<OsString>>,
        belongs: impl Fn(&Path, &OsStr) -> bool,
    ) -> Vec<LoneFolder> {
        let parent = self.root.join(folder);
        let all = names.into_values().flatten().map(|name| (parent.join(&name), name));
        all.filter(|(path, name)| belongs(path, name))
            .map(|(path, name)| LoneFolder { path, id: name.to_string_lossy().into_owned() })
            .collect()
    }
}

/// Opens a regular file in a folder.
pub(super) fn open_in(folder: BorrowedFd<'_>, name: &OsStr) -> Result<File, Unreadable> {
    let name = CString::new(name.as_bytes()).map_err(|_| Unreadable::Missing)?;
    let file = match open_file(folder, &name) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Missing),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return Err(Unreadable::NotAFile),
        Err(e) if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Err(Unreadable::Link),
        Err(e) => return Err(Unreadable::System(e)),
    };
    let found = fstat(&file).map_err(io::Error::from)?;
    if found.st_nlink > 1 {
        let owner = Author::of(&fstat(folder).map_err(io::Error::from)?);
        if let Author::Other(uid) = owner
            && !owner.may_read(&found)
        {
            return Err(Unreadable::NotTheirs(uid));
        }
    }
    Ok(file)
}

/// Returns what is there in the place of a folder.
fn not_a_folder(above: BorrowedFd<'_>, name: &OsStr, error: Errno) -> Unreadable {
    let name = CString::new(name.as_bytes()).unwrap_or_default();
    match entry_at(above, &name) {
        Ok(Some(FileType::Symlink)) => Unreadable::Link,
        Ok(None) => Unreadable::Missing,
        _ => Unreadable::System(error.into()),
    }
}

fn stem_of(name: &OsStr) -> Option<&OsStr> {
    let stem = name.as_encoded_bytes().strip_suffix(JOB_SUFFIX.as_bytes())?;
    Some(OsStr::from_bytes(stem))
}

/// Returns a GUID in lower case, and anything else unchanged.
pub(super) fn canonical(id: &str) -> String {
    if id.len() == 36 && Uuid::try_parse(id).is_ok() { id.to_ascii_lowercase() } else { id.to_owned() }
}

fn key(name: &OsStr) -> String {
    name.to_str().map_or_else(|| name.to_string_lossy().into_owned(), canonical)
}

/// Takes the folder of an id that is spelled like the job file; other folders of the id stay.
fn take_name(names: &mut BTreeMap<String, Vec<OsString>>, id: &str, stem: &str) -> Option<OsString> {
    let same = names.get_mut(id)?;
    let at = same.iter().position(|n| n == stem).unwrap_or(0);
    let name = same.remove(at);
    if same.is_empty() {
        names.remove(id);
    }
    // A name that is not valid UTF-8 only looks the same.
    name.to_str().is_some().then_some(name)
}

/// Whether a folder belongs to a job, and is not one that somebody made beside them: its name is a GUID, or
/// it holds a job's files.
fn is_job_folder(path: &Path, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    name.len() == 36 && Uuid::try_parse(name).is_ok()
        || ["pid", "output", "sh"]
            .iter()
            .any(|kind| path.join(format!(".claude-job-{name}.{kind}")).symlink_metadata().is_ok())
}
