//! Edited, damaged and lost files; other boots and machines; names.

use super::bench::{Bench, REPOSITORY, request};
use recovery::locks::{
    Effective, JobLiveness, LockOutcome, LockRefused, LockVerdict, MetadataRead, ReleaseRefused,
    acquire_for_job, inspect, list, read_metadata, recover_all, try_acquire,
};
use recovery::queue::{Claim, JobId};

#[test]
fn an_earlier_boot_is_stale_even_where_the_pid_lives() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    if bench.metadata().host.machine_id.is_empty() {
        bench.edit(|m| m["host"]["boot_id"] = "earlier".into());
        assert!(matches!(bench.verdict(JobLiveness::Unknown), LockVerdict::Unknown { .. }));
        return; // Without a machine id no earlier boot can be told from another machine.
    }
    // By its id and by the kernel's start.
    bench.edit(|m| {
        m["host"]["boot_id"] = "earlier".into();
        m["host"]["booted_at"] = 1_000.into();
    });
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
}

/// Where the file with the boot's id is hidden from one of two, the process counts for more.
#[test]
fn another_boot_id_alone_gives_no_lock_away_while_its_process_lives() {
    for booted_at in [recovery::system::Host::this().booted_at, None] {
        let bench = Bench::new();
        drop(bench.take().unwrap());
        bench.edit(|m| {
            m["host"]["boot_id"] = "another".into();
            m["host"]["machine_id"] = recovery::system::Host::this().machine_id.into();
            m["host"]["booted_at"] = booted_at.into();
        });
        let expected = match (booted_at, recovery::system::Host::this().machine_id.is_empty()) {
            (None, true) => None, // Nothing tells the machine.
            _ => Some(LockVerdict::Live),
        };
        if let Some(expected) = expected {
            assert_eq!(bench.verdict(JobLiveness::Unknown), expected, "{booted_at:?}");
            assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
        }
    }
}

#[test]
fn another_machine_and_another_namespace_are_unknown() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    // No namespace has this number: a process that sees all namespaces sees that none has it.
    bench.edit(|m| m["host"]["pid_namespace"] = 1.into());
    let sees_all =
        recovery::system::Host::this().sees_all_namespaces() && rustix::process::geteuid().is_root();
    match bench.verdict(JobLiveness::Unknown) {
        LockVerdict::Stale => assert!(sees_all),
        verdict => assert!(!sees_all && matches!(verdict, LockVerdict::Unknown { .. }), "{verdict:?}"),
    }
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
    assert_eq!(bench.take().unwrap().token.get(), 2);
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
        let recovered = recover_all(&bench.dir, &jobs, &mut |_, _| true).unwrap();
        assert_eq!((recovered.unavailable, recovered.free, recovered.kept), (1, 1, 0));
        assert_eq!(recovered.locks[0].repository, REPOSITORY);
        assert_eq!(bench.dir.quarantine().notes().len(), 1);
        assert_eq!(std::fs::read(&paths.metadata).unwrap(), content, "the original stays");
        recover_all(&bench.dir, &jobs, &mut |_, _| true).unwrap();
        assert_eq!(bench.dir.quarantine().notes().len(), 1, "the same bytes are kept once");
        try_acquire(&bench.dir, "other", &request(&jobs)).unwrap().release().unwrap();

        let info = inspect(&bench.dir, REPOSITORY, &jobs).unwrap().unwrap();
        assert!(info.unavailable && info.repository == REPOSITORY && info.lock_id.is_none());
        assert!(matches!(bench.release(None, false), Err(ReleaseRefused::Unknown { .. })));
        assert!(matches!(bench.release(Some("x"), true), Err(ReleaseRefused::Unknown { .. })));
        assert!(bench.release(None, true).unwrap().lock_id.is_none());
        assert_eq!(bench.take().unwrap().token.get(), 3, "the second copy kept the number");
    }
}

/// Each byte of the metadata changed in each bit, blanked and lost, and every length it can be cut to:
/// whatever digit or letter it was, nobody is granted this repository, and everybody any other.
#[test]
fn no_changed_or_lost_byte_of_the_metadata_is_believed() {
    let bench = Bench::new();
    let jobs = |_: &JobId, _| JobLiveness::Over;
    let id = super::bench::job("build");
    drop(
        acquire_for_job(&bench.dir, REPOSITORY, &id, 1, Claim::of_record(41), std::time::Duration::ZERO)
            .unwrap(),
    );
    let paths = bench.dir.paths.lock(REPOSITORY).unwrap();
    let whole = std::fs::read(&paths.metadata).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Over), LockVerdict::Stale, "as it was written");
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    for at in 0..whole.len() {
        let with = |byte: u8| [&whole[..at], &[byte], &whole[at + 1..]].concat();
        damaged.extend((0..8).map(|bit| with(whole[at] ^ (1 << bit))));
        damaged.extend([b' ', 0, b'0', b'1', b'}'].into_iter().filter(|b| *b != whole[at]).map(with));
        damaged.push([&whole[..at], &whole[at + 1..]].concat());
    }
    assert!(damaged.len() > 5_000, "{}", damaged.len());
    for (case, content) in damaged.iter().enumerate() {
        std::fs::write(&paths.metadata, content).unwrap();
        let text = || String::from_utf8_lossy(content).into_owned();
        let read = read_metadata(&paths.metadata, REPOSITORY);
        assert!(matches!(read, MetadataRead::Damaged { .. }), "{}", text());
        if case % 997 == 0 {
            assert!(matches!(bench.take(), Err(LockRefused::Unavailable { .. })), "{}", text());
            try_acquire(&bench.dir, "other", &request(&jobs)).unwrap().release().unwrap();
            let locks = list(&bench.dir, &jobs).unwrap();
            let unavailable: Vec<_> =
                locks.iter().filter(|l| l.unavailable).map(|l| &*l.repository).collect();
            assert_eq!(unavailable, [REPOSITORY], "{}", text());
        }
    }
    // Another boot id throughout is no damage: so a reboot is imitated.
    let text = String::from_utf8(whole.clone()).unwrap();
    let boot_id = recovery::system::Host::this().boot_id;
    assert!(text.matches(&boot_id).count() == 2, "{text}");
    std::fs::write(&paths.metadata, text.replace(&boot_id, "00000000-1111-2222-3333-444444444444")).unwrap();
    assert_eq!(bench.metadata().host.boot_id, "00000000-1111-2222-3333-444444444444");
    std::fs::write(&paths.metadata, &whole).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Over), LockVerdict::Stale);
}

/// What the first version wrote, and what an editor or a script writes, has no checksum.
#[test]
fn metadata_of_the_first_version_and_rewritten_ones_are_read() {
    let bench = Bench::new();
    let paths = bench.dir.paths.lock("web").unwrap();
    let first = include_str!("../../fixtures/locks/version-1.lock.json");
    std::fs::write(&paths.metadata, first).unwrap();
    let MetadataRead::Whole(metadata) = read_metadata(&paths.metadata, "web") else { panic!("{first}") };
    assert_eq!((metadata.version, metadata.token.get(), metadata.process.pid), (1, 7, 4711));
    for cut in 1..first.len() - 1 {
        std::fs::write(&paths.metadata, &first[..cut]).unwrap();
        assert!(
            matches!(read_metadata(&paths.metadata, "web"), MetadataRead::Damaged { .. }),
            "cut at {cut}"
        );
    }
    drop(bench.take().unwrap());
    bench.edit(|m| m["operation"] = "looked at".into());
    assert_eq!(bench.metadata().operation, "looked at");
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
    assert_eq!(grant.token.get(), 4);
    grant.release().unwrap();
    std::fs::write(&paths.flock, b"garbage that is longer than the thirty bytes of a number").unwrap();
    let grant = bench.take().unwrap();
    assert_eq!(grant.token.get(), 5);
    grant.release().unwrap();
    let text = std::fs::read_to_string(&paths.flock).unwrap();
    assert!(text.lines().count() == 2 && !text.contains("garbage"), "{text}");
    std::fs::write(&paths.flock, b"garbage").unwrap();
    std::fs::write(&paths.metadata, b"garbage").unwrap();
    bench.release(None, true).unwrap();
    assert!(bench.take().unwrap().token.get() > 1_000_000, "far above what either copy can have said");
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
