//! Repository locks from outside, with real processes: every rule of the decision table, and many
//! contenders of which some are killed.
#![allow(clippy::disallowed_methods)]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use recovery::durable::{Disk, FileLock};
use recovery::locks::{
    Effective, JobLiveness, LOCK_ID_VARIABLE, LockGrant, LockHolder, LockMetadata, LockOutcome, LockRefused,
    LockRequest, LockState, LockVerdict, MetadataRead, ReleaseRefused, acquire, acquire_for_job, inspect,
    list, read_metadata, recover_all, recover_one, release, run_under, try_acquire,
};
use recovery::queue::{Actor, JobId};
use recovery::state::{Clock, StateDir};
use recovery::system::{Presence, ProcessIdentity, end_process, marked_processes, presence};

const REPOSITORY: &str = "web/main";
const LONG: Duration = Duration::from_secs(60);

struct Bench {
    folder: tempfile::TempDir,
    dir: StateDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(&folder.path().join("state"));
        Bench { folder, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn metadata(&self) -> LockMetadata {
        let paths = self.dir.paths.lock(REPOSITORY).unwrap();
        match read_metadata(&paths.metadata, REPOSITORY) {
            MetadataRead::Whole(metadata) => *metadata,
            other => panic!("no metadata: {other:?}"),
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut serde_json::Value)) {
        let path = self.dir.paths.lock(REPOSITORY).unwrap().metadata;
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(&mut value);
        std::fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
    }

    fn verdict(&self, jobs: JobLiveness) -> LockVerdict {
        inspect(&self.dir, REPOSITORY, &move |_, _| jobs).unwrap().unwrap().verdict
    }

    fn recover(&self, jobs: JobLiveness) -> Option<LockOutcome> {
        recover_one(&self.dir, REPOSITORY, &move |_, _| jobs).unwrap().map(|lock| lock.outcome)
    }

    fn take(&self) -> Result<LockGrant, LockRefused> {
        take(&self.dir, Duration::ZERO)
    }

    fn release(&self, id: Option<&str>, force: bool) -> Result<recovery::locks::Released, ReleaseRefused> {
        let actor = Actor { by: "uid:0 tester".to_owned(), why: Some("test".to_owned()) };
        release(&self.dir, REPOSITORY, id, force, &actor, &|_, _| JobLiveness::Unknown)
    }
}

fn open(root: &Path) -> StateDir {
    StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap()
}

fn request(jobs: &dyn Fn(&JobId, u64) -> JobLiveness) -> LockRequest<'_> {
    let operation = "test".to_owned();
    LockRequest { holder: LockHolder::Process, operation, job_liveness: jobs, waiting: &|_| {} }
}

fn take(dir: &StateDir, wait: Duration) -> Result<LockGrant, LockRefused> {
    acquire(dir, REPOSITORY, &request(&|_, _| JobLiveness::Unknown), wait)
}

fn job(name: &str) -> JobId {
    name.parse().unwrap()
}

/// Waits for a condition that another process brings about.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

// --- Other processes: this test binary again, in one of the roles of `role`. ---

struct Other {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(bench: &Bench, role: &[&str]) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--ignored", "--nocapture"])
            .env("LOCKS_TEST_ROLE", role.join("\n"))
            .env("LOCKS_TEST_STATE", bench.dir.paths.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Other { child, output }
    }

    /// What the other process says after `word`.
    fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "ended before it said {word}");
            if let Some(rest) = line.trim().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "what the other tests' child processes run"]
fn role() {
    let role = std::env::var("LOCKS_TEST_ROLE").unwrap();
    let dir = open(Path::new(&std::env::var("LOCKS_TEST_STATE").unwrap()));
    let words: Vec<&str> = role.split('\n').collect();
    match words[0] {
        "hold" => hold(take(&dir, LONG).unwrap()),
        "hold-job" => {
            let claim = words[2].parse().unwrap();
            hold(acquire_for_job(&dir, REPOSITORY, &job(words[1]), 1, claim, LONG).unwrap());
        }
        "run" => {
            let command: Vec<OsString> = words[1..].iter().map(OsString::from).collect();
            let ran = run_under(&dir, REPOSITORY, &command, LONG, &|_, _| JobLiveness::Unknown, &|_| {});
            std::process::exit(ran.unwrap().status);
        }
        "contend" => contend(&dir, Path::new(words[1])),
        other => panic!("unknown role {other}"),
    }
}

/// Holds until the standard input ends, then gives back.
fn hold(grant: LockGrant) {
    println!("\nheld {} {}", grant.lock_id, grant.token);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    grant.release().unwrap();
}

/// Takes and gives back until the standard input ends; notes every grant, and any second holder.
fn contend(dir: &StateDir, folder: &Path) {
    let (stop, this) = (folder.join("stop"), ProcessIdentity::this());
    println!("\nready");
    while !stop.exists() {
        let grant = take(dir, LONG).unwrap();
        let owner = folder.join("owner");
        let before = std::fs::read_to_string(&owner).unwrap_or_default();
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap();
        if let Some((pid, start)) = before.split_once(' ') {
            let other = ProcessIdentity { pid: pid.parse().unwrap(), start_time: start.parse().unwrap() };
            if presence(other) == Presence::Alive {
                log.write_all(b"second holder\n").unwrap();
            }
        }
        std::fs::write(&owner, format!("{} {}", this.pid, this.start_time)).unwrap();
        log.write_all(format!("{}\n", grant.token).as_bytes()).unwrap();
        std::fs::write(&owner, "").unwrap();
        grant.release().unwrap();
    }
}

// --- The table ---

#[test]
fn a_lock_is_taken_refused_and_given_back() {
    let bench = Bench::new();
    assert!(inspect(&bench.dir, REPOSITORY, &|_, _| JobLiveness::Unknown).unwrap().is_none());
    let grant = bench.take().unwrap();
    assert_eq!((grant.token, bench.metadata().token), (1, 1));
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    match bench.take() {
        Err(LockRefused::Held { by, .. }) => {
            assert_eq!(by.pid, Some(std::process::id()));
            assert_eq!(by.lock_id.as_ref(), Some(&grant.lock_id));
        }
        other => panic!("{other:?}"),
    }
    let first = grant.lock_id.clone();
    grant.release().unwrap();
    assert_eq!(bench.metadata().state, LockState::Released);
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
    let second = bench.take().unwrap();
    assert_eq!(second.token, 2);
    assert_ne!(second.lock_id, first);
    second.release().unwrap();
}

#[test]
fn a_waiter_is_told_the_holder_once_and_then_granted() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    let id = other.hear("held").split(' ').next().unwrap().to_owned();
    let (pid, stdin) = (other.child.id(), std::cell::RefCell::new(other.child.stdin.take()));
    let told = std::cell::RefCell::new(Vec::new());
    let waiting = |by: &recovery::locks::HeldBy| {
        told.borrow_mut().push((by.lock_id.clone(), by.pid));
        stdin.borrow_mut().take(); // The holder gives back.
    };
    let jobs = |_: &JobId, _| JobLiveness::Unknown;
    let request = LockRequest { waiting: &waiting, ..request(&jobs) };
    let grant = acquire(&bench.dir, REPOSITORY, &request, LONG).unwrap();
    assert_eq!(*told.borrow(), [(Some(id), Some(pid))]);
    assert_eq!(grant.token, 2);
    grant.release().unwrap();
    assert!(other.child.wait().unwrap().success());
}

#[test]
fn a_stopped_holder_is_live() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    let process = ProcessIdentity::of(other.child.id()).unwrap();
    recovery::system::signal_process(process, rustix::process::Signal::STOP).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Kept));
    assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
    other.kill();
}

#[test]
fn a_killed_holder_leaves_a_stale_lock_that_is_taken_over_or_given_back() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    let grant = bench.take().unwrap();
    assert!(grant.took_over());
    assert_eq!(grant.token, 2);
    grant.release().unwrap();

    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
    let metadata = bench.metadata();
    assert_eq!((metadata.state, metadata.recovered, metadata.token), (LockState::Released, true, 3));
    assert!(metadata.evidence.iter().any(|e| e.contains("is gone")), "{:?}", metadata.evidence);
    assert_eq!(bench.recover(JobLiveness::Unknown), None, "the second recovery finds nothing to do");
    assert_eq!(bench.take().unwrap().token, 4);
}

#[test]
fn a_recovery_that_was_cut_short_is_repeated() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    bench.edit(|m| m["state"] = "recovering".into());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
}

#[test]
fn a_recorded_pid_that_is_another_process_by_now_is_gone() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live, "dropped, but its process lives");
    bench.edit(|m| m["process"]["start_time"] = (m["process"]["start_time"].as_u64().unwrap() + 1).into());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
}

#[test]
fn a_command_that_outlives_its_lock_process_keeps_the_lock() {
    let bench = Bench::new();
    let started = bench.file("started");
    let script = format!("echo x > '{}'; sleep 600 & wait", started.display());
    let other = Other::start(&bench, &["run", "sh", "-c", &script]);
    until("the command runs", || started.exists());
    let mark = format!("{LOCK_ID_VARIABLE}={}", bench.metadata().lock_id);
    other.kill();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Kept));
    assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::HeldByLiveOwner { .. })));
    until("the command is gone", || {
        let (left, _) = marked_processes(&[&mark], None);
        for process in &left {
            end_process(*process, 5_000).unwrap();
        }
        left.is_empty()
    });
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
}

#[test]
fn a_lock_taken_inside_another_does_not_hide_the_outer_ones_mark() {
    let bench = Bench::new();
    let started = bench.file("started");
    let script = format!("{LOCK_ID_VARIABLE}=another sh -c \"echo x > '{}'; sleep 600\"", started.display());
    let other = Other::start(&bench, &["run", "sh", "-c", &script]);
    until("the command runs", || started.exists());
    let mark = format!("{}=1", recovery::locks::mark_variable(&bench.metadata().lock_id));
    let (outer, _) = marked_processes(&[&format!("{LOCK_ID_VARIABLE}={}", bench.metadata().lock_id)], None);
    other.kill();
    for process in outer {
        end_process(process, 5_000).unwrap();
    }
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    until("the command is gone", || {
        let (left, _) = marked_processes(&[&mark], None);
        for process in &left {
            end_process(*process, 5_000).unwrap();
        }
        left.is_empty()
    });
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
}

#[test]
fn a_jobs_lock_goes_by_the_job() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold-job", "build", "41"]);
    other.hear("held");
    assert_eq!(bench.verdict(JobLiveness::Over), LockVerdict::Live, "the flock counts for more");
    other.kill();
    let asked = std::cell::RefCell::new(Vec::new());
    let jobs = |id: &JobId, claim| {
        asked.borrow_mut().push((id.to_string(), claim));
        JobLiveness::Alive
    };
    assert_eq!(inspect(&bench.dir, REPOSITORY, &jobs).unwrap().unwrap().verdict, LockVerdict::Live);
    assert_eq!(*asked.borrow(), [("build".to_owned(), 41)]);
    assert_eq!(bench.recover(JobLiveness::Alive), Some(LockOutcome::Kept));
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Unavailable));
    assert!(matches!(bench.take(), Err(LockRefused::Unavailable { .. })));
    assert_eq!(bench.recover(JobLiveness::Over), Some(LockOutcome::Released));
    bench.take().unwrap().release().unwrap();
}

#[test]
fn a_jobs_next_attempt_takes_over_and_another_job_does_not() {
    let bench = Bench::new();
    drop(acquire_for_job(&bench.dir, REPOSITORY, &job("build"), 1, 41, Duration::ZERO).unwrap());
    let of_other = acquire_for_job(&bench.dir, REPOSITORY, &job("deploy"), 1, 50, Duration::ZERO);
    assert!(matches!(of_other, Err(LockRefused::Unavailable { .. })), "{of_other:?}");
    let outdated = acquire_for_job(&bench.dir, REPOSITORY, &job("build"), 1, 40, Duration::ZERO);
    assert!(matches!(outdated, Err(LockRefused::Unavailable { .. })), "{outdated:?}");
    let next = acquire_for_job(&bench.dir, REPOSITORY, &job("build"), 2, 52, Duration::ZERO).unwrap();
    assert!(next.took_over() && next.token == 2);
    next.release().unwrap();
}

#[test]
fn an_earlier_boot_is_stale_even_where_the_pid_lives() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    if bench.metadata().host.machine_id.is_empty() {
        bench.edit(|m| m["host"]["boot_id"] = "earlier".into());
        assert!(matches!(bench.verdict(JobLiveness::Unknown), LockVerdict::Unknown { .. }));
        return; // Without a machine id no earlier boot can be told from another machine.
    }
    bench.edit(|m| m["host"]["boot_id"] = "earlier".into());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
}

#[test]
fn another_machine_and_another_namespace_are_unknown() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    bench.edit(|m| m["host"]["pid_namespace"] = 1.into());
    assert!(matches!(bench.verdict(JobLiveness::Unknown), LockVerdict::Unknown { .. }));
    bench.edit(|m| {
        m["host"]["boot_id"] = "foreign".into();
        m["host"]["machine_id"] = "foreign".into();
    });
    assert!(matches!(bench.verdict(JobLiveness::Over), LockVerdict::Unknown { .. }));
    assert_eq!(bench.recover(JobLiveness::Over), Some(LockOutcome::Unavailable));
    assert!(matches!(bench.take(), Err(LockRefused::Unavailable { .. })));
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::Unknown { .. })));
    let released = bench.release(None, true).unwrap();
    assert!(released.forced && released.effective == Effective::Now);
    assert_eq!(bench.take().unwrap().token, 2);
}

#[test]
fn damaged_metadata_costs_its_own_repository_only_and_keeps_the_token() {
    for content in [&b""[..], b"{\"version\":1,\"repo", b"\0\0\0\0", b"{\"version\":99}"] {
        let bench = Bench::new();
        bench.take().unwrap().release().unwrap();
        bench.take().unwrap().release().unwrap();
        let jobs = |_: &JobId, _| JobLiveness::Unknown;
        try_acquire(&bench.dir, "other", &request(&jobs)).unwrap().release().unwrap();
        let paths = bench.dir.paths.lock(REPOSITORY).unwrap();
        std::fs::write(&paths.metadata, content).unwrap();

        assert!(matches!(bench.take(), Err(LockRefused::Unavailable { .. })));
        let recovered = recover_all(&bench.dir, &jobs, &mut |_, _| {}).unwrap();
        assert_eq!((recovered.unavailable, recovered.free, recovered.kept), (1, 1, 0));
        assert_eq!(recovered.locks[0].repository, REPOSITORY);
        assert_eq!(bench.dir.quarantine().notes().len(), 1);
        assert_eq!(std::fs::read(&paths.metadata).unwrap(), content, "the original stays");
        recover_all(&bench.dir, &jobs, &mut |_, _| {}).unwrap();
        assert_eq!(bench.dir.quarantine().notes().len(), 1, "the same bytes are kept once");
        try_acquire(&bench.dir, "other", &request(&jobs)).unwrap().release().unwrap();

        let info = inspect(&bench.dir, REPOSITORY, &jobs).unwrap().unwrap();
        assert!(info.unavailable && info.repository == REPOSITORY && info.lock_id.is_none());
        assert!(matches!(bench.release(None, false), Err(ReleaseRefused::Unknown { .. })));
        assert!(matches!(bench.release(Some("x"), true), Err(ReleaseRefused::Unknown { .. })));
        assert!(bench.release(None, true).unwrap().lock_id.is_none());
        assert_eq!(bench.take().unwrap().token, 3, "the second copy kept the number");
    }
}

#[test]
fn the_token_rises_whichever_copy_is_lost() {
    let bench = Bench::new();
    let paths = bench.dir.paths.lock(REPOSITORY).unwrap();
    for _ in 0..3 {
        bench.take().unwrap().release().unwrap();
    }
    std::fs::remove_file(&paths.metadata).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
    let grant = bench.take().unwrap();
    assert_eq!(grant.token, 4);
    grant.release().unwrap();
    std::fs::write(&paths.flock, b"garbage that is longer than the thirty bytes of a number").unwrap();
    let grant = bench.take().unwrap();
    assert_eq!(grant.token, 5);
    grant.release().unwrap();
    assert_eq!(std::fs::metadata(&paths.flock).unwrap().len(), 30);
    std::fs::write(&paths.flock, b"garbage").unwrap();
    std::fs::write(&paths.metadata, b"garbage").unwrap();
    bench.release(None, true).unwrap();
    assert!(bench.take().unwrap().token > 1_000_000, "far above what either copy can have said");
}

#[test]
fn the_flock_counts_for_more_than_the_metadata() {
    let bench = Bench::new();
    let paths = bench.dir.paths.lock(REPOSITORY).unwrap();
    let flock = FileLock::try_acquire(&bench.dir.disk, &paths.flock).unwrap();
    assert_eq!(
        bench.verdict(JobLiveness::Unknown),
        LockVerdict::LiveUnidentified,
        "metadata not yet written"
    );
    assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
    drop(flock);
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);

    bench.take().unwrap().release().unwrap();
    let flock = FileLock::try_acquire(&bench.dir.disk, &paths.flock).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::LiveUnidentified, "released, not unlocked");
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Kept));
    std::fs::write(&paths.metadata, b"").unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::LiveUnidentified, "damaged, but held");
    drop(flock);
}

#[test]
fn release_needs_the_right_id_and_a_dead_owner_or_force() {
    let bench = Bench::new();
    assert!(matches!(bench.release(None, true), Err(ReleaseRefused::NotHeld { .. })));
    let mut other = Other::start(&bench, &["hold"]);
    let id = other.hear("held").split(' ').next().unwrap().to_owned();
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::HeldByLiveOwner { .. })));
    match bench.release(Some("someone-elses"), true) {
        Err(ReleaseRefused::WrongId { held, .. }) => assert_eq!(held, id),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.metadata().state, LockState::Held);

    let released = bench.release(Some(&id), true).unwrap();
    assert_eq!(released.effective, Effective::WhenTheFlockIsFree);
    assert!(released.forced && !released.breaks.is_empty());
    assert_eq!(bench.metadata().state, LockState::Released);
    match bench.take() {
        Err(LockRefused::Held { by, .. }) => assert_eq!(by.lock_id, Some(id)),
        other => panic!("the flock is still held: {other:?}"),
    }
    drop(other.child.stdin.take()); // It gives back itself; the note stays.
    assert!(other.child.wait().unwrap().success());
    let note = bench.metadata().released_by.unwrap();
    assert!(note.forced && note.by == "uid:0 tester" && note.why.as_deref() == Some("test"));
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::NotHeld { .. })));
    assert_eq!(bench.take().unwrap().token, 2);
}

#[test]
fn a_forced_release_frees_what_the_holder_leaves_behind() {
    let bench = Bench::new();
    let started = bench.file("started");
    let script = format!("echo x > '{}'; exec sleep 600", started.display());
    let other = Other::start(&bench, &["run", "sh", "-c", &script]);
    until("the command runs", || started.exists());
    let mark = format!("{LOCK_ID_VARIABLE}={}", bench.metadata().lock_id);
    other.kill();
    let released = bench.release(None, true).unwrap();
    assert_eq!(released.effective, Effective::Now);
    assert_eq!(bench.take().unwrap().token, 2, "although the command still runs");
    let (left, _) = marked_processes(&[&mark], None);
    assert!(!left.is_empty());
    for process in left {
        end_process(process, 5_000).unwrap();
    }
}

#[test]
fn a_stale_lock_is_released_without_force() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    let released = bench.release(None, false).unwrap();
    assert!(!released.forced && released.breaks.is_empty());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
}

#[test]
fn a_command_runs_under_the_lock_and_its_status_comes_back() {
    let bench = Bench::new();
    let seen = bench.file("seen");
    let run = |script: &str| {
        let command: Vec<OsString> = ["sh", "-c", script].iter().map(OsString::from).collect();
        run_under(&bench.dir, REPOSITORY, &command, LONG, &|_, _| JobLiveness::Unknown, &|_| {}).unwrap()
    };
    let script = "echo \"$RECOVERYCTL_LOCK_ID $RECOVERYCTL_LOCK_TOKEN $RECOVERYCTL_REPOSITORY\"";
    let ran = run(&format!("{script} > '{}'; exit 7", seen.display()));
    assert_eq!((ran.status, ran.token), (7, 1));
    ran.given_back.unwrap();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), format!("{} 1 {REPOSITORY}\n", ran.lock_id));
    assert_eq!(run("kill -TERM $$").status, 143);
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
    let missing = [OsString::from("/nowhere/at-all")];
    let refused = run_under(&bench.dir, REPOSITORY, &missing, LONG, &|_, _| JobLiveness::Unknown, &|_| {});
    assert!(matches!(refused, Err(recovery::locks::RunUnderError::Start { .. })), "{refused:?}");
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free, "given back all the same");
}

#[test]
fn names_are_checked_before_anything_is_touched() {
    let bench = Bench::new();
    let jobs = |_: &JobId, _| JobLiveness::Unknown;
    for name in ["", "a\nb", &"x".repeat(300)] {
        assert!(matches!(try_acquire(&bench.dir, name, &request(&jobs)), Err(LockRefused::BadName(_))));
    }
    for name in ["../../etc", "web space", "büro/日本", ".hidden", "a.lock", "a.lock.json"] {
        try_acquire(&bench.dir, name, &request(&jobs)).unwrap().release().unwrap();
    }
    let names: Vec<String> = list(&bench.dir, &jobs).unwrap().into_iter().map(|l| l.repository).collect();
    assert_eq!(names, ["../../etc", ".hidden", "a.lock", "a.lock.json", "büro/日本", "web space"]);
}

/// One recovery of many locks: those of the living are kept, those of the dead given back, and each is
/// told with its evidence.
#[test]
fn a_recovery_tells_the_living_from_the_dead_among_many() {
    let bench = Bench::new();
    let jobs = |id: &JobId, _| match id.to_string().as_str() {
        "alive" => JobLiveness::Alive,
        _ => JobLiveness::Over,
    };
    for i in 0..200 {
        let name = format!("repository-{i:03}");
        if i % 4 == 0 {
            try_acquire(&bench.dir, &name, &request(&jobs)).unwrap().release().unwrap();
        } else {
            let id = job(if i % 4 == 1 { "alive" } else { "dead" });
            drop(acquire_for_job(&bench.dir, &name, &id, 1, 1, Duration::ZERO).unwrap());
        }
        if i % 4 == 3 {
            // As if a process that is gone had taken it.
            let path = bench.dir.paths.lock(&name).unwrap().metadata;
            let mut value: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            value["holder"] = serde_json::json!({"kind": "process"});
            let start = value["process"]["start_time"].as_u64().unwrap();
            value["process"]["start_time"] = (start + 1).into();
            std::fs::write(&path, value.to_string()).unwrap();
        }
    }
    let mut steps = Vec::new();
    let recovered = recover_all(&bench.dir, &jobs, &mut |done, total| steps.push((done, total))).unwrap();
    assert_eq!((recovered.free, recovered.kept, recovered.released, recovered.unavailable), (50, 50, 100, 0));
    assert!(recovered.locks.iter().all(|lock| !lock.evidence.is_empty()));
    assert_eq!((steps.first(), steps.last()), (Some(&(0, 200)), Some(&(200, 200))));
    let again = recover_all(&bench.dir, &jobs, &mut |_, _| {}).unwrap();
    assert_eq!((again.free, again.kept, again.released), (150, 50, 0));
}

/// Twenty processes contend for one lock while others of them are killed at random moments.
#[test]
fn there_is_never_a_second_holder_and_tokens_strictly_rise_under_random_kills() {
    let bench = Bench::new();
    let role = ["contend", bench.folder.path().to_str().unwrap()];
    let mut contenders: Vec<Other> = (0..20).map(|_| Other::start(&bench, &role)).collect();
    for contender in &mut contenders {
        contender.hear("ready");
    }
    let grants = || std::fs::read_to_string(bench.file("log")).map_or(0, |t| t.lines().count());
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    for _ in 0..40 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let victim = contenders.swap_remove(usize::try_from(seed % 20).unwrap());
        let before = grants();
        until("somebody is granted the lock", || grants() > before);
        // Another part of the cycle each time.
        for _ in 0..seed % 5_000 {
            std::hint::spin_loop();
        }
        victim.kill();
        let mut next = Other::start(&bench, &role);
        next.hear("ready");
        contenders.push(next);
    }
    let before = grants();
    until("they go on after the last kill", || grants() >= before + 20);
    std::fs::write(bench.file("stop"), "").unwrap();
    for mut contender in contenders {
        assert!(contender.child.wait().unwrap().success());
    }
    let log = std::fs::read_to_string(bench.file("log")).unwrap();
    let tokens: Vec<u64> = log.lines().map(|l| l.parse().unwrap_or_else(|_| panic!("{l}"))).collect();
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    assert!(bench.metadata().token >= *tokens.last().unwrap());
}

#[test]
fn threads_of_one_process_exclude_one_another_too() {
    let bench = Bench::new();
    let (inside, granted) = (std::sync::atomic::AtomicU32::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let grant = take(&bench.dir, LONG).unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    granted.lock().unwrap().push(grant.token);
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    grant.release().unwrap();
                }
            });
        }
    });
    assert_eq!(*granted.lock().unwrap(), (1..=100).collect::<Vec<u64>>());
}
