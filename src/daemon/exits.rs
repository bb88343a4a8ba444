//! Exit notices: finds out which of many processes have ended, without asking each.
//!
//! A pidfd becomes readable when its process ends, whether it is a child of ours or not, and cannot be
//! confused with a successor's; an epoll over all of them costs nothing until one ends.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::event::{Timespec, epoll};

use crate::logging::events;
use crate::queue::JobId;
use crate::system::{ProcessIdentity, open_pidfd};
use tracing::{debug, warn};

/// How many notices are taken at a time.
const EVENTS: usize = 64;

/// The processes whose end is waited for.
#[derive(Debug)]
pub(super) struct Exits {
    /// `None` where the system has no epoll or pidfds: then nothing is watched, and jobs are judged at
    /// intervals.
    epoll: Option<OwnedFd>,
    watched: HashMap<u64, (JobId, OwnedFd)>,
    next: u64,
    most: usize,
}

/// The result of a request to watch a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// Its end will be noticed, under this number.
    Coming(u64),
    /// It has ended already.
    Gone,
    /// It cannot be watched.
    Impossible,
}

/// Logs that a process cannot be watched: the end of its job is found by judging the job at intervals.
fn cannot_be_watched(job: &JobId, error: &std::io::Error) -> Notice {
    debug!(event = events::TROUBLE, job_id = %job, "a process of job {job} cannot be watched: {error}");
    Notice::Impossible
}

impl Exits {
    pub(super) fn new() -> Exits {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        let epoll = epoll
            .inspect_err(|e| {
                warn!(event = events::TROUBLE, "ends of processes are not told, but looked for: {e}");
            })
            .ok();
        // Half of the descriptors are for everything else.
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = usize::try_from(limit.unwrap_or(u64::from(u32::MAX)) / 2).unwrap_or(usize::MAX);
        Exits { epoll, watched: HashMap::new(), next: 0, most }
    }

    /// Waits for the end of a process of this job.
    pub(super) fn watch(&mut self, job: &JobId, process: ProcessIdentity) -> Notice {
        let Some(epoll) = self.epoll.as_ref().filter(|_| self.watched.len() < self.most) else {
            return Notice::Impossible;
        };
        let pidfd = match open_pidfd(process) {
            Ok(Some(pidfd)) => pidfd,
            Ok(None) => return Notice::Gone,
            Err(e) => return cannot_be_watched(job, &e),
        };
        let token = self.next;
        self.next += 1;
        let data = epoll::EventData::new_u64(token);
        match epoll::add(epoll, &pidfd, data, epoll::EventFlags::IN) {
            Ok(()) => {
                self.watched.insert(token, (job.clone(), pidfd));
                Notice::Coming(token)
            }
            Err(e) => cannot_be_watched(job, &e.into()),
        }
    }

    /// Stops watching these.
    pub(super) fn forget(&mut self, tokens: &[u64]) {
        for token in tokens {
            // Closing the descriptor removes it from the epoll.
            self.watched.remove(token);
        }
    }

    /// Returns the jobs of which a process has ended since the last call; each notice is given once.
    pub(super) fn take(&mut self) -> Vec<JobId> {
        let Some(epoll) = &self.epoll else { return Vec::new() };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut jobs = Vec::new();
        loop {
            let mut events = Vec::with_capacity(EVENTS);
            let got =
                epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&now)).unwrap_or(0);
            let ended = events.iter().filter_map(|event| self.watched.remove(&event.data.u64()));
            jobs.extend(ended.map(|(job, _)| job));
            if got < EVENTS {
                return jobs;
            }
        }
    }
}
