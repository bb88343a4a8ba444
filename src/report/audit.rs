//! The report on who changed what: the audit trail and the queue's own log, as one list in order of time.
//!
//! An operation on the queue bears who and why in the queue's log; when a checkpoint drops those records,
//! the operators' ones among them go into the trail first ([`crate::queue`]), with their sequence numbers:
//! so nothing is told twice, and nothing is lost with the log.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{BadCursor, Page, cut_counted};
use crate::audit::{self, Entry, Outcome};
use crate::durable::DiskError;
use crate::findings::Finding;
use crate::findings::Object;
use crate::losses::{Losses, as_known};
use crate::queue::{entries_of, is_by_operator, operator_records};
use crate::state::Word;
use crate::state::{StateDir, Timestamp};

/// One act.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct AuditEntry {
    pub at: Timestamp,
    /// Who, and by which command: as it was recorded.
    pub by: String,
    /// The user's number; `null` for the daemon, a supervisor, and records of old versions.
    pub uid: Option<u32>,
    pub user: Option<String>,
    /// `pts/3`, `cron`, `no terminal`; `null` when it was not recorded.
    pub terminal: Option<String>,
    /// The command line, with secrets masked.
    pub command: Option<String>,
    /// What was given with `--reason`.
    pub reason: Option<String>,
    pub action: String,
    pub object: Object,
    /// `done` or `failed`.
    pub result: Outcome,
    pub detail: String,
    /// What proved that it was right, where it rested on a verdict.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// `trail` or `queue`.
    pub source: Word,
    /// Its number there.
    pub seq: u64,
}

/// Selects acts.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditFilter {
    /// Only acts from this time on.
    pub since: Option<Timestamp>,
    /// Only acts whose actor contains this text.
    pub by: Option<String>,
    /// Only acts on this object, or on objects with this beginning up to the colon.
    pub object: Option<String>,
    /// Only this kind of act.
    pub action: Option<String>,
    /// Whether to include what daemons and supervisors record about jobs.
    pub all: bool,
}

/// The acts, the newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct AuditReport {
    pub entries: Vec<AuditEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
    pub findings: Vec<Finding>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuditReportError {
    /// The queue's log cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cursor is not valid.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
}

impl AuditReport {
    /// Reads both sources. Changes nothing.
    pub(crate) fn read(
        dir: &StateDir,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<AuditReport, AuditReportError> {
        let (trail, mut findings) = match audit::read(dir) {
            Ok(trail) => (trail, Vec::new()),
            Err(e) => (audit::TrailRead::default(), vec![audit::unreadable(&e)]),
        };
        // Losses on the list have their ids there, and may have been acknowledged.
        let known = Losses::read(dir).unwrap_or_default();
        findings.extend(audit::findings(dir, &trail).into_iter().map(|f| as_known(&known, f)));
        // When a checkpoint was killed between keeping records and dropping them, the next one keeps them
        // again.
        let mut kept = HashSet::new();
        let mut entries = Vec::new();
        for (seq, entry) in trail.entries {
            match entry.queue_seq {
                Some(number) if !kept.insert((number, entry.object.clone())) => {}
                Some(number) => entries.push(shown(entry, "queue", number)),
                None => entries.push(shown(entry, "trail", seq)),
            }
        }
        let log = operator_records(dir, |record| filter.all || is_by_operator(record))?;
        for (seq, record) in &log {
            let of_record = entries_of(*seq, record).into_iter();
            let new = of_record.filter(|entry| !kept.contains(&(*seq, entry.object.clone())));
            entries.extend(new.map(|entry| shown(entry, "queue", *seq)));
        }
        entries.retain(|entry| filter.matches(entry));
        entries.sort_by(|a, b| (a.at, &a.source, a.seq).cmp(&(b.at, &b.source, b.seq)));
        let total = entries.len() as u64;
        let (entries, next_cursor) = cut_counted(entries, &page.newest_first())?;
        Ok(AuditReport { entries, total, next_cursor, findings })
    }
}

impl AuditFilter {
    fn matches(&self, entry: &AuditEntry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && self.by.as_ref().is_none_or(|by| entry.by.contains(by.as_str()))
            && self.action.as_ref().is_none_or(|action| entry.action == *action)
            && self.object.as_ref().is_none_or(|object| entry.object.is_about(object))
    }
}

fn shown(entry: Entry, source: &'static str, seq: u64) -> AuditEntry {
    let who = Who::of(&entry.by);
    AuditEntry {
        at: entry.at,
        uid: who.uid,
        user: who.user,
        terminal: who.terminal,
        command: who.command,
        by: entry.by,
        reason: entry.why,
        action: entry.action,
        object: entry.object,
        result: entry.result,
        detail: entry.detail,
        evidence: entry.evidence,
        source: source.into(),
        seq,
    }
}

/// The parts of an actor such as `uid:0 root submit --repo web (pts/3)`.
struct Who {
    uid: Option<u32>,
    user: Option<String>,
    terminal: Option<String>,
    command: Option<String>,
}

impl Who {
    fn of(by: &str) -> Who {
        let unknown = Who { uid: None, user: None, terminal: None, command: None };
        // A client of the daemon, of which only the token's role is known: `token:admin release web (http
        // 127.0.0.1:40112)`.
        let as_user = by.strip_prefix("token:").map(|rest| format!("uid:- {rest}"));
        let by = as_user.as_deref().unwrap_or(by);
        let Some((uid, rest)) = by.strip_prefix("uid:").and_then(|rest| rest.split_once(' ')) else {
            return unknown;
        };
        let (rest, terminal) = match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
            Some((rest, terminal)) => (rest, Some(terminal.to_owned())),
            None => (rest, None),
        };
        let (user, command) = match rest.split_once(' ') {
            Some((user, command)) => (Some(user), command),
            None => (None, rest),
        };
        Who {
            uid: uid.parse().ok(),
            user: user.filter(|user| *user != "-").map(str::to_owned),
            terminal,
            command: Some(command.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actor_is_parsed_in_every_form() {
        let told = |by| {
            let who = Who::of(by);
            (who.uid, who.user, who.terminal, who.command)
        };
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(
            told("uid:0 root submit --repo web -- make … (pts/3)"),
            (Some(0), text("root"), text("pts/3"), text("submit --repo web -- make …"))
        );
        assert_eq!(told("uid:7 - release web (cron)"), (Some(7), None, text("cron"), text("release web")));
        assert_eq!(told("uid:0 root submit"), (Some(0), text("root"), None, text("submit")));
        assert_eq!(told("daemon"), (None, None, None, None));
        assert_eq!(
            told("token:admin release web (http 127.0.0.1:4)"),
            (None, text("admin"), text("http 127.0.0.1:4"), text("release web"))
        );
    }
}
