//! Each check gets right facts once and wrong ones many times: a demonstration that cannot fail shows
//! nothing.

use recovery::queue::{Claim, JobStatus};

use super::*;
use crate::command::demo::facts::{LockFact, RecoveryFact, read_counted, read_witness};

/// Returns the facts when all goes well.
fn good() -> Facts {
    let fact = |name: &str, status, attempt, exit_code, claim| JobFact {
        job_id: name.to_owned(),
        status,
        attempt,
        exit_code,
        claim,
    };
    let recovered = CAST.iter().map(|r| {
        let (status, attempt) = r.recovered();
        let exit_code = (r.fate == Fate::EndsAlone).then_some(r.exit_code);
        fact(r.name, status, attempt, exit_code, None)
    });
    let end = (100..).zip(&CAST).map(|(claim, r)| {
        let (status, attempt, exit_code) = r.at_the_end();
        fact(r.name, status, attempt, exit_code, Some(Claim::of_record(claim)))
    });
    let lock = |(repository, outcome): (&str, &str)| LockFact {
        repository: repository.to_owned(),
        outcome: outcome.to_owned(),
        holder: String::new(),
    };
    let locks =
        [("api", "released"), ("db", "released"), ("docs", "kept"), ("models", "released"), ("web", "kept")];
    let counted: String =
        (1..=COUNT_TO).map(|n| format!("{n} {}\n", if n <= COUNTED_BEFORE { 1 } else { 2 })).collect();
    Facts {
        acknowledged: CAST.iter().map(|r| r.name.to_owned()).collect(),
        damaged: vec!["queue/log/1.log".to_owned()],
        quarantined: vec!["queue/log/1.log".to_owned()],
        recovery: RecoveryFact { outcome: "completed".to_owned(), ..RecoveryFact::default() },
        recovered: recovered.collect(),
        line_after: in_order(Role::waits_after_recovery).into_iter().map(str::to_owned).collect(),
        locks: locks.into_iter().map(lock).collect(),
        end: end.collect(),
        witness: read_witness(&witness()),
        counted: read_counted(&counted),
        ..Facts::default()
    }
}

fn witness() -> String {
    let mut text = format!("start {LOCK_HOLDER} 1\n");
    let running = || CAST.iter().filter(|r| r.runs_at_the_crash());
    running().for_each(|r| text += &format!("start {} 1\n", r.name));
    running().filter(|r| r.dies()).for_each(|r| text += &format!("killed {} 1\n", r.name));
    running().filter(|r| !r.dies()).for_each(|r| text += &format!("end {} 1\n", r.name));
    text += &format!("end {LOCK_HOLDER} 1\n");
    for name in in_order(Role::waits_after_recovery) {
        let attempt = role_of(name).map_or(1, |r| r.at_the_end().1);
        text += &format!("start {name} {attempt}\nend {name} {attempt}\n");
    }
    text
}

/// Returns the checks that fail when the facts are changed.
fn broken(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    let mut facts = good();
    change(&mut facts);
    let broken = check_all(&facts).into_iter().filter(|c| !c.held);
    broken.inspect(|c| assert!(!c.failures.is_empty())).map(|c| c.check).collect()
}

fn find<'a>(jobs: &'a mut [JobFact], name: &str) -> &'a mut JobFact {
    jobs.iter_mut().find(|j| j.job_id == name).unwrap()
}

#[test]
fn right_facts_hold() {
    assert_eq!(broken(|_| {}), Vec::<&str>::new());
}

#[test]
fn a_lost_a_doubled_and_an_unasked_job_are_seen() {
    assert_eq!(broken(|f| f.end.retain(|j| j.job_id != "test-web")), ["acknowledged", "order", "ends"]);
    assert_eq!(broken(|f| f.recovered.retain(|j| j.job_id != "rotate-logs")), ["acknowledged"]);
    assert_eq!(broken(|f| f.recovered.push(f.recovered[0].clone())), ["acknowledged"]);
    assert_eq!(broken(|f| f.acknowledged.truncate(14)), ["acknowledged"]);
    let stranger = |f: &mut Facts| {
        f.end.push(JobFact { job_id: "stranger".to_owned(), ..f.end[0].clone() });
    };
    assert_eq!(broken(stranger), ["acknowledged"]);
}

#[test]
fn what_became_of_the_running_jobs_is_seen() {
    let set = |name: &'static str, status, attempt| {
        move |f: &mut Facts| {
            let job = find(&mut f.recovered, name);
            (job.status, job.attempt) = (status, attempt);
        }
    };
    assert_eq!(broken(set("build-web", JobStatus::Queued, 2)), ["re-attached"]);
    assert_eq!(broken(set("migrate-db", JobStatus::Queued, 2)), ["crashed"]);
    assert_eq!(broken(set("deploy-api", JobStatus::Running, 1)), ["crashed"]);
    assert_eq!(broken(set("nightly-report", JobStatus::Crashed, 1)), ["ended-alone"]);
    assert_eq!(broken(|f| find(&mut f.recovered, "nightly-report").exit_code = Some(0)), ["ended-alone"]);
}

#[test]
fn a_wrong_order_is_seen() {
    assert_eq!(broken(|f| f.line_after.swap(0, 1)), ["order"]);
    assert_eq!(broken(|f| f.line_after.clear()), ["order"]);
    let late = |f: &mut Facts| find(&mut f.end, "send-invoices").claim = Some(Claim::of_record(900));
    assert_eq!(broken(late), ["order"]);
    assert_eq!(
        broken(|f| find(&mut f.end, "hotfix-web").claim = Some(Claim::of_record(1))),
        Vec::<&str>::new()
    );
}

#[test]
fn wrong_locks_are_seen() {
    assert_eq!(broken(|f| f.locks[4].outcome = "released".to_owned()), ["locks"]);
    assert_eq!(broken(|f| f.locks[0].outcome = "kept".to_owned()), ["locks"]);
    assert_eq!(broken(|f| f.locks.clear()), ["locks"]);
}

#[test]
fn damage_without_quarantine_and_a_failed_recovery_are_seen() {
    assert_eq!(broken(|f| f.quarantined.clear()), ["damage"]);
    assert_eq!(broken(|f| f.damaged.clear()), ["damage"]);
    assert_eq!(broken(|f| f.recovery.outcome = "failed".to_owned()), ["damage"]);
}

#[test]
fn two_attempts_at_once_and_two_holders_are_seen() {
    let add = |lines: &'static str| move |f: &mut Facts| f.witness.extend(read_witness(lines));
    let early = |f: &mut Facts| {
        let at = f.witness.iter().position(|w| w.event == Event::Killed && w.name == "train-model").unwrap();
        let killed = f.witness.remove(at);
        f.witness.push(killed);
    };
    assert_eq!(broken(early), ["once", "exclusive"]);
    assert_eq!(broken(add("start rotate-logs 1\nend rotate-logs 1\n")), ["once"]);
    assert_eq!(broken(add("start rotate-logs 2\nend rotate-logs 2\n")), ["once"]);
    assert_eq!(broken(add("end rotate-logs 1\n")), ["once"]);
    assert_eq!(broken(|f| f.witness.retain(|w| w.name != "rotate-logs")), ["once"]);
    let inside = |f: &mut Facts| {
        let at = |f: &Facts, name| f.witness.iter().position(|w| w.name == name).unwrap();
        let start = at(f, "publish-docs");
        let moved = f.witness.remove(start);
        f.witness.insert(at(f, LOCK_HOLDER) + 1, moved);
    };
    assert_eq!(broken(inside), ["exclusive"]);
}

#[test]
fn numbers_left_out_or_counted_twice_are_seen() {
    assert_eq!(broken(|f| f.counted.push((COUNTED_BEFORE, 2))), ["checkpoint"]);
    assert_eq!(broken(|f| f.counted.truncate(30)), ["checkpoint"]);
    assert_eq!(broken(|f| f.counted.iter_mut().for_each(|c| c.1 = 2)), ["checkpoint"]);
}

#[test]
fn wrong_ends_are_seen() {
    assert_eq!(broken(|f| find(&mut f.end, "lint-docs").exit_code = Some(0)), ["ends"]);
    assert_eq!(broken(|f| find(&mut f.end, "deploy-api").attempt = 3), ["ends"]);
    assert_eq!(broken(|f| find(&mut f.end, "migrate-db").status = JobStatus::Failed), ["ends"]);
}
