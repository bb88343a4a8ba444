//! A state directory is a folder in an incarnation: copies, moves and restored backups are distinguished, and
//! nothing of one passes for another's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{EIO, Faults, Refuse, skipped};
use recovery::durable::{Disk, NotHome};
use recovery::jobs::marks;
use recovery::locks::{JobLiveness, LockGrant, LockHolder, LockRefused, LockRequest, try_acquire};
use recovery::queue::{self, Actor, JobId, JobSpec, Operation, Queue, Submission};
use recovery::repair::{AdoptError, adopt_as_new};
use recovery::state::{Clock, DirectoryOrigin, StateDir, StateError};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, name: &str) -> StateDir {
        StateDir::open_or_create(&self.path(name), Disk::real(), Clock::system()).unwrap()
    }

    fn open(&self, name: &str) -> StateDir {
        StateDir::open(&self.path(name), Disk::real(), Clock::system()).unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = Command::new(program).args(arguments).current_dir(self.folder.path()).status().unwrap();
        assert!(done.success(), "{program} {arguments:?}");
    }

    fn copy(&self, from: &str, to: &str) {
        self.run("cp", &["-a", from, to]);
    }

    /// A state directory with a job, of which there is a backup.
    fn backed_up(&self) -> StateDir {
        let made = self.make("state");
        submit(&made, "one");
        self.copy("state", "backup");
        made
    }

    /// Puts the backup where the state directory is, which is `broken` from then on.
    fn put_back(&self) {
        std::fs::rename(self.path("state"), self.path("broken")).unwrap();
        std::fs::rename(self.path("backup"), self.path("state")).unwrap();
    }
}

fn submit(dir: &StateDir, name: &str) {
    let spec = JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() };
    let job = name.parse::<JobId>().unwrap();
    let operation = Operation::Submit(Submission { job, priority: 0, repository: None, spec });
    queue::append(dir, &Actor::default(), &[operation]).unwrap();
}

fn names(dir: &StateDir) -> Vec<String> {
    Queue::open_to_look(dir).unwrap().state().jobs().map(|job| job.id.to_string()).collect()
}

fn grant(dir: &StateDir) -> LockGrant {
    ask_for_lock(dir).unwrap()
}

fn ask_for_lock(dir: &StateDir) -> Result<LockGrant, LockRefused> {
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: "test".to_owned(),
        job_liveness: &|_, _| JobLiveness::Over,
        queue: None,
        waiting: &|_| {},
    };
    try_acquire(dir, "web", &request)
}

fn is_copy(dir: &StateDir) -> bool {
    matches!(dir.origin, DirectoryOrigin::Copied { .. })
}

/// Everything that is in a folder, with content and times.
fn listing(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push((entry.path(), std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn copy_is_read_and_not_written_however_it_was_made() {
    let world = World::new();
    submit(&world.make("state"), "one");
    world.copy("state", "copied");
    std::fs::create_dir(world.path("packed")).unwrap();
    world.run("sh", &["-c", "tar cf - state | tar xf - --strip-components=1 -C packed && chmod 700 packed"]);
    for name in ["copied", "packed"] {
        let before = listing(&world.path(name));
        let copy = world.open(name);
        assert!(is_copy(&copy), "{name}: {:?}", copy.origin);
        assert_eq!(names(&copy), ["one"], "{name}");
        let refused = queue::append(&copy, &Actor::default(), &[]).unwrap_err();
        let source = &refused.disk().unwrap().source;
        assert!(matches!(NotHome::behind(source), Some(NotHome::Copy { .. })), "{name}: {refused:?}");
        assert!(is_copy(&world.open(name)), "{name}: for as long as nobody adopts it");
        assert_eq!(before, listing(&world.path(name)), "{name}");
    }
    let original = world.open("state");
    assert_eq!((original.origin.clone(), original.identity.incarnation), (DirectoryOrigin::Own, 1));
    submit(&original, "two");
}

#[test]
fn rename_link_and_reopening_are_no_copies_and_begin_no_incarnation() {
    let world = World::new();
    let made = world.make("state");
    submit(&made, "one");
    std::fs::rename(world.path("state"), world.path("moved")).unwrap();
    std::os::unix::fs::symlink(world.path("moved"), world.path("link")).unwrap();
    for name in ["moved", "link", "moved"] {
        let dir = world.open(name);
        assert_eq!((&dir.origin, dir.identity.incarnation), (&DirectoryOrigin::Own, 1), "{name}");
        assert_eq!(dir.past, made.past, "{name}");
        submit(&dir, &format!("{name}-{}", names(&dir).len()));
    }
    // A copy is recognised as one from its present place, too.
    world.copy("moved", "state");
    assert!(is_copy(&world.open("state")));
    assert_eq!(world.open("moved").origin, DirectoryOrigin::Own);
}

#[test]
fn directory_of_an_earlier_version_is_recorded_without_a_word() {
    let world = World::new();
    let made = world.make("state");
    submit(&made, "one");
    for damage in [None, Some(""), Some("{\"version\":2,\"checksum\":\"00000000\",\"state_id\":1}")] {
        std::fs::remove_file(made.paths.place()).unwrap();
        if let Some(text) = damage {
            std::fs::write(made.paths.place(), text).unwrap();
        }
        let text = std::fs::read_to_string(made.paths.identity()).unwrap();
        std::fs::write(made.paths.identity(), text.replace(",\"incarnation\":1", "")).unwrap();
        let dir = world.open("state");
        assert_eq!((&dir.origin, dir.identity.incarnation), (&DirectoryOrigin::Own, 1), "{damage:?}");
        assert!(dir.paths.place().exists() && dir.past.restored.is_none());
        let kept = dir.quarantine().notes().len();
        assert_eq!(kept > 0, damage.is_some(), "{damage:?}");
    }
    assert_eq!(names(&made), ["one"]);
}

#[test]
fn backup_in_the_place_of_the_original_begins_an_incarnation_with_higher_numbers() {
    let world = World::new();
    let made = world.backed_up();
    let token = grant(&made).token.get();
    submit(&made, "two");
    world.put_back();
    let restored = world.open("state");
    assert_eq!(restored.origin, DirectoryOrigin::Own);
    assert!(restored.identity.incarnation > 1);
    assert_eq!(restored.identity.state_id, made.identity.state_id);
    let told = restored.past.restored.clone().unwrap();
    assert_eq!((told.from_incarnation, told.log_end), (1, 1));
    assert_eq!(names(&restored), ["one"]);
    let first = grant(&restored).token.get();
    assert!(first > token, "{first}");
    // Once more from the same backup: nothing of the first try is repeated.
    assert_eq!(world.open("state").identity.incarnation, restored.identity.incarnation, "it is settled");
    assert!(restored.is_still_itself() && !made.is_still_itself());
    // The one that was moved away goes on as it was.
    assert_eq!(world.open("broken").identity.incarnation, 1);
    assert_eq!(names(&world.open("broken")), ["one", "two"]);
}

#[test]
fn move_to_another_folder_by_copying_is_no_copy_once_the_original_is_gone() {
    let world = World::new();
    submit(&world.make("state"), "one");
    world.copy("state", "elsewhere");
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let dir = world.open("elsewhere");
    assert!(dir.origin == DirectoryOrigin::Own && dir.identity.incarnation > 1, "{:?}", dir.origin);
    submit(&dir, "two");
    assert_eq!(names(&dir), ["one", "two"]);
}

#[test]
fn nothing_is_written_where_another_directory_has_the_path() {
    let world = World::new();
    let first = world.make("state");
    submit(&first, "one");
    submit(&world.make("other"), "others");
    let held = grant(&first);
    std::fs::rename(world.path("state"), world.path("moved")).unwrap();
    std::fs::rename(world.path("other"), world.path("state")).unwrap();
    let before = listing(&world.path("state"));
    let operation = Operation::Cancel { job: "one".parse().unwrap() };
    let refused = queue::append(&first, &Actor::default(), std::slice::from_ref(&operation)).unwrap_err();
    let source = &refused.disk().unwrap().source;
    assert!(matches!(NotHome::behind(source), Some(NotHome::Replaced { .. })), "{refused:?}");
    // The lock can be written at its present place, and given back.
    let there = first.followed().unwrap();
    assert_eq!(there.paths.root(), std::fs::canonicalize(world.path("moved")).unwrap());
    queue::append(&there, &Actor::default(), &[operation]).unwrap();
    held.release().unwrap();
    assert_eq!(listing(&world.path("state")), before);
    assert!(there.followed().is_none());
    let moved = world.open("moved");
    assert_eq!(grant(&moved).token.get(), 2);
}

#[test]
fn adopted_copy_is_a_directory_of_its_own() {
    let world = World::new();
    let original = world.make("state");
    submit(&original, "waits");
    submit(&original, "runs");
    let claim = Operation::Claim { job: "runs".parse().unwrap(), attempt: 1, host: None };
    queue::append(&original, &Actor::default(), &[claim]).unwrap();
    Queue::open(&original).unwrap().checkpoint().unwrap();
    submit(&original, "later");
    let held = grant(&original);
    world.copy("state", "copied");
    let refused = adopt_as_new(&world.open("state"), &[], &Actor::default(), false).unwrap_err();
    assert!(matches!(refused, AdoptError::NotACopy { .. }));
    let before = listing(&world.path("copied"));
    let (_, would) = adopt_as_new(&world.open("copied"), &[], &Actor::default(), true).unwrap();
    assert_eq!(listing(&world.path("copied")), before);
    let too_late = world.open("copied");
    let (adopted, done) = adopt_as_new(&world.open("copied"), &[], &Actor::default(), false).unwrap();
    // Two at once: the one that comes second under the lock leaves everything to the first.
    let before = listing(&world.path("copied"));
    let refused = adopt_as_new(&too_late, &[], &Actor::default(), false).unwrap_err();
    assert!(matches!(refused, AdoptError::NotACopy { .. }), "{refused:?}");
    assert_eq!(listing(&world.path("copied")), before);
    assert_eq!((&would.crashed, &would.released), (&done.crashed, &done.released));
    assert_eq!((done.crashed.len(), &done.released[..]), (1, &["web".to_owned()][..]));
    let again = world.open("copied");
    assert_eq!((&again.identity, &again.origin), (&adopted.identity, &DirectoryOrigin::Own));
    assert_ne!(again.identity.state_id, original.identity.state_id);
    assert_eq!(again.past.copied_from.as_ref().unwrap().state_id, original.identity.state_id);
    let queue = Queue::open(&again).unwrap();
    assert!(queue.replayed().is_clean(), "{:?}", queue.replayed());
    let runs = queue.state().get(&"runs".parse().unwrap()).unwrap();
    assert_eq!(runs.status.as_str(), "crashed");
    assert!(runs.run_state().reason.as_deref().unwrap().starts_with("copied"));
    assert_eq!(names(&again), ["waits", "runs", "later"]);
    assert!(grant(&again).token.get() > held.token.get() + 1_000_000);
    // The original has not noticed.
    assert_eq!(names(&world.open("state")), ["waits", "runs", "later"]);
    let running = Queue::open(&world.open("state")).unwrap();
    assert_eq!(running.state().get(&"runs".parse().unwrap()).unwrap().status.as_str(), "running");
    held.release().unwrap();
}

/// Until its identity is written, it is a copy, which is only read and can be adopted again.
#[test]
fn adoption_that_breaks_off_at_any_effect_can_be_done_again() {
    let world = World::new();
    let original = world.make("state");
    submit(&original, "waits");
    submit(&original, "runs");
    let claim = Operation::Claim { job: "runs".parse().unwrap(), attempt: 1, host: None };
    queue::append(&original, &Actor::default(), &[claim]).unwrap();
    let held = grant(&original);
    let mut number = 0;
    loop {
        let name = format!("copied-{number}");
        world.copy("state", &name);
        let (faults, disk) = Faults::new(EIO, Refuse::From(number));
        let copy = StateDir::open(&world.path(&name), disk, Clock::system()).unwrap();
        let done = adopt_as_new(&copy, &[], &Actor::default(), false);
        faults.set(Refuse::Nothing);
        let is_done = done.is_ok();
        let then = world.open(&name);
        if is_copy(&then) {
            adopt_as_new(&then, &[], &Actor::default(), false).unwrap();
        }
        let adopted = world.open(&name);
        assert!(!is_copy(&adopted) && adopted.identity.state_id != original.identity.state_id, "{number}");
        let queue = Queue::open(&adopted).unwrap();
        assert!(queue.replayed().is_clean(), "{number}: {:?}", queue.replayed());
        assert_eq!(names(&adopted), ["waits", "runs"], "{number}");
        let runs = queue.state().get(&"runs".parse().unwrap()).unwrap();
        assert_eq!(runs.status.as_str(), "crashed", "{number}");
        assert!(grant(&adopted).token.get() > held.token.get() + 1_000_000, "{number}");
        std::fs::remove_dir_all(world.path(&name)).unwrap();
        if is_done {
            break;
        }
        number += 1;
    }
    assert!(number > 10, "{number} effects");
    held.release().unwrap();
}

#[test]
fn restore_that_cannot_be_written_down_is_an_error_and_not_the_time_that_was_lost() {
    let world = World::new();
    world.backed_up();
    world.put_back();
    let (faults, disk) = Faults::new(EIO, Refuse::From(0));
    let mut restored = StateDir::open(&world.path("state"), disk, Clock::system()).unwrap();
    assert!(matches!(restored.origin, DirectoryOrigin::Restored { .. }), "it can be looked at");
    let refused = recovery::jobs::notice_restore(&mut restored).unwrap_err();
    assert!(matches!(refused, StateError::NotNoted { .. }), "{refused:?}");
    faults.set(Refuse::Nothing);
    assert!(!recovery::jobs::notice_restore(&mut restored).unwrap());
    assert!(restored.origin == DirectoryOrigin::Own && restored.identity.incarnation > 1);
    assert!(restored.may_have_survivors() && restored.clone().may_have_survivors());
    // What a recovery finds out is known to all that have the same directory open.
    restored.clone().note_told(false).unwrap();
    assert!(!restored.may_have_survivors());
}

/// Only the name of another incarnation's group is known: it may belong to any job, on any repository.
#[test]
fn group_of_the_time_that_was_lost_is_any_jobs_and_works_on_any_repository() {
    use recovery::jobs::{ProcessTable, living_of};
    let world = World::new();
    let made = world.backed_up();
    let name = format!("recoveryctl-{}-41", made.identity.state_id);
    let group = match recovery::system::Cgroup::create(&name) {
        Ok(group) => group,
        Err(e) => return skipped(&format!("no control group can be made here: {e}")),
    };
    let (child, is_inside) = group.around(|| Command::new("sleep").arg("600").env_clear().spawn());
    let mut child = child.unwrap();
    world.put_back();
    let restored = world.open("state");
    let life = living_of(&restored, &"one".parse().unwrap(), &ProcessTable::new());
    let table = ProcessTable::new();
    let unnamed = table.unnamed_survivors(&restored);
    let refused = ask_for_lock(&restored);
    child.kill().unwrap();
    child.wait().unwrap();
    while group.is_populated().unwrap() {
        std::thread::yield_now();
    }
    // One table is one picture, also of control groups.
    assert_eq!(table.unnamed_survivors(&restored), unnamed);
    group.remove().unwrap();
    assert!(is_inside && unnamed.is_some_and(|all| all.iter().any(|p| p.pid == child.id())));
    assert!(life.doubt.is_some(), "{life:?}");
    assert!(refused.is_err());
    grant(&restored).release().unwrap();
}

#[test]
fn process_of_the_original_is_not_that_of_the_restored_directory() {
    let world = World::new();
    let made = world.backed_up();
    let mut child = Command::new("sleep")
        .arg("60")
        .env(marks::JOB_ID, "one")
        .env(marks::STATE_DIR, made.paths.root())
        .env(marks::STATE_ID, made.identity.state_id.to_string())
        .env(marks::STATE_INCARNATION, made.mark())
        .env(marks::REPOSITORY, "web")
        .spawn()
        .unwrap();
    let living = |dir: &StateDir| recovery::jobs::ProcessTable::new().living_jobs(dir);
    let begun = std::time::Instant::now();
    while living(&made).is_empty() {
        assert!(begun.elapsed().as_secs() < 30);
    }
    assert!(living(&made).values().all(|one| !one.is_of_other_incarnation));
    world.put_back();
    let restored = world.open("state");
    let found = living(&restored);
    let one = found.get(&"one".parse().unwrap()).unwrap();
    assert!(one.is_of_other_incarnation && one.repositories.contains("web"), "{found:?}");
    // Its repository is not to be had, whatever the lock's files say.
    assert!(ask_for_lock(&restored).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(grant(&restored).token.get() > 1_000_000);
}
