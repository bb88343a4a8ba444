//! A control group (cgroup v2) around one job's processes.
//!
//! A process that starts in it stays in it with all descendants, even if they change session, environment or
//! files; only root can move one out. `cgroup.events` tells whether it has processes (zombies do not count),
//! `cgroup.kill` ends all at once. It needs the unified hierarchy and the right to make a folder below this
//! process's own group, but no controller. See cgroups(7).
//!
//! These files are kernel memory, not a disk: nothing here is durable or can be torn, so it does not pass the
//! disk's seam.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::process::ProcessIdentity;

/// statfs(2)'s number for cgroup v2.
const MAGIC: i64 = 0x6367_7270;
/// `fs/cgroup.kill` came with Linux 5.14.
const KILL: &str = "cgroup.kill";

/// Held while this process is in another group than its own, and while it reads its own group: otherwise a thread
/// could make a group below that other one, to be removed with it.
static OWN_GROUP: Mutex<()> = Mutex::new(());

/// A group that was made for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a group of this name below this process's own group.
    ///
    /// # Errors
    /// When there is no unified hierarchy, it may not be written, or the name is taken.
    pub fn create(name: &str) -> io::Result<Cgroup> {
        let _stays = OWN_GROUP.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own_group().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        let group = Cgroup { path: own.join(name) };
        rustix::fs::mkdir(&group.path, Mode::RWXU | Mode::RGRP | Mode::XGRP)?;
        if group.path.join(KILL).exists() && group.is_writable() {
            return Ok(group);
        }
        group.remove()?;
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// The group recorded in a file; `None` unless it has exactly this name and is a control group. A job can
    /// change the files in its workspace, and must not make another group pass for its own. A group that no
    /// longer exists is returned too; [`Cgroup::is_populated`] tells that it is empty.
    pub(crate) fn recorded(path: &Path, name: &str) -> Option<Cgroup> {
        let is_named = path.is_absolute() && path.file_name().is_some_and(|n| n == name);
        let parent = path.parent().filter(|_| is_named)?;
        is_cgroup2(parent).then(|| Cgroup { path: path.to_owned() })
    }

    /// All groups with this prefix in the whole visible hierarchy; none that is below another such group.
    pub fn named(prefix: &str) -> Vec<Cgroup> {
        let mut found = Vec::new();
        let mut folders: Vec<PathBuf> = hierarchy().into_iter().collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    found.push(Cgroup { path: entry.path() });
                } else {
                    folders.push(entry.path());
                }
            }
        }
        found
    }

    /// Whether its folder exists. A group that is gone had no process left, if it was in this hierarchy.
    pub(crate) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves this process into it; everything that it will start is then in it too.
    pub(crate) fn join(&self) -> io::Result<()> {
        self.write("cgroup.procs", b"0")
    }

    /// Runs `act` while this process is in the group, and then takes the process out again; children started
    /// meanwhile stay. Where this process may not enter, `act` runs all the same; the result says whether the
    /// process was in.
    ///
    /// A process moves as a whole: children that its other threads start at that time are in the group as well.
    pub fn around<T>(&self, act: impl FnOnce() -> T) -> (T, bool) {
        let _alone = OWN_GROUP.lock().unwrap_or_else(PoisonError::into_inner);
        let before = own_group().map(|path| Cgroup { path });
        let is_inside = before.is_some() && self.join().is_ok();
        let done = act();
        if let Some(before) = before.filter(|_| is_inside) {
            // If the process cannot leave, it is a member like the others until it ends.
            let _ = before.join();
        }
        (done, is_inside)
    }

    /// Whether this process is in it, or in one below.
    pub(crate) fn has_this_process(&self) -> bool {
        own_group().is_some_and(|own| own.starts_with(&self.path))
    }

    /// Whether a process is left in it; `false` when the group is gone, because only an empty one can be removed.
    pub fn is_populated(&self) -> io::Result<bool> {
        match crate::durable::plain::read_text(self.path.join("cgroup.events")) {
            Ok(events) => Ok(events.lines().any(|line| line == "populated 1")),
            Err(e) if is_gone(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The living processes in it and in the groups that the job has made below it.
    pub(crate) fn processes(&self) -> Vec<ProcessIdentity> {
        let mut found = Vec::new();
        for group in self.tree() {
            let pids = crate::durable::plain::read_text(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(pids.lines().filter_map(|pid| ProcessIdentity::of(pid.parse().ok()?)));
        }
        found
    }

    /// Sends SIGKILL to all processes in it at once; none can escape by forking.
    ///
    /// # Errors
    /// The system's error; a group that is gone is no error.
    pub fn kill(&self) -> io::Result<()> {
        match self.write(KILL, b"1") {
            Err(e) if is_gone(&e) => Ok(()),
            other => other,
        }
    }

    /// Removes it, when it is empty.
    ///
    /// # Errors
    /// `ResourceBusy` while a process is left; a group that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        for group in self.tree().iter().rev() {
            match rustix::fs::rmdir(group) {
                Err(rustix::io::Errno::NOENT) | Ok(()) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Its folder and those below it, parents first.
    fn tree(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.path.clone()];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let below = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
            folders.extend(below.collect::<Vec<_>>());
        }
        folders
    }

    fn is_writable(&self) -> bool {
        let procs = self.path.join("cgroup.procs");
        rustix::fs::access(&procs, rustix::fs::Access::WRITE_OK).is_ok()
    }

    fn write(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let fd = rustix::fs::open(self.path.join(name), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        std::fs::File::from(fd).write_all(text)
    }
}

fn is_gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn is_cgroup2(path: &Path) -> bool {
    #[allow(clippy::useless_conversion)] // The type differs between architectures.
    rustix::fs::statfs(path).is_ok_and(|fs| i64::from(fs.f_type) == MAGIC)
}

/// Takes this process out of the outermost group whose name matches, of its own group and those above; false when
/// there is none.
pub(crate) fn leave_groups(is_meant: impl Fn(&str) -> bool) -> io::Result<bool> {
    let Some(own) = own_group() else { return Ok(false) };
    let is_named = |folder: &&Path| folder.file_name().and_then(|n| n.to_str()).is_some_and(&is_meant);
    let Some(outermost) = own.ancestors().filter(is_named).last() else { return Ok(false) };
    let Some(path) = outermost.parent().map(Path::to_owned) else { return Ok(false) };
    Cgroup { path }.join().map(|()| true)
}

/// Whether the control group of a process, or a group above that, keeps it from running.
pub(super) fn is_frozen(pid: u32) -> bool {
    let events = group_of(&pid.to_string()).map(|group| group.join("cgroup.events"));
    let events = events.and_then(|path| crate::durable::plain::read_text(path).ok()).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1")
}

/// The folder of the group that this process is in.
fn own_group() -> Option<PathBuf> {
    group_of("self")
}

fn group_of(process: &str) -> Option<PathBuf> {
    let groups = crate::durable::plain::read_text(format!("/proc/{process}/cgroup")).ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = crate::durable::plain::read_text("/proc/self/mountinfo").ok()?;
    let folder = mounts.lines().find_map(|line| folder_in(line, own))?;
    (folder.is_dir() && is_cgroup2(&folder)).then_some(folder)
}

/// Where the unified hierarchy is mounted.
fn hierarchy() -> Option<PathBuf> {
    let mounts = crate::durable::plain::read_text("/proc/self/mountinfo").ok()?;
    let is_unified =
        |line: &&str| line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("cgroup2 "));
    let line = mounts.lines().find(is_unified)?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// The folder of a group, if this line of `mountinfo` is of the unified hierarchy and shows it.
fn folder_in(line: &str, group: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(group).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    /// Reports, past the test harness's capture, that this test cannot run here; fails where all tests must run.
    #[track_caller]
    fn skipped(why: &str) {
        let must_run = std::env::var_os("RECOVERYCTL_TESTS_MUST_RUN").is_some_and(|set| !set.is_empty());
        assert!(!must_run, "RECOVERYCTL_TESTS_MUST_RUN is set, and this test cannot run: {why}");
        let _ = writeln!(io::stderr(), "SKIPPED: {why}");
    }

    #[test]
    fn unified_hierarchy_is_found() {
        let hybrid = "45 44 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        assert_eq!(folder_in(hybrid, "/"), Some("/sys/fs/cgroup/unified/".into()));
        assert_eq!(folder_in(hybrid, "/a/b"), Some("/sys/fs/cgroup/unified/a/b".into()));
        let bound = "45 44 0:32 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw";
        assert_eq!(folder_in(bound, "/docker/x/y"), Some("/sys/fs/cgroup/y".into()));
        assert_eq!(folder_in(bound, "/elsewhere"), None);
        assert_eq!(folder_in("36 35 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", "/"), None);
    }

    #[test]
    fn recorded_group_must_have_its_name() {
        assert_eq!(Cgroup::recorded(Path::new("/tmp/job-7"), "job-7"), None, "no control group");
        let Some(own) = own_group() else {
            return skipped("there is no unified hierarchy of control groups");
        };
        assert_eq!(Cgroup::recorded(&own.join("system.slice"), "job-7"), None);
        assert_eq!(Cgroup::recorded(&own.join("../job-7/.."), "job-7"), None);
        assert!(Cgroup::recorded(&own.join("job-7"), "job-7").is_some());
    }

    #[test]
    fn cgroup_keeps_daemonised_process() {
        let name = format!("recoveryctl-test-{}", std::process::id());
        let group = match Cgroup::create(&name) {
            Ok(group) => group,
            Err(e) => return skipped(&format!("no control group can be made here: {e}")),
        };
        let procs = group.path().join("cgroup.procs");
        let script = format!("echo 0 > {}; exec env -i setsid sleep 60", procs.display());
        let mut child =
            std::process::Command::new("sh").args(["-c", &script]).process_group(0).spawn().unwrap();
        let begun = std::time::Instant::now();
        while group.processes().is_empty() {
            assert!(begun.elapsed().as_secs() < 60);
        }
        assert!(group.is_populated().unwrap());
        assert_eq!(group.remove().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        group.kill().unwrap();
        child.wait().unwrap();
        while group.is_populated().unwrap() {
            assert!(begun.elapsed().as_secs() < 60);
        }
        group.remove().unwrap();
        assert!(!group.is_populated().unwrap(), "gone");
        group.kill().unwrap();
        group.remove().unwrap();
    }

    /// Runs in a process of its own: children that other tests start at the same time would be in the group.
    #[test]
    fn cgroup_swept_before_join() {
        const ALONE: &str = "RECOVERYCTL_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let name = std::thread::current().name().unwrap().to_owned();
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args(["--exact", &name, "--nocapture", "--test-threads=2"]).env(ALONE, "1");
            let output = test.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
            let _ = io::stderr().write_all(&output.stderr);
            return;
        }
        let group = match Cgroup::create(&format!("recoveryctl-test-swept-{}", std::process::id())) {
            Ok(group) => group,
            Err(e) => return skipped(&format!("no control group can be made here: {e}")),
        };
        assert_eq!(group.around(|| group.has_this_process()), (true, true));
        assert!(!group.has_this_process());
        group.remove().unwrap();
        assert_eq!(group.around(|| group.has_this_process()), (false, false));
    }
}
