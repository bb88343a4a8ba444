//! Runs an outside tool: restricted, bounded in time and output, and one at a time for one purpose.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::{Pid, Signal, kill_process_group};

use super::author::Account;
use super::process::{ProcessIdentity, end_process, marked_processes};
use super::process_table::{descendants, process_table};
use super::restricted::Restricted;
use crate::durable::Backoff;

/// A tool to run.
pub struct Tool<'a> {
    /// The program, as a [`super::SearchPath`] finds it.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [String],
    /// The folder in which it runs.
    pub folder: BorrowedFd<'a>,
    /// Its environment, and nothing but that.
    pub environment: &'a [(OsString, OsString)],
    /// The account as which it runs; `None`: as this user.
    pub account: Option<Account>,
    /// The time after which it is ended, with all that it started.
    pub time_limit: Duration,
    /// A variable and its value that mark its processes: processes that an earlier run left are ended before this
    /// one begins.
    pub mark: (&'a str, &'a str),
    /// Called now and then; says whether to end it early.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolEnd {
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// Its time limit was reached.
    TimedOut,
    /// Its end was requested.
    Stopped,
}

/// Result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRan {
    /// How it ended.
    pub end: ToolEnd,
    /// The last 2 KiB of what it printed.
    pub output: String,
}

const KEPT_OUTPUT: u64 = 2048;
/// When its output on disk exceeds this, in bytes, the room of all but the last part is given back.
const MOST_OUTPUT: u64 = 4 << 20;
/// How long a process that was killed may take to go, in milliseconds.
const END_WAIT_MS: u64 = 5000;

/// Runs a tool to its end.
pub fn run_tool(tool: &Tool<'_>) -> io::Result<ToolRan> {
    let mark = format!("{}={}", tool.mark.0, tool.mark.1);
    end_all(&mark)?;
    // The output goes to a file, not a pipe: it need not be read meanwhile, and nothing blocks when a grandchild
    // keeps it open.
    let mut output = tempfile::tempfile()?;
    let mut restricted = Restricted::new(tool.program);
    restricted.args(tool.arguments).folder(tool.folder).account(tool.account.clone());
    for (name, value) in tool.environment {
        restricted.env(name, value);
    }
    restricted.env(OsStr::new(tool.mark.0), tool.mark.1).output(output.try_clone()?, output.try_clone()?);
    let mut child = restricted.spawn()?;
    let turn = || {
        bound(&output);
        (tool.stop)()
    };
    let end = wait(&mut child, tool.time_limit, &turn);
    if !matches!(end, Ok(ToolEnd::Exited(_) | ToolEnd::Signaled(_))) {
        end_with_descendants(&mut child, &mark)?;
    }
    let length = output.seek(io::SeekFrom::End(0))?;
    output.seek(io::SeekFrom::Start(length.saturating_sub(KEPT_OUTPUT)))?;
    let mut bytes = Vec::new();
    (&mut output).take(KEPT_OUTPUT).read_to_end(&mut bytes)?;
    Ok(ToolRan { end: end?, output: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Gives back the room of old output; the tool goes on writing after it.
fn bound(output: &File) {
    let Ok(found) = output.metadata() else { return };
    let gone = found.len().saturating_sub(KEPT_OUTPUT);
    if found.blocks().saturating_mul(512) > MOST_OUTPUT && gone > 0 {
        // On a file system without holes the file grows until the time limit.
        let _ = fallocate(output, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, gone);
    }
}

/// Ends a tool whose time limit was reached: its group, its descendants, and all processes with its mark.
fn end_with_descendants(child: &mut Child, mark: &str) -> io::Result<()> {
    let tool = ProcessIdentity::of(child.id());
    let below = tool.map(|tool| descendants(&process_table(), tool)).unwrap_or_default();
    // The child is not reaped yet, so the number still belongs to it.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    for process in below {
        end_process(process, END_WAIT_MS)?;
    }
    end_all(mark)?;
    let _ = child.wait(); // It was killed: there is nothing more to learn.
    Ok(())
}

/// Waits until a child ends, its time limit is reached, or its end is requested; does not end the child.
pub(crate) fn wait(
    child: &mut Child,
    time_limit: Duration,
    stop: &(dyn Fn() -> bool + Sync),
) -> io::Result<ToolEnd> {
    let begun = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
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
        std::thread::sleep(backoff.pause());
    }
}

/// Ends every process with the mark.
fn end_all(mark: &str) -> io::Result<()> {
    loop {
        let (found, _) = marked_processes(&[mark], None);
        let living: Vec<ProcessIdentity> = found.into_iter().filter(is_alive).collect();
        if living.is_empty() {
            return Ok(());
        }
        for process in living {
            end_process(process, END_WAIT_MS)?;
        }
    }
}

fn is_alive(process: &ProcessIdentity) -> bool {
    super::process::process_stat(process.pid).is_ok_and(|s| !s.is_dead && s.identity == *process)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests read what was written.
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn run(script: &str, time_limit: Duration, mark: &str) -> ToolRan {
        let folder = std::fs::File::open("/").unwrap();
        let tool = Tool {
            program: Path::new("/bin/sh"),
            arguments: &["-c".to_owned(), script.to_owned()],
            folder: folder.as_fd(),
            environment: &[("PATH".into(), super::super::USUAL_PATH.into())],
            account: None,
            time_limit,
            mark: ("RECOVERYCTL_TEST_TOOL", mark),
            stop: &|| false,
        };
        run_tool(&tool).unwrap()
    }

    #[test]
    fn tool_timeout_ends_descendants() {
        let mark = format!("{}.ended", std::process::id());
        let time = format!("600.{}", std::process::id());
        let script =
            format!("env -i setsid sleep {time} & sleep {time} & setsid sleep {time} & echo begun; wait");
        let ran = run(&script, Duration::from_millis(300), &mark);
        assert_eq!((ran.end, ran.output.as_str()), (ToolEnd::TimedOut, "begun\n"));
        let left: Vec<_> =
            process_table().into_iter().filter(|p| p.arguments.last() == Some(&time)).collect();
        assert!(left.is_empty(), "also the one that cleared its environment: {left:?}");
        assert!(marked_processes(&[&format!("RECOVERYCTL_TEST_TOOL={mark}")], None).0.is_empty());
    }

    #[test]
    fn tool_output_room_is_bounded() {
        let mut file = tempfile::tempfile().unwrap();
        for _ in 0..9 {
            std::io::Write::write_all(&mut file, &[b'x'; 1 << 20]).unwrap();
            bound(&file);
        }
        let found = file.metadata().unwrap();
        assert_eq!(found.len(), 9 << 20);
        assert!(found.blocks() * 512 <= MOST_OUTPUT + (1 << 20), "{} blocks", found.blocks());
        let ran = run("yes | head -c 9000000; echo; echo the end", Duration::from_secs(60), "output");
        assert!(
            ran.output.len() as u64 <= KEPT_OUTPUT && ran.output.ends_with("the end\n"),
            "{}",
            ran.output
        );
    }
}
