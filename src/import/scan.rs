//! What lies in a workspace: job files, job folders, staged uploads. Names only; nothing is opened here.
//!
//! A link is followed only to what lies inside the workspace. A job's id is the name of its file; GUIDs
//! are the same id in upper and lower case, and become lower case.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::queue::JobId;

const JOB_SUFFIX: &str = ".job.json";

/// Why a workspace cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Nothing there.
    #[error("there is no workspace at {}", path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// Something else.
    #[error("{} is no workspace of a batch server: {why}", path.display())]
    NotAWorkspace {
        /// What was named.
        path: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Why a file in the workspace gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// A link to something outside the workspace, or to nothing.
    #[error("it is a link that leads out of the workspace or nowhere")]
    LeadsOut,
    /// A folder, a pipe, a device.
    #[error("it is no regular file")]
    NotAFile,
    /// Too large to be what it should be.
    #[error("it has {0} bytes, too many for a job file")]
    TooLarge(u64),
    /// The system refused: permissions, a failing disk.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// The folder of the former server.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

/// One job as the names tell: a job file, its folder, its staged uploads.
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
    /// Its name, as far as it is text.
    pub id: String,
}

/// All that was found, by name.
#[derive(Debug, Default)]
pub struct Scan {
    /// Jobs with a job file.
    pub jobs: Vec<FoundJob>,
    /// Job files whose name cannot be an id.
    pub unusable: Vec<PathBuf>,
    /// Job files of an id that another file has too, in another case.
    pub duplicates: Vec<PathBuf>,
    /// Folders below `jobs/` without a job file.
    pub lone_jobs: Vec<LoneFolder>,
    /// Folders below `staging/` without a job file.
    pub lone_staging: Vec<LoneFolder>,
}

impl Workspace {
    /// Looks whether this is a workspace.
    ///
    /// # Errors
    /// See [`ScanError`].
    pub fn open(path: &Path) -> Result<Workspace, ScanError> {
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
        let workspace = Workspace { root };
        if !["jobs", "staging", "repos"].iter().any(|f| workspace.root.join(f).is_dir()) {
            let why = "it has none of the folders jobs, staging, repos";
            return Err(ScanError::NotAWorkspace { path: named(), why });
        }
        for folder in ["jobs", "staging"] {
            if workspace.leads_out(&workspace.root.join(folder)) {
                let why = "its folder jobs or staging is a link that leads out of it";
                return Err(ScanError::NotAWorkspace { path: named(), why });
            }
        }
        Ok(workspace)
    }

    /// Its path, without links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a job's file is.
    #[must_use]
    pub fn job_file(&self, job: &FoundJob) -> PathBuf {
        self.root.join("jobs").join(format!("{}{JOB_SUFFIX}", job.stem))
    }

    /// Where a job's folder is, if it has one.
    #[must_use]
    pub fn job_folder(&self, job: &FoundJob) -> Option<PathBuf> {
        job.folder.as_ref().map(|name| self.root.join("jobs").join(name))
    }

    /// Where a job's staged uploads are, if it has some.
    #[must_use]
    pub fn staging_folder(&self, job: &FoundJob) -> Option<PathBuf> {
        job.staging.as_ref().map(|name| self.root.join("staging").join(name))
    }

    /// Opens a regular file for reading; never anything outside, never something that blocks.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn open_file(&self, path: &Path) -> Result<File, Unreadable> {
        use rustix::fs::{Mode, OFlags};
        let resolved = self.resolve(path)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let file = match rustix::fs::open(&resolved, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(rustix::io::Errno::NOENT) => return Err(Unreadable::Missing),
            Err(rustix::io::Errno::NXIO) => return Err(Unreadable::NotAFile),
            Err(e) => return Err(Unreadable::System(e.into())),
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(Unreadable::NotAFile) }
    }

    /// The path itself, or what a link stands for when that is inside.
    fn resolve(&self, path: &Path) -> Result<PathBuf, Unreadable> {
        let missing = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unreadable::Missing,
            _ => Unreadable::System(e),
        };
        if !std::fs::symlink_metadata(path).map_err(missing)?.is_symlink() {
            return Ok(path.to_owned());
        }
        let target = match std::fs::canonicalize(path) {
            Ok(target) => target,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Unreadable::LeadsOut),
            Err(e) => return Err(missing(e)),
        };
        if target.starts_with(&self.root) { Ok(target) } else { Err(Unreadable::LeadsOut) }
    }

    fn leads_out(&self, path: &Path) -> bool {
        matches!(self.resolve(path), Err(Unreadable::LeadsOut))
    }

    /// Reads the names.
    ///
    /// # Errors
    /// When `jobs/` or `staging/` cannot be listed.
    pub fn scan(&self) -> Result<Scan, ScanError> {
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
            // The name as that server writes it wins; the entries come sorted, so the choice is stable.
            Some(other) if found.stem == id_text => {
                let loser = std::mem::replace(other, found);
                scan.duplicates.push(self.job_file(&loser));
            }
            Some(_) => scan.duplicates.push(path()),
        }
    }

    /// The names in a folder, sorted, and whether each is a folder (a link to one inside counts).
    fn list(&self, folder: &str) -> Result<Vec<(OsString, bool)>, ScanError> {
        let path = self.root.join(folder);
        let refused = |source| ScanError::Read { path: path.clone(), source };
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(refused(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(refused)?;
            let kind = entry.file_type().map_err(refused)?;
            let is_folder = kind.is_dir()
                || (kind.is_symlink() && self.resolve(&entry.path()).is_ok_and(|target| target.is_dir()));
            names.push((entry.file_name(), is_folder));
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

fn stem_of(name: &OsStr) -> Option<&OsStr> {
    let stem = name.as_encoded_bytes().strip_suffix(JOB_SUFFIX.as_bytes())?;
    use std::os::unix::ffi::OsStrExt;
    Some(OsStr::from_bytes(stem))
}

/// A GUID in lower case; anything else as it is.
pub(super) fn canonical(id: &str) -> String {
    if id.len() == 36 && Uuid::try_parse(id).is_ok() { id.to_ascii_lowercase() } else { id.to_owned() }
}

fn key(name: &OsStr) -> String {
    name.to_str().map_or_else(|| name.to_string_lossy().into_owned(), canonical)
}

/// Of the folders of one id the one that is spelled as the job file; the others stay.
fn take_name(names: &mut BTreeMap<String, Vec<OsString>>, id: &str, stem: &str) -> Option<OsString> {
    let same = names.get_mut(id)?;
    let at = same.iter().position(|n| n == stem).unwrap_or(0);
    let name = same.remove(at);
    if same.is_empty() {
        names.remove(id);
    }
    // A name that is not text only looks alike.
    name.to_str().is_some().then_some(name)
}

/// A folder of a job, and not one that somebody made beside them: named by a GUID, or with a job's files.
fn is_job_folder(path: &Path, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    name.len() == 36 && Uuid::try_parse(name).is_ok()
        || ["pid", "output", "sh"].iter().any(|kind| path.join(format!(".claude-job-{name}.{kind}")).exists())
}
