//! Checks whether the facts are as they must be. Every check names what is wrong; none reads the stage.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cast::{
    CAST, COUNT_TO, COUNTED_BEFORE, Fate, LOCK_HOLDER, LOCKED_REPOSITORY, Role, in_order, role_of,
};
use super::facts::{Event, Facts, JobFact, Witness};

/// One promise, and the facts that contradict it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// Its name, in kebab-case.
    pub(super) check: &'static str,
    /// The promise in words.
    pub(super) promise: &'static str,
    pub(super) held: bool,
    /// What was lost, ran twice, and so on; empty when it held.
    pub(super) failures: Vec<String>,
}

type Look = fn(&Facts) -> Vec<String>;

const CHECKS: [(&str, &str, Look); 11] = [
    ("acknowledged", "every acknowledged job is in the queue, once", acknowledged),
    ("re-attached", "what lived was re-attached, not started again", reattached),
    ("crashed", "what died was noticed, and goes by its policy", crashed),
    ("ended-alone", "what ended while no daemon lived kept its exit status", ended_alone),
    ("order", "the waiting line is in the order of submission within a priority", order),
    ("locks", "locks of the living were kept, locks of the dead given back", locks),
    ("damage", "every damaged file was found and is in quarantine", damage),
    ("once", "nothing ran twice at once, and no attempt twice at all", once),
    ("exclusive", "no repository had two holders at once", exclusive),
    ("checkpoint", "the counting job went on from its checkpoint", checkpoint),
    ("ends", "every job ended as its command did", ends),
];

/// All checks, in the order in which they are shown.
pub(super) fn check_all(facts: &Facts) -> Vec<Check> {
    let check = |&(check, promise, look): &(&'static str, &'static str, Look)| {
        let failures = look(facts);
        Check { check, promise, held: failures.is_empty(), failures }
    };
    CHECKS.iter().map(check).collect()
}

fn acknowledged(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for role in &CAST {
        if !facts.acknowledged.iter().any(|id| id == role.name) {
            wrong.push(format!("{} was not acknowledged", role.name));
        }
    }
    for (when, jobs) in [("after the recovery", &facts.recovered), ("at the end", &facts.end)] {
        for id in &facts.acknowledged {
            match jobs.iter().filter(|j| j.job_id == *id).count() {
                1 => {}
                0 => wrong.push(format!("{id} is lost {when}")),
                n => wrong.push(format!("{id} is there {n} times {when}")),
            }
        }
        let known = |job: &&JobFact| !facts.acknowledged.contains(&job.job_id);
        wrong.extend(jobs.iter().filter(known).map(|j| format!("{} was never submitted", j.job_id)));
    }
    wrong
}

fn reattached(facts: &Facts) -> Vec<String> {
    recovered_as_due(facts, |r| r.fate == Fate::Survives)
}

fn crashed(facts: &Facts) -> Vec<String> {
    recovered_as_due(facts, Role::dies)
}

fn ended_alone(facts: &Facts) -> Vec<String> {
    let mut wrong = recovered_as_due(facts, |r| r.fate == Fate::EndsAlone);
    for role in CAST.iter().filter(|r| r.fate == Fate::EndsAlone) {
        let found = job(&facts.recovered, role.name).and_then(|j| j.exit_code);
        if found != Some(role.exit_code) {
            let (name, due) = (role.name, role.exit_code);
            wrong.push(format!("{name} ended with {due}, and the queue says {}", shown(found)));
        }
    }
    wrong
}

/// Compares status and attempt after the recovery, for the roles that `of` selects.
fn recovered_as_due(facts: &Facts, of: impl Fn(&Role) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for role in CAST.iter().filter(|r| of(r)) {
        let (status, attempt) = role.recovered();
        match job(&facts.recovered, role.name) {
            Some(job) if (job.status, job.attempt) == (status, attempt) => {}
            Some(job) => wrong.push(format!(
                "{} is {} in attempt {} after the recovery, not {status} in attempt {attempt}",
                role.name, job.status, job.attempt
            )),
            None => wrong.push(format!("{} is lost after the recovery", role.name)),
        }
    }
    wrong
}

fn order(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    let due = in_order(Role::waits_after_recovery);
    if facts.line_after != due {
        wrong.push(format!("the line is {}, not {}", facts.line_after.join(", "), due.join(", ")));
    }
    let waited: Vec<&Role> = CAST.iter().filter(|r| r.waits_after_recovery()).collect();
    for (at, first) in waited.iter().enumerate() {
        for second in &waited[at + 1..] {
            let comparable = first.repository == second.repository && first.priority == second.priority;
            let claim = |r: &Role| job(&facts.end, r.name).and_then(|j| j.claim);
            let in_order = matches!((claim(first), claim(second)), (Some(a), Some(b)) if a < b);
            if comparable && !in_order {
                wrong.push(format!("{} was not started before {}", first.name, second.name));
            }
        }
    }
    wrong
}

fn locks(facts: &Facts) -> Vec<String> {
    let mut due: BTreeMap<&str, &str> = BTreeMap::from([(LOCKED_REPOSITORY, "kept")]);
    for role in CAST.iter().filter(|r| r.runs_at_the_crash()) {
        if let Some(repository) = role.repository {
            due.insert(repository, if role.dies() { "released" } else { "kept" });
        }
    }
    let found: BTreeMap<&str, &str> =
        facts.locks.iter().map(|l| (l.repository.as_str(), l.outcome.as_str())).collect();
    let names: BTreeSet<&str> = due.keys().chain(found.keys()).copied().collect();
    let says = |all: &BTreeMap<&str, &str>, name| all.get(name).map_or("not held", |s| s).to_owned();
    names
        .into_iter()
        .filter(|name| due.get(name) != found.get(name))
        .map(|name| format!("the lock of {name} was {}, not {}", says(&found, name), says(&due, name)))
        .collect()
}

fn damage(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    if facts.damaged.is_empty() {
        wrong.push("nothing was damaged".to_owned());
    }
    if !matches!(facts.recovery.outcome.as_str(), "completed" | "degraded") {
        wrong.push(format!("the recovery is {}", facts.recovery.outcome));
    }
    let kept = |file: &&String| !facts.quarantined.contains(*file);
    wrong.extend(facts.damaged.iter().filter(kept).map(|f| format!("nothing of {f} is in quarantine")));
    wrong
}

fn once(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open: BTreeSet<(&str, u32)> = BTreeSet::new();
    let mut begun: BTreeSet<(&str, u32)> = BTreeSet::new();
    for Witness { event, name, attempt } in &facts.witness {
        let this = (name.as_str(), *attempt);
        if *event != Event::Start {
            if !open.remove(&this) {
                wrong.push(format!("attempt {attempt} of {name} ended without a start"));
            }
            continue;
        }
        if let Some((_, other)) = open.iter().find(|(n, _)| n == name) {
            wrong.push(format!("attempt {attempt} of {name} began while attempt {other} ran"));
        }
        if !begun.insert(this) {
            wrong.push(format!("attempt {attempt} of {name} was begun twice"));
        }
        open.insert(this);
    }
    wrong.extend(open.iter().map(|(name, attempt)| format!("attempt {attempt} of {name} never ended")));
    let due = |r: &Role| (1..=r.at_the_end().1).map(|n| (r.name, n)).collect::<Vec<_>>();
    let due: BTreeSet<_> = CAST.iter().flat_map(due).chain([(LOCK_HOLDER, 1)]).collect();
    wrong.extend(due.difference(&begun).map(|(name, n)| format!("attempt {n} of {name} never began")));
    wrong.extend(begun.difference(&due).map(|(name, n)| format!("{name} began an attempt {n} too many")));
    wrong
}

fn exclusive(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Witness { event, name, .. } in &facts.witness {
        let holder = role_of(name).map_or(Some(LOCKED_REPOSITORY), |r| r.repository);
        let Some(repository) = holder else { continue };
        let inside = holders.entry(repository).or_default();
        if *event != Event::Start {
            inside.retain(|n| n != name);
            continue;
        }
        if let Some(other) = inside.first() {
            wrong.push(format!("{name} worked on {repository} while {other} did"));
        }
        inside.push(name);
    }
    wrong
}

fn checkpoint(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut times: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for &(number, attempt) in &facts.counted {
        times.entry(number).or_default().push(attempt);
    }
    for number in 1..=COUNT_TO {
        let due = if number <= COUNTED_BEFORE { 1 } else { 2 };
        match times.get(&number).map(Vec::as_slice) {
            Some([attempt]) if *attempt == due => {}
            Some([attempt]) => wrong.push(format!("{number} was counted in attempt {attempt}, not {due}")),
            Some(many) => wrong.push(format!("{number} was counted {} times", many.len())),
            None => wrong.push(format!("{number} was not counted")),
        }
    }
    wrong
}

fn ends(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for role in &CAST {
        let due = role.at_the_end();
        let Some(job) = job(&facts.end, role.name) else {
            wrong.push(format!("{} is lost at the end", role.name));
            continue;
        };
        if (job.status, job.attempt, job.exit_code) != due {
            let (found, wanted) = (shown(job.exit_code), shown(due.2));
            wrong.push(format!(
                "{} is {} in attempt {} with {found}, not {} in attempt {} with {wanted}",
                role.name, job.status, job.attempt, due.0, due.1
            ));
        }
    }
    wrong
}

fn job<'a>(jobs: &'a [JobFact], name: &str) -> Option<&'a JobFact> {
    jobs.iter().find(|j| j.job_id == name)
}

fn shown(exit_code: Option<i32>) -> String {
    exit_code.map_or_else(|| "no exit status".to_owned(), |code| format!("exit status {code}"))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
