//! The conditions that must hold on every disk after recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::facts::Fact;
use crate::kinds::unreadable;
use crate::tree::{Node, Tree};
use crate::view::View;

/// The files that a recovery writes whether or not there is anything to recover: its own progress and
/// history, the startup's, the hints in lock files, the plan that its look for orphans makes, and the page of
/// shared memory of a log. Nothing else may differ after a second recovery.
pub(crate) fn recovery_always_writes(path: &Path) -> bool {
    const FILES: [&str; 7] = [
        "state/webhooks/deliver.lock",
        "state/recovery/current.json",
        "state/recovery/last.json",
        "state/recovery/history.json",
        "state/recovery/recovery.lock",
        "state/startup/startup.lock",
        "state/orphans/candidates.json",
    ];
    FILES.iter().any(|f| path == Path::new(f))
        || path.ends_with("commit.page")
        || path.starts_with("state/startup/log")
}

/// Checks that every acknowledged thing is visible once, and everything else is there completely or not at
/// all.
pub(crate) fn acknowledged(
    view: &View,
    facts: &BTreeMap<String, Fact>,
    world: &Path,
    has_lost_power: bool,
) -> Result<(), String> {
    let ids: BTreeSet<&str> = view.jobs.iter().map(|j| j.id.as_str()).collect();
    if ids.len() != view.jobs.len() {
        return Err(format!("a job is there twice: {:?}", view.jobs));
    }
    let is_expected =
        |object: &String| facts.contains_key(&Fact::MayBeDegraded { object: object.clone() }.key());
    if let Some((object, why)) = view.degraded.iter().find(|(object, _)| !is_expected(object)) {
        return Err(format!("{object} cannot be used: {why}"));
    }
    // A job that is being removed is visible until it is gone; the fact of its removal is checked instead.
    let is_removed = |fact: &Fact| match fact {
        Fact::Job { id, .. } => facts.contains_key(&Fact::removal_key(id)),
        _ => false,
    };
    let may_have_begun = |fact: &Fact| match fact {
        Fact::Job { id, .. } if has_lost_power && facts.contains_key(&Fact::may_have_begun_key(id)) => {
            view.jobs.iter().any(|job| job.id == *id && job.status == "crashed")
        }
        _ => false,
    };
    let mut checked = facts.values().filter(|fact| !is_removed(fact) && !may_have_begun(fact));
    checked.try_for_each(|fact| holds(view, fact, world))
}

fn holds(view: &View, fact: &Fact, world: &Path) -> Result<(), String> {
    let says = |holds: bool, why: String| if holds { Ok(()) } else { Err(why) };
    let once = |all: &[String], what: &str| {
        let times = all.iter().filter(|seen| seen.as_str() == what).count();
        says(times == 1, format!("'{what}' is there {times} times, not once: {all:?}"))
    };
    match fact {
        Fact::Job { id, any_of, attempt } => match view.jobs.iter().find(|j| j.id == *id) {
            None => Err(format!("job {id} was acknowledged and is not there")),
            Some(job) => {
                let fits = any_of.contains(&job.status) && job.attempt >= *attempt;
                says(fits, format!("job {id} should be one of {any_of:?} in attempt {attempt}: {job:?}"))
            }
        },
        Fact::Together { ids } => {
            let there = ids.iter().filter(|id| view.jobs.iter().any(|j| j.id == **id)).count();
            says(there == 0 || there == ids.len(), format!("{there} of {ids:?} are there"))
        }
        Fact::Order { ids } => {
            let line: Vec<&String> = view.line.iter().filter(|id| ids.contains(id)).collect();
            let wanted: Vec<&String> = ids.iter().filter(|id| line.contains(id)).collect();
            says(line == wanted, format!("the order should be {wanted:?} and is {line:?}"))
        }
        Fact::Exit { id, code } => {
            let found = view.jobs.iter().find(|j| j.id == *id).and_then(|j| j.exit_code);
            says(found == Some(*code), format!("job {id} ended with {code}, and {found:?} is shown"))
        }
        Fact::GivenBack { repository, lock_id } => {
            let has =
                view.locks.iter().any(|l| l.repository == *repository && l.lock_id == *lock_id && l.is_held);
            says(!has, format!("lock {lock_id} of {repository} was given back and is held"))
        }
        Fact::Fencing { repository, token } => {
            let found = view.locks.iter().find(|l| l.repository == *repository).map(|l| l.token);
            says(
                found.is_some_and(|t| t >= *token),
                format!("fencing number {token} of {repository} was given, and {found:?} is known"),
            )
        }
        Fact::Removal { id, file, is_done } => removal(view, id, file.as_deref(), *is_done, world),
        Fact::Audit { object } => once(&view.audit, object),
        Fact::DoneToQueue { what } => once(&view.done_to_queue, what),
        Fact::Cleanup { id } => {
            says(view.cleanups.contains(id), format!("cleanup {id} was entered: {:?}", view.cleanups))
        }
        Fact::Lost { object, acknowledged } => {
            let of_it = view.losses.iter().filter(|loss| loss.object == object.as_str());
            let found: Vec<bool> = of_it.map(|loss| loss.acknowledged.is_some()).collect();
            let fits = matches!(&*found, [one] if acknowledged.is_none_or(|wanted| *one == wanted));
            let wanted = format!("{object} should be lost once, acknowledged: {acknowledged:?}");
            says(fits, format!("{wanted}, and is {found:?}"))
        }
        Fact::MayHaveBegun { .. } => Ok(()),  // Looked at above.
        Fact::MayBeGone { .. } => Ok(()),     // Whether it is there says nothing.
        Fact::MayBeDegraded { .. } => Ok(()), // Looked at above.
        Fact::StateId { id } => says(view.state_id == *id, format!("state {id} is {} now", view.state_id)),
        Fact::Delivery { job, any_of } => {
            // A job with a callback has exactly one, whether or not it has ended yet.
            let found = view.deliveries.iter().find(|(id, _)| id == job).map(|(_, standing)| standing);
            let fits = found.is_some_and(|f| any_of.contains(f));
            says(fits, format!("the delivery of {job} should be one of {any_of:?} and is {found:?}"))
        }
        Fact::Startup { id } => once(&view.startups, id),
        Fact::Recovery { id } => once(&view.recoveries, id),
        Fact::Content { path, any_of } => {
            let found = std::fs::read_to_string(world.join("state").join(path)).ok();
            let fits = found.as_ref().is_some_and(|f| any_of.contains(f));
            says(fits, format!("{} should hold one of {any_of:?} and holds {found:?}", path.display()))
        }
    }
}

/// Checks that every document has one complete old or new version on the disk, before anything repairs it.
/// Files that were damaged on purpose before the operation are left out, and after a power loss those that need
/// survive a kill only.
pub(crate) fn documents_are_whole(disk: &Tree, base: &[Tree; 2], has_lost_power: bool) -> Result<(), String> {
    for (path, content) in disk.files() {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // Files in quarantine are damaged by nature; the notes about them are not.
        let is_copy = path.starts_with("state/quarantine") && !name.ends_with(".why.json");
        let may_be_damaged = is_copy || has_lost_power && survives_only_kills(path);
        let is_document = name.ends_with(".json") && path.starts_with("state") && !may_be_damaged;
        let was_so = base.iter().any(|base| base.files().any(|(_, before)| before == content));
        if is_document && !was_so && serde_json::from_slice::<serde_json::Value>(content).is_err() {
            return Err(format!("{} is neither its old nor its new self", path.display()));
        }
    }
    Ok(())
}

/// Whether a file is one of those that ARCHITECTURE.md lets a power loss take: only then may it be damaged or
/// missing, and recovery must not miss it.
fn survives_only_kills(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let is_of_attempt = ["sentinel.json", "command.json", "exit.json"].contains(&name);
    is_of_attempt && path.starts_with("state/attempts")
        || name.ends_with(".job.json") && path.starts_with("state/jobs")
}

/// Checks that the exit status in every complete exit record is its job's, unless a later attempt has begun.
pub(crate) fn exits_are_kept(disk: &Tree, view: &View) -> Result<(), String> {
    for (path, content) in disk.files().filter(|(path, _)| path.ends_with("exit.json")) {
        let Ok(exit) = serde_json::from_slice::<serde_json::Value>(content) else { continue };
        let Some(job) = view.jobs.iter().find(|j| exit["job_id"] == j.id.as_str()) else { continue };
        let code = exit["exit_code"].as_i64();
        if exit["attempt"] == job.attempt && job.status != "queued" && job.exit_code.map(i64::from) != code {
            return Err(format!("{} says {code:?}, and this is shown: {job:?}", path.display()));
        }
    }
    Ok(())
}

fn removal(view: &View, id: &str, file: Option<&Path>, is_done: bool, world: &Path) -> Result<(), String> {
    let jobs = world.join("state/jobs");
    let workspace = jobs.join(id);
    if view.jobs.iter().any(|job| job.id == id) {
        let is_whole = file.is_none_or(|file| workspace.join(file).exists());
        return match (is_done, is_whole) {
            (true, _) => Err(format!("job {id} was removed and is there")),
            (false, false) => Err(format!("job {id} is there and its workspace is not whole")),
            (false, true) => Ok(()),
        };
    }
    let all = [workspace, world.join("state/attempts").join(id), jobs.join(format!("{id}.job.json"))];
    let left = all.into_iter().find(|path| path.exists());
    left.map_or(Ok(()), |path| {
        let held: Vec<_> =
            std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
        let there = path.display();
        Err(format!("job {id} is gone and {there} is there, with {held:?}; jobs: {:?}", view.jobs))
    })
}

/// Checks that nothing unreadable was deleted: it is where it was, or a copy is in quarantine.
pub(crate) fn unreadable_is_kept(before: &Tree, after: &Tree) -> Result<(), String> {
    let kept: Vec<_> = after
        .files()
        .filter(|(path, _)| path.starts_with("state/quarantine"))
        .map(|(_, bytes)| bytes)
        .collect();
    for (path, content) in before.files() {
        for range in unreadable(path, content) {
            let lost = &content[range.clone()];
            let has = |bytes: &[u8]| memchr::memmem::find(bytes, lost).is_some();
            let is_there = after.file(path).is_some_and(|now| has(now));
            if !is_there && !kept.iter().any(|bytes| has(bytes)) {
                let (path, from, to) = (path.display(), range.start, range.end);
                return Err(format!("bytes {from} to {to} of {path} cannot be read and were deleted"));
            }
        }
    }
    Ok(())
}

/// Checks that a second recovery changes nothing.
pub(crate) fn nothing_changed(first: &Tree, second: &Tree) -> Result<(), String> {
    let relevant = |tree: &Tree| -> BTreeMap<std::path::PathBuf, Node> {
        tree.nodes
            .iter()
            .filter(|(p, _)| !recovery_always_writes(p))
            .map(|(p, n)| (p.clone(), n.clone()))
            .collect()
    };
    let (first, second) = (relevant(first), relevant(second));
    if first == second {
        return Ok(());
    }
    let paths: BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let different: Vec<String> = paths
        .into_iter()
        .filter(|path| first.get(*path) != second.get(*path))
        .map(|path| match (first.contains_key(path), second.contains_key(path)) {
            (true, true) => format!("{} differs", path.display()),
            (true, false) => format!("{} is gone", path.display()),
            _ => format!("{} is new", path.display()),
        })
        .collect();
    Err(format!("a second recovery changed something: {}", different.join(", ")))
}
