//! Attempts that began in another boot, in another process namespace or on another machine.

use std::process::Command;
use std::time::Duration;

use recovery::jobs::{Condition, Liveness, Reconciliation, Verdict};
use recovery::queue::{AfterCrash, JobStatus};
use recovery::system::{Host, ProcessIdentity};

use super::{Living, World, gone, is_orphan_of};

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

/// The file with the boot's id may be hidden from one of two processes, or mounted over.
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
