//! Gathers the facts about one attempt, and says each of them in words.

use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::command_record::CommandRecord;
use super::exit_record::ExitRecord;
use super::process_table::{ProcessTable, Wanted};
use super::sentinel::{Freshness, FreshnessLimits, Heartbeat, Sentinel};
use super::stored::Stored;
use super::traces::real_output;
use super::verdict::{Begun, Facts, Liveness, LockFact, Origin, Verdict, decide, origin_of};
use crate::durable::{DiskError, is_held};
use crate::queue::{Job, JobId};
use crate::state::{JobPaths, StateDir};
use crate::system::{Host, Presence, ProcessIdentity, is_network, presence, process_stat};

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What kind: `lock`, `sentinel`, `heartbeat`, `supervisor`, `command`, `exit`, `host`, `processes`,
    /// `output`, `verdict`.
    pub kind: &'static str,
    /// What was seen.
    pub detail: String,
}

/// A verdict about an attempt, with all that led to it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Which job.
    pub job_id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The claim that began it; `None` when the queue names none.
    pub claim: Option<u64>,
    /// What became of it.
    pub verdict: Verdict,
    /// What was seen, in the order in which it was looked at.
    pub evidence: Vec<Evidence>,
    /// Whether a supervisor holds the lock.
    pub lock_held: bool,
    /// The sentinel as it was found, whichever claim it is of.
    pub sentinel: Stored<Sentinel>,
    /// The command's process, as far as it was recorded for this attempt.
    pub command: Option<ProcessIdentity>,
    /// The last heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// How old that is; `None` without one.
    pub freshness: Option<Freshness>,
    /// Files in the workspace that cannot be understood: for the quarantine.
    pub damaged: Vec<&'static str>,
}

impl Judgement {
    /// Whether it lives.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.verdict.liveness()
    }
}

/// Who looks, and how.
#[derive(Debug)]
pub struct Look<'a> {
    /// The state directory.
    pub dir: &'a StateDir,
    /// This machine.
    pub host: &'a Host,
    /// All processes; scanned when a free lock asks for it.
    pub table: &'a ProcessTable,
    /// When a heartbeat is old.
    pub limits: FreshnessLimits,
}

/// What became of the job's present attempt. Takes the lock for no longer than a moment and changes
/// nothing.
#[must_use]
pub fn judge(look: &Look<'_>, job: &Job) -> Judgement {
    inspect(look, job, false)
}

/// As [`judge`], for the one who holds `sentinel.lock` exclusively.
pub(crate) fn judge_locked(look: &Look<'_>, job: &Job) -> Judgement {
    inspect(look, job, true)
}

fn inspect(look: &Look<'_>, job: &Job, own_lock: bool) -> Judgement {
    if job.course().adopted.is_some() {
        return super::adopted::judge_adopted(look, job);
    }
    match look.dir.paths.job(&job.id.to_string()) {
        Err(e) => unknown(job, format!("its id cannot be a file name: {e}")),
        Ok(paths) => match Files::read(look, &paths) {
            Err(e) => unknown(job, format!("{e}: {}", e.source)),
            Ok(files) => Inspection { look, job, paths, files, evidence: Vec::new() }.conclude(own_lock),
        },
    }
}

fn unknown(job: &Job, why: String) -> Judgement {
    let evidence = vec![Evidence { kind: "verdict", detail: why.clone() }];
    Judgement { evidence, ..blank(job, Verdict::Unknown { why }) }
}

/// A judgement without files.
pub(crate) fn blank(job: &Job, verdict: Verdict) -> Judgement {
    Judgement {
        job_id: job.id.clone(),
        attempt: job.attempt,
        claim: job.course().claim,
        verdict,
        evidence: Vec::new(),
        lock_held: false,
        sentinel: Stored::Missing,
        command: None,
        heartbeat: None,
        freshness: None,
        damaged: Vec::new(),
    }
}

struct Files {
    sentinel: Stored<Sentinel>,
    command: Stored<CommandRecord>,
    exit: Stored<ExitRecord>,
    heartbeat: Option<Heartbeat>,
}

impl Files {
    fn read(look: &Look<'_>, paths: &JobPaths) -> Result<Files, DiskError> {
        Ok(Files {
            sentinel: Sentinel::read(&paths.sentinel())?,
            command: CommandRecord::read(&paths.command())?,
            exit: ExitRecord::read(&paths.exit())?,
            heartbeat: Heartbeat::read(&paths.sentinel(), look.dir.clock.now()),
        })
    }

    fn damaged(&self) -> Vec<&'static str> {
        let found = [
            ("sentinel.json", self.sentinel.is_damaged()),
            ("command.json", self.command.is_damaged()),
            ("exit.json", self.exit.is_damaged()),
        ];
        found.into_iter().filter(|(_, damaged)| *damaged).map(|(name, _)| name).collect()
    }
}

struct Inspection<'a> {
    look: &'a Look<'a>,
    job: &'a Job,
    paths: JobPaths,
    files: Files,
    evidence: Vec<Evidence>,
}

impl Inspection<'_> {
    fn saw(&mut self, kind: &'static str, detail: String) {
        self.evidence.push(Evidence { kind, detail });
    }

    fn conclude(mut self, own_lock: bool) -> Judgement {
        let lock = self.look_at_lock(own_lock);
        let lock_held = lock == LockFact::Held;
        let freshness = self.look_at_heartbeat();
        let facts = self.facts(lock, freshness);
        let command = self.command();
        let verdict = decide(facts);
        if let Verdict::Unknown { why } = &verdict {
            self.saw("verdict", why.clone());
        }
        let damaged = self.files.damaged();
        let (job, Files { sentinel, heartbeat, .. }) = (self.job, self.files);
        let evidence = self.evidence;
        Judgement {
            evidence,
            lock_held,
            sentinel,
            command,
            heartbeat,
            freshness,
            damaged,
            ..blank(job, verdict)
        }
    }

    fn look_at_lock(&mut self, own_lock: bool) -> LockFact {
        // Before any flock: on some network file systems it blocks for ever.
        let place =
            if self.paths.workspace.exists() { &self.paths.workspace } else { self.look.dir.paths.root() };
        if let Some(kind) = is_network(&self.look.dir.paths.as_known(place)) {
            let why = format!("the workspace is on a network file system ({kind})");
            self.saw("lock", why.clone());
            return LockFact::Unusable(why);
        }
        if own_lock {
            self.saw("lock", "sentinel.lock was free and is held for this look".to_owned());
            return LockFact::Free;
        }
        let (fact, detail) = match is_held(&self.paths.sentinel_lock()) {
            Ok(true) => (LockFact::Held, "sentinel.lock is held".to_owned()),
            Ok(false) => (LockFact::Free, "sentinel.lock is free".to_owned()),
            Err(e) if e.is_not_found() => (LockFact::Free, "there is no sentinel.lock".to_owned()),
            Err(e) => {
                let why = format!("{e}: {}", e.source);
                (LockFact::Unusable(why.clone()), why)
            }
        };
        self.saw("lock", detail);
        fact
    }

    fn look_at_heartbeat(&mut self) -> Option<Freshness> {
        let heartbeat = self.files.heartbeat?;
        let freshness = self.look.limits.freshness(heartbeat.age_ms);
        let detail = if heartbeat.is_from_the_future() {
            format!("the heartbeat lies {} ms in the future: clock skew", -heartbeat.age_ms)
        } else {
            format!("the last heartbeat is {} ms old: {}", heartbeat.age_ms, freshness.as_str())
        };
        self.saw("heartbeat", detail);
        Some(freshness)
    }

    fn is_of_claim(&self, claim: u64) -> bool {
        self.job.course().claim.is_none_or(|own| own == claim)
    }

    fn sentinel(&self) -> Option<Sentinel> {
        self.files.sentinel.whole().filter(|s| s.job_id == self.job.id && self.is_of_claim(s.claim)).cloned()
    }

    fn command_record(&self) -> Option<CommandRecord> {
        self.files.command.whole().filter(|c| c.job_id == self.job.id && self.is_of_claim(c.claim)).cloned()
    }

    fn command(&self) -> Option<ProcessIdentity> {
        self.command_record().map(|c| c.command).or_else(|| self.sentinel()?.command)
    }

    fn facts(&mut self, lock: LockFact, freshness: Option<Freshness>) -> Facts {
        self.describe_files();
        let exit = self.exit();
        let begun = self.begun();
        let is_here = matches!(begun, Begun::Here(Origin::Same));
        let supervisor = self.sentinel().map(|s| s.supervisor).filter(|_| is_here);
        let mut facts = Facts {
            begun,
            supervisor_lives: supervisor.is_some_and(|s| presence(s) == Presence::Alive),
            supervisor_stopped: supervisor.is_some_and(|s| process_stat(s.pid).is_ok_and(|p| p.is_stopped)),
            freshness,
            survivors: Vec::new(),
            is_attended: false,
            has_lone_output: self.has_lone_output(),
            doubt: None,
            lock,
            exit,
        };
        self.describe_supervisor(supervisor, &facts);
        let is_settled = facts.exit.as_ref().is_some_and(|exit| exit.tree_empty);
        if facts.lock == LockFact::Free && !is_settled {
            self.look_for_processes(supervisor, &mut facts);
        }
        facts
    }

    fn exit(&mut self) -> Option<ExitRecord> {
        let exit = self
            .files
            .exit
            .whole()
            .filter(|e| e.job_id == self.job.id && self.is_of_claim(e.claim))
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

    fn begun(&mut self) -> Begun {
        let host = self.command_record().map(|c| c.host).or_else(|| Some(self.sentinel()?.host));
        let Some(host) = host else {
            return match (self.files.sentinel.is_damaged(), self.files.command.is_damaged()) {
                (true, true) => Begun::AllDamaged,
                (true, false) => Begun::SentinelDamaged,
                // The sentinel is written first: a damaged command record without it is half of a pair.
                (false, true) => Begun::AllDamaged,
                (false, false) => Begun::Nothing,
            };
        };
        let (origin, detail) = origin_of(self.look.host, &host);
        self.saw("host", detail);
        Begun::Here(origin)
    }

    fn describe_supervisor(&mut self, supervisor: Option<ProcessIdentity>, facts: &Facts) {
        let Some(supervisor) = supervisor else { return };
        let state = match (facts.supervisor_lives, facts.supervisor_stopped) {
            (true, true) => "lives and is stopped",
            (true, false) => "lives",
            (false, _) => gone(supervisor),
        };
        self.saw("supervisor", format!("supervisor {} {state}", supervisor.pid));
    }

    /// The output is opened after the sentinel was written, and moved before it: without any other file, of
    /// whichever claim, those were removed.
    fn has_lone_output(&self) -> bool {
        let Files { sentinel, command, exit, .. } = &self.files;
        let others = matches!((sentinel, command, exit), (Stored::Missing, Stored::Missing, Stored::Missing));
        others && self.paths.output().exists()
    }

    fn look_for_processes(&mut self, supervisor: Option<ProcessIdentity>, facts: &mut Facts) {
        let is_here = matches!(facts.begun, Begun::Here(Origin::Same));
        if let Some(command) = self.command().filter(|_| is_here) {
            self.look_at_command(command, facts);
        }
        if facts.supervisor_lives {
            facts.survivors.extend(supervisor);
        }
        if facts.survivors.is_empty() && !matches!(facts.begun, Begun::Here(Origin::EarlierBoot)) {
            self.look_at_table(supervisor, facts);
        }
    }

    fn look_at_table(&mut self, supervisor: Option<ProcessIdentity>, facts: &mut Facts) {
        let is_begun = facts.begun != Begun::Nothing;
        let paths = &self.look.dir.paths;
        let (output, root) = (paths.as_known(&real_output(&self.paths)), paths.as_known(paths.root()));
        let wanted = Wanted {
            job: &self.job.id,
            root: &root,
            output: &output,
            claim: self.job.course().claim,
            is_begun,
            supervisor,
            uid: self.uid(),
            since: self.command().map(|c| c.start_time),
        };
        facts.survivors = self.look.table.of_job(&wanted);
        // The one in a sentinel is known by its identity.
        let attendants = if supervisor.is_none() { self.look.table.attendants(&wanted) } else { Vec::new() };
        facts.is_attended = !attendants.is_empty();
        if (matches!(facts.begun, Begun::Here(Origin::Same)) || !is_begun) && facts.doubt.is_none() {
            facts.doubt = self.look.table.doubt(&wanted);
        }
        let detail = match facts.survivors.as_slice() {
            [] => {
                "no living process bears the job's marks, is in its session or writes its output".to_owned()
            }
            found => format!("living processes of the job: {}", pids(found)),
        };
        self.saw("processes", detail);
        if facts.is_attended {
            self.saw("supervisor", format!("called for this very attempt: {}", pids(&attendants)));
        }
    }

    /// The user that the attempt ran as; whom the state directory belongs to when nothing tells.
    fn uid(&self) -> Option<u32> {
        let recorded = self.command_record().map(|c| c.uid).or_else(|| Some(self.sentinel()?.uid));
        recorded.or_else(|| Some(std::fs::metadata(self.look.dir.paths.root()).ok()?.uid()))
    }

    fn look_at_command(&mut self, command: ProcessIdentity, facts: &mut Facts) {
        let state = match presence(command) {
            Presence::Alive => {
                facts.survivors.push(command);
                "lives"
            }
            Presence::Gone => gone(command),
            Presence::Hidden => {
                facts.doubt = Some(format!("process {} may not be looked at", command.pid));
                "may not be looked at"
            }
        };
        self.saw("command", format!("command {} {state}", command.pid));
    }
}

/// What is said of a process that is gone.
fn gone(process: ProcessIdentity) -> &'static str {
    match process_stat(process.pid) {
        Ok(now) if now.identity != process => "is gone; its number belongs to another process now",
        _ => "is gone",
    }
}

fn pids(processes: &[ProcessIdentity]) -> String {
    let shown: Vec<String> = processes.iter().take(8).map(|p| p.pid.to_string()).collect();
    let more = if processes.len() > 8 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
