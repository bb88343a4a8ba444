//! What is lost, as findings: what the list of losses holds, and what the files of the logs show now.

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::ledger::{self, Found, Loss, Losses, LossesError};
use crate::audit::{self, AuditError, TrailCheck, damage_findings, unreadable};
use crate::findings::catalogue::{self, is_loss};
use crate::findings::{Finding, Object, Severity};
use crate::state::{StateDir, human};

/// The name of the audit trail's mark.
const AUDIT: &str = "audit";
/// The name of the queue log's mark.
const QUEUE: &str = "queue";

/// What the files of the logs show.
#[derive(Debug, Clone, Default)]
pub struct LossCheck {
    /// The losses that they show, unless a repair has removed the traces.
    pub findings: Vec<Finding>,
    /// The numbers of their last records.
    marks: Vec<(&'static str, u64)>,
}

impl LossCheck {
    /// Checks the files. Changes nothing.
    pub(crate) fn take(dir: &StateDir, known: &Losses) -> LossCheck {
        // A copy's files are those of its original.
        if dir.is_copy() {
            return LossCheck::default();
        }
        match checked(dir) {
            Ok(trail) => {
                let mut missing = trail.missing.clone();
                let marked = known.marks.get(AUDIT).copied().unwrap_or(0);
                if marked > trail.last_seq {
                    missing.push((trail.last_seq + 1, marked));
                }
                LossCheck {
                    findings: damage_findings(dir, &trail.damage, &missing),
                    marks: vec![(AUDIT, trail.last_seq)],
                }
            }
            Err(e) => LossCheck { findings: vec![unreadable(&e)], marks: Vec::new() },
        }
    }

    /// Adds the last record of the queue as it was read: the queue may have lost its end, or everything.
    pub(crate) fn at_queue(mut self, dir: &StateDir, known: &Losses, last_seq: u64) -> LossCheck {
        let marked = known.marks.get(QUEUE).copied().unwrap_or(0);
        if marked > last_seq && !dir.is_copy() {
            let sentence =
                format!("{} in no file that can be read", human::numbers("record", last_seq + 1, marked));
            self.findings.push(Finding::new(&catalogue::LOG_RECORDS_MISSING, Object::Queue, sentence));
        }
        self.mark_queue(last_seq);
        self
    }

    /// Notes the number of the queue's last record.
    pub(crate) fn mark_queue(&mut self, last_seq: u64) {
        self.marks.push((QUEUE, last_seq));
    }

    /// Adds findings from elsewhere.
    pub(crate) fn with(mut self, findings: &[Finding]) -> LossCheck {
        self.findings.extend(findings.iter().filter(|f| f.tells_of_loss()).cloned());
        self
    }

    /// Records the losses in their list.
    pub(crate) fn record(&self, dir: &StateDir, by: &str) -> Result<(), LossesError> {
        ledger::record(dir, by, &self.found(), &self.marks)
    }

    /// Acknowledges losses by their ids, also those that are first seen now.
    pub(crate) fn acknowledge(
        &self,
        dir: &StateDir,
        ids: &[String],
        by_and_why: (&str, &str),
    ) -> Result<Vec<Finding>, LossesError> {
        let done = ledger::acknowledge(dir, ids, &self.found(), &self.marks, by_and_why)?;
        Ok(done.iter().map(of_loss).collect())
    }

    fn found(&self) -> Vec<Found> {
        self.findings.iter().map(found).collect()
    }
}

/// Turns a finding into a loss. The audit trail is never repaired, so what proves a loss in it stays.
fn found(finding: &Finding) -> Found {
    let (object, sentence) = (finding.object.clone(), finding.sentence.clone());
    let stays = finding.code == catalogue::AUDIT_DAMAGED.code;
    let gap = gap_in(&finding.sentence).filter(|_| stays);
    Found { code: finding.code.to_string(), object, sentence, stays, gap }
}

/// Returns the first and last number of a gap from the sentence about it.
fn gap_in(sentence: &str) -> Option<(u64, u64)> {
    let sentence = sentence.strip_suffix(" in no file that can be read")?;
    if let Some(rest) = sentence.strip_prefix("entry ") {
        let number = rest.split_once(' ')?.0.parse().ok()?;
        return Some((number, number));
    }
    let (first, rest) = sentence.strip_prefix("entries ")?.split_once(" to ")?;
    Some((first.parse().ok()?, rest.split_once(' ')?.0.parse().ok()?))
}

/// Returns everything that is lost: what is on the list and not acknowledged, and what is seen now and not on
/// the list.
pub(crate) fn open(known: &Losses, look: &LossCheck) -> Vec<Finding> {
    let mut all: Vec<Finding> = known.open().map(of_loss).collect();
    let is_unknown = |f: &&Finding| known.known(&found(f)).is_none();
    all.extend(look.findings.iter().filter(is_unknown).cloned());
    if let Some(why) = &known.damaged {
        let sentence = format!("what was known to be lost cannot be read: {why}");
        let list = Finding::new(&catalogue::LOSSES_DAMAGED, Object::Losses, sentence);
        all.push(list.with_next("recoveryctl recover"));
    }
    all
}

/// Whether the loss of a finding is on the list, acknowledged or not.
pub(crate) fn is_known(known: &Losses, finding: &Finding) -> bool {
    is_loss(&finding.code) && known.known(&found(finding)).is_some()
}

/// Returns the finding of a loss as the list has it, if it is there.
pub(crate) fn as_known(known: &Losses, finding: Finding) -> Finding {
    known.known(&found(&finding)).map_or(finding, of_loss)
}

/// Returns the acknowledged losses, newest first.
pub(crate) fn acknowledged(known: &Losses) -> Vec<Finding> {
    known.losses.iter().rev().filter(|loss| loss.acknowledged.is_some()).map(of_loss).collect()
}

fn of_loss(loss: &Loss) -> Finding {
    let blank = || Finding::new(&catalogue::RESOURCE_UNUSABLE, loss.object.clone(), loss.sentence.as_str());
    let finding = match catalogue::find(&loss.code) {
        Some(entry) => Finding::new(entry, loss.object.clone(), loss.sentence.as_str()),
        // A later version recorded this loss.
        None => Finding { code: Cow::Owned(loss.code.clone()), severity: Severity::Critical, ..blank() },
    };
    let acknowledge = format!("recoveryctl findings ack {} --reason seen", loss.id);
    Finding {
        id: loss.id.clone(),
        severity: if loss.acknowledged.is_some() { Severity::Info } else { finding.severity },
        next: loss.acknowledged.is_none().then_some(acknowledge),
        first_seen: Some(loss.first_seen),
        last_seen: Some(loss.last_seen),
        acknowledged: loss.acknowledged.clone(),
        ..finding
    }
}

/// The result for a trail, and the files that it belongs to.
type Checked = (PathBuf, Vec<(u64, u64, i64, i64)>, TrailCheck);

/// Checks the audit trail, unless it was checked and its files have not changed since.
fn checked(dir: &StateDir) -> Result<TrailCheck, AuditError> {
    static LAST: Mutex<Option<Checked>> = Mutex::new(None);
    let folder = dir.paths.audit_log();
    let mut files: Vec<(u64, u64, i64, i64)> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
        .collect();
    files.sort_unstable();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, seen, check)) = &*last
        && *of == folder
        && *seen == files
    {
        return Ok(check.clone());
    }
    let check = audit::check(dir)?;
    *last = Some((folder, files, check.clone()));
    Ok(check)
}
