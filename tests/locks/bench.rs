//! A state directory of its own for each test, and short words for what tests do with it.

use recovery::durable::Disk;
use recovery::locks::{
    JobLiveness, LockGrant, LockHolder, LockMetadata, LockOutcome, LockRefused, LockRequest, LockVerdict,
    MetadataRead, ReleaseRefused, Released, acquire, inspect, read_metadata, recover_one, release,
};
use recovery::queue::{Actor, Claim, JobId};
use recovery::state::{Clock, StateDir};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const REPOSITORY: &str = "web/main";
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) dir: StateDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(&folder.path().join("state"));
        Bench { folder, dir }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn metadata(&self) -> LockMetadata {
        let paths = self.dir.paths.lock(REPOSITORY).unwrap();
        match read_metadata(&paths.metadata, REPOSITORY) {
            MetadataRead::Whole(metadata) => *metadata,
            other => panic!("no metadata: {other:?}"),
        }
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut serde_json::Value)) {
        let path = self.dir.paths.lock(REPOSITORY).unwrap().metadata;
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(&mut value);
        // With white space: a document that was rewritten, not one of our form that was damaged.
        std::fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
    }

    pub(crate) fn verdict(&self, jobs: JobLiveness) -> LockVerdict {
        inspect(&self.dir, REPOSITORY, &move |_, _| jobs).unwrap().unwrap().verdict
    }

    pub(crate) fn recover(&self, jobs: JobLiveness) -> Option<LockOutcome> {
        recover_one(&self.dir, REPOSITORY, &move |_, _| jobs).unwrap().map(|lock| lock.outcome)
    }

    pub(crate) fn take(&self) -> Result<LockGrant, LockRefused> {
        take(&self.dir, Duration::ZERO)
    }

    pub(crate) fn release(&self, id: Option<&str>, force: bool) -> Result<Released, ReleaseRefused> {
        let actor = Actor { by: "uid:0 tester".to_owned(), why: Some("test".to_owned()) };
        release(&self.dir, REPOSITORY, id, force, &actor, &|_, _| JobLiveness::Unknown)
    }
}

pub(crate) fn open(root: &Path) -> StateDir {
    StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap()
}

pub(crate) fn request(jobs: &dyn Fn(&JobId, Claim) -> JobLiveness) -> LockRequest<'_> {
    let operation = "test".to_owned();
    LockRequest { holder: LockHolder::Process, operation, job_liveness: jobs, queue: None, waiting: &|_| {} }
}

pub(crate) fn take(dir: &StateDir, wait: Duration) -> Result<LockGrant, LockRefused> {
    acquire(dir, REPOSITORY, &request(&|_, _| JobLiveness::Unknown), wait)
}

pub(crate) fn job(name: &str) -> JobId {
    name.parse().unwrap()
}

/// Waits for a condition that another process brings about.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
