//! Supervisors as real processes: this test program starts itself as the supervisor and as the
//! trampoline, so it has a `main` of its own. `cargo test --test supervise NAME` runs one test.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use recovery::durable::{Disk, is_held};
use recovery::jobs::{
    CancelOutcome, CommandRecord, CommandRequest, ExitRecord, FreshnessLimits, HeldRepository, JudgeContext,
    Judgement, Output, ProcessTable, RecoverSettings, RepositoryLocker, RepositoryRefused, RepositoryRequest,
    Sentinel, Stored, SuperviseSettings, Supervised, SupervisorHooks, Verdict, cancel, exec_command, judge,
    reattach, record, resume, supervise,
};
use recovery::queue::{
    Actor, AttemptOutcome, CrashPolicy, Job, JobId, JobSpec, JobStatus, Operation, Queue, Submission, append,
};
use recovery::state::{Clock, JobPaths, StateDir};
use recovery::system::{Confinement, Host, Presence, ProcessIdentity, end_process, presence, signal_process};
use rustix::process::Signal;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|a| a.to_str()) {
        Some("supervise") => be_supervisor(&arguments[1..]),
        Some("exec-command") => be_command(&arguments[1..]),
        _ => run_tests(&arguments),
    }
}

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("an_attempt_runs_and_its_end_is_recorded", an_attempt_runs_and_its_end_is_recorded),
    ("what_cannot_be_started_ends_as_in_a_shell", what_cannot_be_started_ends_as_in_a_shell),
    ("over_time_is_ended_with_all_descendants", over_time_is_ended_with_all_descendants),
    ("what_a_command_leaves_behind_is_ended", what_a_command_leaves_behind_is_ended),
    ("an_old_claim_runs_nothing", an_old_claim_runs_nothing),
    ("a_second_supervisor_runs_nothing", a_second_supervisor_runs_nothing),
    ("a_cancelled_job_is_ended", a_cancelled_job_is_ended),
    ("cancel_in_the_log_alone_ends_the_job", cancel_in_the_log_alone_ends_the_job),
    ("signal_without_a_wish_interrupts_the_job", signal_without_a_wish_interrupts_the_job),
    (
        "supervisor_killed_while_interrupted_leaves_that_word",
        supervisor_killed_while_interrupted_leaves_that_word,
    ),
    (
        "command_that_ends_before_its_supervisor_is_signalled_is_interrupted",
        command_that_ends_before_its_supervisor_is_signalled_is_interrupted,
    ),
    ("end_that_nothing_asked_for_is_recorded_at_once", end_that_nothing_asked_for_is_recorded_at_once),
    ("signal_to_the_command_alone_is_the_commands_end", signal_to_the_command_alone_is_the_commands_end),
    ("command_inherits_no_mask_of_its_supervisor", command_inherits_no_mask_of_its_supervisor),
    ("cancelled_before_the_start_runs_nothing", cancelled_before_the_start_runs_nothing),
    ("a_killed_supervisor_leaves_an_orphan_then_a_crash", a_killed_supervisor_leaves_an_orphan_then_a_crash),
    ("without_its_supervisor_no_command_starts", without_its_supervisor_no_command_starts),
    ("the_next_attempt_continues_from_the_checkpoint", the_next_attempt_continues_from_the_checkpoint),
    ("a_job_may_empty_its_workspace", a_job_may_empty_its_workspace),
    ("without_its_repository_the_claim_is_given_back", without_its_repository_the_claim_is_given_back),
    ("killed_at_any_moment_nothing_runs_twice", killed_at_any_moment_nothing_runs_twice),
];

fn run_tests(arguments: &[OsString]) -> ExitCode {
    let listed = arguments.iter().any(|a| a == "--list");
    let filter = arguments.iter().filter_map(|a| a.to_str()).find(|a| !a.starts_with('-')).unwrap_or("");
    let chosen: Vec<&Test> = TESTS.iter().filter(|(name, _)| name.contains(filter)).collect();
    if listed {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let mut failed: Vec<&str> = Vec::new();
    for (name, test) in &chosen {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed.extend((!passed).then_some(*name));
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {} passed; {} failed\n", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

struct Gate;

struct Held;

impl RepositoryLocker for Gate {
    fn take(
        &self,
        _: &StateDir,
        request: &RepositoryRequest<'_>,
    ) -> Result<Box<dyn HeldRepository>, RepositoryRefused> {
        match request.repository {
            "free" => Ok(Box::new(Held)),
            other => Err(RepositoryRefused { why: format!("{other} is held by somebody") }),
        }
    }
}

impl HeldRepository for Held {
    fn lock_id(&self) -> &str {
        "lock-7"
    }

    fn token(&self) -> u64 {
        7
    }

    fn give_back(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// `supervise ROOT JOB CLAIM`
fn be_supervisor(arguments: &[OsString]) -> ExitCode {
    let root = PathBuf::from(&arguments[0]);
    let dir = StateDir::open(&root, Disk::real(), Clock::system()).unwrap();
    let job: JobId = arguments[1].to_str().unwrap().parse().unwrap();
    let claim = arguments[2].to_str().unwrap().parse().unwrap();
    let trampoline = vec!["/proc/self/exe".into(), "exec-command".into(), root.into_os_string()];
    let settings = SuperviseSettings {
        kill_grace: Duration::from_millis(300),
        heartbeat: Duration::from_millis(50),
        lock_wait: Duration::from_millis(300),
        // Those that are killed here leave nobody who would remove a control group.
        cgroup: false,
        ..SuperviseSettings::new(job, claim, trampoline)
    };
    let notice = |text: &str| eprintln!("{text}");
    match supervise(
        &dir,
        &settings,
        &SupervisorHooks { gate: &Gate, notice: &notice, host_is_ending: &|| None },
    ) {
        Ok(Supervised::Ended { .. }) => ExitCode::SUCCESS,
        Ok(Supervised::ClaimLost { .. }) => ExitCode::from(20),
        Ok(Supervised::GivenBack { .. }) => ExitCode::from(21),
        Ok(Supervised::NotStarted { of_host, .. }) => ExitCode::from(if of_host { 75 } else { 23 }),
        Err(_) => ExitCode::from(22),
    }
}

/// `exec-command ROOT --job ID --attempt N --claim SEQ --supervisor PID -- COMMAND…`
fn be_command(arguments: &[OsString]) -> ExitCode {
    let dir = StateDir::open(Path::new(&arguments[0]), Disk::real(), Clock::system()).unwrap();
    let text = |at: usize| arguments[at].to_str().unwrap();
    let command = arguments.iter().position(|a| a == "--").unwrap() + 1;
    let cgroup = (text(9) == "--cgroup").then(|| PathBuf::from(text(10)));
    let request = CommandRequest {
        job: text(2).parse().unwrap(),
        attempt: text(4).parse().unwrap(),
        claim: text(6).parse().unwrap(),
        supervisor: text(8).parse().unwrap(),
        cgroup,
        confinement: Confinement::default(),
        reports: arguments[..command].iter().any(|a| a == "--reports"),
        command: arguments[command..].to_vec(),
    };
    let why = exec_command(&dir, &request);
    ExitCode::from(u8::try_from(why.exit_code()).unwrap())
}

struct World {
    folder: tempfile::TempDir,
    dir: StateDir,
    queue: Queue,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let queue = Queue::open(&dir).unwrap();
        World { folder, dir, queue }
    }

    fn submit(&self, id: &str, spec: JobSpec, repository: Option<&str>) {
        let repository = repository.map(str::to_owned);
        let submission = Submission { job: id.parse().unwrap(), priority: 0, repository, spec };
        append(&self.dir, &actor(), &[Operation::Submit(submission)]).unwrap();
    }

    /// Claims the next attempt as a scheduler does; the claim.
    fn claim(&mut self, id: &str) -> u64 {
        let job = self.job(id);
        let claim = Operation::Claim { job: job.id, attempt: job.attempt };
        let claim = self.queue.transact(&actor(), |_| (vec![claim], ())).unwrap().0[0];
        let job = self.job(id);
        record::write(&self.dir, &job).unwrap();
        claim
    }

    fn start(&self, id: &str, claim: u64) -> Supervisor {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("supervise").arg(self.dir.paths.root()).arg(id).arg(claim.to_string());
        Supervisor(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Submits, claims and starts a shell script.
    fn begin(&mut self, id: &str, script: &str) -> Supervisor {
        self.submit(id, shell(script), None);
        let claim = self.claim(id);
        self.start(id, claim)
    }

    fn job(&mut self, id: &str) -> Job {
        self.queue.refresh().unwrap();
        self.queue.state().get(&id.parse().unwrap()).unwrap().clone()
    }

    fn status(&mut self, id: &str) -> JobStatus {
        self.job(id).status
    }

    fn paths(&self, id: &str) -> JobPaths {
        self.dir.paths.job(id).unwrap()
    }

    fn output(&mut self, id: &str) -> String {
        let job = self.job(id);
        Output::of(&self.dir, &job, None).unwrap().tail(10_000).unwrap()
    }

    fn exit(&self, id: &str) -> ExitRecord {
        ExitRecord::read(&self.paths(id).exit()).unwrap().whole().unwrap().clone()
    }

    fn judge(&mut self, id: &str) -> Judgement {
        let job = self.job(id);
        let (host, table) = (Host::this(), ProcessTable::new());
        judge(
            &JudgeContext { dir: &self.dir, host: &host, table: &table, limits: FreshnessLimits::default() },
            &job,
        )
    }

    fn command(&self, id: &str) -> ProcessIdentity {
        let path = self.paths(id).command();
        wait_until("the command is recorded", || CommandRecord::read(&path).unwrap().whole().is_some());
        CommandRecord::read(&path).unwrap().whole().unwrap().command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Ended with the test, if it has not ended by itself.
struct Supervisor(Child);

impl Supervisor {
    fn code(&mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn actor() -> Actor {
    Actor { by: "test".into(), why: None }
}

fn settings() -> RecoverSettings {
    RecoverSettings { kill_grace: Duration::from_millis(300), ..RecoverSettings::new(actor()) }
}

fn shell(script: &str) -> JobSpec {
    JobSpec { command: vec!["sh".into(), "-c".into(), script.into()], ..JobSpec::default() }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn pid_in(path: &Path) -> ProcessIdentity {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    wait_until("a process wrote its PID", || read().ends_with('\n'));
    let pid = read().trim().parse().unwrap();
    ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_time: 0 })
}

fn an_attempt_runs_and_its_end_is_recorded() {
    let mut world = World::new();
    let mut spec = shell("echo out; echo err >&2; env; pwd; exit 3");
    spec.env.insert("MINE".into(), "own".into());
    spec.env.insert("RECOVERYCTL_JOB_ID".into(), "a lie".into());
    world.submit("a/b", spec, Some("free"));
    let claim = world.claim("a/b");
    assert_eq!(world.start("a/b", claim).code(), 0);
    let job = world.job("a/b");
    assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(3)));
    let output = world.output("a/b");
    let paths = world.paths("a/b");
    let workspace = paths.workspace.display().to_string();
    for line in ["out", "err", "MINE=own", "RECOVERYCTL_JOB_ID=a/b", "RECOVERYCTL_ATTEMPT=1", &workspace] {
        assert!(output.lines().any(|l| l == line), "{line} in {output}");
    }
    assert!(!output.contains("RECOVERYCTL_RESUMED"));
    let exit = world.exit("a/b");
    assert_eq!((exit.exit_code, exit.outcome, exit.claim), (Some(3), AttemptOutcome::Exited, claim));
    assert!(exit.tree_empty && exit.leftovers_ended == 0 && exit.cpu_ms.is_some());
    let sentinel = Sentinel::read(&paths.sentinel()).unwrap().whole().unwrap().clone();
    assert_eq!(sentinel.lock_id.as_deref(), Some("lock-7"));
    assert_eq!(sentinel.command, Some(world.command("a/b")), "it recorded itself, and stayed that process");
    assert!(!is_held(&paths.sentinel_lock()).unwrap());
    let document = record::read(&world.dir, &job.id).unwrap().whole().unwrap().clone();
    assert_eq!((document.status, document.run_state.unwrap().exit_code), (JobStatus::Failed, Some(3)));
}

fn what_cannot_be_started_ends_as_in_a_shell() {
    let mut world = World::new();
    let command = |program: &str| JobSpec { command: vec![program.into()], ..JobSpec::default() };
    let cases = [
        ("missing", command("/no/such/program"), 127),
        ("refused", command("/etc/passwd"), 126),
        ("nowhere", JobSpec { cwd: Some("/no/such/folder".into()), ..shell("true") }, 126),
    ];
    for (id, spec, code) in cases {
        world.submit(id, spec, None);
        let claim = world.claim(id);
        assert_eq!(world.start(id, claim).code(), 0, "{id}");
        let job = world.job(id);
        assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(code)), "{id}");
        let output = world.output(id);
        assert!(output.contains("recoveryctl: cannot run"), "{id}: {output}");
    }
}

fn over_time_is_ended_with_all_descendants() {
    let mut world = World::new();
    let stray = world.file("stray");
    // In a session of its own, deaf to SIGTERM.
    let script = format!(
        "setsid sh -c 'trap \"\" TERM; echo $$ > {}; while :; do sleep 1; done' & trap '' TERM; wait; sleep 60",
        stray.display()
    );
    world.submit("a", JobSpec { timeout_ms: Some(700), ..shell(&script) }, None);
    let claim = world.claim("a");
    let mut supervisor = world.start("a", claim);
    let stray = pid_in(&stray);
    assert_eq!(supervisor.code(), 0);
    assert_eq!(world.status("a"), JobStatus::TimedOut);
    let exit = world.exit("a");
    assert_eq!((exit.outcome, exit.signal, exit.tree_empty), (AttemptOutcome::TimedOut, Some(9), true));
    assert_eq!(presence(stray), Presence::Gone);
}

fn what_a_command_leaves_behind_is_ended() {
    let mut world = World::new();
    let stray = world.file("stray");
    // A daemon: its parent is gone, its session is its own, its environment is empty.
    let script = format!(
        "(setsid env -i /bin/sh -c 'echo $$ > {}; exec sleep 60' &) ; while ! test -s {}; do :; done; exit 0",
        stray.display(),
        stray.display()
    );
    let mut supervisor = world.begin("a", &script);
    let stray = pid_in(&stray);
    assert_eq!(supervisor.code(), 0);
    assert_eq!(presence(stray), Presence::Gone);
    assert_eq!(world.status("a"), JobStatus::Succeeded);
    let exit = world.exit("a");
    assert_eq!((exit.leftovers_ended, exit.tree_empty), (1, true));
}

fn an_old_claim_runs_nothing() {
    let mut world = World::new();
    let ran = world.file("ran");
    world.submit("a", shell(&format!("echo > {}", ran.display())), None);
    let claim = world.claim("a");
    let job = world.job("a").id;
    let unclaim =
        Operation::Unclaim { job, claim, reason: "test".into(), not_before: None, failed_start: false };
    append(&world.dir, &actor(), &[unclaim]).unwrap();
    assert_eq!(world.start("a", claim).code(), 20);
    world.claim("a");
    assert_eq!(world.start("a", claim).code(), 20);
    assert_eq!(world.start("a", claim + 1000).code(), 20);
    assert!(!ran.exists() && !world.paths("a").sentinel().exists());
    assert_eq!(world.judge("a").verdict, Verdict::NeverStarted);
}

fn a_second_supervisor_runs_nothing() {
    let mut world = World::new();
    let (ran, go) = (world.file("ran"), world.file("go"));
    let script = format!("echo >> {}; while ! test -e {}; do sleep 0.01; done", ran.display(), go.display());
    let mut first = world.begin("a", &script);
    world.command("a");
    let claim = world.job("a").run_state().claim.unwrap();
    assert_eq!(world.start("a", claim).code(), 22, "the lock is held");
    std::fs::write(&go, "").unwrap();
    assert_eq!(first.code(), 0);
    assert_eq!(world.start("a", claim).code(), 20, "the claim is over");
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "\n");
}

fn a_cancelled_job_is_ended() {
    let mut world = World::new();
    let started = world.file("started");
    let script = format!("echo $$ > {}; while :; do sleep 0.05; done", started.display());
    let mut supervisor = world.begin("a", &script);
    let process = pid_in(&started);
    wait_until("it is supervised", || world.judge("a").verdict == Verdict::Supervised);
    let ids = ["a".parse().unwrap()];
    let cancelled = cancel(&world.dir, &mut world.queue, &ids, &settings()).unwrap();
    assert_eq!(cancelled[0].outcome, CancelOutcome::EndRequested { supervisor: supervisor.0.id() });
    assert_eq!(supervisor.code(), 0);
    assert_eq!((world.status("a"), presence(process)), (JobStatus::Cancelled, Presence::Gone));
    assert_eq!(world.exit("a").signal, Some(15));
}

/// As when who cancels is killed before it signals, is in another process namespace, or may not signal.
fn cancel_in_the_log_alone_ends_the_job() {
    let mut world = World::new();
    let started = world.file("started");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.05; done", started.display());
    let mut supervisor = world.begin("a", &script);
    let process = pid_in(&started);
    let job = world.job("a").id;
    append(&world.dir, &actor(), &[Operation::Cancel { job }]).unwrap();
    assert_eq!(supervisor.code(), 0);
    let job = world.job("a");
    assert_eq!((job.status, presence(process)), (JobStatus::Cancelled, Presence::Gone));
    assert_eq!(job.run_state().ended_by.as_ref().unwrap().by, "test");
    assert_eq!(world.exit("a").signal, Some(9), "deaf to SIGTERM");
}

fn signal_without_a_wish_interrupts_the_job() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut world = World::new();
        let started = world.file("started");
        // Saves and ends well, as a job is advised to.
        let script = format!(
            "trap 'echo 5 > $RECOVERYCTL_CHECKPOINT; exit 0' TERM; echo $$ > {}; while :; do sleep 0.05; done",
            started.display()
        );
        let spec = JobSpec { on_crash: CrashPolicy::Requeue, ..shell(&script) };
        world.submit("a", spec, None);
        let claim = world.claim("a");
        let mut supervisor = world.start("a", claim);
        pid_in(&started);
        signal_process(ProcessIdentity::of(supervisor.0.id()).unwrap(), signal).unwrap();
        assert_eq!(supervisor.code(), 0);
        let job = world.job("a");
        assert_eq!((job.status, job.attempt), (JobStatus::Queued, 2), "{signal:?}");
        assert_eq!(job.run_state().reason.as_deref(), Some("interrupted"));
        let ended_by = job.run_state().ended_by.clone().unwrap();
        assert_eq!((ended_by.pid, ended_by.signal), (Some(std::process::id()), Some(signal.as_raw())));
        assert_eq!(world.exit("a").exit_code, Some(0));
        std::fs::remove_file(&started).unwrap();
        let claim = world.claim("a");
        let mut supervisor = world.start("a", claim);
        pid_in(&started);
        append(&world.dir, &actor(), &[Operation::Cancel { job: job.id }]).unwrap();
        assert_eq!(supervisor.code(), 0);
        assert!(world.paths("a").checkpoint().exists(), "its checkpoint counts");
    }
}

/// As at a shutdown, where the supervisor may be the last that is signalled. One command handles the signal and
/// ends in order, which by its exit status might be its own end; the other dies of it.
fn command_that_ends_before_its_supervisor_is_signalled_is_interrupted() {
    let handles = "trap 'exit 0' TERM; echo $$ > STARTED; while :; do sleep 0.01; done";
    let dies = "echo $$ > STARTED; exec sleep 600";
    for (script, exit_code, signal) in [(handles, Some(0), None), (dies, None, Some(15))] {
        let mut world = World::new();
        let started = world.file("started");
        let script = script.replace("STARTED", &started.display().to_string());
        let mut supervisor = world.begin("a", &script);
        let command = pid_in(&started);
        let own = ProcessIdentity::of(supervisor.0.id()).unwrap();
        signal_process(command, Signal::TERM).unwrap();
        // Without a pause in between: the supervisor waits for its own signal only so long.
        while presence(command) == Presence::Alive {
            std::thread::yield_now();
        }
        let _ = signal_process(own, Signal::TERM);
        assert_eq!(supervisor.code(), 0);
        let job = world.job("a");
        let reason = job.run_state().reason.as_deref();
        assert_eq!((job.status, reason), (JobStatus::Crashed, Some("interrupted")), "{script}");
        let ended_by = job.run_state().ended_by.clone().unwrap();
        assert_eq!((ended_by.pid, ended_by.signal), (Some(std::process::id()), Some(15)), "{script}");
        let exit = world.exit("a");
        assert_eq!((exit.exit_code, exit.signal), (exit_code, signal), "{script}");
    }
}

/// A command without a handler that ends in order has not been signalled: its supervisor waits for no signal. One
/// with a handler may have been.
fn end_that_nothing_asked_for_is_recorded_at_once() {
    let taken = |script: &str| {
        let mut world = World::new();
        let began = world.file("began");
        let script = format!("{script}; echo $$ > {}; exit 3", began.display());
        let mut supervisor = world.begin("a", &script);
        pid_in(&began);
        let begun = Instant::now();
        assert_eq!(supervisor.code(), 0);
        let job = world.job("a");
        assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(3)));
        begun.elapsed()
    };
    let pause = Duration::from_millis(400);
    assert!(taken("trap : TERM") >= pause, "it is not asked whether the command has a handler");
    // On a busy machine one may take longer.
    assert!((0..20).any(|_| taken(":") < pause), "each of them waited for a signal");
}

fn supervisor_killed_while_interrupted_leaves_that_word() {
    let mut world = World::new();
    let started = world.file("started");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.05; done", started.display());
    let mut supervisor = world.begin("a", &script);
    let command = pid_in(&started);
    let own = ProcessIdentity::of(supervisor.0.id()).unwrap();
    let path = world.paths("a").sentinel();
    signal_process(own, Signal::TERM).unwrap();
    wait_until("the sentinel says so", || {
        Sentinel::read(&path).unwrap().whole().is_some_and(|s| s.interrupted.is_some())
    });
    supervisor.kill();
    end_process(command, 5_000).unwrap();
    // What the command has started last may live a moment longer.
    wait_until("a recovery finds it gone", || {
        reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
        world.status("a") != JobStatus::Running
    });
    let job = world.job("a");
    assert_eq!((job.status, job.run_state().reason.as_deref()), (JobStatus::Crashed, Some("interrupted")));
    assert_eq!(job.run_state().ended_by.as_ref().unwrap().signal, Some(15));
}

/// Any process of the job may have sent it.
fn signal_to_the_command_alone_is_the_commands_end() {
    let mut world = World::new();
    let mut supervisor = world.begin("a", "kill -TERM $$; sleep 60");
    assert_eq!(supervisor.code(), 0);
    let job = world.job("a");
    assert_eq!(
        (job.status, job.run_state().signal, &job.run_state().ended_by),
        (JobStatus::Failed, Some(15), &None)
    );
}

fn command_inherits_no_mask_of_its_supervisor() {
    let mut world = World::new();
    let mut supervisor = world.begin("a", "grep SigBlk /proc/self/status");
    assert_eq!(supervisor.code(), 0);
    assert_eq!(world.output("a"), "SigBlk:\t0000000000000000\n");
}

fn cancelled_before_the_start_runs_nothing() {
    let mut world = World::new();
    let ran = world.file("ran");
    world.submit("a", shell(&format!("echo > {}", ran.display())), None);
    let claim = world.claim("a");
    let job = world.job("a").id;
    append(&world.dir, &actor(), &[Operation::Cancel { job }]).unwrap();
    assert_eq!(world.start("a", claim).code(), 21);
    assert_eq!(world.status("a"), JobStatus::Cancelled);
    assert!(!ran.exists());
}

fn a_killed_supervisor_leaves_an_orphan_then_a_crash() {
    let mut world = World::new();
    let started = world.file("started");
    let mut supervisor = world.begin("a", &format!("echo $$ > {}; exec sleep 600", started.display()));
    let command = pid_in(&started);
    supervisor.kill();
    assert_eq!(world.judge("a").verdict, Verdict::OrphanedProcess { processes: vec![command] });
    let found = reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
    assert_eq!((found.reattached, world.status("a")), (1, JobStatus::Running));
    assert!(end_process(command, 5_000).unwrap());
    let found = reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
    assert_eq!((found.crashed, world.status("a")), (1, JobStatus::Crashed));
}

fn without_its_supervisor_no_command_starts() {
    let mut world = World::new();
    let ran = world.file("ran");
    world.submit("a", shell("true"), None);
    let claim = world.claim("a");
    let paths = world.paths("a");
    world.dir.disk.ensure_dir(&paths.workspace).unwrap();
    let mut trampoline = Command::new(std::env::current_exe().unwrap());
    trampoline.arg("exec-command").arg(world.dir.paths.root());
    trampoline.args(["--job", "a", "--attempt", "1", "--claim", &claim.to_string()]);
    let no_parent_of_mine = std::os::unix::process::parent_id().to_string();
    trampoline.args(["--supervisor", &no_parent_of_mine, "--", "touch"]).arg(&ran);
    assert_eq!(trampoline.status().unwrap().code(), Some(126));
    assert!(!ran.exists());
    assert_eq!(CommandRecord::read(&paths.command()).unwrap(), Stored::Missing);
}

fn the_next_attempt_continues_from_the_checkpoint() {
    let mut world = World::new();
    let script = "echo half > $RECOVERYCTL_CHECKPOINT; echo first; exit 1";
    let again = "echo second $RECOVERYCTL_RESUMED; cat $RECOVERYCTL_CHECKPOINT; exit 1";
    let resume_command = Some(vec!["sh".into(), "-c".into(), again.into()]);
    world.submit("a", JobSpec { resume_command, ..shell(script) }, None);
    let ids = ["a".parse().unwrap()];
    for (attempt, fresh, expected) in
        [(1, false, "first\n"), (2, false, "second 1\nhalf\n"), (3, true, "first\n")]
    {
        if attempt > 1 {
            let report = resume(&world.dir, &mut world.queue, &ids, fresh, &settings()).unwrap();
            assert_eq!(report.resumed[0].from_checkpoint, !fresh, "{report:?}");
        }
        let claim = world.claim("a");
        assert_eq!(world.start("a", claim).code(), 0);
        assert_eq!(world.output("a"), expected);
        let exit = world.exit("a");
        assert_eq!((exit.attempt, exit.exit_code), (attempt, Some(1)));
    }
    let job = world.job("a");
    let earlier = |attempt| Output::of(&world.dir, &job, Some(attempt)).unwrap().tail(100).unwrap();
    assert_eq!((earlier(1).as_str(), earlier(2).as_str()), ("first\n", "second 1\nhalf\n"));
    let paths = world.paths("a");
    let kept = ExitRecord::read(&paths.attempt(1).join("exit.json")).unwrap();
    assert_eq!(kept.whole().unwrap().attempt, 1);
    assert!(paths.attempt(2).join("checkpoint").exists(), "fresh moves it away and keeps it");
}

fn a_job_may_empty_its_workspace() {
    let mut world = World::new();
    let (emptied, go) = (world.file("emptied"), world.file("go"));
    let script = format!(
        "cd .. && rm -rf \"$RECOVERYCTL_WORKSPACE\" && echo $$ > {}; while ! test -e {}; do sleep 0.01; done",
        emptied.display(),
        go.display()
    );
    let mut supervisor = world.begin("a", &script);
    pid_in(&emptied);
    wait_until("the sign of life is back", || world.judge("a").verdict == Verdict::Supervised);
    let named = Sentinel::read(&world.paths("a").sentinel()).unwrap().whole().unwrap().command;
    assert!(named.is_some());
    std::fs::write(&go, "").unwrap();
    assert_eq!(supervisor.code(), 0);
    assert_eq!(world.status("a"), JobStatus::Succeeded);
    assert_eq!(world.exit("a").exit_code, Some(0));
}

fn without_its_repository_the_claim_is_given_back() {
    let mut world = World::new();
    let ran = world.file("ran");
    world.submit("a", shell(&format!("echo > {}", ran.display())), Some("taken"));
    let claim = world.claim("a");
    assert_eq!(world.start("a", claim).code(), 21);
    let job = world.job("a");
    assert_eq!((job.status, job.attempt), (JobStatus::Queued, 1));
    assert!(job.not_before.is_some());
    let last = job.run_state().history.last().unwrap().reason.clone();
    assert_eq!(last.as_deref(), Some("taken is held by somebody"));
    assert!(!ran.exists());
}

/// Supervisors are killed after a growing time; whatever then is recorded must be what happened.
fn killed_at_any_moment_nothing_runs_twice() {
    let mut world = World::new();
    let (mut never, mut crashed, mut ended) = (0, 0, 0);
    for round in 0..60u32 {
        let (id, ran) = (format!("j{round}"), world.file(&format!("ran{round}")));
        let mut supervisor = world.begin(&id, &format!("echo >> {}; sleep 0.02", ran.display()));
        let paths = world.paths(&id);
        match round % 4 {
            0 => {}
            1 => wait_until("the sentinel is there", || paths.sentinel().exists()),
            2 => wait_until("the command is recorded", || paths.command().exists()),
            _ => wait_until("the command runs", || ran.exists()),
        }
        // The moment is what is tried here, not waited for.
        std::thread::sleep(Duration::from_micros(u64::from(round / 4) * 600));
        supervisor.kill();
        wait_until("its end is certain", || {
            reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
            world.status(&id) != JobStatus::Running
        });
        let runs = std::fs::read(&ran).map_or(0, |text| text.len());
        match world.status(&id) {
            JobStatus::Queued => {
                assert_eq!(runs, 0, "{id} is to run, and has run");
                never += 1;
                let claim = world.claim(&id);
                assert_eq!(world.start(&id, claim).code(), 0);
                assert_eq!(std::fs::read(&ran).unwrap().len(), 1);
            }
            JobStatus::Crashed => {
                assert!(runs <= 1);
                crashed += 1;
            }
            JobStatus::Succeeded => {
                assert_eq!(runs, 1);
                ended += 1;
            }
            other => panic!("{id} is {other}"),
        }
    }
    println!("killed: {never} before the start, {crashed} under way, {ended} after the end");
    assert!(never > 0 && crashed > 0, "the moments were not spread: {never}, {crashed}, {ended}");
}
