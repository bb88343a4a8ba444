//! Supervisors that are killed: before the command, while it runs, at any moment.

use std::process::Command;
use std::time::Duration;

use recovery::jobs::{CommandRecord, Sentinel, Stored, Verdict, reattach};
use recovery::queue::JobStatus;
use recovery::system::{ProcessIdentity, end_process, signal_process};
use rustix::process::Signal;

use super::world::{World, pid_in, settings, shell, wait_until};

pub(super) fn supervisor_killed_while_interrupted_leaves_that_word() {
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
    // The last process that the command started may live a moment longer.
    wait_until("a recovery finds it gone", || {
        reattach(&world.dir, &mut world.queue, &settings(), &mut |_, _| true).unwrap();
        world.status("a") != JobStatus::Running
    });
    let job = world.job("a");
    assert_eq!((job.status, job.run_state().reason.as_deref()), (JobStatus::Crashed, Some("interrupted")));
    assert_eq!(job.run_state().ended_by.as_ref().unwrap().signal, Some(15));
}

pub(super) fn a_killed_supervisor_leaves_an_orphan_then_a_crash() {
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

pub(super) fn without_its_supervisor_no_command_starts() {
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

/// Supervisors are killed after a growing time; whatever then is recorded must be what happened.
pub(super) fn killed_at_any_moment_nothing_runs_twice() {
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
        // The test tries this moment; it does not wait for anything.
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
