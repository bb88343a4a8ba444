//! The users of a folder, and their use of it.

use std::fmt;

use crate::queue::{JobId, JobStatus};

/// Something that uses a folder, or may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub by: User,
    pub how: How,
    /// The used path, below the folder where that is known.
    pub what: String,
}

/// The user of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A process.
    Process {
        /// Its PID as this process sees it.
        pid: u32,
        /// Its name; empty when it is gone by now.
        name: String,
        /// The job that its environment names.
        job: Option<String>,
    },
    /// The kernel: a loop device, a swap file.
    Kernel(String),
    /// A job of the queue.
    Job(JobId, JobStatus),
    /// Unknown, because nothing could be examined; the reason.
    Unseen(String),
}

/// How a folder is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// A working directory.
    WorkingDirectory,
    /// A root directory.
    Root,
    /// The program that a process runs.
    Program,
    /// A file mapped into memory.
    Mapped,
    /// An open file or folder.
    Open,
    /// A locked file; the process that holds the lock hides its files.
    Locked,
    /// The name of a bound socket.
    Socket,
    /// A mount point.
    MountPoint,
    /// A folder, or file, that is mounted elsewhere as well.
    Mounted,
    /// The device or the swap space behind a file.
    Backing,
    /// The folder in which a job is to work.
    Work,
    /// A file that a job's command names, or a folder or link on the way to one.
    Named,
    /// A socket file that may be used: some socket is bound by a name that leads nowhere any more.
    LostSocket,
    /// It cannot be told.
    Unknown,
}

impl How {
    /// Whether a mount is what protects the folder.
    pub(crate) const fn is_mount(self) -> bool {
        matches!(self, How::MountPoint | How::Mounted)
    }
}

impl Use {
    pub(super) fn unseen(why: impl Into<String>) -> Use {
        Use { by: User::Unseen(why.into()), how: How::Unknown, what: String::new() }
    }

    /// Whether the use is certain, and not merely possible.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self.how, How::Unknown | How::LostSocket)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Process { pid, name, job } => {
                write!(f, "process {pid}")?;
                match (name.is_empty(), job) {
                    (true, None) => Ok(()),
                    (true, Some(job)) => write!(f, " (of job {job})"),
                    (false, None) => write!(f, " ({name})"),
                    (false, Some(job)) => write!(f, " ({name}, of job {job})"),
                }
            }
            User::Kernel(what) => f.write_str(what),
            User::Job(id, status) => write!(f, "job {id}, which is {status},"),
            User::Unseen(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match self.how {
            How::WorkingDirectory => "has its working directory in it",
            How::Root => "has its root directory in it",
            How::Program => "runs a program of it",
            How::Mapped => "has a file of it mapped",
            How::Open => "has a file of it open",
            How::Locked => "has a file of it locked",
            How::Socket => "has a socket bound in it",
            How::MountPoint => "sees something mounted in it",
            How::Mounted => "has it, or something of it, mounted",
            How::Backing => "is backed by a file of it",
            How::Work => "is to work in it",
            How::Named => "names it, or something in it, in its command",
            How::LostSocket => "has a socket bound that may be one in it: its name leads nowhere any more",
            How::Unknown if matches!(self.by, User::Unseen(_)) => return write!(f, "{}", self.by),
            How::Unknown => "may be in it, and may not be looked at by this user",
        };
        write!(f, "{} {does}", self.by)?;
        if self.what.is_empty() { Ok(()) } else { write!(f, ": {}", self.what) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_sentence_names_user_and_path() {
        let by = User::Process { pid: 7, name: "sh".to_owned(), job: Some("b".to_owned()) };
        let used = Use { by, how: How::Open, what: "data/db".to_owned() };
        assert_eq!(used.to_string(), "process 7 (sh, of job b) has a file of it open: data/db");
        let by = User::Job("b".parse().unwrap(), JobStatus::Queued);
        let used = Use { by, how: How::Work, what: String::new() };
        assert_eq!(used.to_string(), "job b, which is queued, is to work in it");
        assert_eq!(Use::unseen("nobody looked").to_string(), "nobody looked");
        assert!(!Use::unseen("").is_certain() && used.is_certain());
    }
}
