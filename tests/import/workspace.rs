//! Builds workspaces as the former server leaves them, and reads the results.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use recovery::durable::Disk;
use recovery::import::{ImportError, ImportOptions, ImportReport, ImportedJob, runs_script, take_over};
use recovery::queue::{Actor, Queue};
use recovery::state::{Clock, StateDir, Timestamp};
use recovery::system::{ProcessIdentity, command_line, descendants, end_process, process_table};
use serde_json::{Value, json};

/// A workspace and a state directory in a folder of their own.
pub(crate) struct Legacy {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
}

/// The id of the n-th job.
pub(crate) fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

pub(crate) fn now() -> Timestamp {
    "2026-03-02T00:00:00.000Z".parse().unwrap()
}

impl Legacy {
    pub(crate) fn new() -> Legacy {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap().join("workspace");
        for name in ["jobs", "staging", "repos/web"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        Legacy { root, state: folder.path().join("state"), folder }
    }

    /// The members of a job with this status; created in the order of the numbers.
    pub(crate) fn members(&self, n: u32, status: u32) -> Value {
        let started = status >= 6;
        json!({
            "Id": id(n), "Username": "ana", "Prompt": format!("prompt {n}"), "Title": format!("title {n}"),
            "Repository": "web", "UploadedFiles": [], "Status": status, "Output": "", "ExitCode": null,
            "CowPath": if started { self.path(n, "").display().to_string() } else { String::new() },
            "QueuePosition": 0, "CreatedAt": format!("2026-03-01T09:{:02}:{:02}.1234567Z", n / 60, n % 60),
            "StartedAt": if started { json!("2026-03-01T10:00:00.0000001Z") } else { Value::Null },
            "CompletedAt": null, "CancelledAt": null, "CancelReason": "",
            "Options": {"TimeoutSeconds": 300, "AutoCleanup": true, "GitAware": true, "CidxAware": true,
                        "Environment": {"LEVEL": "2"}},
            "GitPullStatus": "not_started", "GitStatus": "not_checked", "CidxStatus": "not_started",
            "ClaudeProcessId": null
        })
    }

    /// Writes a job file; `change` says what differs.
    pub(crate) fn job(&self, n: u32, status: u32, change: &[(&str, Value)]) {
        let mut members = self.members(n, status);
        for (name, value) in change {
            members[*name] = value.clone();
        }
        self.write(&self.file(n), members.to_string());
    }

    pub(crate) fn file(&self, n: u32) -> PathBuf {
        self.root.join("jobs").join(format!("{}.job.json", id(n)))
    }

    /// The job's folder, or with a kind (`pid`, `output`, `sh`) the file of that kind in it.
    pub(crate) fn path(&self, n: u32, kind: &str) -> PathBuf {
        let folder = self.root.join("jobs").join(id(n));
        if kind.is_empty() { folder } else { folder.join(format!(".claude-job-{}.{kind}", id(n))) }
    }

    /// Writes a file of the job's folder, which is made when needed.
    pub(crate) fn put(&self, n: u32, kind: &str, text: &str) {
        std::fs::create_dir_all(self.path(n, "")).unwrap();
        self.write(&self.path(n, kind), text);
    }

    pub(crate) fn write(&self, path: &Path, text: impl AsRef<[u8]>) {
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn link(&self, target: &Path, name: &Path) {
        symlink(target, name).unwrap();
    }

    pub(crate) fn state_dir(&self) -> StateDir {
        StateDir::open_or_create(&self.state, Disk::real(), Clock::fixed(now())).unwrap()
    }

    pub(crate) fn import_with(&self, options: &ImportOptions) -> Result<ImportReport, ImportError> {
        take_over(&self.state_dir(), &self.root, options)
    }

    /// Imports, and checks that the workspace did not change.
    pub(crate) fn import(&self) -> ImportReport {
        let before = tree(&self.root);
        let report = self.import_with(&options()).unwrap();
        assert_eq!(tree(&self.root), before, "the workspace was changed");
        report
    }

    /// The queue's records, without what a repeated run may number anew.
    pub(crate) fn queue(&self) -> Vec<Value> {
        let queue = Queue::open(&self.state_dir()).unwrap();
        let document = |job: &recovery::queue::Job| {
            let mut value = serde_json::to_value(job.to_document()).unwrap();
            value.as_object_mut().unwrap().remove("place");
            if let Some(course) = value["course"].as_object_mut() {
                course.remove("claim");
            }
            value
        };
        queue.state().jobs().map(document).collect()
    }

    pub(crate) fn record(&self, n: u32) -> Value {
        self.queue().into_iter().find(|job| job["job_id"] == id(n)).unwrap()
    }

    /// The ids in the order in which they would start.
    pub(crate) fn line(&self) -> Vec<String> {
        let queue = Queue::open(&self.state_dir()).unwrap();
        queue.state().queued().map(|job| job.id.to_string()).collect()
    }

    /// Starts a job's script for good: the process runs until it is ended.
    pub(crate) fn start(&self, n: u32, script: &str) -> Process {
        self.put(n, "sh", script);
        let path = self.path(n, "sh");
        let mut command = Command::new("setsid");
        command.arg("/bin/sh").arg(&path).current_dir(self.path(n, ""));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::started(command.spawn().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let runs = |arguments: &[String]| {
            arguments.first().is_some_and(|program| program == "/bin/sh") && runs_script(arguments, &name)
        };
        while !runs(&command_line(process.pid())) {
            std::thread::yield_now();
        }
        process
    }
}

pub(crate) fn options() -> ImportOptions {
    ImportOptions { actor: Actor { by: "test".to_owned(), why: None }, ..ImportOptions::default() }
}

pub(crate) fn entry(report: &ImportReport, n: u32) -> &ImportedJob {
    report.jobs.iter().find(|job| job.job_id.to_string() == id(n)).unwrap()
}

pub(crate) fn has_job(report: &ImportReport, n: u32) -> bool {
    report.jobs.iter().any(|job| job.job_id.to_string() == id(n))
}

pub(crate) fn codes(report: &ImportReport) -> Vec<&str> {
    let mut codes: Vec<&str> = report.findings.iter().map(|f| f.code.as_ref()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Every name below a folder with its content; links by their target.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            let content = if kind.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if kind.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if kind.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                b"special".to_vec()
            };
            found.insert(path, content);
        }
    }
    found
}

/// A real process that is ended, with all that it started, when the test is over.
pub(crate) struct Process {
    child: Child,
    identity: ProcessIdentity,
}

impl Process {
    pub(crate) fn started(child: Child) -> Process {
        let identity = ProcessIdentity::of(child.id()).unwrap();
        Process { child, identity }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub(crate) fn lives(&self) -> bool {
        ProcessIdentity::of(self.pid()) == Some(self.identity)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lives() {
            for process in descendants(&process_table(), self.identity) {
                let _ = end_process(process, 5_000);
            }
        }
        let _ = self.child.wait();
    }
}
