//! Verdicts about jobs, row by row of the decision table, on state directories as a crash, a reboot or
//! another machine leaves them, with real processes; and what is recorded about each.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use recovery::durable::{Disk, FileLock};
use recovery::jobs::{
    CancelOutcome, CommandRecord, Condition, ExitRecord, FreshnessLimits, JudgeContext, Judgement, Liveness,
    ProcessTable, Reconciled, Reconciliation, RecoverSettings, Sentinel, Verdict, cancel, judge, marks,
    reattach, record, resume,
};
use recovery::queue::{
    Actor, Adopted, AfterCrash, AttemptOutcome, CrashPolicy, End, Job, JobDocument, JobId, JobSpec,
    JobStatus, Operation, Queue, Submission, append,
};
use recovery::state::{Clock, JobPaths, StateDir, Timestamp};
use recovery::system::{Host, ProcessIdentity};

const NOW: i64 = 1_900_000_000_000;

struct World {
    _folder: tempfile::TempDir,
    dir: StateDir,
    clock: Clock,
    queue: Queue,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_millis(NOW));
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), clock.clone()).unwrap();
        let queue = Queue::open(&dir).unwrap();
        World { _folder: folder, dir, clock, queue }
    }

    fn submit(&mut self, id: &str, spec: JobSpec) {
        let submission = Submission { job: id.parse().unwrap(), priority: 0, repository: None, spec };
        append(&self.dir, &actor(), &[Operation::Submit(submission)]).unwrap();
    }

    /// A job that was claimed and not heard of since.
    fn claimed(&mut self, id: &str) -> Job {
        self.claimed_with(id, JobSpec { command: vec!["true".into()], ..JobSpec::default() })
    }

    fn claimed_with(&mut self, id: &str, spec: JobSpec) -> Job {
        self.submit(id, spec);
        self.claim(id)
    }

    fn claim(&mut self, id: &str) -> Job {
        let job: JobId = id.parse().unwrap();
        self.queue.refresh().unwrap();
        let attempt = self.queue.state().get(&job).unwrap().attempt;
        self.queue
            .transact(&actor(), |_| (vec![Operation::Claim { job: job.clone(), attempt }], ()))
            .unwrap();
        self.job(id)
    }

    fn job(&self, id: &str) -> Job {
        self.queue.state().get(&id.parse().unwrap()).unwrap().clone()
    }

    fn paths(&self, job: &Job) -> JobPaths {
        let paths = self.dir.paths.job(&job.id.to_string()).unwrap();
        self.dir.disk.ensure_dir(&paths.workspace).unwrap();
        self.dir.disk.ensure_dir(&paths.attempts).unwrap();
        paths
    }

    /// A sentinel as this process would have written it, changed by `change`, with a fresh heartbeat.
    fn sentinel(&self, job: &Job, change: impl FnOnce(&mut Sentinel)) -> JobPaths {
        let paths = self.paths(job);
        let claim = job.run_state().claim.unwrap();
        let mut sentinel = Sentinel::of_this_process(job, claim, vec!["true".into()], None, self.clock.now());
        sentinel.supervisor = gone();
        change(&mut sentinel);
        sentinel.write(&self.dir.disk, &paths.sentinel()).unwrap();
        self.heartbeat(&paths, 0);
        paths
    }

    fn heartbeat(&self, paths: &JobPaths, age_ms: i64) {
        let at = u64::try_from(NOW - age_ms).unwrap();
        let file = std::fs::File::options().write(true).open(paths.sentinel()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(at)).unwrap();
    }

    fn lock(&self, job: &Job) -> FileLock {
        FileLock::try_acquire(&self.dir.disk, &self.paths(job).sentinel_lock()).unwrap()
    }

    fn judge(&self, job: &Job) -> Judgement {
        let (host, table) = (Host::this(), ProcessTable::new());
        judge(
            &JudgeContext { dir: &self.dir, host: &host, table: &table, limits: FreshnessLimits::default() },
            job,
        )
    }

    fn reattach(&mut self) -> Vec<Reconciled> {
        reattach(&self.dir, &mut self.queue, &settings(), &mut |_, _| true).unwrap().jobs
    }

    fn exit(&self, job: &Job, exit_code: i32, tree_empty: bool) -> ExitRecord {
        ExitRecord {
            version: 1,
            job_id: job.id.clone(),
            attempt: job.attempt,
            claim: job.run_state().claim.unwrap(),
            outcome: AttemptOutcome::Exited,
            exit_code: Some(exit_code),
            signal: None,
            reason: None,
            ended_by: None,
            by_itself: false,
            started_at: Timestamp::from_millis(NOW - 2_000),
            finished_at: Timestamp::from_millis(NOW - 1_000),
            tree_empty,
            leftovers_ended: 0,
            cpu_ms: None,
            state: None,
            resources: None,
        }
    }
}

fn actor() -> Actor {
    Actor { by: "test".into(), why: None }
}

fn settings() -> RecoverSettings {
    RecoverSettings { kill_grace: Duration::from_secs(5), ..RecoverSettings::new(actor()) }
}

/// An identity that no process has any more.
fn gone() -> ProcessIdentity {
    let mut child = Command::new("true").spawn().unwrap();
    let identity = ProcessIdentity::of(child.id());
    child.wait().unwrap();
    identity.unwrap_or(ProcessIdentity { pid: u32::MAX / 4, start_time: 1 })
}

/// A process that is ended with the test.
struct Living(Child);

impl Living {
    fn start(command: &mut Command) -> Living {
        Living(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn marked(job: &Job, root: &Path) -> Living {
        let mut command = Command::new("sleep");
        command.arg("60").env(marks::JOB_ID, job.id.to_string()).env(marks::STATE_DIR, root);
        Living::start(&mut command)
    }

    fn unmarked() -> Living {
        Living::start(Command::new("sleep").arg("60"))
    }

    fn identity(&self) -> ProcessIdentity {
        ProcessIdentity::of(self.0.id()).unwrap()
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process namespace with a process; where none can be made, one that cannot be seen to be empty either.
struct OtherNamespace(Option<Living>);

impl OtherNamespace {
    fn start() -> OtherNamespace {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "sleep", "60"]);
        OtherNamespace(rustix::process::geteuid().is_root().then(|| Living::start(&mut command)))
    }

    fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let own = Host::this().pid_namespace;
        let Some(Living(unshare)) = &self.0 else { return own + 1 };
        let begun = std::time::Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(30), "no process in the namespace");
            let path = format!("/proc/{}/ns/pid_for_children", unshare.id());
            match std::fs::metadata(path).map(|m| m.ino()) {
                Ok(inode) if inode != own => return inode,
                _ => std::thread::yield_now(),
            }
        }
    }
}

fn is_orphan_of(verdict: &Verdict, process: ProcessIdentity) -> bool {
    matches!(verdict, Verdict::OrphanedProcess { processes } if processes.contains(&process))
}

fn said(judgement: &Judgement, words: &str) -> bool {
    judgement.evidence.iter().any(|e| e.detail.contains(words))
}

#[test]
fn held_by_the_supervisor_of_the_sentinel_is_supervised() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |s| s.supervisor = ProcessIdentity::this());
    let _lock = world.lock(&job);
    let judgement = world.judge(&job);
    assert_eq!(judgement.verdict, Verdict::Supervised, "{judgement:?}");
    assert!(judgement.lock_held && said(&judgement, "sentinel.lock is held"));
    for age in [120_000, 600_000, 400_000_000] {
        world.heartbeat(&paths, age);
        assert_eq!(world.judge(&job).verdict, Verdict::Stalled, "{age}");
    }
    world.heartbeat(&paths, -5_000);
    let judgement = world.judge(&job);
    assert_eq!(judgement.verdict, Verdict::Stalled);
    assert!(said(&judgement, "clock skew"), "{judgement:?}");
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
}

#[test]
fn held_by_anybody_else_is_alive_and_unidentified() {
    let mut world = World::new();
    let job = world.claimed("a");
    let _lock = world.lock(&job);
    assert_eq!(world.judge(&job).verdict, Verdict::Unidentified, "no sentinel");
    world.sentinel(&job, |_| {});
    assert_eq!(world.judge(&job).verdict, Verdict::Unidentified, "its supervisor is gone");
    world.sentinel(&job, |s| {
        s.supervisor = ProcessIdentity::this();
        s.claim += 1;
    });
    assert_eq!(world.judge(&job).verdict, Verdict::Unidentified, "the sentinel of another claim");
    let paths = world.sentinel(&job, |s| s.supervisor = ProcessIdentity::this());
    std::fs::write(paths.sentinel(), "").unwrap();
    let judgement = world.judge(&job);
    assert_eq!(
        (&judgement.verdict, &judgement.damaged[..]),
        (&Verdict::Unidentified, &["sentinel.json"][..])
    );
    assert_eq!(world.reattach()[0].quarantined.len(), 1);
    assert!(paths.sentinel().exists(), "its supervisor may still write it");
}

#[test]
fn folders_in_the_place_of_both_records_are_damage_that_proves_nothing() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.paths(&job);
    std::fs::create_dir(paths.sentinel()).unwrap();
    std::fs::create_dir(paths.command()).unwrap();
    assert_eq!(world.judge(&job).liveness(), Liveness::Unknown);
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Unknown { .. }));
    assert_eq!(world.job("a").status, JobStatus::Running);
}

#[test]
fn free_after_a_reboot_is_dead_whatever_has_those_pids_now() {
    let mut world = World::new();
    let job = world.claimed("a");
    let reused = Living::unmarked();
    world.sentinel(&job, |s| {
        s.supervisor = ProcessIdentity::this();
        s.command = Some(reused.identity());
        s.host.boot_id = "an earlier one".into();
        s.host.machine_id = Host::this().machine_id;
        s.host.booted_at = Host::this().booted_at.map(|at| at - 3600);
    });
    let expected = if Host::this().machine_id.is_empty() { Liveness::Unknown } else { Liveness::Dead };
    let judgement = world.judge(&job);
    assert_eq!(judgement.liveness(), expected, "{judgement:?}");
    if expected == Liveness::Dead {
        assert_eq!(judgement.verdict, Verdict::DeadByReboot);
        assert_eq!(world.reattach()[0].reconciliation, Reconciliation::Crashed { then: AfterCrash::Hold });
        assert_eq!(world.job("a").status, JobStatus::Crashed);
        assert!(world.job("a").run_state().reason.as_deref().unwrap().contains("started anew"));
    }
}

/// The file with the boot's id may be hidden from one of two, or mounted over.
#[test]
fn another_boot_id_proves_no_death_while_the_recorded_process_lives() {
    let mut world = World::new();
    let job = world.claimed("a");
    let command = Living::unmarked();
    let others = [
        ("another".to_owned(), Host::this().booted_at),
        (String::new(), Host::this().booted_at),
        // As earlier versions recorded it: the id is all there is.
        ("another".to_owned(), None),
    ];
    for (boot_id, booted_at) in others {
        world.sentinel(&job, |s| {
            s.command = Some(command.identity());
            s.host.boot_id.clone_from(&boot_id);
            s.host.booted_at = booted_at;
        });
        let judgement = world.judge(&job);
        assert!(
            is_orphan_of(&judgement.verdict, command.identity()),
            "{boot_id} {booted_at:?}: {judgement:?}"
        );
        assert!(judgement.conditions.contains(&Condition::BootIdentityDiffers), "{judgement:?}");
        assert_eq!(world.reattach()[0].reconciliation, Reconciliation::Reattached);
    }
    // So does a process that bears the job's marks.
    let marked = Living::marked(&job, world.dir.paths.root());
    world.sentinel(&job, |s| {
        s.command = Some(gone());
        s.host.boot_id = "another".into();
        s.host.booted_at = Host::this().booted_at.map(|at| at - 3600);
    });
    assert!(is_orphan_of(&world.judge(&job).verdict, marked.identity()));
}

#[test]
fn of_another_namespace_that_has_no_process_left_it_is_dead_where_all_are_seen() {
    let mut world = World::new();
    let job = world.claimed("a");
    world.sentinel(&job, |s| {
        s.command = Some(gone());
        s.host.pid_namespace = 1;
    });
    let sees_all = Host::this().sees_all_namespaces() && rustix::process::geteuid().is_root();
    let judgement = world.judge(&job);
    let expected = if sees_all { Liveness::Dead } else { Liveness::Unknown };
    assert_eq!(judgement.liveness(), expected, "{judgement:?}");
}

#[test]
fn free_and_from_elsewhere_is_unknown() {
    let mut world = World::new();
    let job = world.claimed("a");
    world.sentinel(&job, |s| {
        s.host.boot_id = "another".into();
        s.host.machine_id = "another".into();
    });
    let judgement = world.judge(&job);
    assert!(matches!(&judgement.verdict, Verdict::Unknown { why } if why.contains("another machine")));
    // One that has processes, which are not seen from here, or not known again.
    let other = OtherNamespace::start();
    world.sentinel(&job, |s| s.host.pid_namespace = other.inode());
    let judgement = world.judge(&job);
    assert!(matches!(&judgement.verdict, Verdict::Unknown { why } if why.contains("namespace")));
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Unknown { .. }));
    assert_eq!(world.job("a").status, JobStatus::Running);
}

#[test]
fn free_with_a_living_command_is_an_orphan_and_stays_running() {
    let mut world = World::new();
    let job = world.claimed("a");
    let command = Living::unmarked();
    world.sentinel(&job, |s| s.command = Some(command.identity()));
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
    // Recorded by the command itself, before its supervisor could name it.
    let paths = world.sentinel(&job, |_| {});
    let mut record = CommandRecord::of_this_process(job.id.clone(), 1, job.run_state().claim.unwrap());
    record.command = command.identity();
    record.write(&world.dir.disk, &paths.command()).unwrap();
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    // The same PID with another start time is another process.
    record.command.start_time += 1;
    record.write(&world.dir.disk, &paths.command()).unwrap();
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed);
}

#[test]
fn free_with_a_marked_descendant_is_an_orphan() {
    let mut world = World::new();
    let job = world.claimed("a");
    world.sentinel(&job, |s| s.command = Some(gone()));
    let elsewhere = tempfile::tempdir().unwrap();
    let _foreign = Living::marked(&job, elsewhere.path());
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed, "of another state directory");
    let descendant = Living::marked(&job, world.dir.paths.root());
    assert!(is_orphan_of(&world.judge(&job).verdict, descendant.identity()));
    drop(descendant);
    let link = elsewhere.path().join("another-name");
    std::os::unix::fs::symlink(world.dir.paths.root(), &link).unwrap();
    let descendant = Living::marked(&job, &link);
    assert!(is_orphan_of(&world.judge(&job).verdict, descendant.identity()), "by another name");
}

#[test]
fn free_with_a_process_in_the_supervisors_session_is_an_orphan() {
    let mut world = World::new();
    let job = world.claimed("a");
    // The leader of a session leaves, a member without any mark stays.
    let script = "sleep 600 & echo $$ $!; read line";
    let mut leader = Command::new("setsid")
        .args(["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(leader.stdout.take().unwrap()), &mut line)
        .unwrap();
    let pids: Vec<u32> = line.split_whitespace().map(|p| p.parse().unwrap()).collect();
    let (supervisor, member) = (ProcessIdentity::of(pids[0]).unwrap(), ProcessIdentity::of(pids[1]).unwrap());
    drop(leader.stdin.take());
    leader.wait().unwrap();
    world.sentinel(&job, |s| s.supervisor = supervisor);
    assert!(is_orphan_of(&world.judge(&job).verdict, member));
    assert!(recovery::system::end_process(member, 5_000).unwrap());
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed);
}

#[test]
fn free_and_all_gone_is_ended_with_an_exit_record_else_crashed() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |s| s.command = Some(gone()));
    let mut other = world.exit(&job, 0, true);
    other.claim += 1;
    other.write(&world.dir.disk, &paths.exit()).unwrap();
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed, "the exit record of another claim");
    let exit = world.exit(&job, 3, false);
    exit.write(&world.dir.disk, &paths.exit()).unwrap();
    let left = Living::marked(&job, world.dir.paths.root());
    assert!(is_orphan_of(&world.judge(&job).verdict, left.identity()), "not all was seen gone");
    drop(left);
    assert_eq!(world.judge(&job).verdict, Verdict::Ended(Box::new(exit.clone())));
    let reconciled = &world.reattach()[0];
    assert_eq!(
        reconciled.reconciliation,
        Reconciliation::FinishedWhileAway { exit_code: Some(3), signal: None }
    );
    let job = world.job("a");
    assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(3)));
    assert_eq!(job.run_state().finished_at, Some(exit.finished_at), "when it ended, not when it was found");
}

#[test]
fn free_without_a_trace_was_never_started_and_waits_again() {
    let mut world = World::new();
    let job = world.claimed("a");
    assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted);
    let running = Living::marked(&job, world.dir.paths.root());
    assert!(is_orphan_of(&world.judge(&job).verdict, running.identity()), "its files were removed");
    drop(running);
    assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack);
    let job = world.job("a");
    assert_eq!((job.status, job.attempt, job.run_state().claim), (JobStatus::Queued, 1, None));
}

/// A process whose arguments are these and which bears no mark: a script of the name of the first.
fn called(folder: &Path, arguments: &[&str]) -> Living {
    std::fs::write(folder.join(arguments[0]), "read line").unwrap();
    let mut command = Command::new("sh");
    Living(command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::piped()).spawn().unwrap())
}

#[test]
fn free_without_a_file_and_with_a_process_called_for_the_claim_is_alive() {
    let mut world = World::new();
    let job = world.claimed("a");
    let scripts = tempfile::tempdir().unwrap();
    let root = world.dir.paths.root().to_owned();
    let (own, other) = (job.run_state().claim.unwrap().to_string(), "77");
    let call = |word: &str, root: &Path, id: &str, claim: &str| {
        let root = root.to_str().unwrap();
        let arguments = [word, "--state-dir", root, "--heartbeat-ms", "9", "--job", id, "--claim", claim];
        called(scripts.path(), &arguments)
    };
    let elsewhere = tempfile::tempdir().unwrap();
    for (word, root, id, claim) in [
        ("supervise", elsewhere.path(), "a", own.as_str()),
        ("supervise", &root, "b", &own),
        ("supervise", &root, "a", other),
        ("submit", &root, "a", &own),
    ] {
        let _stranger = call(word, root, id, claim);
        assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted, "{word} {root:?} {id} {claim}");
    }
    let link = elsewhere.path().join("another-name");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    for (word, root) in [("supervise", &root), ("exec-command", &root), ("supervise", &link)] {
        let ours = call(word, root, "a", &own);
        let judgement = world.judge(&job);
        assert_eq!(judgement.verdict, Verdict::Unidentified, "{word} {root:?}");
        assert!(said(&judgement, &ours.identity().pid.to_string()), "{judgement:?}");
        assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
        assert_eq!(world.job("a").run_state().claim, job.run_state().claim);
    }
    assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack);
}

#[test]
fn free_with_a_process_that_writes_the_removed_output_is_an_orphan() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.paths(&job);
    let output = std::fs::File::create(paths.output()).unwrap();
    let mut command = Command::new("sleep");
    let command = Living(command.arg("60").env_clear().stdout(output).spawn().unwrap());
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    std::fs::remove_dir_all(world.dir.paths.attempts()).unwrap();
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()), "its files were removed");
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
    assert_eq!(world.job("a").status, JobStatus::Running);
    drop(command);
    assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted);
}

#[test]
fn free_with_an_output_alone_is_unknown() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.paths(&job);
    drop(world.lock(&job));
    assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted, "a lock is taken before anything is begun");
    std::fs::write(paths.output(), "").unwrap();
    assert_eq!(world.judge(&job).liveness(), Liveness::Unknown);
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Unknown { .. }));
    assert_eq!(world.job("a").run_state().claim, job.run_state().claim);
}

#[test]
fn a_second_attempt_that_never_started_waits_again() {
    let mut world = World::new();
    let job = world.claimed_with("a", JobSpec { on_crash: CrashPolicy::Requeue, ..JobSpec::default() });
    let paths = world.sentinel(&job, |_| {});
    CommandRecord { command: gone(), ..CommandRecord::of_this_process(job.id.clone(), 1, 1) }
        .write(&world.dir.disk, &paths.command())
        .unwrap();
    std::fs::write(paths.output(), "of the first attempt").unwrap();
    world.reattach();
    assert_eq!(world.claim("a").attempt, 2);
    // Killed before a supervisor was there, and while it moved the first attempt's files away.
    assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack);
    std::fs::create_dir_all(paths.attempt(1)).unwrap();
    for file in [paths.output(), paths.command(), paths.sentinel()] {
        world.claim("a");
        std::fs::rename(&file, paths.attempt(1).join(file.file_name().unwrap())).unwrap();
        assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack, "{file:?}");
    }
    assert_eq!(world.job("a").attempt, 2);
}

/// Two jobs of one repository, one after the other: the log has lost the end of the first and the claim
/// of the second.
#[test]
fn a_claim_is_found_after_the_end_of_the_job_before_it() {
    for first_has_ended in [true, false] {
        let mut world = World::new();
        let jobs = ["first", "second"].map(|id| Submission {
            job: id.parse().unwrap(),
            priority: 0,
            repository: Some("web".into()),
            spec: JobSpec::default(),
        });
        append(&world.dir, &actor(), &[Operation::SubmitBatch { jobs: jobs.into() }]).unwrap();
        let first = world.claim("first");
        let paths = world.sentinel(&first, |_| {});
        let living = Living::unmarked();
        if first_has_ended {
            world.exit(&first, 0, true).write(&world.dir.disk, &paths.exit()).unwrap();
        } else {
            world.sentinel(&first, |s| s.command = Some(living.identity()));
        }
        let mut second = world.job("second");
        second.run_state =
            Some(Box::new(recovery::queue::RunState { claim: Some(90), ..Default::default() }));
        world.sentinel(&second, |s| s.command = Some(living.identity()));
        let report = reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
        let status = |id: &str| world.job(id).status;
        if first_has_ended {
            assert_eq!((status("first"), status("second")), (JobStatus::Succeeded, JobStatus::Running));
            assert_eq!((report.claims_found, report.found), (1, 2), "{report:?}");
            assert_eq!((report.finished_while_away, report.reattached), (1, 1), "{report:?}");
        } else {
            assert_eq!((status("first"), status("second")), (JobStatus::Running, JobStatus::Queued));
            assert_eq!((report.claims_found, report.found), (0, 1), "{report:?}");
        }
    }
}

#[test]
fn damaged_files_are_kept_and_judged_by_what_is_left() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |_| {});
    std::fs::write(paths.sentinel(), "").unwrap();
    let command = Living::unmarked();
    let mut record = CommandRecord::of_this_process(job.id.clone(), 1, job.run_state().claim.unwrap());
    record.command = command.identity();
    record.write(&world.dir.disk, &paths.command()).unwrap();
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    drop(command);
    // What other tests start is this process for a moment, until its exec: with all that was open here.
    let begun = std::time::Instant::now();
    let mut verdict = world.judge(&job).verdict;
    while verdict != Verdict::Crashed && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
        verdict = world.judge(&job).verdict;
    }
    assert_eq!(verdict, Verdict::Crashed);
    std::fs::write(paths.command(), "{").unwrap();
    assert_eq!(world.judge(&job).liveness(), Liveness::Unknown, "nothing tells its process");
    world.reattach();
    assert!(paths.command().exists() && paths.sentinel().exists(), "that they are there is evidence");
    record.write(&world.dir.disk, &paths.command()).unwrap();
    let reconciled = &world.reattach()[0];
    assert!(matches!(reconciled.reconciliation, Reconciliation::Crashed { .. }));
    assert_eq!(reconciled.quarantined.len(), 1);
    assert!(!paths.sentinel().exists());
}

#[test]
fn neither_clock_nor_heartbeat_makes_a_verdict() {
    let mut world = World::new();
    let (living, dead) = (world.claimed("living"), world.claimed("dead"));
    world.sentinel(&living, |s| s.supervisor = ProcessIdentity::this());
    world.sentinel(&dead, |_| {});
    let _lock = world.lock(&living);
    const YEAR: i64 = 365 * 86_400_000;
    for now in [NOW - YEAR, NOW, NOW + YEAR] {
        world.clock.set(Timestamp::from_millis(now));
        assert_eq!(world.judge(&living).liveness(), Liveness::Alive);
        assert_eq!(world.judge(&dead).verdict, Verdict::Crashed);
    }
}

fn adopted(world: &mut World, id: &str, adopted: Adopted) -> Job {
    let spec = serde_json::value::to_raw_value(&JobSpec::default()).unwrap();
    let run = recovery::queue::RunState { adopted: Some(adopted), ..Default::default() };
    let document = JobDocument {
        job_id: id.parse().unwrap(),
        status: JobStatus::Running,
        attempt: 1,
        place: recovery::queue::QueuePosition { seq: 0, index: 0 },
        priority: 0,
        repository: None,
        submitted_at: Timestamp::from_millis(NOW),
        not_before: None,
        run_state: Some(Box::new(run)),
        spec,
    };
    append(&world.dir, &actor(), &[Operation::Restore { document: Box::new(document), keeps_place: false }])
        .unwrap();
    world.queue.refresh().unwrap();
    world.job(id)
}

#[test]
fn a_job_that_was_taken_over_is_known_by_pid_start_and_boot() {
    let mut world = World::new();
    let output = world.dir.paths.root().join("output");
    let process = Living::unmarked();
    let ProcessIdentity { pid, start_time } = process.identity();
    let boot_id = Host::this().boot_id;
    let by = |start_time, boot_id: &str| Adopted {
        pid,
        start_time,
        boot_id: boot_id.to_owned(),
        booted_at: None,
        output: output.clone(),
    };
    let living = adopted(&mut world, "living", by(start_time, &boot_id));
    let reused = adopted(&mut world, "reused", by(start_time + 1, &boot_id));
    let rebooted = adopted(&mut world, "rebooted", by(start_time, "another"));
    assert_eq!(world.judge(&living).verdict, Verdict::Adopted { process: process.identity() });
    assert_eq!(world.judge(&reused).verdict, Verdict::Crashed);
    assert_eq!(world.judge(&rebooted).verdict, Verdict::DeadByReboot);
    std::fs::write(&output, "did it\nExit code: 7\n").unwrap();
    world.reattach();
    let status = |id: &str| (world.job(id).status, world.job(id).run_state().exit_code);
    assert_eq!(status("living"), (JobStatus::Running, None));
    assert_eq!(status("reused"), (JobStatus::Failed, Some(7)));
    assert_eq!(status("rebooted"), (JobStatus::Failed, Some(7)));
    let ids = [living.id.clone()];
    let cancelled = std::thread::scope(|scope| {
        // Its parent reaps it, as a shell does.
        let reaper = scope.spawn(|| {
            let mut process = process;
            process.0.wait().unwrap();
        });
        let cancelled = cancel(&world.dir, &mut world.queue, &ids, &settings()).unwrap();
        reaper.join().unwrap();
        cancelled
    });
    // Its output has an exit line by now.
    assert_eq!(cancelled[0].outcome, CancelOutcome::Ended);
    assert_eq!(world.job("living").status, JobStatus::Cancelled);
}

#[test]
fn a_crash_is_followed_by_the_jobs_policy() {
    let mut world = World::new();
    for (id, on_crash) in
        [("hold", CrashPolicy::Hold), ("fail", CrashPolicy::Fail), ("requeue", CrashPolicy::Requeue)]
    {
        let spec = JobSpec { on_crash, max_attempts: 2, ..JobSpec::default() };
        let job = world.claimed_with(id, spec);
        world.sentinel(&job, |_| {});
    }
    world.reattach();
    assert_eq!(world.job("hold").status, JobStatus::Crashed);
    let failed = world.job("fail");
    assert_eq!((failed.status, failed.run_state().reason.as_deref()), (JobStatus::Failed, Some("crashed")));
    assert!(failed.run_state().attempts[0].reason.as_ref().is_some_and(|r| r.contains("vanished")));
    assert_eq!((world.job("requeue").status, world.job("requeue").attempt), (JobStatus::Queued, 2));
    let job = world.claim("requeue");
    world.sentinel(&job, |_| {});
    world.reattach();
    assert_eq!(world.job("requeue").status, JobStatus::Crashed, "no attempts are left");
    assert!(world.reattach().is_empty(), "a second look finds nothing to do");
}

#[test]
fn many_jobs_are_settled_in_one_pass() {
    let mut world = World::new();
    let jobs: Vec<Submission> = (0..600)
        .map(|n| Submission {
            job: format!("j{n}").parse().unwrap(),
            priority: 0,
            repository: None,
            spec: JobSpec::default(),
        })
        .collect();
    let claims: Vec<Operation> =
        jobs.iter().map(|s| Operation::Claim { job: s.job.clone(), attempt: 1 }).collect();
    append(&world.dir, &actor(), &[Operation::SubmitBatch { jobs }]).unwrap();
    append(&world.dir, &actor(), &claims).unwrap();
    let stopped = reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| false).unwrap();
    assert_eq!((stopped.found, world.queue.state().counts().running), (0, 600), "told to stop at once");
    let mut last = (0, 0);
    let found = reattach(&world.dir, &mut world.queue, &settings(), &mut |done, total| {
        last = (done, total);
        true
    })
    .unwrap();
    assert_eq!((found.found, found.given_back, last), (600, 600, (600, 600)));
    assert_eq!(world.queue.state().counts().queued, 600);
}

#[test]
fn an_attempt_whose_claim_the_log_has_lost_is_found() {
    let mut world = World::new();
    for id in ["living", "ended", "crashed", "older"] {
        world.submit(id, JobSpec::default());
    }
    world.queue.refresh().unwrap();
    let lost = |id: &str, claim: u64| {
        let mut job = world.job(id);
        job.status = JobStatus::Running;
        job.run_state =
            Some(Box::new(recovery::queue::RunState { claim: Some(claim), ..Default::default() }));
        job
    };
    let (living, ended, crashed) = (lost("living", 90), lost("ended", 91), lost("crashed", 92));
    // Of an earlier job of the same name, claimed before this one was submitted.
    world.sentinel(&lost("older", 1), |_| {});
    let command = Living::unmarked();
    world.sentinel(&living, |s| s.command = Some(command.identity()));
    let paths = world.sentinel(&ended, |_| {});
    world.exit(&ended, 0, true).write(&world.dir.disk, &paths.exit()).unwrap();
    world.sentinel(&crashed, |_| {});
    world.reattach();
    let status = |id: &str| world.job(id).status;
    assert_eq!((status("living"), world.job("living").run_state().claim), (JobStatus::Running, Some(90)));
    assert_eq!(status("ended"), JobStatus::Succeeded);
    assert_eq!(status("crashed"), JobStatus::Crashed);
    assert_eq!(status("older"), JobStatus::Queued);
}

#[test]
fn a_job_whose_process_lives_is_not_resumed() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |_| {});
    world.reattach();
    assert_eq!(world.job("a").status, JobStatus::Crashed);
    let ids: Vec<JobId> = ["a", "none", "a"].iter().map(|id| id.parse().unwrap()).collect();
    let straggler = Living::marked(&job, world.dir.paths.root());
    let report = resume(&world.dir, &mut world.queue, &ids, false, &settings()).unwrap();
    let codes: Vec<&str> = report.refused.iter().map(|r| &*r.code).collect();
    assert_eq!(codes, ["job-still-alive", "no-such-job"]);
    drop(straggler);
    std::fs::write(paths.checkpoint(), "half").unwrap();
    let report = resume(&world.dir, &mut world.queue, &ids[..1], false, &settings()).unwrap();
    assert_eq!((report.resumed[0].attempt, report.resumed[0].from_checkpoint), (2, true));
    assert_eq!(world.job("a").status, JobStatus::Queued);
    let report = resume(&world.dir, &mut world.queue, &ids[..1], false, &settings()).unwrap();
    assert_eq!(report.refused[0].code, "job-not-resumable");
}

#[test]
fn a_cancelled_orphan_is_ended_and_recorded() {
    let mut world = World::new();
    let (orphan, waiting) = (world.claimed("orphan"), "waiting");
    world.submit(waiting, JobSpec::default());
    world.sentinel(&orphan, |_| {});
    // It does not heed SIGTERM from the start; SIGKILL follows.
    let mut process = Living::marked(&orphan, world.dir.paths.root());
    let ids: Vec<JobId> = ["orphan", waiting, "none"].iter().map(|id| id.parse().unwrap()).collect();
    let (dir, queue) = (&world.dir, &mut world.queue);
    let cancelled = std::thread::scope(|scope| {
        scope.spawn(|| process.0.wait().unwrap());
        cancel(dir, queue, &ids, &settings()).unwrap()
    });
    assert_eq!(cancelled[0].outcome, CancelOutcome::Ended);
    assert_eq!(cancelled[1].outcome, CancelOutcome::Cancelled);
    assert!(matches!(cancelled[2].outcome, CancelOutcome::Refused { code: "no-such-job", .. }));
    assert_eq!(world.job("orphan").status, JobStatus::Cancelled);
    assert_eq!(world.job(waiting).status, JobStatus::Cancelled);
    let again = cancel(&world.dir, &mut world.queue, &ids[..1], &settings()).unwrap();
    assert!(matches!(again[0].outcome, CancelOutcome::Refused { code: "job-is-over", .. }));
}

#[test]
fn an_end_that_somebody_else_recorded_is_not_recorded_twice() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |_| {});
    let exit = world.exit(&job, 0, true);
    exit.write(&world.dir.disk, &paths.exit()).unwrap();
    let end: End = exit.to_end();
    append(&world.dir, &actor(), &[Operation::End(end)]).unwrap();
    assert!(world.reattach().is_empty());
    assert_eq!(world.job("a").run_state().attempts.len(), 1);
}

#[test]
fn records_are_written_anew_when_missing_damaged_or_behind() {
    let mut world = World::new();
    let jobs: Vec<Job> = ["whole", "missing", "damaged", "behind"].map(|id| world.claimed(id)).into();
    for job in &jobs {
        record::write(&world.dir, job).unwrap();
    }
    let path = |id: &str| world.dir.paths.job(id).unwrap().record;
    std::fs::remove_file(path("missing")).unwrap();
    std::fs::write(path("damaged"), "{\"job_id\":").unwrap();
    std::fs::write(path("stranger"), "{}").unwrap();
    let behind: JobId = "behind".parse().unwrap();
    world.queue.transact(&actor(), |_| (vec![Operation::Cancel { job: behind.clone() }], ())).unwrap();
    let rebuilt = record::rebuild(&world.dir, world.queue.state(), &mut |_, _| {}).unwrap();
    let mut written: Vec<String> = rebuilt.written.iter().map(ToString::to_string).collect();
    written.sort();
    assert_eq!(written, ["behind", "damaged", "missing"]);
    let damaged = vec![("damaged".parse().unwrap(), path("damaged"))];
    assert_eq!((rebuilt.damaged, rebuilt.unknown), (damaged, vec![path("stranger")]));
    let (documents, damaged) = record::read_those(&world.dir, |_| true).unwrap();
    assert_eq!((documents.len(), damaged), (4, vec![path("stranger")]));
    let behind = documents.iter().find(|d| d.job_id == behind).unwrap();
    assert!(behind.run_state.as_ref().unwrap().cancel_requested);
    let again = record::rebuild(&world.dir, world.queue.state(), &mut |_, _| {}).unwrap();
    assert!(again.written.is_empty() && again.damaged.is_empty());
}
