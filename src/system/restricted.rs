//! Programs that work on untrusted data: they get nothing of this process except what is passed to them.
//!
//! Their environment has only the variables that were set, their standard input is `/dev/null`, they are a
//! process group of their own, may gain no privileges (`PR_SET_NO_NEW_PRIVS`), leave no core file, and run as the
//! given user with that user's rights alone, and within limits. Their folder and their inputs are descriptors, so
//! that a rename cannot exchange them.
//!
//! All of that is set between fork and exec, in the new process, so that the program never runs without it. Only
//! system calls on memory that was allocated before are used, because nothing else is sound in a child of a
//! process with several threads.

#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, getpid, getppid, getrlimit, set_parent_process_death_signal,
    setrlimit,
};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::author::Account;

/// The first descriptor after standard input, output and error.
const FIRST: libc::c_uint = 3;
/// `CLOSE_RANGE_CLOEXEC`, of Linux 5.11; see close_range(2).
const CLOSE_ON_EXEC: libc::c_uint = 4;

/// A program that is to be started.
pub(crate) struct Restricted<'fd> {
    command: Command,
    handed: Vec<BorrowedFd<'fd>>,
    account: Option<Account>,
    limits: Vec<(Resource, u64)>,
    ends_with_us: bool,
}

impl<'fd> Restricted<'fd> {
    pub(crate) fn new(program: &Path) -> Restricted<'fd> {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).process_group(0);
        Restricted {
            command,
            handed: Vec::new(),
            account: None,
            limits: vec![(Resource::Core, 0)],
            ends_with_us: false,
        }
    }

    pub(crate) fn args<S: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = S>) -> &mut Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.env(name, value);
        self
    }

    /// Passes a descriptor to the program; returns the path by which the program finds the file. When the program
    /// opens that path, its user's rights decide.
    pub(crate) fn hand(&mut self, fd: BorrowedFd<'fd>) -> String {
        self.handed.push(fd);
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }

    /// Sets the folder in which it runs. It is entered with this process's rights.
    pub(crate) fn folder(&mut self, folder: BorrowedFd<'fd>) -> &mut Self {
        // Open until exec in the new process too.
        self.command.current_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        self
    }

    /// Sets the account as which it runs; without a call it runs as this user.
    pub(crate) fn account(&mut self, account: Option<Account>) -> &mut Self {
        self.account = account;
        self
    }

    /// Limits a resource to `most`, or to what this process may have when that is less.
    pub(crate) fn limit(&mut self, resource: Resource, most: u64) -> &mut Self {
        self.limits.push((resource, most));
        self
    }

    /// Kills the program when the thread that starts it ends, also by a crash: that thread must wait for it.
    pub(crate) fn end_with_us(&mut self) -> &mut Self {
        self.ends_with_us = true;
        self
    }

    pub(crate) fn stdin(&mut self, input: impl Into<Stdio>) -> &mut Self {
        self.command.stdin(input);
        self
    }

    pub(crate) fn output(&mut self, output: impl Into<Stdio>, errors: impl Into<Stdio>) -> &mut Self {
        self.command.stdout(output).stderr(errors);
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// The system's error, also when one of the restrictions cannot be set; the program did not run then.
    pub(crate) fn spawn(mut self) -> io::Result<Child> {
        let prepare = Prepare {
            handed: self.handed.iter().map(|fd| fd.as_fd().as_raw_fd()).collect(),
            limits: std::mem::take(&mut self.limits),
            groups: self.account.iter().flat_map(|a| &a.groups).map(|gid| Gid::from_raw(*gid)).collect(),
            user: self.account.as_ref().map(|a| (Uid::from_raw(a.uid), Gid::from_raw(a.gid))),
            parent: self.ends_with_us.then(getpid),
        };
        // SAFETY: the closure makes system calls on memory that it owns; it allocates nothing and takes no lock.
        unsafe { self.command.pre_exec(move || prepare.restrict()) };
        self.command.spawn()
    }
}

/// The settings of the new process.
struct Prepare {
    handed: Vec<RawFd>,
    limits: Vec<(Resource, u64)>,
    groups: Vec<Gid>,
    user: Option<(Uid, Gid)>,
    /// The process with which it ends.
    parent: Option<Pid>,
}

impl Prepare {
    fn restrict(&self) -> io::Result<()> {
        // This process's inherited descriptors may not be close-on-exec. On older systems they stay open.
        // SAFETY: the call only sets a flag of descriptors of this process, which ends with exec.
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, CLOSE_ON_EXEC) };
        for fd in &self.handed {
            // SAFETY: the caller borrows it until the program was started, and this process has a copy.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        for (resource, most) in &self.limits {
            let hard = getrlimit(*resource).maximum;
            let most = Some(hard.map_or(*most, |hard| hard.min(*most)));
            setrlimit(*resource, Rlimit { current: most, maximum: most })?;
        }
        set_no_new_privs(true)?;
        if let Some((uid, gid)) = self.user {
            set_thread_groups(&self.groups)?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
        }
        // This comes after the change of user, which resets it.
        if let Some(parent) = self.parent {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes what is handed.
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    const SH: &str = "/bin/sh";

    /// What a script prints.
    fn printed<'fd>(change: impl FnOnce(&mut Restricted<'fd>), script: &str) -> String {
        let mut output = tempfile::tempfile().unwrap();
        let mut sh = Restricted::new(Path::new(SH));
        sh.output(output.try_clone().unwrap(), output.try_clone().unwrap()).args(["-c", script]);
        change(&mut sh);
        sh.spawn().unwrap().wait().unwrap();
        output.rewind().unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn restricted_inherits_only_passed_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in"), "handed").unwrap();
        let [kept, given] = [(); 2].map(|()| std::fs::File::open(folder.path()).unwrap());
        let mut path = String::new();
        let script = "cat $GIVEN/in; echo; cat in; echo; readlink /proc/$$/fd/* | grep -cF $FOLDER; env | grep -c HOME; \
                      ulimit -c; ulimit -n; ulimit -Hn; grep NoNewPrivs /proc/self/status; \
                      cut -d' ' -f5 /proc/self/stat";
        let text = printed(
            |sh| {
                path = sh.hand(given.as_fd());
                sh.env("GIVEN", &path)
                    .env("FOLDER", folder.path())
                    .folder(given.as_fd())
                    .limit(Resource::Nofile, 64);
            },
            script,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["handed", "handed"], "{text}");
        // Of the two files it sees only the one that was passed. The number of the other may be in use for
        // something else there.
        assert_eq!(lines[2], "1", "{text}");
        assert!(rustix::io::fcntl_getfd(&kept).is_ok());
        assert_eq!(lines[3..7], ["0", "0", "64", "64"], "{text}");
        assert!(lines[7].ends_with('1'), "{text}");
        assert_ne!(lines[8], rustix::process::getpgrp().as_raw_nonzero().to_string(), "{text}");
        // In this process the descriptors stay close-on-exec.
        assert!(rustix::io::fcntl_getfd(&given).unwrap().contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn restricted_runs_as_given_user() {
        let account = Account { uid: 61_000, gid: 61_001, groups: vec![61_002] };
        if !rustix::process::geteuid().is_root() {
            let mut sh = Restricted::new(Path::new(SH));
            sh.account(Some(account));
            assert_eq!(sh.spawn().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            return;
        }
        let text = printed(
            |sh| {
                sh.account(Some(account));
            },
            "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status",
        );
        let words: Vec<&str> = text.split_whitespace().collect();
        let zeros = "0000000000000000";
        let expected = "Uid: 61000 61000 61000 61000 Gid: 61001 61001 61001 61001 Groups: 61002 CapEff:";
        assert_eq!(words, expected.split(' ').chain([zeros]).collect::<Vec<_>>(), "{text}");
    }

    #[test]
    fn restricted_ends_with_waiting_thread() {
        let child = std::thread::spawn(|| {
            let mut sh = Restricted::new(Path::new(SH));
            sh.end_with_us().args(["-c", "exec sleep 600"]);
            sh.spawn().unwrap()
        });
        let end = child.join().unwrap().wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&end), Some(9));
    }
}
