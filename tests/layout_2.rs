//! What layout 2 kept in workspaces is moved out of the jobs' reach: from a real state directory of that
//! layout, wherever the migration dies, while a supervisor of that time lives, and from the workspace of a
//! job that left something else there.
#![allow(clippy::disallowed_methods)]

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::{self, EIO, Faults, Refuse, is_root, skipped};
use crate::layout::copy;
use recovery::durable::{Disk, FileLock};
use recovery::jobs::{Output, RecoverSettings, Sentinel};
use recovery::queue::{Actor, Job, JobStatus, Operation, Queue, Submission, append};
use recovery::recovery::{Recovery, RecoveryRecord, RunOptions, Settings};
use recovery::startup::{StartedBy, cleanup_log};
use recovery::state::{Clock, LAYOUT_VERSION, StateDir};

/// The names that the server gave in a workspace.
const OF_THE_SERVER: [&str; 6] =
    ["sentinel.json", "sentinel.lock", "command.json", "exit.json", "output.log", "attempts"];
/// A user that nobody has.
const SOMEBODY: u32 = 61_234;

/// A copy of the kept state directory, private as the original was.
fn layout_2(folder: &Path) -> PathBuf {
    let root = folder.join("state");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layout-2"), &root);
    root
}

fn open(root: &Path) -> StateDir {
    StateDir::open(root, Disk::real(), Clock::system()).unwrap()
}

fn recovered(dir: &StateDir) -> (RecoveryRecord, Queue) {
    let jobs = RecoverSettings::new(Actor::default());
    let webhooks = recovery::webhooks::Settings::default();
    let settings = Settings { by: StartedBy::Recover, jobs, write_records: true, webhooks };
    let (record, queue) = Recovery::new(dir, settings).unwrap().run(&RunOptions::default()).unwrap();
    (record, queue.unwrap())
}

fn job(queue: &Queue, id: &str) -> Job {
    queue.state().get(&id.parse().unwrap()).unwrap().clone()
}

/// Nothing is lost: how each job ended, and what each attempt printed.
#[track_caller]
fn assert_whole(dir: &StateDir, queue: &Queue, when: &str) {
    let jobs =
        [("done", JobStatus::Succeeded), ("twice", JobStatus::Succeeded), ("saved", JobStatus::Crashed)];
    for (id, status) in jobs.into_iter().chain([("waits", JobStatus::Queued)]) {
        assert_eq!(job(queue, id).status, status, "{when}: {id}");
    }
    for (id, attempt, printed) in
        [("done", 1, "printed\n"), ("twice", 1, "out-1\n"), ("twice", 2, "out-2\n"), ("saved", 1, "before\n")]
    {
        let output = Output::of(dir, &job(queue, id), Some(attempt)).unwrap();
        assert_eq!(output.tail(100).unwrap(), printed, "{when}: {id} {attempt}");
    }
    for (id, file) in [("done", "result"), ("saved", "checkpoint")] {
        assert!(dir.paths.jobs().join(id).join(file).exists(), "{when}: {id}");
    }
}

#[track_caller]
fn assert_moved(dir: &StateDir, when: &str) {
    for id in ["done", "twice", "saved"] {
        for name in OF_THE_SERVER {
            assert!(dir.paths.jobs().join(id).join(name).symlink_metadata().is_err(), "{when}: {id}/{name}");
        }
        assert!(dir.paths.attempts().join(id).join("sentinel.json").is_file(), "{when}: {id}");
    }
    let first = Sentinel::read(&dir.paths.job("twice").unwrap().attempt(1).join("sentinel.json")).unwrap();
    assert_eq!(first.whole().unwrap().attempt, 1, "{when}");
    assert_eq!((dir.identity.layout, dir.identity.moving_attempts), (LAYOUT_VERSION, false), "{when}");
}

#[test]
fn a_state_directory_of_layout_2_loads_and_its_files_are_moved() {
    let folder = tempfile::tempdir().unwrap();
    let root = layout_2(folder.path());
    let dir = open(&root);
    assert_eq!(dir.identity.layout, 2);
    assert_whole(&dir, &Queue::open(&dir).unwrap(), "before");
    assert!(!dir.paths.attempts().exists(), "a mere look changes nothing");
    let (record, queue) = recovered(&dir);
    assert!(record.snapshot.all_findings().any(|f| f.code == "layout-migrated"));
    let dir = open(&root);
    assert_whole(&dir, &queue, "after");
    assert_moved(&dir, "after");
    let acts = cleanup_log(&dir).unwrap();
    assert_eq!(acts.iter().filter(|act| act.action == "move_attempts" && act.result == "done").count(), 1);
    // Once is enough.
    recovered(&dir);
    assert_eq!(cleanup_log(&dir).unwrap().iter().filter(|act| act.action == "move_attempts").count(), 1);
}

/// A migration may die at each effect in turn; the next startup continues it.
#[test]
fn a_move_goes_on_wherever_it_died() {
    let mut died = 0;
    for effect in 0.. {
        let folder = common::scratch();
        let root = layout_2(folder.path());
        let (faults, disk) = Faults::new(EIO, Refuse::From(effect));
        let dir = StateDir::open(&root, disk, Clock::system()).unwrap();
        let moved = dir.raise_layout().is_ok() && recovery::jobs::move_attempts(&dir, &mut || true).is_ok();
        let when = format!("effect {effect}: {:?}", faults.done().last());
        let dir = open(&root);
        let (_, queue) = recovered(&dir);
        let dir = open(&root);
        assert_whole(&dir, &queue, &when);
        assert_moved(&dir, &when);
        if moved && faults.seen() <= effect {
            break;
        }
        died += 1;
    }
    assert!(died > 20, "{died} effects");
}

/// A job of layout 2 that runs: its sentinel is in its workspace, and names this process.
fn running_in_layout_2(root: &Path) -> StateDir {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap();
    let spec = recovery::queue::JobSpec { command: vec!["true".into()], ..Default::default() };
    let submission = Submission { job: "runs".parse().unwrap(), priority: 0, repository: None, spec };
    append(&dir, &Actor::default(), &[Operation::Submit(submission)]).unwrap();
    let claim = Operation::Claim { job: "runs".parse().unwrap(), attempt: 1, host: None };
    append(&dir, &Actor::default(), &[claim]).unwrap();
    let job = job(&Queue::open(&dir).unwrap(), "runs");
    let workspace = dir.paths.jobs().join("runs");
    std::fs::create_dir(&workspace).unwrap();
    let claim = job.run_state().claim.unwrap();
    let sentinel = Sentinel::of_this_process(&job, claim, vec!["true".into()], None, dir.clock.now());
    sentinel.write(&dir.disk, &workspace.join("sentinel.json")).unwrap();
    std::fs::write(workspace.join("output.log"), "printed").unwrap();
    std::fs::write(workspace.join("sentinel.lock"), "").unwrap();
    let text = std::fs::read_to_string(dir.paths.identity()).unwrap();
    std::fs::write(dir.paths.identity(), text.replace("\"layout\":3", "\"layout\":2")).unwrap();
    open(root)
}

#[test]
fn a_job_whose_supervisor_is_of_that_time_is_moved_when_it_is_over() {
    let folder = common::scratch();
    let root = folder.path().join("state");
    let dir = running_in_layout_2(&root);
    let workspace = dir.paths.jobs().join("runs");
    let held = FileLock::try_acquire(&dir.disk, &workspace.join("sentinel.lock")).unwrap();
    let (_, queue) = recovered(&dir);
    assert_eq!(job(&queue, "runs").status, JobStatus::Running);
    let dir = open(&root);
    assert!(dir.identity.moving_attempts && workspace.join("sentinel.json").exists());
    assert_eq!(Output::of(&dir, &job(&queue, "runs"), None).unwrap().tail(9).unwrap(), "printed");
    drop(held);
    recovered(&dir);
    let dir = open(&root);
    assert!(!dir.identity.moving_attempts && !workspace.join("sentinel.json").exists());
    assert!(dir.paths.attempts().join("runs/sentinel.json").exists());
    let queue = Queue::open(&dir).unwrap();
    // This process, which the sentinel names, lives: it is watched on.
    assert_eq!(job(&queue, "runs").status, JobStatus::Running);
}

#[test]
fn what_cannot_be_moved_is_told_and_read_where_it_is() {
    let folder = common::scratch();
    let root = folder.path().join("state");
    let dir = running_in_layout_2(&root);
    let in_the_way = dir.paths.attempts().join(".moving-runs");
    std::fs::write(&in_the_way, "").unwrap();
    let (record, _) = recovered(&dir);
    let told = record.snapshot.all_findings().find(|f| f.code == "attempts-not-moved").expect("a finding");
    assert_eq!((&*told.object.to_string(), told.next.as_deref()), ("job:runs", Some("recoveryctl recover")));
    let dir = open(&root);
    let queue = Queue::open(&dir).unwrap();
    assert_eq!(Output::of(&dir, &job(&queue, "runs"), None).unwrap().tail(9).unwrap(), "printed");
    std::fs::remove_file(in_the_way).unwrap();
    let (record, _) = recovered(&dir);
    assert!(record.snapshot.all_findings().all(|f| f.code != "attempts-not-moved"));
    assert!(open(&root).paths.attempts().join("runs/output.log").exists());
}

/// A user who may rename the server's files gives one the name of a record: the output, whose content the job
/// chose.
#[test]
fn file_of_the_server_that_another_user_renamed_is_no_record() {
    if !is_root() {
        return skipped("giving a folder to another user needs root");
    }
    let folder = common::scratch();
    let root = folder.path().join("state");
    let dir = running_in_layout_2(&root);
    let workspace = dir.paths.jobs().join("runs");
    let sentinel = std::fs::read_to_string(workspace.join("sentinel.json")).unwrap();
    let mut foreign = std::process::Command::new("sleep").arg("600").env_clear().spawn().unwrap();
    let own = format!("\"pid\":{}", std::process::id());
    let forged = sentinel.replace(&own, &format!("\"pid\":{}", foreign.id()));
    std::fs::write(workspace.join("output.log"), forged).unwrap();
    std::fs::rename(workspace.join("output.log"), workspace.join("sentinel.json")).unwrap();
    std::os::unix::fs::chown(&workspace, Some(SOMEBODY), None).unwrap();
    for when in ["before", "after"] {
        let dir = open(&root);
        let paths = dir.paths.job("runs").unwrap();
        assert!(Sentinel::read(&paths.sentinel()).unwrap().whole().is_none(), "{when}");
        recovered(&dir);
    }
    assert!(foreign.try_wait().unwrap().is_none());
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    assert_eq!(job(&Queue::open(&open(&root)).unwrap(), "runs").status, JobStatus::Crashed);
}

/// A job gave its workspace to another user, who left links, somebody's file by a second name, and a folder of root's.
#[test]
fn what_another_user_left_in_the_place_of_files_stays_the_jobs() {
    if !is_root() {
        return skipped("giving a folder to another user needs root");
    }
    let folder = common::scratch();
    let root = folder.path().join("state");
    let dir = running_in_layout_2(&root);
    let workspace = dir.paths.jobs().join("runs");
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    for name in ["output.log", "sentinel.lock"] {
        std::fs::remove_file(workspace.join(name)).unwrap();
    }
    symlink(outside.join("secret"), workspace.join("output.log")).unwrap();
    symlink("nowhere", workspace.join("sentinel.lock")).unwrap();
    symlink(&outside, workspace.join("attempts")).unwrap();
    std::fs::hard_link(outside.join("secret"), workspace.join("exit.json")).unwrap();
    std::fs::write(workspace.join("command.json"), "{}").unwrap();
    std::os::unix::fs::chown(workspace.join("command.json"), Some(SOMEBODY), None).unwrap();
    std::os::unix::fs::chown(&workspace, Some(SOMEBODY), None).unwrap();
    // The one whose sentinel it is has another number by now.
    let sentinel = std::fs::read_to_string(workspace.join("sentinel.json")).unwrap();
    let own = format!("\"pid\":{}", std::process::id());
    std::fs::write(workspace.join("sentinel.json"), sentinel.replace(&own, "\"pid\":4194000")).unwrap();
    let (_, queue) = recovered(&dir);
    let dir = open(&root);
    let attempts = dir.paths.attempts().join("runs");
    for name in ["sentinel.json", "output.log", "exit.json", "command.json", "attempts"] {
        assert!(workspace.join(name).symlink_metadata().is_ok(), "{name} is the job's");
        assert!(Sentinel::read(&attempts.join(name)).is_ok_and(|read| read.whole().is_none()), "{name}");
    }
    assert_eq!(job(&queue, "runs").status, JobStatus::Crashed, "by its policy: that it was begun is known");
    assert_eq!(Output::of(&dir, &job(&queue, "runs"), None).unwrap().tail(9).unwrap(), "");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(std::fs::metadata(outside.join("secret")).unwrap().nlink(), 2);
}
