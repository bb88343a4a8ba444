//! The queue on disk: fallbacks from damaged and lost files, failing disks, checkpoints of others.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{EIO, ENOSPC, Faults, Refuse, scratch};
use recovery::durable::log::{LogError, SegmentFile};
use recovery::durable::{Disk, Effect, Observer};
use recovery::queue::{
    Actor, AfterCrash, AttemptOutcome, Claim, End, JobId, JobSpec, JobStatus, Method, Operation, Queue,
    Record, SnapshotFile, Submission, append, open_log, records_since, recover, repair_files,
};
use recovery::state::{Clock, StateDir};

fn state_on(root: &Path, disk: Disk) -> StateDir {
    StateDir::open_or_create(&root.join("s"), disk, Clock::system()).unwrap()
}

fn state(root: &Path) -> StateDir {
    state_on(root, Disk::real())
}

fn actor() -> Actor {
    Actor { by: "test".to_owned(), why: None }
}

fn submission(name: &str) -> Submission {
    let spec = JobSpec { command: vec!["true".to_owned()], max_attempts: 3, ..JobSpec::default() };
    Submission { job: name.parse().unwrap(), priority: 0, repository: None, spec }
}

fn submit(name: &str) -> Operation {
    Operation::Submit(submission(name))
}

fn claim(name: &str, attempt: u32) -> Operation {
    Operation::Claim { job: name.parse().unwrap(), attempt, host: None }
}

fn crash(name: &str, attempt: u32, claim: u64) -> Operation {
    Operation::End(End {
        job: name.parse().unwrap(),
        attempt,
        claim: Claim::of_record(claim),
        outcome: AttemptOutcome::Crashed,
        exit_code: None,
        signal: None,
        ended_at: None,
        reason: None,
        after_crash: Some(AfterCrash::Hold),
        started_at: None,
        ended_by: None,
        by_itself: false,
        evidence: Vec::new(),
    })
}

fn documents(queue: &Queue) -> Vec<String> {
    queue.state().jobs().map(|j| serde_json::to_string(&j.to_document()).unwrap()).collect()
}

fn snapshots(dir: &StateDir) -> Vec<SnapshotFile> {
    SnapshotFile::list(&dir.paths.queue()).unwrap()
}

fn segments(dir: &StateDir) -> Vec<PathBuf> {
    let files = SegmentFile::list(&dir.paths.queue_log()).unwrap();
    files.into_iter().map(|s| s.path).collect()
}

/// Records, a snapshot, records, a snapshot, records; and what the queue says then.
fn history(dir: &StateDir) -> Vec<String> {
    append(dir, &actor(), &[submit("a"), submit("b"), claim("a", 1)]).unwrap();
    Queue::open(dir).unwrap().checkpoint().unwrap().unwrap();
    append(dir, &actor(), &[crash("a", 1, 3), submit("c"), claim("b", 1)]).unwrap();
    Queue::open(dir).unwrap().checkpoint().unwrap().unwrap();
    append(dir, &actor(), &[submit("d"), Operation::Cancel { job: "c".parse().unwrap() }]).unwrap();
    let queue = Queue::open(dir).unwrap();
    assert_eq!((queue.replayed().method, queue.state().last_seq()), (Method::Snapshot, 8));
    documents(&queue)
}

fn spoiled(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![("emptied".to_owned(), Vec::new()), ("garbage".to_owned(), vec![0xa5; 700])];
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        all.push((format!("byte {at}"), flipped));
        if at % 7 == 0 {
            all.push((format!("cut at {at}"), bytes[..at].to_vec()));
        }
    }
    all.push(("longer".to_owned(), [bytes, b"x"].concat()));
    all
}

#[test]
fn whatever_happens_to_the_newest_snapshot_the_one_before_says_the_same() {
    let root = scratch();
    let dir = state(root.path());
    let expected = history(&dir);
    let newest = snapshots(&dir)[0].path.clone();
    let whole = fs::read(&newest).unwrap();
    for (what, bytes) in spoiled(&whole) {
        fs::write(&newest, bytes).unwrap();
        let queue = Queue::open(&dir).unwrap();
        assert_eq!(queue.replayed().method, Method::PreviousSnapshot, "{what}");
        assert_eq!(documents(&queue), expected, "{what}");
        assert!(!queue.replayed().may_lack_jobs() && !queue.replayed().is_clean(), "{what}");
    }
    fs::remove_file(&newest).unwrap();
    let queue = Queue::open(&dir).unwrap();
    assert_eq!((documents(&queue), queue.replayed().is_clean()), (expected, true));
}

#[test]
fn without_any_snapshot_the_log_tells_as_far_as_it_goes() {
    for remove in [false, true] {
        let root = scratch();
        let dir = state(root.path());
        append(&dir, &actor(), &[submit("a"), submit("b")]).unwrap();
        Queue::open(&dir).unwrap().checkpoint().unwrap().unwrap();
        append(&dir, &actor(), &[submit("c")]).unwrap();
        let expected = documents(&Queue::open(&dir).unwrap());
        let spoil = |s: &SnapshotFile| {
            if remove { fs::remove_file(&s.path).unwrap() } else { fs::write(&s.path, b"garbage").unwrap() }
        };
        snapshots(&dir).iter().for_each(spoil);
        let queue = Queue::open(&dir).unwrap();
        assert_eq!((queue.replayed().method, documents(&queue)), (Method::Log, expected));
        assert!(!queue.replayed().may_lack_jobs(), "the log is whole");

        let root = scratch();
        let dir = state(root.path());
        history(&dir);
        snapshots(&dir).iter().for_each(spoil);
        let queue = Queue::open(&dir).unwrap();
        assert_eq!(queue.replayed().method, Method::Log);
        assert!(queue.replayed().may_lack_jobs(), "its beginning was removed");
        assert_eq!(queue.replayed().log.missing, [(1, 3)]);
    }
}

#[test]
fn a_lost_beginning_is_noticed_even_if_nothing_follows() {
    let root = scratch();
    let dir = state(root.path());
    history(&dir);
    for _ in 0..2 {
        Queue::open(&dir).unwrap().checkpoint().unwrap().unwrap();
        append(&dir, &actor(), &[Operation::Remove { jobs: Vec::new() }]).unwrap();
    }
    Queue::open(&dir).unwrap().checkpoint().unwrap().unwrap();
    Queue::open(&dir).unwrap().log().unwrap().remove_until(u64::MAX - 1).unwrap();
    snapshots(&dir).iter().for_each(|s| fs::remove_file(&s.path).unwrap());
    let queue = Queue::open(&dir).unwrap();
    assert_eq!(queue.state().jobs().len(), 0);
    assert!(queue.replayed().may_lack_jobs());
}

#[test]
fn a_lost_log_does_not_give_numbers_twice() {
    for lose_page in [false, true] {
        let root = scratch();
        let dir = state(root.path());
        history(&dir);
        let newest = snapshots(&dir)[0].seq;
        segments(&dir).iter().for_each(|s| fs::remove_file(s).unwrap());
        if lose_page {
            fs::remove_file(dir.paths.queue_log().join("commit.page")).unwrap();
        }
        let queue = Queue::open(&dir).unwrap();
        assert_eq!(queue.replayed().method, Method::Snapshot);
        assert_eq!(queue.state().jobs().len(), 3);
        // The page, where it is left, knows that there was more.
        assert_eq!(queue.replayed().may_lack_jobs(), !lose_page);
        let given = append(&dir, &actor(), &[submit("e")]).unwrap();
        assert_eq!(given, [if lose_page { newest + 1 } else { 9 }]);
        assert_eq!(Queue::open(&dir).unwrap().state().jobs().len(), 4);
    }
}

#[test]
fn a_damaged_last_record_is_not_forgotten_by_mending_the_end() {
    let root = scratch();
    let dir = state(root.path());
    append(&dir, &actor(), &[submit("a"), submit("b")]).unwrap();
    let segment = segments(&dir).pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&b| b != 0).unwrap();
    bytes[end - 5] ^= 1;
    fs::write(&segment, bytes).unwrap();
    fs::remove_file(dir.paths.queue_log().join("commit.page")).unwrap();
    let mut repaired = recover(&dir).unwrap();
    assert!(repaired.may_lack_jobs);
    assert_eq!(repaired.missing, [(2, 2)]);
    repair_files(&dir, &mut repaired).unwrap();
    assert_eq!(append(&dir, &actor(), &[submit("c")]).unwrap(), [3]);
    let kept = dir.quarantine().notes();
    assert!(kept.iter().any(|n| n.from == segment), "{kept:?}");
    let again = recover(&dir).unwrap();
    assert!(!again.needs_repair() && !again.may_lack_jobs, "{again:?}");
}

#[test]
fn damage_is_kept_before_a_checkpoint_removes_its_segment() {
    let root = scratch();
    let dir = state(root.path());
    append(&dir, &actor(), &[submit("a"), submit("b")]).unwrap();
    Queue::open(&dir).unwrap().checkpoint().unwrap().unwrap();
    append(&dir, &actor(), &[submit("c")]).unwrap();
    let first = segments(&dir).swap_remove(0);
    let mut bytes = fs::read(&first).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    fs::write(&first, bytes).unwrap();
    let mut repaired = recover(&dir).unwrap();
    assert!(repaired.needs_repair() && !repaired.may_lack_jobs);
    repair_files(&dir, &mut repaired).unwrap();
    assert!(!first.exists(), "the snapshot before covers it");
    let kept = dir.quarantine().notes();
    assert!(kept.iter().any(|n| n.from == first), "{kept:?}");
}

#[test]
fn a_batch_enters_as_a_whole_or_not_at_all() {
    let root = scratch();
    let dir = state(root.path());
    append(&dir, &actor(), &[submit("b")]).unwrap();
    let batch =
        |names: &[&str]| Operation::SubmitBatch { jobs: names.iter().map(|n| submission(n)).collect() };
    append(&dir, &actor(), &[batch(&["a", "b", "c"]), batch(&["x", "y"])]).unwrap();
    let queue = Queue::open(&dir).unwrap();
    let names: Vec<String> = queue.state().queued().map(|j| j.id.to_string()).collect();
    assert_eq!(names, ["b", "x", "y"]);
    assert_eq!(queue.replayed().refused.len(), 1);
}

#[test]
fn records_about_a_job_are_found_from_a_number_on_whatever_its_name() {
    let root = scratch();
    let dir = state(root.path());
    for name in ["plain", "with \"quotes\" and \\", "é 𝄞", "0192f0c1-2345-7abc-8def-0123456789ab"] {
        let id: JobId = name.parse().unwrap();
        let before = Queue::open(&dir).unwrap().state().last_seq();
        let batch = Operation::SubmitBatch { jobs: vec![submission(&format!("{name}2")), submission(name)] };
        let operations = [
            batch,
            claim(name, 1),
            submit(&format!("other {name}")),
            crash(name, 1, before + 2),
            Operation::Remove { jobs: vec![id.clone()] },
        ];
        append(&dir, &actor(), &operations).unwrap();
        let found = |from| -> Vec<u64> {
            records_since(&dir, from, &id).unwrap().into_iter().map(|(seq, _)| seq - before).collect()
        };
        assert_eq!(found(0), [1, 2, 4, 5], "{name}");
        assert_eq!(found(before + 2), [2, 4, 5], "{name}");
        assert_eq!(found(before + 5), [5], "{name}");
        assert!(found(before + 6).is_empty());
    }
}

#[test]
fn every_job_is_claimed_once_however_many_claim() {
    let root = scratch();
    let dir = state(root.path());
    let jobs: Vec<Operation> = (0..200).map(|n| submit(&format!("j{n}"))).collect();
    append(&dir, &actor(), &jobs).unwrap();
    let claimed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut queue = Queue::open(&dir).unwrap();
                loop {
                    let (numbers, job) = queue
                        .transact(&actor(), |state| match state.queued().next() {
                            Some(j) => (
                                vec![Operation::Claim { job: j.id.clone(), attempt: 1, host: None }],
                                Some(j.id.clone()),
                            ),
                            None => (Vec::new(), None),
                        })
                        .unwrap();
                    let Some(job) = job else { break };
                    assert_eq!(
                        queue.state().get(&job).unwrap().run_state().claim,
                        Some(Claim::of_record(numbers[0]))
                    );
                    claimed.lock().unwrap().push(job);
                }
                assert!(queue.replayed().refused.is_empty());
            });
        }
    });
    let mut claimed = claimed.into_inner().unwrap();
    assert_eq!(claimed.len(), 200);
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 200);
    assert!(Queue::open(&dir).unwrap().replayed().is_clean());
}

#[test]
fn who_was_left_behind_by_two_checkpoints_decides_on_the_present_queue() {
    let root = scratch();
    let dir = state(root.path());
    append(&dir, &actor(), &[submit("a")]).unwrap();
    let mut left_behind = Queue::open(&dir).unwrap();
    append(&dir, &actor(), &[claim("a", 1)]).unwrap();
    for n in 0..3 {
        Queue::open(&dir).unwrap().checkpoint().unwrap().unwrap();
        append(&dir, &actor(), &[submit(&format!("x{n}"))]).unwrap();
    }
    let seen = left_behind.transact(&actor(), |s| (Vec::new(), s.get(&"a".parse().unwrap()).unwrap().status));
    assert_eq!(seen.unwrap().1, JobStatus::Running);
    assert_eq!(documents(&left_behind), documents(&Queue::open(&dir).unwrap()));
    assert!(left_behind.replayed().is_clean());
}

/// Does something once, when a segment is about to be synced.
struct AtSync<F>(AtomicBool, F);

impl<F: Fn() + Send + Sync> Observer for AtSync<F> {
    fn before(&self, effect: &Effect<'_>) -> std::io::Result<()> {
        if matches!(effect, Effect::Sync { path, .. } if path.extension().is_some_and(|e| e == "log"))
            && !self.0.swap(true, Ordering::SeqCst)
        {
            (self.1)();
        }
        Ok(())
    }

    fn after(&self, _: &Effect<'_>) {}
}

#[test]
fn a_checkpoint_while_the_queue_is_opened_is_not_applied_again() {
    let root = scratch();
    let dir = state(root.path());
    append(&dir, &actor(), &[submit("a"), claim("a", 1), crash("a", 1, 2)]).unwrap();
    // The record is written and not synced yet, so that opening syncs it after it determined the log's end.
    let record = Record { at: dir.clock.now(), actor: actor(), operation: submit("b") };
    let line = record.to_line().unwrap();
    open_log(&dir).unwrap().locked::<_, LogError>(|l| l.append(&[line])).unwrap();
    let meanwhile = dir.clone();
    let act = move || {
        let resume = Operation::Resume { job: "a".parse().unwrap(), fresh: false, attempt: None };
        let operations = [resume, claim("a", 2), crash("a", 2, 6)];
        let mut other = Queue::open(&meanwhile).unwrap();
        other.transact(&actor(), |_| (operations.to_vec(), ())).unwrap();
        other.checkpoint().unwrap().unwrap();
    };
    let disk = Disk::observed(Arc::new(AtSync(AtomicBool::new(false), act)));
    let mut queue = Queue::open(&state_on(root.path(), disk)).unwrap();
    append(&dir, &actor(), &[submit("c")]).unwrap();
    queue.refresh().unwrap();
    let job = queue.state().get(&"a".parse().unwrap()).unwrap();
    assert_eq!((job.status, job.attempt), (JobStatus::Crashed, 2));
    assert_eq!(documents(&queue), documents(&Queue::open(&dir).unwrap()));
    assert!(queue.replayed().refused.is_empty(), "{:?}", queue.replayed().refused);
}

#[test]
fn checkpoints_appends_and_followers_at_once() {
    let root = scratch();
    let dir = state(root.path());
    append(&dir, &actor(), &[submit("first")]).unwrap();
    let busy = AtomicU64::new(5);
    std::thread::scope(|scope| {
        for t in 0..3 {
            let (dir, busy) = (&dir, &busy);
            scope.spawn(move || {
                for n in 0..60 {
                    append(dir, &actor(), &[submit(&format!("{t}-{n}"))]).unwrap();
                }
                busy.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut queue = Queue::open(&dir).unwrap();
                let mut done = 0;
                while done < 6 {
                    done += u32::from(queue.checkpoint().unwrap().is_some());
                }
                busy.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            let mut follower = Queue::open(&dir).unwrap();
            while busy.load(Ordering::SeqCst) > 0 {
                let jobs = follower.state().jobs().len();
                follower.refresh().unwrap();
                assert!(follower.state().jobs().len() >= jobs);
                assert_eq!(follower.state().jobs().len() as u64, follower.state().last_seq());
                let fresh = Queue::open(&dir).unwrap();
                assert!(fresh.replayed().is_clean(), "{:?}", fresh.replayed().log);
                assert_eq!(fresh.state().jobs().len() as u64, fresh.state().last_seq());
            }
            follower.refresh().unwrap();
            assert_eq!(documents(&follower), documents(&Queue::open(&dir).unwrap()));
            assert!(follower.replayed().refused.is_empty());
        });
    });
    let queue = Queue::open(&dir).unwrap();
    assert_eq!((queue.state().jobs().len(), queue.state().last_seq()), (181, 181));
    assert!(queue.replayed().is_clean());
    assert!(snapshots(&dir).len() <= 2, "{:?}", snapshots(&dir));
}

#[test]
fn whatever_effect_of_a_checkpoint_fails_the_queue_is_the_same() {
    for (errno, once) in [(EIO, true), (ENOSPC, false)] {
        for n in 0.. {
            let root = scratch();
            let dir = state(root.path());
            let expected = history(&dir);
            let (faults, disk) = Faults::new(errno, Refuse::Nothing);
            let mut queue = Queue::open(&state_on(root.path(), disk)).unwrap();
            let n = faults.seen() + n;
            faults.set(if once { Refuse::Only(n) } else { Refuse::From(n) });
            let result = queue.checkpoint();
            drop(queue);
            let again = Queue::open(&dir).unwrap();
            assert_eq!(documents(&again), expected, "effect {n}: {:?}", faults.done().last());
            assert!(again.replayed().is_clean(), "effect {n}: {:?}", again.replayed().log);
            assert_eq!(append(&dir, &actor(), &[submit("z")]).unwrap(), [9]);
            assert!(Queue::open(&dir).unwrap().checkpoint().unwrap().is_some());
            if faults.seen() <= n {
                result.unwrap().unwrap();
                break;
            }
        }
    }
}

#[test]
fn whatever_effect_of_a_transaction_fails_it_happened_or_not() {
    for n in 0.. {
        let root = scratch();
        let dir = state(root.path());
        append(&dir, &actor(), &[submit("a")]).unwrap();
        let (faults, disk) = Faults::new(ENOSPC, Refuse::Nothing);
        let mut queue = Queue::open(&state_on(root.path(), disk)).unwrap();
        let n = faults.seen() + n;
        faults.set(Refuse::Only(n));
        let result = queue.transact(&actor(), |_| (vec![claim("a", 1)], ()));
        let mut again = Queue::open(&dir).unwrap();
        let running = again.state().get(&"a".parse().unwrap()).unwrap().status == JobStatus::Running;
        assert!(running || result.is_err(), "effect {n}");
        let (numbers, ()) = again.transact(&actor(), |_| (vec![submit("b")], ())).unwrap();
        assert_eq!(numbers, [if running { 3 } else { 2 }]);
        assert!(Queue::open(&dir).unwrap().replayed().is_clean(), "effect {n}");
        if faults.seen() <= n {
            assert_eq!(result.unwrap().0, [2]);
            break;
        }
    }
}
