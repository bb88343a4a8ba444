//! Attempts that are ended: by their time, by a cancel, by signals.

use std::time::Duration;

use recovery::jobs::{CancelOutcome, Verdict, cancel};
use recovery::queue::{AttemptOutcome, CrashPolicy, JobSpec, JobStatus, Operation, append};
use recovery::system::{Presence, ProcessIdentity, presence, signal_process};
use rustix::process::Signal;

use super::world::{World, actor, pid_in, settings, shell, wait_until};

pub(super) fn over_time_is_ended_with_all_descendants() {
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

pub(super) fn what_a_command_leaves_behind_is_ended() {
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

pub(super) fn a_cancelled_job_is_ended() {
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

/// The process that cancels may be killed before it signals, be in another process namespace, or not be
/// allowed to signal.
pub(super) fn cancel_in_the_log_alone_ends_the_job() {
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

pub(super) fn signal_without_a_wish_interrupts_the_job() {
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

/// This is as at a shutdown, where the supervisor may be the last to be signalled. One command handles the
/// signal and ends in order, which by its exit status might be its own end; the other dies of it.
pub(super) fn command_that_ends_before_its_supervisor_is_signalled_is_interrupted() {
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
pub(super) fn end_that_nothing_asked_for_is_recorded_at_once() {
    // From the command's last act to the time in the record of its end, whatever this test waits for meanwhile.
    let taken = |script: &str| {
        let mut world = World::new();
        let last_act = world.file("last-act");
        let script = format!("{script}; echo $$ > {}; exit 3", last_act.display());
        assert_eq!(world.begin("a", &script).code(), 0);
        let job = world.job("a");
        assert_eq!((job.status, job.run_state().exit_code), (JobStatus::Failed, Some(3)));
        let ended = last_act.metadata().unwrap().modified().unwrap();
        let ended = ended.duration_since(std::time::UNIX_EPOCH).unwrap();
        let recorded = u64::try_from(world.exit("a").finished_at.as_millis()).unwrap();
        Duration::from_millis(recorded).saturating_sub(ended)
    };
    let pause = Duration::from_millis(400);
    assert!(taken("trap : TERM") >= pause, "it is not asked whether the command has a handler");
    // On a busy machine, single ones may take longer.
    assert!((0..20).any(|_| taken(":") < pause), "each of them waited for a signal");
}

/// Any process of the job may have sent it.
pub(super) fn signal_to_the_command_alone_is_the_commands_end() {
    let mut world = World::new();
    let mut supervisor = world.begin("a", "kill -TERM $$; sleep 60");
    assert_eq!(supervisor.code(), 0);
    let job = world.job("a");
    assert_eq!(
        (job.status, job.run_state().signal, &job.run_state().ended_by),
        (JobStatus::Failed, Some(15), &None)
    );
}

pub(super) fn cancelled_before_the_start_runs_nothing() {
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
