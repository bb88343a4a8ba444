//! Gathers the evidence for a verdict, and no more than it needs: most locks are judged without a scan of
//! processes.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::metadata::{LockHolder, LockMetadata, LockState, MetadataRead};
use super::scan::{OtherTimes, ProcessScan};
use super::verdict::{
    Evidence, Flock, HolderEvidence, JobLivenessOf, Judgement, LockVerdict, Origin, Survivors, judge,
};
use crate::jobs::{ProcessTable, Users};
use crate::state::StateDir;
use crate::system::{Cgroup, Host, Presence, ProcessIdentity, Relation, is_network, presence};

/// Observes the machine once, and judges any number of locks by that.
pub(super) struct LockInspector<'a> {
    here: Host,
    network: Option<&'static str>,
    jobs: &'a JobLivenessOf<'a>,
    state_id: String,
    scan: OnceLock<ProcessScan>,
    /// The grants whose holder was gone before the scan; `None` if the scan is taken only when first needed.
    covered: Option<HashSet<String>>,
}

impl<'a> LockInspector<'a> {
    /// An inspector that scans the processes when a verdict first needs it, if at all.
    pub(super) fn new(dir: &StateDir, jobs: &'a JobLivenessOf<'a>) -> LockInspector<'a> {
        let network = is_network(&dir.paths.locks());
        let state_id = dir.identity.state_id.to_string();
        LockInspector { here: Host::this(), network, jobs, state_id, scan: OnceLock::new(), covered: None }
    }

    /// An inspector with the same question about jobs and no scan yet.
    pub(super) fn anew(&self, dir: &StateDir) -> LockInspector<'a> {
        LockInspector::new(dir, self.jobs)
    }

    /// Whether the lock files are on a network file system, where flocks prove nothing and may block.
    pub(super) fn is_on_network(&self) -> bool {
        self.network.is_some()
    }

    /// Scans the processes once for all of these locks. A scan proves something about a lock only when its
    /// holder, which alone can start the marked command, was gone before the scan; so that is found out first,
    /// and [`LockInspector::covers`] says for which grants the scan counts.
    pub(super) fn scan_for(&mut self, locks: impl Iterator<Item = LockMetadata>) {
        let covered: HashSet<String> = locks.filter(|m| self.needs_scan(m)).map(|m| m.lock_id).collect();
        if !covered.is_empty() {
            // If a scan was taken already, it covers as much.
            let _ = self.scan.set(ProcessScan::take());
        }
        self.covered = Some(covered);
    }

    fn needs_scan(&self, m: &LockMetadata) -> bool {
        m.state != LockState::Released
            && m.holder == LockHolder::Process
            && self.may_be_seen(m)
            && self.presence_of(m) != Some(Presence::Alive)
    }

    /// Whether the shared scan counts for this lock.
    pub(super) fn covers(&self, metadata: &MetadataRead) -> bool {
        match (&self.covered, metadata) {
            (Some(covered), MetadataRead::Whole(m)) => covered.contains(&m.lock_id) || !self.needs_scan(m),
            _ => true,
        }
    }

    /// Corrects a verdict when a process of another incarnation works on the repository: then the repository is
    /// not available.
    pub(super) fn unless_used_by_others(
        dir: &StateDir,
        repository: &str,
        mut judged: Judgement,
    ) -> Judgement {
        let is_to_be_had = matches!(judged.verdict, LockVerdict::Free | LockVerdict::Stale);
        if !is_to_be_had || !dir.may_have_survivors() {
            return judged;
        }
        match OtherTimes::look(dir).users_of(repository) {
            Users::None => {}
            Users::Seen(others) => {
                let pids: Vec<String> = others.iter().map(|p| p.pid.to_string()).collect();
                judged.evidence.push(format!(
                    "processes {} may work on it by a lock that was granted before a backup was put back",
                    pids.join(", ")
                ));
                judged.verdict = LockVerdict::LiveUnidentified;
            }
            Users::Unseen => {
                let why =
                    "processes that cannot be seen may work on it, begun before a backup was put back: a \
                           control group of that time has some"
                        .to_owned();
                judged.evidence.push(why.clone());
                judged.verdict = LockVerdict::Unknown { why };
            }
        }
        judged
    }

    /// Judges a lock.
    pub(super) fn judge(&self, flock: Flock, metadata: &MetadataRead) -> Judgement {
        let holder = match metadata.whole() {
            Some(m) if m.state != LockState::Released && self.network.is_none() => self.gather(&flock, m),
            _ => HolderEvidence::default(),
        };
        judge(&Evidence { network: self.network, flock, metadata, here: &self.here, holder })
    }

    fn gather(&self, flock: &Flock, m: &LockMetadata) -> HolderEvidence {
        let seen = self.presence_of(m);
        let mut evidence = HolderEvidence { presence: seen, ..HolderEvidence::default() };
        if *flock == Flock::Held && m.holder == LockHolder::Process && seen == Some(Presence::Gone) {
            // The process may have died before it recorded its command: the marks show that.
            evidence.survivors = self.survivors(m).filter(|seen| matches!(seen, Survivors::Found(_)));
        }
        if *flock != Flock::Free {
            return evidence;
        }
        match &m.holder {
            LockHolder::Job { job_id, claim, .. } => evidence.job = Some((self.jobs)(job_id, *claim)),
            LockHolder::Process if self.may_be_seen(m) && seen != Some(Presence::Alive) => {
                evidence.survivors = self.survivors(m);
            }
            LockHolder::Process => evidence.is_namespace_empty = self.is_namespace_empty(m),
        }
        evidence
    }

    /// Whether the holder ran in another process namespace that has no process any more: a container that was
    /// killed has taken all its processes with it. Checked anew each time, because a scan from before the grant
    /// proves nothing.
    fn is_namespace_empty(&self, m: &LockMetadata) -> bool {
        let namespace = m.host.pid_namespace;
        let is_other = Origin::of(&m.host, &self.here) == Origin::OtherNamespace && namespace != 0;
        // A process that moved to another namespace is still in the group.
        let is_left = || self.group_of(m).is_some_and(|group| !matches!(group.is_populated(), Ok(false)));
        is_other
            && self.here.sees_all_namespaces()
            && ProcessTable::new().is_namespace_empty(namespace) == Some(true)
            && !is_left()
    }

    /// Whether processes of the holder's host, if they live, are in this process namespace.
    fn may_be_seen(&self, m: &LockMetadata) -> bool {
        matches!(Origin::of(&m.host, &self.here), Origin::Here | Origin::EarlierBoot)
    }

    /// Whether the holder's process lives; `None` when its PID and start time mean nothing here.
    fn presence_of(&self, m: &LockMetadata) -> Option<Presence> {
        match self.here.relation(&m.host) {
            // A differing boot id is no proof of another boot: a process with that PID and start time would
            // refute it.
            Relation::Here { .. } | Relation::EarlierBoot { is_proven: false } => Some(presence(m.process)),
            _ => None,
        }
    }

    fn survivors(&self, m: &LockMetadata) -> Option<Survivors> {
        match self.command_of(m) {
            Ok(found) if !found.is_empty() => return Some(Survivors::Found(found)),
            Ok(_) => {}
            Err(why) => return Some(Survivors::Unseen(why)),
        }
        let is_fenced = self.group_of(m).is_some();
        if m.is_left_unseen && !is_fenced && (m.command.is_none() || m.cgroup.is_some()) {
            let why = "something of it could not be ended, and cannot be seen".to_owned();
            return Some(Survivors::Unseen(why));
        }
        match &self.covered {
            Some(covered) if !covered.contains(&m.lock_id) => None,
            _ => Some(match self.scan.get_or_init(ProcessScan::take).survivors_of(m) {
                // All of them were in the control group (it is recorded only then), and the group is empty.
                Survivors::Unseen(_) if is_fenced => Survivors::Absent,
                seen => seen,
            }),
        }
    }

    /// The living processes of the lock's command: the command itself, its processes that could not be ended, and
    /// the processes in its control group.
    fn command_of(&self, m: &LockMetadata) -> Result<Vec<ProcessIdentity>, String> {
        let mut found = Vec::new();
        for process in m.command.iter().chain(&m.left) {
            match presence(*process) {
                Presence::Alive => found.push(*process),
                Presence::Hidden => {
                    return Err(format!("its command, process {}, may not be looked at", process.pid));
                }
                Presence::Gone => {}
            }
        }
        if let Some(group) = self.group_of(m) {
            let others = group.processes();
            let others: Vec<_> = others.into_iter().filter(|p| !found.contains(p)).collect();
            found.extend(others);
            match group.is_populated() {
                Ok(true) if found.is_empty() => {
                    return Err("its control group has processes that cannot be seen".to_owned());
                }
                Err(e) if found.is_empty() => return Err(format!("its control group cannot be read: {e}")),
                _ => {}
            }
        }
        Ok(found)
    }

    fn group_of(&self, m: &LockMetadata) -> Option<Cgroup> {
        m.group(&self.state_id)
    }
}
