//! Finds who uses a folder: every way in which a process, a mount or a job can use it.
#![allow(clippy::disallowed_methods)] // Tests make and remove their own files.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use recovery::archive::KeepRules;
use recovery::durable::Disk;
use recovery::in_use::{How, InUse, JobsAtWork, TrashInUse, Use, User};
use recovery::queue::{Actor, JobSpec, Operation, Queue, Submission, append};
use recovery::state::{Clock, StateDir};

use crate::common::{is_root, skipped};

/// A state directory with two workspaces, one of which is used.
struct Scene {
    place: tempfile::TempDir,
    dir: StateDir,
}

impl Scene {
    fn new() -> Scene {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        for name in ["used", "other"] {
            let sub = dir.paths.jobs().join(name).join("sub");
            std::fs::create_dir_all(&sub).unwrap();
            std::fs::write(sub.join("file"), "text").unwrap();
        }
        Scene { place, dir }
    }

    fn used(&self) -> PathBuf {
        self.dir.paths.jobs().join("used")
    }

    fn uses_of(&self, name: &str) -> Vec<Use> {
        let queue = Queue::open(&self.dir).unwrap();
        InUse::look(&self.dir, queue.state()).of(&self.dir.paths.jobs().join(name), None)
    }

    /// Uses the folder as a program in Python does, which has `used` and `outside`, and says when it is ready.
    fn python(&self, code: &str) -> Holder {
        let outside = self.place.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        let head = "import os, sys, time, socket, mmap, ctypes, threading, fcntl, subprocess\n\
                    used, outside = sys.argv[1:]\n";
        let tail = "\nprint('ready', flush=True)\ntime.sleep(600)\n";
        let mut command = Command::new("python3");
        command.arg("-c").arg(format!("{head}{code}{tail}")).arg(self.used()).arg(outside);
        Holder::of(&mut command)
    }

    /// Checks that a folder is used in this way by this process and in no other way, and by nobody when the
    /// process has ended.
    #[track_caller]
    fn is_used(&self, how: How, holder: Holder) {
        let uses = self.uses_of("used");
        let found = uses.iter().find(|used| used.how == how);
        let found = found.unwrap_or_else(|| panic!("{how:?} is not among {uses:?}"));
        if let User::Process { pid, .. } = found.by {
            assert_eq!(pid, holder.0.id(), "{uses:?}");
        }
        assert_eq!(self.uses_of("other"), [], "{how:?}");
        drop(holder);
        let mut left = self.uses_of("used");
        // The file of a socket may be that of another test, whose name is lost.
        left.retain(|used| used.how != How::LostSocket);
        assert_eq!(left, [], "{how:?}: its process has ended");
    }
}

/// A process that is killed at the end.
struct Holder(Child);

impl Holder {
    /// Starts it, in another folder, and waits until it says that it is ready.
    #[track_caller]
    fn of(command: &mut Command) -> Holder {
        let mut child = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let holder = Holder(child);
        assert_eq!(line.trim(), "ready");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill(); // Gone already.
        self.0.wait().unwrap();
    }
}

#[test]
fn process_is_found_by_whatever_it_uses() {
    let scene = Scene::new();
    for (how, code) in [
        (How::WorkingDirectory, "os.chdir(used + '/sub')"),
        (How::WorkingDirectory, "os.chdir(used)"),
        (How::Open, "f = open(used + '/sub/file')"),
        (How::Open, "f = open(used + '/sub/file', 'a'); fcntl.flock(f, fcntl.LOCK_EX)"),
        (How::Open, "f = os.open(used + '/sub', os.O_RDONLY)"),
        (How::Open, "f = os.open(used + '/sub', os.O_PATH)"),
        (How::Mapped, "f = open(used + '/sub/file', 'r+'); m = mmap.mmap(f.fileno(), 0); f.close()"),
        (How::Socket, "s = socket.socket(socket.AF_UNIX); s.bind(used + '/sub/own')"),
        (How::Socket, "os.chdir(used); s = socket.socket(socket.AF_UNIX); s.bind('relative'); os.chdir('/')"),
    ] {
        scene.is_used(how, scene.python(code));
        let _ = std::fs::remove_file(scene.used().join("sub/s"));
        let _ = std::fs::remove_file(scene.used().join("relative"));
    }
}

/// A socket whose name leads nowhere by now; what is told of its file, as long as its process lives.
#[test]
fn socket_is_found_whatever_became_of_its_name() {
    let scene = Scene::new();
    let bind = "s = socket.socket(socket.AF_UNIX); s.bind";
    for (how, code) in [
        (How::LostSocket, format!("{bind}(used + '/a'); os.rename(used + '/a', used + '/sub/b')")),
        (
            How::Socket,
            format!("d = os.open(used + '/sub', os.O_PATH); {bind}('/proc/self/fd/%d/s' % d); os.close(d)"),
        ),
        (
            How::Socket,
            format!("n = outside + '/link'; os.symlink(used + '/sub', n); {bind}(n + '/s'); os.unlink(n)"),
        ),
        (How::LostSocket, format!("os.mkdir(used + '/x\\ny'); {bind}(used + '/x\\ny/s')")),
    ] {
        let holder = scene.python(&code);
        let uses = scene.uses_of("used");
        assert!(uses.iter().any(|used| used.how == how), "{code}: {uses:?}");
        assert_eq!(scene.uses_of("other"), [], "{code}");
        drop(holder);
        std::fs::remove_dir_all(scene.used()).unwrap();
        std::fs::create_dir_all(scene.used().join("sub")).unwrap();
        assert_eq!(scene.uses_of("used"), [], "{code}");
    }
}

#[test]
fn file_behind_a_loop_device_is_found_when_its_mount_is_gone() {
    if !is_root() {
        return skipped("a loop device needs root");
    }
    let scene = Scene::new();
    let (image, aside) = (scene.used().join("image-of-a-test"), scene.place.path().join("aside"));
    std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    std::fs::create_dir(&aside).unwrap();
    let script =
        "mount --make-rprivate / && mount --bind \"$1\" \"$2\" && losetup -f --show \"$2/image-of-a-test\"";
    let mut command = Command::new("unshare");
    let made = command.args(["-m", "sh", "-c", script, "sh"]).arg(scene.used()).arg(&aside).output().unwrap();
    let device = String::from_utf8(made.stdout).unwrap();
    if device.trim().is_empty() {
        return skipped("this machine gives no loop device");
    }
    let (used, other) = (scene.uses_of("used"), scene.uses_of("other"));
    assert!(Command::new("losetup").args(["-d", device.trim()]).status().unwrap().success());
    assert_eq!(used.iter().map(|used| used.how).collect::<Vec<_>>(), [How::Backing], "{used:?}");
    assert_eq!(other, []);
}

#[test]
fn thread_with_a_working_directory_of_its_own_is_found() {
    let scene = Scene::new();
    let thread = "there = threading.Event()\n\
        def work():\n    assert ctypes.CDLL(None).unshare(0x200) == 0\n    os.chdir(used)\n    there.set()\n    \
        time.sleep(600)\n\
        threading.Thread(target=work, daemon=True).start()\nthere.wait()";
    scene.is_used(How::WorkingDirectory, scene.python(thread));
}

#[test]
fn program_of_the_folder_is_found_while_it_runs() {
    let scene = Scene::new();
    let program = scene.used().join("pause");
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    std::fs::copy(sleep, &program).unwrap();
    let code = "p = subprocess.Popen([used + '/pause', '600'])";
    let holder = scene.python(code);
    let uses = scene.uses_of("used");
    assert!(uses.iter().any(|used| used.how == How::Program), "{uses:?}");
    let User::Process { pid, .. } = uses[0].by else { panic!("{uses:?}") };
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    drop(holder);
}

#[test]
fn working_directory_deeper_than_a_path_can_be_is_found() {
    let scene = Scene::new();
    let code = "os.chdir(used)\nfor n in range(30):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)";
    let holder = scene.python(code);
    let uses = scene.uses_of("used");
    assert!(uses.iter().any(|used| used.how == How::WorkingDirectory), "{uses:?}");
    assert_eq!(scene.uses_of("other"), []);
    drop(holder);
    assert!(Command::new("rm").arg("-rf").arg(scene.used()).status().unwrap().success());
}

#[test]
fn what_has_no_name_in_the_folder_is_no_use_of_it() {
    let scene = Scene::new();
    let (inside, outside) = (scene.used().join("sub/file"), scene.place.path().join("second-name"));
    std::fs::hard_link(&inside, &outside).unwrap();
    let second = scene.python(&format!("f = open({outside:?})"));
    assert_eq!(scene.uses_of("used"), [], "it is used by the name that it has elsewhere");
    drop(second);
    let removed = scene.python("f = open(used + '/gone', 'w'); os.unlink(used + '/gone')");
    assert_eq!(scene.uses_of("used"), []);
    drop(removed);
    scene.is_used(How::Open, scene.python("f = open(used + '/sub/file')"));
}

#[test]
fn lock_file_of_the_workspace_is_no_use_of_it() {
    let scene = Scene::new();
    std::fs::write(scene.used().join("sentinel.lock"), "").unwrap();
    let holder = scene.python("f = open(used + '/sentinel.lock')");
    assert_eq!(scene.uses_of("used"), [], "its flock is what counts");
    drop(holder);
}

#[test]
fn process_is_found_in_namespaces_and_root_directories_of_its_own() {
    if !is_root() {
        return skipped("a root directory of one's own needs root");
    }
    let scene = Scene::new();
    for (how, code) in [
        (How::Root, "os.chroot(used); os.chdir('/')"),
        (How::Open, "f = open(used + '/sub/file'); os.chroot(outside); os.chdir('/')"),
        // Its own mount namespace, in which the folder has another name.
        (
            How::Mounted,
            "libc = ctypes.CDLL(None)\nassert libc.unshare(0x20000) == 0\n\
             assert subprocess.call(['mount', '--make-rprivate', '/']) == 0\n\
             assert subprocess.call(['mount', '--bind', used + '/sub', outside]) == 0",
        ),
        (
            How::MountPoint,
            "libc = ctypes.CDLL(None)\nassert libc.unshare(0x20000) == 0\n\
             assert subprocess.call(['mount', '--make-rprivate', '/']) == 0\n\
             assert subprocess.call(['mount', '--bind', used + '/..', outside]) == 0\n\
             assert subprocess.call(['mount', '-t', 'tmpfs', 't', outside + '/used/sub']) == 0",
        ),
        // The file is opened by the name that the folder has in that namespace.
        (
            How::Open,
            "libc = ctypes.CDLL(None)\nassert libc.unshare(0x20000) == 0\n\
             assert subprocess.call(['mount', '--make-rprivate', '/']) == 0\n\
             assert subprocess.call(['mount', '--bind', used + '/..', outside]) == 0\n\
             f = open(outside + '/used/sub/file')",
        ),
        // Reached by a mount that is gone.
        (
            How::Open,
            "libc = ctypes.CDLL(None)\nassert libc.unshare(0x20000) == 0\n\
             assert subprocess.call(['mount', '--make-rprivate', '/']) == 0\n\
             assert subprocess.call(['mount', '--bind', used + '/..', outside]) == 0\n\
             f = open(outside + '/used/sub/file')\n\
             assert subprocess.call(['umount', '-l', outside]) == 0",
        ),
    ] {
        scene.is_used(how, scene.python(code));
    }
}

#[test]
fn what_cannot_be_told_by_a_name_is_told_of_each_folder_of_a_scan() {
    if !is_root() {
        return skipped("a root directory of one's own needs root");
    }
    let scene = Scene::new();
    let holder = scene.python("f = open(used + '/sub/file'); os.chroot(outside); os.chdir('/')");
    let queue = Queue::open(&scene.dir).unwrap();
    let in_use = InUse::look(&scene.dir, queue.state());
    for (name, is_used) in [("used", true), ("other", false)] {
        let folder = scene.dir.paths.jobs().join(name);
        let mut walk = in_use.walk();
        recovery::durable::tree::walk_tree(&folder, &mut |entry| walk.see(entry));
        assert_eq!(!in_use.seen(&folder, None, &walk).is_empty(), is_used, "{name}");
    }
    drop(holder);
}

/// At any depth, a file that is used elsewhere without a name does not make a folder count as used for ever.
#[test]
fn folder_deeper_than_descriptors_are_kept_is_told_from_others() {
    if !is_root() {
        return skipped("a root directory of one's own needs root");
    }
    let scene = Scene::new();
    let deep = |name: &str| scene.dir.paths.jobs().join(name).join("d/".repeat(450));
    for name in ["used", "other"] {
        std::fs::create_dir_all(deep(name)).unwrap();
        std::fs::write(deep(name).join("file"), "text").unwrap();
    }
    let holder = scene.python("f = open(used + '/d' * 450 + '/file'); os.chroot(outside); os.chdir('/')");
    scene.is_used(How::Open, holder);
    let size = recovery::durable::tree::measure_tree(&scene.used());
    assert_eq!((size.entries, size.is_partial), (454, false), "{size:?}");
}

#[test]
fn job_that_is_to_work_in_a_folder_uses_it() {
    let scene = Scene::new();
    let link = scene.place.path().join("link");
    symlink(scene.used(), &link).unwrap();
    let actor = Actor { by: "test".to_owned(), why: None };
    let submit = |id: &str, cwd: PathBuf| {
        let spec = JobSpec { command: vec!["true".to_owned()], cwd: Some(cwd), ..JobSpec::default() };
        let submission = Submission { job: id.parse().unwrap(), priority: 0, repository: None, spec };
        append(&scene.dir, &actor, &[Operation::Submit(submission)]).unwrap();
    };
    submit("elsewhere", scene.place.path().to_owned());
    assert_eq!(scene.uses_of("used"), []);
    // By another name, into a folder that is yet to be made.
    submit("b", link.join("out/put"));
    let uses = scene.uses_of("used");
    assert_eq!((uses.len(), uses[0].how), (1, How::Work), "{uses:?}");
    assert!(uses[0].to_string().starts_with("job b, which is queued, is to work in it: "), "{}", uses[0]);
    assert_eq!(scene.uses_of("other"), []);
    let queue = Queue::open(&scene.dir).unwrap();
    let jobs = JobsAtWork::of(&scene.dir, queue.state());
    assert!(
        jobs.in_folder(&scene.used(), Some(&"b".parse().unwrap())).is_none(),
        "a job is no stranger to itself"
    );
    append(&scene.dir, &actor, &[Operation::Cancel { job: "b".parse().unwrap() }]).unwrap();
    assert_eq!(scene.uses_of("used"), []);
}

#[test]
fn job_uses_what_its_paths_pass_and_what_its_commands_name() {
    let scene = Scene::new();
    let (used, outside) = (scene.used(), scene.place.path().join("outside"));
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, used.join("out")).unwrap();
    symlink(used.join("out"), scene.place.path().join("chain")).unwrap();
    symlink(used.join("sub/file"), outside.join("to-file")).unwrap();
    let actor = Actor { by: "test".to_owned(), why: None };
    let file = used.join("sub/file").display().to_string();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let through = |cwd: PathBuf| JobSpec { command: words(&["true"]), cwd: Some(cwd), ..JobSpec::default() };
    let running = |command: &[&str]| JobSpec { command: words(command), ..JobSpec::default() };
    for (at, (how, spec)) in [
        (How::Work, through(used.join("out"))),
        (How::Work, through(scene.place.path().join("chain"))),
        (How::Work, through(used.join("sub/../../../../outside"))),
        (How::Named, running(&[&file])),
        (How::Named, running(&["sh", &file])),
        (How::Named, running(&["dd", &format!("if={file}")])),
        (How::Named, running(&["cat", "../used/sub/file"])),
        (How::Named, running(&["sh", "-c", &format!("cd {} && make", used.display())])),
        (How::Named, running(&["make", &format!("-C{}", used.display())])),
        (How::Named, running(&["docker", "run", "-v", &format!("/x:{}:ro", used.display())])),
        (
            How::Named,
            JobSpec {
                env: [("REPO".to_owned(), format!("{}/x", used.display()))].into(),
                ..running(&["true"])
            },
        ),
        (How::Named, JobSpec { resume_command: Some(words(&["sh", &file])), ..running(&["true"]) }),
        (How::Named, JobSpec { command: words(&["cat", "to-file"]), ..through(outside.clone()) }),
    ]
    .into_iter()
    .enumerate()
    {
        let job: recovery::queue::JobId = format!("j{at}").parse().unwrap();
        let told = format!("{spec:?}");
        let submission = Submission { job: job.clone(), priority: 0, repository: None, spec };
        append(&scene.dir, &actor, &[Operation::Submit(submission)]).unwrap();
        let uses = scene.uses_of("used");
        assert_eq!(uses.iter().map(|used| used.how).collect::<Vec<_>>(), [how], "{told}: {uses:?}");
        assert_eq!(scene.uses_of("other"), [], "{told}");
        append(&scene.dir, &actor, &[Operation::Cancel { job }]).unwrap();
        assert_eq!(scene.uses_of("used"), [], "{told}");
    }
    // What lies above the folder, or beside it, is no file in it.
    let jobs = scene.dir.paths.jobs().display().to_string();
    let submission = Submission {
        job: "above".parse().unwrap(),
        priority: 0,
        repository: None,
        spec: running(&["ls", &jobs, "used", "-used"]),
    };
    append(&scene.dir, &actor, &[Operation::Submit(submission)]).unwrap();
    assert_eq!(scene.uses_of("used"), []);
}

#[test]
fn what_is_used_in_a_trash_is_kept() {
    let scene = Scene::new();
    let slot = scene.dir.paths.jobs().join(".trash/1-0-x");
    let holder = scene.python("f = open(used + '/sub/file')");
    std::fs::create_dir_all(slot.parent().unwrap()).unwrap();
    std::fs::rename(scene.used(), &slot).unwrap();
    let why = TrashInUse::new(&scene.dir).why_kept(&slot).unwrap();
    assert!(why.contains("python3") && why.contains("sub/file"), "{why}");
    let report =
        recovery::prune::delete_slots(&scene.dir, std::slice::from_ref(&slot), &KeepRules::default())
            .unwrap();
    assert_eq!((report.emptied, report.failed.len()), (0, 1), "{report:?}");
    assert!(slot.join("sub/file").exists());
    drop(holder);
    let report =
        recovery::prune::delete_slots(&scene.dir, std::slice::from_ref(&slot), &KeepRules::default())
            .unwrap();
    assert_eq!((report.emptied, slot.exists()), (1, false), "{report:?}");
}
