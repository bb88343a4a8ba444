//! Supervisors as real processes: this test program starts itself as the supervisor and as the
//! trampoline, so it has a `main` of its own. `cargo test --test supervise NAME` runs one test.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod attempt;
mod ending;
mod killed;
mod world;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use recovery::durable::Disk;
use recovery::jobs::{
    CommandRequest, HeldRepository, RepositoryLocker, RepositoryRefused, RepositoryRequest,
    SuperviseSettings, Supervised, SupervisorHooks, exec_command, supervise,
};
use recovery::queue::JobId;
use recovery::state::{Clock, StateDir};
use recovery::system::Confinement;

use self::attempt::{
    a_job_may_empty_its_workspace, a_second_supervisor_runs_nothing, an_attempt_runs_and_its_end_is_recorded,
    an_old_claim_runs_nothing, command_inherits_no_mask_of_its_supervisor,
    the_next_attempt_continues_from_the_checkpoint, what_cannot_be_started_ends_as_in_a_shell,
    without_its_repository_the_claim_is_given_back,
};
use self::ending::{
    a_cancelled_job_is_ended, cancel_in_the_log_alone_ends_the_job, cancelled_before_the_start_runs_nothing,
    command_that_ends_before_its_supervisor_is_signalled_is_interrupted,
    end_that_nothing_asked_for_is_recorded_at_once, over_time_is_ended_with_all_descendants,
    signal_to_the_command_alone_is_the_commands_end, signal_without_a_wish_interrupts_the_job,
    what_a_command_leaves_behind_is_ended,
};
use self::killed::{
    a_killed_supervisor_leaves_an_orphan_then_a_crash, killed_at_any_moment_nothing_runs_twice,
    supervisor_killed_while_interrupted_leaves_that_word, without_its_supervisor_no_command_starts,
};

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
        // Processes that are killed here leave nobody who would remove a control group.
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
