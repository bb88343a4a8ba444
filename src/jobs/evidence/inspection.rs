//! One attempt under inspection: facts are gathered in the order of their cost, the cheapest first, each with a
//! sentence.

use std::os::unix::fs::MetadataExt;

use super::files::Files;
use crate::jobs::cgroup_name;
use crate::jobs::command_record::CommandRecord;
use crate::jobs::conditions::{Condition, Seen, cannot_end, conditions, hindered, pending_cancel};
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::judgement::{Evidence, JudgeContext, Judgement, blank};
use crate::jobs::process_scan::Wanted;
use crate::jobs::sentinel::{Freshness, Sentinel};
use crate::jobs::stored::{Stored, is_blank};
use crate::jobs::traces::real_output;
use crate::jobs::verdict::{Begun, Facts, Liveness, LockFact, Origin, Verdict, decide, origin_of};
use crate::queue::{Claim, Job};
use crate::state::{JobPaths, StateStamp, human};
use crate::system::{
    Cgroup, Host, Presence, ProcessIdentity, ProcessProbe, Relation, presence, probe_process,
};

pub(super) struct Inspection<'a> {
    look: &'a JudgeContext<'a>,
    job: &'a Job,
    paths: JobPaths,
    files: Files,
    evidence: Vec<Evidence>,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(
        look: &'a JudgeContext<'a>,
        job: &'a Job,
        paths: JobPaths,
        files: Files,
    ) -> Inspection<'a> {
        Inspection { look, job, paths, files, evidence: Vec::with_capacity(8) }
    }

    fn saw(&mut self, kind: &'static str, detail: String) {
        self.evidence.push(Evidence { kind: kind.into(), detail });
    }

    pub(super) fn conclude(mut self, lock: LockFact, how: String) -> Judgement {
        self.saw("lock", how);
        let lock_held = lock == LockFact::Held;
        let freshness = self.look_at_heartbeat();
        let (facts, mut seen) = self.facts(lock, freshness);
        let claimed = facts.claimed;
        let command = self.command();
        let verdict = decide(facts);
        let is_alive = verdict.liveness() == Liveness::Alive;
        seen.is_supervised = lock_held;
        let mut conditions = if is_alive { conditions(&seen, self.look.limits) } else { Vec::new() };
        if is_alive {
            conditions.extend(self.cannot_end(&verdict));
        }
        if verdict.liveness() != Liveness::Dead {
            conditions.extend(pending_cancel(self.job, self.look.dir.clock.now()));
        }
        if let Verdict::Unknown { why } = &verdict {
            self.saw("verdict", why.clone());
        }
        let may_be_unwritten = claimed == Some(Origin::EarlierBoot);
        let mut damaged = self.files.damaged();
        damaged.retain(|name| !(may_be_unwritten && is_blank(&self.paths.attempts.join(name))));
        let (job, Files { sentinel, heartbeat, .. }) = (self.job, self.files);
        let evidence = self.evidence;
        Judgement {
            evidence,
            lock_held,
            sentinel,
            command,
            heartbeat,
            freshness,
            conditions,
            damaged,
            ..blank(job, verdict)
        }
    }

    /// The processes that its supervisor could not end. For an unsupervised job whose cancel was requested, also
    /// the processes that the job's user is visibly hindered from ending.
    fn cannot_end(&self, verdict: &Verdict) -> Option<Condition> {
        let by = self.sentinel()?.uid;
        let mut processes = self.sentinel()?.cannot_end.clone();
        if let Verdict::OrphanedProcess { processes: found } = verdict
            && self.job.run_state().cancel_requested
        {
            processes.extend(hindered(found, by).into_iter().filter(|p| !self.is_known_to_withstand(p)));
        }
        cannot_end(&processes, by)
    }

    fn is_known_to_withstand(&self, process: &ProcessIdentity) -> bool {
        self.sentinel().is_some_and(|s| s.cannot_end.contains(process))
    }

    fn look_at_heartbeat(&mut self) -> Option<Freshness> {
        let heartbeat = self.files.heartbeat?;
        let freshness = self.look.limits.freshness(heartbeat.age_ms);
        let age = heartbeat.age_ms.unsigned_abs();
        let detail = if heartbeat.is_from_the_future() {
            format!("the heartbeat lies {} in the future: clock skew", human::duration(age))
        } else {
            format!("the last heartbeat was {} ago: {}", human::duration(age), freshness.as_str())
        };
        self.saw("heartbeat", detail);
        Some(freshness)
    }

    /// Whether a file belongs to the claim that began the attempt: by the claim's number, and by the incarnation
    /// in the file.
    fn is_of_claim(&self, claim: Claim, stamp: Option<&StateStamp>) -> bool {
        self.job.run_state().claim.is_none_or(|own| own == claim)
            && self.look.dir.is_of_our_time(claim.seq(), stamp)
    }

    fn sentinel(&self) -> Option<&Sentinel> {
        self.files
            .sentinel
            .whole()
            .filter(|s| s.job_id == self.job.id && self.is_of_claim(s.claim, s.state.as_ref()))
    }

    fn command_record(&self) -> Option<&CommandRecord> {
        self.files
            .command
            .whole()
            .filter(|c| c.job_id == self.job.id && self.is_of_claim(c.claim, c.state.as_ref()))
    }

    /// The control group of the attempt, if its command joined one.
    fn group(&self) -> Option<Cgroup> {
        let record = self.command_record()?;
        cgroup_name::recorded(self.look.dir, record.claim, record.cgroup.as_deref())
    }

    fn command(&self) -> Option<ProcessIdentity> {
        self.command_record().map(|c| c.command).or_else(|| self.sentinel()?.command)
    }

    fn facts(&mut self, lock: LockFact, freshness: Option<Freshness>) -> (Facts, Seen) {
        self.describe_files();
        let exit = self.exit();
        let begun = self.begun();
        let claimed = self.claimed();
        let relation = self.recorded_host().map(|host| self.look.host.relation(host));
        // A differing boot id is no proof of another boot: a process with that PID and start time would refute
        // it.
        let is_here =
            matches!(relation, Some(Relation::Here { .. } | Relation::EarlierBoot { is_proven: false }));
        let sighted = |process: ProcessIdentity| (process, probe_process(process));
        let supervisor = self.sentinel().map(|s| s.supervisor).filter(|_| is_here).map(sighted);
        let is_settled = exit.as_ref().is_some_and(|exit| exit.tree_empty);
        let is_searched = lock == LockFact::Free && !is_settled;
        // The supervisor knows its command better; this observation is for people.
        let command = self.command().filter(|_| is_here && !is_settled).map(sighted);
        let mut facts = Facts {
            begun,
            claimed,
            supervisor_lives: supervisor.is_some_and(|(_, s)| s.presence == Presence::Alive),
            supervisor_stopped: supervisor.is_some_and(|(_, s)| s.is_stopped),
            freshness,
            survivors: Vec::new(),
            has_unseen: false,
            is_of_other_incarnation: self.is_of_other_incarnation(),
            others: Vec::new(),
            is_attended: false,
            has_lone_output: self.has_lone_output(),
            doubt: None,
            lock: lock.clone(),
            exit,
        };
        if let Some((process, sighting)) = supervisor {
            self.saw("supervisor", format!("supervisor {} {}", process.pid, described(&sighting)));
        }
        if let Some((process, sighting)) = command {
            self.saw("command", format!("command {} {}", process.pid, described(&sighting)));
        }
        if is_searched {
            self.look_for_processes(supervisor.map(|(process, _)| process), command, &mut facts);
        }
        if lock == LockFact::Held && self.is_of_other_incarnation() {
            facts.others.extend(supervisor.map(|(process, _)| process).filter(|_| facts.supervisor_lives));
        }
        facts.lock = lock;
        let heartbeat = self.files.heartbeat;
        let is_of_other_boot_id =
            matches!(relation, Some(Relation::Here { is_disputed: true } | Relation::EarlierBoot { .. }));
        let uid = self.command_record().map(|c| c.uid).or_else(|| Some(self.sentinel()?.uid));
        (facts, Seen { heartbeat, supervisor, command, uid, is_of_other_boot_id, is_supervised: false })
    }

    fn exit(&mut self) -> Option<ExitRecord> {
        let exit = self
            .files
            .exit
            .whole()
            .filter(|e| e.job_id == self.job.id && self.is_of_claim(e.claim, e.state.as_ref()))
            .cloned()?;
        let how = match (exit.exit_code, exit.signal) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit status".to_owned(),
        };
        let tree =
            if exit.tree_empty { "all its processes were seen gone" } else { "some processes were left" };
        self.saw("exit", format!("exit.json of attempt {}: {how}; {tree}", exit.attempt));
        Some(exit)
    }

    fn describe_files(&mut self) {
        let sentinel = match (&self.files.sentinel, self.sentinel()) {
            (Stored::Missing, _) => "there is no sentinel".to_owned(),
            (Stored::Damaged { reason }, _) => format!("the sentinel is damaged: {reason}"),
            (Stored::Whole(s), None) => {
                format!("the sentinel is of attempt {} and claim {}, another one", s.attempt, s.claim)
            }
            (_, Some(s)) => format!("the sentinel is of attempt {} and claim {}", s.attempt, s.claim),
        };
        self.saw("sentinel", sentinel);
        if let Stored::Damaged { reason } = &self.files.command {
            self.saw("command", format!("command.json is damaged: {reason}"));
        }
        if let Stored::Damaged { reason } = &self.files.exit {
            self.saw("exit", format!("exit.json is damaged: {reason}"));
        }
    }

    /// The recorded host on which the attempt ran.
    fn recorded_host(&self) -> Option<&Host> {
        self.command_record().map(|c| &c.host).or_else(|| Some(&self.sentinel()?.host))
    }

    /// Whether the attempt was begun before a backup was put back.
    fn is_of_other_incarnation(&self) -> bool {
        let stamp = self.command_record().map(|c| c.state).or_else(|| Some(self.sentinel()?.state));
        stamp.is_some_and(|stamp| self.look.dir.is_of_other_incarnation(stamp.as_ref()))
    }

    fn begun(&mut self) -> Begun {
        let Some(host) = self.recorded_host() else {
            return match (self.files.sentinel.is_damaged(), self.files.command.is_damaged()) {
                (true, true) => Begun::AllDamaged,
                (true, false) => Begun::SentinelDamaged,
                // The sentinel is written first: a damaged command record without a sentinel means that the
                // sentinel was lost.
                (false, true) => Begun::AllDamaged,
                (false, false) => Begun::Nothing,
            };
        };
        let (origin, detail) = origin_of(self.look.host, host);
        self.saw("host", detail);
        Begun::Here(origin)
    }

    /// Where the claim was made, if no file of the attempt tells where it ran.
    fn claimed(&mut self) -> Option<Origin> {
        let claimed_on = self.job.run_state().claimed_on.as_deref();
        let (origin, detail) = origin_of(self.look.host, claimed_on?);
        if self.recorded_host().is_none() {
            self.saw("host", format!("the claim was {detail}"));
        }
        Some(origin)
    }

    /// Whether there is an output and no other file. The output is opened after the sentinel was written, and
    /// moved away before it: without any other file, of any claim, those files were removed.
    fn has_lone_output(&self) -> bool {
        let Files { sentinel, command, exit, .. } = &self.files;
        let others = matches!((sentinel, command, exit), (Stored::Missing, Stored::Missing, Stored::Missing));
        others && self.paths.output().symlink_metadata().is_ok()
    }

    fn look_for_processes(
        &mut self,
        supervisor: Option<ProcessIdentity>,
        command: Option<(ProcessIdentity, ProcessProbe)>,
        facts: &mut Facts,
    ) {
        match command {
            Some((process, ProcessProbe { presence: Presence::Alive, .. })) => facts.survivors.push(process),
            Some((process, ProcessProbe { presence: Presence::Hidden, .. })) => {
                facts.doubt = Some(format!("process {} may not be looked at", process.pid));
            }
            _ => {}
        }
        self.look_for_withstanding(facts);
        if facts.supervisor_lives {
            facts.survivors.extend(supervisor);
        }
        let is_fenced = matches!(facts.begun, Begun::Here(_)) && self.look_at_group(facts);
        if facts.survivors.is_empty() {
            self.look_at_table(supervisor, facts);
        }
        if facts.is_of_other_incarnation {
            let survivors = std::mem::take(&mut facts.survivors);
            facts.others.extend(survivors);
        }
        self.look_at_namespace(is_fenced, facts);
        if is_fenced {
            // The command was in a group of its own, and that group is empty.
            facts.doubt = None;
        }
    }

    /// Examines another process namespace, of which only its end can be seen from here: a container that was
    /// killed has taken all its processes with it.
    fn look_at_namespace(&mut self, is_fenced: bool, facts: &mut Facts) {
        let is_alive = !facts.survivors.is_empty() || facts.has_unseen;
        if is_alive || !matches!(facts.begun, Begun::Here(Origin::OtherNamespace)) {
            return;
        }
        let namespace = self.recorded_host().map_or(0, |host| host.pid_namespace);
        // A container has its own hierarchy of control groups: only a group that exists proves anything.
        let is_empty_group = is_fenced && self.group().is_some_and(|group| group.is_there());
        let sees_all = self.look.host.sees_all_namespaces();
        let is_gone =
            is_empty_group || sees_all && self.look.table.is_namespace_empty(namespace) == Some(true);
        if is_gone {
            self.saw("host", format!("process namespace {namespace} has no process of the job any more"));
            facts.begun = Begun::Here(Origin::EmptyNamespace);
            facts.doubt = None;
        }
    }

    /// Processes that could not be ended belong to the attempt, whatever they have changed since.
    fn look_for_withstanding(&mut self, facts: &mut Facts) {
        let told = self.sentinel().map(|s| s.cannot_end.clone()).unwrap_or_default();
        for process in told {
            match presence(process) {
                Presence::Alive if facts.survivors.contains(&process) => {}
                Presence::Alive => facts.survivors.push(process),
                Presence::Hidden => {
                    facts.doubt = Some(format!("process {} may not be looked at", process.pid));
                }
                Presence::Gone => {}
            }
        }
    }

    /// Whether the attempt has a control group, and that group is empty. A process in the group is a survivor,
    /// even one that cannot be seen from here: the group's name has state directory, incarnation and claim, so no
    /// other attempt can use it.
    fn look_at_group(&mut self, facts: &mut Facts) -> bool {
        let Some(group) = self.group() else { return false };
        let (is_empty, detail) = match group.is_populated() {
            Ok(false) => (true, "the job's control group is empty".to_owned()),
            Ok(true) => {
                let members = group.processes();
                let detail = match members.as_slice() {
                    [] => "the job's control group has processes that cannot be seen from here".to_owned(),
                    seen => format!("the job's control group has processes: {}", pids(seen)),
                };
                facts.has_unseen = members.is_empty();
                let new: Vec<_> = members.into_iter().filter(|p| !facts.survivors.contains(p)).collect();
                facts.survivors.extend(new);
                (false, detail)
            }
            Err(e) => (false, format!("the job's control group cannot be read: {e}")),
        };
        self.saw("cgroup", detail);
        is_empty
    }

    fn look_at_table(&mut self, supervisor: Option<ProcessIdentity>, facts: &mut Facts) {
        let is_begun = facts.begun != Begun::Nothing;
        let paths = &self.look.dir.paths;
        let output = real_output(&self.paths, &self.look.table.real_root(paths.root()));
        let (output, root) = (paths.as_known(&output), paths.as_known(paths.root()));
        let (state_id, mark) = (self.look.dir.identity.state_id.to_string(), self.look.dir.mark());
        let wanted = Wanted {
            job: &self.job.id,
            root: &root,
            state_id: &state_id,
            mark: &mark,
            output: &output,
            output_pipe: self.sentinel().and_then(|s| s.output_pipe),
            claim: self.job.run_state().claim,
            is_begun,
            supervisor,
            uid: self.uid(),
            since: self.command().map(|c| c.start_time),
        };
        facts.survivors = self.look.table.of_job(&wanted);
        facts.others = self.look.table.of_other_incarnations(&wanted);
        // A supervisor that a sentinel names is known by its identity.
        let attendants = if supervisor.is_none() { self.look.table.attendants(&wanted) } else { Vec::new() };
        facts.is_attended = !attendants.is_empty();
        if (matches!(facts.begun, Begun::Here(Origin::Same)) || !is_begun) && facts.doubt.is_none() {
            facts.doubt = self.look.table.doubt(&wanted);
        }
        let detail = match facts.survivors.as_slice() {
            [] => "no living process bears the job's marks, is in its session or prints into its output"
                .to_owned(),
            found => format!("living processes of the job: {}", pids(found)),
        };
        self.saw("processes", detail);
        if !facts.others.is_empty() {
            let others = pids(&facts.others);
            self.saw("processes", format!("of another incarnation of this state directory: {others}"));
        }
        if facts.is_attended {
            self.saw("supervisor", format!("called for this very attempt: {}", pids(&attendants)));
        }
    }

    /// The user that the attempt ran as; the state directory's owner when that is unknown.
    fn uid(&self) -> Option<u32> {
        let recorded = self.command_record().map(|c| c.uid).or_else(|| Some(self.sentinel()?.uid));
        recorded.or_else(|| Some(std::fs::metadata(self.look.dir.paths.root()).ok()?.uid()))
    }
}

fn described(sighting: &ProcessProbe) -> &'static str {
    match sighting.presence {
        Presence::Alive if sighting.is_stopped => "lives and is stopped",
        Presence::Alive => "lives",
        Presence::Hidden => "may not be looked at",
        Presence::Gone if sighting.is_zombie => "has ended and was not reaped (a zombie)",
        Presence::Gone if sighting.is_succeeded => "is gone; its number belongs to another process now",
        Presence::Gone => "is gone",
    }
}

fn pids(processes: &[ProcessIdentity]) -> String {
    let shown: Vec<String> = processes.iter().take(8).map(|p| p.pid.to_string()).collect();
    let more = if processes.len() > 8 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
