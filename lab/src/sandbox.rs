//! A folder of its own with a state directory, the real binary, and nothing of the user's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use recovery::system::{ProcessIdentity, process_table, signal_process};
use rustix::process::Signal;
use serde_json::Value;

/// No command takes this long; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(100);

/// See the module. Dropped, it ends every process that works on its state directory.
#[derive(Debug)]
pub struct Sandbox {
    folder: tempfile::TempDir,
    binary: PathBuf,
}

impl Sandbox {
    /// An empty one. `binary` is the recoveryctl to be tried.
    pub fn new(binary: &Path) -> io::Result<Sandbox> {
        // A kill loses nothing that was written, synced or not, so memory is as good as a disk, and faster.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())?;
        let place = Sandbox { folder, binary: binary.to_owned() };
        fs::create_dir(place.root())?;
        place.configure("")?;
        fs::create_dir(place.witness())?;
        Ok(place)
    }

    /// Puts a small file system of its own under the state directory; false where that is not permitted.
    pub fn mount_small_disk(&self, kib: u32) -> io::Result<bool> {
        fs::create_dir(self.state())?;
        let size = format!("size={kib}k,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(self.state());
        Ok(run(&mut mount, PATIENCE)?.status == 0)
    }

    /// Makes that file system read-only, or writable again.
    pub fn remount(&self, read_only: bool) -> io::Result<()> {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        let ran = run(Command::new("mount").args(["-o", how]).arg(self.state()), PATIENCE)?;
        if ran.status == 0 { Ok(()) } else { Err(io::Error::other(ran.stderr)) }
    }

    /// Everything that a run may see: the state directory and what lies beside it.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// Where jobs write their witness files.
    pub fn witness(&self) -> PathBuf {
        self.root().join("witness")
    }

    /// Writes the configuration: settings that make failures come quickly, followed by `more`.
    pub fn configure(&self, more: &str) -> io::Result<()> {
        self.write_configuration("16KiB", more)
    }

    /// Sets the size of the log's segments.
    pub fn configure_segments(&self, size: &str) -> io::Result<()> {
        self.write_configuration(size, "")
    }

    fn write_configuration(&self, segment: &str, more: &str) -> io::Result<()> {
        let text = format!(
            "[recovery]\npause = \"10ms\"\n[queue]\nsegment_bytes = \"{segment}\"\n[daemon]\npoll = \"100ms\"\n{more}"
        );
        fs::write(self.root().join("config.toml"), text)
    }

    /// The program and its surroundings; no arguments yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        self.surround(&mut command);
        command
    }

    /// Gives any command the environment of this sandbox.
    pub fn surround(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        command.env("RECOVERYCTL_STATE_DIR", self.state());
        command.env("RECOVERYCTL_CONFIG", self.root().join("config.toml"));
        command.current_dir(self.root()).stdin(Stdio::null());
    }

    /// The program that is tried.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Runs it to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> io::Result<Ran> {
        run(self.command().args(arguments), PATIENCE)
    }

    /// Runs with `--json`: the document and the exit status.
    pub fn json(&self, arguments: &[&str]) -> Result<(Value, i32), String> {
        self.json_within(arguments, PATIENCE)
    }

    /// The same for what may take longer than usual.
    pub fn json_within(&self, arguments: &[&str], patience: Duration) -> Result<(Value, i32), String> {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        let ran = run(self.command().args(&arguments), patience).map_err(|e| e.to_string())?;
        let about = format!("{arguments:?}: status {}: {}{}", ran.status, ran.stdout, ran.stderr);
        if ran.stderr.contains("panicked") || ran.status < 0 {
            return Err(about);
        }
        serde_json::from_str(&ran.stdout).map(|v| (v, ran.status)).map_err(|e| format!("{e}: {about}"))
    }

    /// Moves everything aside, as the state from which each try begins.
    pub fn keep_as_base(&self) -> io::Result<()> {
        fs::rename(self.root(), self.base())?;
        self.back_to_base()
    }

    /// Where that state is kept.
    pub fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    /// Everything as it was when it was kept.
    pub fn back_to_base(&self) -> io::Result<()> {
        if self.root().exists() {
            fs::remove_dir_all(self.root())?;
        }
        copy_tree(&self.base(), &self.root())
    }

    /// The processes that work in this sandbox: its jobs, their supervisors, daemons.
    pub fn processes(&self) -> Vec<ProcessIdentity> {
        processes_at(&self.root())
    }

    /// Waits until all of its processes are gone.
    pub fn wait_until_nobody_works(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            let left = self.processes();
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let lines: Vec<String> = left.iter().map(|p| command_line_of(p.pid)).collect();
                return Err(format!("processes stay: {lines:?}"));
            }
            // Each look reads all processes of the machine: the awaited processes need the processor too.
            std::thread::sleep((asked.elapsed() * 2).max(Duration::from_millis(5)));
        }
    }

    /// Ends all of its processes with SIGKILL.
    pub fn end_all(&self) {
        end_all_at(&self.root());
    }
}

/// The processes that a folder is named to, by an argument or in the environment.
fn processes_at(root: &Path) -> Vec<ProcessIdentity> {
    let root = root.as_os_str().as_encoded_bytes();
    let belongs = |pid: u32| {
        let names_it = |file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            memchr::memmem::find(&bytes, root).is_some()
        };
        pid != std::process::id() && (names_it("cmdline") || names_it("environ"))
    };
    process_table().iter().map(|p| p.identity).filter(|p| belongs(p.pid)).collect()
}

/// Ends them with SIGKILL, and those that they start in the meantime.
pub(crate) fn end_all_at(root: &Path) {
    for _ in 0..200 {
        let left = processes_at(root);
        if left.is_empty() {
            return;
        }
        for process in left {
            let _ = signal_process(process, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end_all();
        self.remove_groups();
        if is_mount_point(&self.state()) {
            let _ = run(Command::new("umount").arg(self.state()), PATIENCE);
        }
    }
}

impl Sandbox {
    /// Without the state directory no process removes the control groups of killed supervisors, and every
    /// recovery scans all groups.
    fn remove_groups(&self) {
        let text = fs::read_to_string(self.state().join("state.json")).unwrap_or_default();
        let identity: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(id) = identity["state_id"].as_str() {
            for group in recovery::system::Cgroup::named(&format!("recoveryctl-{id}-")) {
                let _ = group.remove(); // One that is populated stays.
            }
        }
    }
}

fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    path.parent().is_some_and(|parent| device(path).is_some() && device(path) != device(parent))
}

fn command_line_of(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit status, or minus the signal that ended it.
    pub status: i32,
}

impl Ran {
    /// Refuses another exit status.
    ///
    /// # Errors
    /// With all that it said.
    pub fn expect(self, status: i32) -> Result<Ran, String> {
        if self.status == status { Ok(self) } else { Err(format!("status {status} expected: {self:?}")) }
    }
}

/// Exit status, minus the signal that ended it.
pub fn status_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(999))
}

/// Runs a command to its end; one that takes longer than `patience` is killed.
pub fn run(command: &mut Command, patience: Duration) -> io::Result<Ran> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let status = wait(&mut command.spawn()?, patience)?;
    Ok(Ran { stdout: text_of(&mut stdout)?, stderr: text_of(&mut stderr)?, status: status_of(status) })
}

/// Waits for a child; kills it after `patience`.
pub fn wait(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    wait_while_it_works(child, patience, &|| 0)
}

/// As [`wait`], for as long as `progress` returns another number within that time: on a busy machine
/// everything takes longer.
pub(crate) fn wait_while_it_works(
    child: &mut Child,
    patience: Duration,
    progress: &dyn Fn() -> u64,
) -> io::Result<ExitStatus> {
    let (mut since, mut known, mut pause) = (Instant::now(), progress(), Duration::from_micros(200));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if since.elapsed() > patience {
            let now = progress();
            if now == known {
                child.kill()?;
                return child.wait();
            }
            (since, known) = (Instant::now(), now);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// Everything in a file, whatever it is.
pub fn text_of(file: &mut fs::File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Copies files, folders and permissions; holes stay holes.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target)?;
        } else if entry.file_type()?.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if source.file_name() != Some(OsStr::new("place.json")) {
            // The record of the folder's identity is left out: the copy must pass for the original.
            fs::copy(&source, &target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

/// A file, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Permissions and kind.
    pub mode: u32,
    /// Content; empty for folders.
    pub content: Vec<u8>,
}

/// All files below a folder by their paths in it, without those that `skip` says.
pub fn tree(root: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<BTreeMap<PathBuf, Seen>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            if skip(&name) {
                continue;
            }
            let metadata = fs::symlink_metadata(&path)?;
            let is_file = metadata.is_file();
            let content = if is_file { fs::read(&path)? } else { Vec::new() };
            if metadata.is_dir() {
                folders.push(path);
            }
            let mode = metadata.mode() & !0o7777 | metadata.permissions().mode() & 0o7777;
            found.insert(name, Seen { mode, content });
        }
    }
    Ok(found)
}

/// Where two trees differ; empty when they do not.
pub fn differences(before: &BTreeMap<PathBuf, Seen>, after: &BTreeMap<PathBuf, Seen>) -> Vec<String> {
    let gone = before.keys().filter(|k| !after.contains_key(*k)).map(|k| format!("{} is gone", k.display()));
    let changed = after.iter().filter_map(|(name, seen)| match before.get(name) {
        None => Some(format!("{} is new", name.display())),
        Some(old) if old != seen => Some(format!("{} changed", name.display())),
        Some(_) => None,
    });
    gone.chain(changed).collect()
}
