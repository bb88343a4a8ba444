//! Counts the system calls of a real process, over all of its threads, and kills it at the n-th.
//!
//! strace's `inject=…:when=N` counts per thread and per system call, so that with several threads no N means
//! one point. Here every entry into the kernel of every thread of the process is a stop, counted in one
//! sequence; at the n-th the process gets SIGKILL and that call does not happen.
//!
//! The traced process notices no difference but the time it takes. The tracer must be one thread from start
//! to end, and waits only for children of that thread.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sandbox::{Ran, Sandbox, text_of};

/// The process whose system calls count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The program that is started.
    Itself,
    /// The supervisors that it starts.
    Supervisors,
}

/// How a traced run is to end.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// The process whose system calls count.
    pub target: Target,
    /// The number of the system call at which the process is killed; `None` only counts them.
    pub kill_at: Option<u64>,
    /// Called while the program runs: when it returns true, the program is told to end (SIGTERM). For
    /// programs that do not end on their own.
    pub is_enough: Option<&'a (dyn Fn() -> bool + Sync)>,
    /// A process that takes longer than this hangs, and is killed.
    pub patience: Duration,
}

/// The result of a traced run.
#[derive(Debug)]
pub struct Traced {
    /// System calls that were counted.
    pub calls: u64,
    /// The number (and arguments) of the call at which it was killed, as `/proc/PID/syscall` has it.
    pub killed_in: Option<String>,
    /// Output, and the exit status of the program itself.
    pub ran: Ran,
}

/// Runs the program with these arguments.
///
/// # Errors
/// The system's error; also when tracing is not permitted here.
pub fn run(place: &Sandbox, arguments: &[String], plan: &Plan<'_>) -> io::Result<Traced> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    // Waits for a line of input, so that the program is traced from its first instruction.
    let mut shell = Command::new("/bin/sh");
    place.surround(&mut shell);
    shell.args(["-c", "read -r go && exec \"$@\" </dev/null", "sh"]).arg(place.binary()).args(arguments);
    shell.stdin(Stdio::piped()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = shell.spawn()?;
    let main = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    let mut options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    if plan.target == Target::Supervisors {
        options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    }
    if let Err(e) = ptrace::seize(main, options) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(e.into());
    }
    let mut tracer = Tracer::new(main, plan);
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"\n")?;
    }
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let status = std::thread::scope(|scope| {
        scope.spawn(move || watch(main, plan, &is_done));
        let status = tracer.follow();
        drop(done);
        status
    })?;
    let ran = Ran { stdout: text_of(&mut stdout)?, stderr: text_of(&mut stderr)?, status };
    Ok(Traced { calls: tracer.calls, killed_in: tracer.killed_in, ran })
}

/// Ends a process that does not end by itself.
fn watch(main: Pid, plan: &Plan<'_>, is_done: &std::sync::mpsc::Receiver<()>) {
    let begun = std::time::Instant::now();
    let mut asked = false;
    while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
        is_done.recv_timeout(Duration::from_millis(20))
    {
        if begun.elapsed() > plan.patience {
            let _ = kill(main, Signal::SIGKILL);
        } else if !asked && plan.is_enough.is_some_and(|is_enough| is_enough()) {
            asked = true;
            let _ = kill(main, Signal::SIGTERM);
        }
    }
}

struct Tracer<'a> {
    main: Pid,
    plan: &'a Plan<'a>,
    /// Traced tasks that have not ended, and whether each is within a system call.
    tasks: HashMap<Pid, bool>,
    /// Processes whose calls count.
    counted: HashSet<Pid>,
    calls: u64,
    killed_in: Option<String>,
}

impl<'a> Tracer<'a> {
    fn new(main: Pid, plan: &'a Plan<'a>) -> Tracer<'a> {
        let tasks = HashMap::from([(main, false)]);
        Tracer { main, plan, tasks, counted: HashSet::new(), calls: 0, killed_in: None }
    }

    /// Lets all run until none is left; returns the exit status of the program itself.
    fn follow(&mut self) -> io::Result<i32> {
        let mut status = -999;
        while !self.tasks.is_empty() {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    self.tasks.remove(&pid);
                    status = if pid == self.main { code } else { status };
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.tasks.remove(&pid);
                    status = if pid == self.main { -(signal as i32) } else { status };
                }
                Ok(WaitStatus::PtraceEvent(pid, signal, event)) => self.event(pid, signal, event),
                Ok(WaitStatus::PtraceSyscall(pid)) => self.syscall(pid),
                Ok(WaitStatus::Stopped(pid, signal)) => self.go_on(pid, Some(signal)),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::ECHILD) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(status)
    }

    fn event(&mut self, pid: Pid, _signal: Signal, event: i32) {
        self.tasks.entry(pid).or_insert(false);
        if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 {
            // The exit from execve comes next.
            self.tasks.insert(pid, true);
            let is_supervisor = || argument(pid, 1).is_some_and(|word| word == "supervise");
            let is_command = || argument(pid, 1).is_some_and(|word| word == "exec-command");
            match self.plan.target {
                Target::Itself => drop(self.counted.insert(pid)),
                Target::Supervisors if is_supervisor() => drop(self.counted.insert(pid)),
                Target::Supervisors if is_command() => {
                    self.tasks.remove(&pid);
                    let _ = ptrace::detach(pid, None);
                    return;
                }
                Target::Supervisors => {}
            }
        }
        self.go_on(pid, None);
    }

    fn syscall(&mut self, pid: Pid) {
        let within = self.tasks.entry(pid).or_insert(false);
        *within = !*within;
        if *within {
            self.calls += 1;
            if self.plan.kill_at == Some(self.calls) {
                self.killed_in = fs::read_to_string(format!("/proc/{pid}/syscall")).ok();
                let _ = kill(process_of(pid), Signal::SIGKILL);
                return;
            }
        }
        self.go_on(pid, None);
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let counts = !self.counted.is_empty() && self.counted.contains(&process_of(pid));
        // The process may be gone; its end is reported later.
        let _ = if counts { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    }
}

/// The process that a thread belongs to.
fn process_of(task: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{task}/status")).unwrap_or_default();
    let number = status.lines().find_map(|l| l.strip_prefix("Tgid:")?.trim().parse().ok());
    number.map_or(task, Pid::from_raw)
}

fn argument(pid: Pid, number: usize) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(bytes.split(|b| *b == 0).nth(number)?).into_owned())
}
