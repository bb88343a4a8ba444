//! Running an outside tool: bounded in time and output, and only one at a time for one purpose.

use std::io::{self, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{ProcessIdentity, end_process, marked_processes};

/// What is run.
pub struct Tool<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// In which folder.
    pub folder: &'a Path,
    /// It is ended, with all that it started, after this time.
    pub time_limit: Duration,
    /// A variable and its value, by which its processes are known: those that an earlier run left behind
    /// are ended before this one begins.
    pub mark: (&'a str, &'a str),
    /// Asked now and then whether to end it early.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolEnd {
    /// There is no such program.
    Absent,
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// Its time was over.
    TimedOut,
    /// Somebody asked for its end.
    Stopped,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRan {
    /// How it ended.
    pub end: ToolEnd,
    /// The last 2 KiB of what it printed.
    pub output: String,
}

const KEPT_OUTPUT: u64 = 2048;

/// Whether there may be a program of that name, when it is run in a folder.
#[must_use]
pub fn is_installed(command: &[String], folder: &Path) -> bool {
    let Some(program) = command.first() else { return false };
    if program.contains('/') {
        return Path::new(program).exists() || folder.join(program).exists();
    }
    std::env::var_os("PATH")
        .is_none_or(|path| std::env::split_paths(&path).any(|at| at.join(program).exists()))
}

/// Runs a tool to its end.
///
/// # Errors
/// What the system says when it cannot be started for another reason than that it is not there.
pub fn run_tool(tool: &Tool<'_>) -> io::Result<ToolRan> {
    let mark = format!("{}={}", tool.mark.0, tool.mark.1);
    end_all(&mark)?;
    let Some((program, arguments)) = tool.command.split_first() else {
        return Ok(ToolRan { end: ToolEnd::Absent, output: String::new() });
    };
    // A file, not a pipe: nobody has to read it, and nothing blocks when a grandchild keeps it open.
    let mut output = tempfile::tempfile()?;
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir(tool.folder)
        .env(tool.mark.0, tool.mark.1)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) if e.kind() == io::ErrorKind::NotFound && tool.folder.is_dir() => {
            return Ok(ToolRan { end: ToolEnd::Absent, output: String::new() });
        }
        Err(e) => return Err(e),
    };
    let end = wait(&mut child, tool.time_limit, tool.stop)?;
    if matches!(end, ToolEnd::TimedOut | ToolEnd::Stopped) {
        end_all(&mark)?;
        let _ = child.wait(); // It was killed: there is nothing more to learn.
    }
    let length = output.seek(io::SeekFrom::End(0))?;
    output.seek(io::SeekFrom::Start(length.saturating_sub(KEPT_OUTPUT)))?;
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes)?;
    Ok(ToolRan { end, output: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Waits for a child's end, not longer than its time and while nobody asks for its end; it is not ended here.
pub(crate) fn wait(
    child: &mut Child,
    time_limit: Duration,
    stop: &(dyn Fn() -> bool + Sync),
) -> io::Result<ToolEnd> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            let by_signal = status.signal().map_or(ToolEnd::Exited(-1), ToolEnd::Signaled);
            return Ok(status.code().map_or(by_signal, ToolEnd::Exited));
        }
        if begun.elapsed() >= time_limit {
            return Ok(ToolEnd::TimedOut);
        }
        if stop() {
            return Ok(ToolEnd::Stopped);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends every process that bears the mark.
fn end_all(mark: &str) -> io::Result<()> {
    loop {
        let (found, _) = marked_processes(&[mark], None);
        let living: Vec<ProcessIdentity> = found.into_iter().filter(is_alive).collect();
        if living.is_empty() {
            return Ok(());
        }
        for process in living {
            end_process(process, 5000)?;
        }
    }
}

fn is_alive(process: &ProcessIdentity) -> bool {
    super::process::process_stat(process.pid).is_ok_and(|s| !s.is_dead && s.identity == *process)
}
