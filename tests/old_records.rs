//! What earlier versions wrote of jobs must always load: records of the log, jobs' records and the files in
//! their workspaces, all without the members that came later.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::path::{Path, PathBuf};

use recovery::durable::Disk;
use recovery::durable::log::{Log, encode};
use recovery::jobs::{CommandRecord, ExitRecord, Sentinel, Stored, record};
use recovery::queue::{Job, JobId, JobStatus, Queue, open_log};
use recovery::state::{Clock, StateDir, Timestamp};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

/// A new queue whose log has these lines, as the version that wrote them framed them.
fn queue_of(root: &Path, lines: &str) -> Queue {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap();
    let log: Log = open_log(&dir).unwrap();
    let payloads: Vec<&[u8]> = lines.lines().map(str::as_bytes).collect();
    log.append(&payloads).unwrap();
    drop(log);
    let mut framed = Vec::new();
    payloads.iter().zip(1..).for_each(|(payload, seq)| encode(&mut framed, seq, payload));
    let segments = std::fs::read_dir(dir.paths.queue_log()).unwrap().map(|e| e.unwrap().path());
    let segment = segments.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap();
    let text = std::fs::read(segment).unwrap();
    assert!(text.windows(framed.len()).any(|w| w == framed), "the lines are in the log as they were kept");
    Queue::open(&dir).unwrap()
}

#[test]
fn records_of_the_log_without_newer_members() {
    let folder = tempfile::tempdir().unwrap();
    let lines = std::fs::read_to_string(fixture("queue/version-1.jsonl")).unwrap();
    let queue = queue_of(&folder.path().join("state"), &lines);
    let job =
        |name: &str| -> Job { queue.state().get(&id(name)).unwrap_or_else(|| panic!("no {name}")).clone() };
    assert_eq!(queue.state().jobs().len(), 4);
    assert_eq!(queue.state().last_seq(), lines.lines().count() as u64, "every record was taken in");

    // Without `failed_start`: it was sent back by its repository, so that it keeps its turn.
    let sent_back = job("sent-back");
    let pause = Timestamp::from_millis(1_772_357_407_000);
    assert_eq!((sent_back.status, sent_back.attempt), (JobStatus::Queued, 1));
    assert_eq!((sent_back.not_before, sent_back.run_state().failed_starts), (Some(pause), 0));
    assert!(sent_back.keeps_its_turn(pause.plus_millis(-1)));
    // Without `attempt`: the one after the attempt that was begun.
    let again = job("again");
    assert_eq!((again.status, again.attempt, again.run_state().fresh), (JobStatus::Queued, 2, true));
    // Without `after_crash`: on hold.
    assert_eq!((job("held").status, job("held").priority), (JobStatus::Crashed, 5));
    // Without `keeps_place`: at the end of the line.
    let line: Vec<String> = queue.state().queued().map(|j| j.id.to_string()).collect();
    assert_eq!(line, ["sent-back", "again", "taken-over"]);
}

/// What a supervisor, a command and the queue left in layout 1: no control group, no use of resources, no
/// checksum.
#[test]
fn files_of_jobs_without_newer_members() {
    let jobs = fixture("layout-1/jobs");
    for (job, has_ended) in [("render-1", true), ("render-2", true), ("long", false)] {
        let workspace = jobs.join(job);
        let read = Sentinel::read(&workspace.join("sentinel.json")).unwrap();
        let Stored::Whole(sentinel) = read else { panic!("{job}: {read:?}") };
        assert_eq!((sentinel.job_id, sentinel.attempt, sentinel.cgroup), (id(job), 1, None));
        let read = CommandRecord::read(&workspace.join("command.json")).unwrap();
        let Stored::Whole(command) = read else { panic!("{job}: {read:?}") };
        assert_eq!((Some(command.command), command.cgroup), (sentinel.command, None));
        let read = ExitRecord::read(&workspace.join("exit.json")).unwrap();
        match read {
            Stored::Whole(exit) => assert!(has_ended && exit.tree_empty && exit.resources.is_none(), "{job}"),
            other => assert!(!has_ended && other == Stored::Missing, "{job}: {other:?}"),
        }
    }
    let root = fixture("layout-1");
    let dir = StateDir::open(&copied(&root), Disk::real(), Clock::system()).unwrap();
    for job in ["render-1", "render-2", "long", "index-1", "index-2", "unwanted"] {
        let read = record::read(&dir, &id(job)).unwrap();
        let Stored::Whole(document) = read else { panic!("{job}: {read:?}") };
        assert_eq!(document.job_id, id(job));
    }
    std::fs::remove_dir_all(dir.paths.root()).unwrap();
}

/// A state directory that others may write is refused, and git keeps no such thing as private files.
fn copied(root: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let to = tempfile::tempdir().unwrap().keep();
    let done = std::process::Command::new("cp").arg("-r").arg(root.join(".")).arg(&to).status().unwrap();
    assert!(done.success());
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o700)).unwrap();
    to
}
