//! Many contenders, of which some are killed.

use super::bench::{Bench, LONG, REPOSITORY, request, take, until};
use super::other::Other;
use recovery::locks::{HeldBy, JobLiveness, LockRequest, acquire};
use recovery::queue::JobId;

#[test]
fn a_waiter_is_told_the_holder_once_and_then_granted() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    let id = other.hear("held").split(' ').next().unwrap().to_owned();
    let (pid, stdin) = (other.child.id(), std::cell::RefCell::new(other.child.stdin.take()));
    let told = std::cell::RefCell::new(Vec::new());
    let waiting = |by: &HeldBy| {
        told.borrow_mut().push((by.lock_id.clone(), by.pid));
        stdin.borrow_mut().take(); // The holder gives back.
    };
    let jobs = |_: &JobId, _| JobLiveness::Unknown;
    let request = LockRequest { waiting: &waiting, ..request(&jobs) };
    let grant = acquire(&bench.dir, REPOSITORY, &request, LONG).unwrap();
    assert_eq!(*told.borrow(), [(Some(id), Some(pid))]);
    assert_eq!(grant.token.get(), 2);
    grant.release().unwrap();
    assert!(other.child.wait().unwrap().success());
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
        let before = grants();
        until("somebody is granted the lock", || grants() > before);
        // Every second time, the present holder is killed, if it can be determined.
        let owner = std::fs::read_to_string(bench.file("owner")).unwrap();
        let of_owner = contenders.iter().position(|c| owner.starts_with(&format!("{} ", c.child.id())));
        let random = usize::try_from(seed % 20).unwrap();
        let victim = contenders.swap_remove(of_owner.filter(|_| seed.is_multiple_of(2)).unwrap_or(random));
        // Each kill comes at another part of the cycle.
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
    assert!(bench.metadata().token.get() >= *tokens.last().unwrap());
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
                    granted.lock().unwrap().push(grant.token.get());
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    grant.release().unwrap();
                }
            });
        }
    });
    assert_eq!(*granted.lock().unwrap(), (1..=100).collect::<Vec<u64>>());
}
