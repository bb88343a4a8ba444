//! The file of losses, and the functions that change it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durable::{DiskError, FileLock, LockError, read_optional, replace, sealed};
use crate::findings::{Acknowledged, Object, numbered_id};
use crate::state::{StateDir, Timestamp};

/// How many acknowledged losses are remembered.
const KEPT: usize = 1000;
/// How many losses of one kind are named one by one each time; the rest becomes a number.
const NAMED: usize = 1000;
/// The code for the loss of this file itself.
const OF_ITSELF: &str = "losses-damaged";

/// A loss as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its code in the catalogue.
    pub code: String,
    /// What is lost: `job:ID`, `queue`, `file:PATH`.
    pub object: Object,
    /// What is known of it, in one sentence.
    pub sentence: String,
    /// Whether the evidence of it stays in its place, so that it is found again and again.
    pub stays: bool,
    /// The first and last number of a gap in a log that stays. A log that begins anew behind a gap leaves out
    /// one number.
    pub gap: Option<(u64, u64)>,
}

/// A loss on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Its id: eight hexadecimal digits.
    pub id: String,
    /// Its code in the catalogue.
    pub code: String,
    /// What is lost.
    pub object: Object,
    /// What is known of it.
    pub sentence: String,
    /// When it was found.
    pub first_seen: Timestamp,
    /// When it was found last.
    pub last_seen: Timestamp,
    /// Who found it: `daemon`, `uid:0 root recover`.
    pub found_by: String,
    /// The first and last number, when it is a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<(u64, u64)>,
    /// Who has acknowledged it, and when.
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
}

impl Loss {
    fn is(&self, found: &Found) -> bool {
        let is_same = match (self.gap, found.gap) {
            (Some((first, last)), Some(gap)) => first == gap.0 && gap.1 <= last + 1,
            _ => self.sentence == found.sentence,
        };
        is_same && (&self.code, &self.object) == (&found.code, &found.object)
    }
}

/// A kind of finding that is not to count for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mute {
    /// Its code.
    pub code: String,
    /// Only about this object.
    pub object: Option<Object>,
    /// Until when.
    pub until: Timestamp,
    /// Who wanted it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// All that is known to be lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    /// The losses, oldest first.
    pub losses: Vec<Loss>,
    /// The number of each log's last record, by the log's name.
    pub marks: BTreeMap<String, u64>,
    /// Findings that do not count for a while.
    pub mutes: Vec<Mute>,
    /// Why the file cannot be understood.
    #[serde(skip)]
    pub damaged: Option<String>,
}

/// Why losses could not be recorded or acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LossesError {
    /// Another process holds the lock of the file for too long.
    #[error("the list of losses cannot be changed")]
    Lock(#[from] LockError),
    /// The system's error.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl LossesError {
    /// Returns the error of a disk that refuses changes, if that is the cause.
    pub(crate) fn refused_change(&self) -> Option<&DiskError> {
        match self {
            LossesError::Disk(e) | LossesError::Lock(LockError::Disk(e)) if e.is_refused_change() => Some(e),
            _ => None,
        }
    }
}

/// A loss that is seen again within this time is not written again; milliseconds.
const SEEN_AGAIN_MS: i64 = 3_600_000;

impl Losses {
    /// Reads the losses. A file that cannot be understood is no error: the result says so.
    pub fn read(dir: &StateDir) -> Result<Losses, DiskError> {
        let Some(bytes) = read_optional(&dir.paths.losses())? else { return Ok(Losses::default()) };
        let whole = sealed::check(&bytes)
            .and_then(|_| serde_json::from_slice::<Losses>(&bytes).map_err(|e| e.to_string()));
        Ok(whole.unwrap_or_else(|why| Losses { damaged: Some(why), ..Losses::default() }))
    }

    /// Returns the losses that nobody has acknowledged.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Loss> {
        self.losses.iter().filter(|loss| loss.acknowledged.is_none())
    }

    /// Returns the newest entry of the list for a loss that was found.
    pub fn known(&self, found: &Found) -> Option<&Loss> {
        self.losses.iter().rev().find(|loss| loss.is(found))
    }

    /// Returns the mute because of which a finding does not count now.
    pub(crate) fn mute_of(&self, code: &str, object: &Object, now: Timestamp) -> Option<&Mute> {
        let covers = |m: &&Mute| m.code == code && m.object.as_ref().is_none_or(|o| o == object);
        self.mutes.iter().filter(|m| m.until > now).find(covers)
    }

    fn add(&mut self, found: &Found, by: &str, now: Timestamp) {
        let is_open = |loss: &Loss| loss.is(found) && (loss.acknowledged.is_none() || found.stays);
        if let Some(at) = self.losses.iter().rposition(is_open) {
            self.losses[at].last_seen = now;
            return;
        }
        let is_taken = |id: &String| self.losses.iter().any(|loss| loss.id == *id);
        let number = self.losses.iter().filter(|loss| loss.is(found)).count();
        let ids =
            (number..).map(|n| numbered_id(&found.code, &found.object.to_string(), Some(&found.sentence), n));
        self.losses.push(Loss {
            id: ids.into_iter().find(|id| !is_taken(id)).unwrap_or_default(),
            code: found.code.clone(),
            object: found.object.clone(),
            sentence: found.sentence.clone(),
            first_seen: now,
            last_seen: now,
            found_by: by.to_owned(),
            gap: found.gap,
            acknowledged: None,
        });
    }

    /// Adds what was found; of very many losses of a kind, their number.
    fn add_all(&mut self, found: &[Found], by: &str, now: Timestamp) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for one in found {
            let count = counts.entry(&one.code).or_default();
            *count += 1;
            if *count <= NAMED {
                self.add(one, by, now);
            }
        }
        for (code, count) in counts.into_iter().filter(|(_, count)| *count > NAMED) {
            let sentence = format!("{} more than those that are named", count - NAMED);
            let object = found.iter().find(|one| one.code == code).map_or("", |one| one.object.kind());
            let object = Object::from(object);
            self.add(&Found { code: code.to_owned(), object, sentence, stays: false, gap: None }, by, now);
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        let acknowledged = self.losses.iter().filter(|loss| loss.acknowledged.is_some()).count();
        let mut surplus = acknowledged.saturating_sub(KEPT);
        self.losses.retain(|loss| {
            let goes = surplus > 0 && loss.acknowledged.is_some();
            surplus -= usize::from(goes);
            !goes
        });
        self.mutes.retain(|mute| mute.until > now);
    }
}

/// Records durably what was found, with the marks that the logs have now.
pub fn record(dir: &StateDir, by: &str, found: &[Found], marks: &[(&str, u64)]) -> Result<(), LossesError> {
    let known = Losses::read(dir)?;
    let are_marked = marks.iter().all(|(log, seq)| known.marks.get(*log) == Some(seq));
    let now = dir.clock.now();
    let was_just_seen = |loss: &Loss| (0..SEEN_AGAIN_MS).contains(&now.millis_since(loss.last_seen));
    let is_told = |one: &Found| {
        let counts = |loss: &&Loss| loss.acknowledged.is_none() || one.stays;
        known.known(one).filter(counts).is_some_and(was_just_seen)
    };
    if found.iter().all(is_told) && are_marked && known.damaged.is_none() {
        return Ok(());
    }
    change(dir, by, |losses, now| {
        losses.add_all(found, by, now);
        losses.marks.extend(marks.iter().map(|(log, seq)| ((*log).to_owned(), *seq)));
    })
}

/// Acknowledges losses by their ids, and returns those that exist. What was found just now and is not on the
/// list yet is recorded first.
pub fn acknowledge(
    dir: &StateDir,
    ids: &[String],
    found: &[Found],
    marks: &[(&str, u64)],
    (by, reason): (&str, &str),
) -> Result<Vec<Loss>, LossesError> {
    let mut acknowledged = Vec::new();
    change(dir, by, |losses, now| {
        losses.add_all(found, by, now);
        losses.marks.extend(marks.iter().map(|(log, seq)| ((*log).to_owned(), *seq)));
        let is_meant = |loss: &&mut Loss| ids.contains(&loss.id) && loss.acknowledged.is_none();
        for loss in losses.losses.iter_mut().filter(is_meant) {
            loss.acknowledged = Some(Acknowledged { at: now, by: by.to_owned(), reason: reason.to_owned() });
            acknowledged.push(loss.clone());
        }
    })?;
    Ok(acknowledged)
}

/// Mutes findings for a while; replaces earlier mutes of the same findings.
pub fn mute(dir: &StateDir, mutes: &[Mute]) -> Result<(), LossesError> {
    let by = mutes.first().map_or("", |mute| &mute.by);
    change(dir, by, |losses, _| {
        losses.mutes.retain(|old| !mutes.iter().any(|new| is_of_the_same(old, new)));
        losses.mutes.extend(mutes.iter().cloned());
    })
}

/// Lets findings count again; returns the mutes that existed.
pub fn unmute(
    dir: &StateDir,
    by: &str,
    meant: &[(String, Option<Object>)],
) -> Result<Vec<Mute>, LossesError> {
    let mut gone = Vec::new();
    change(dir, by, |losses, _| {
        let is_meant =
            |mute: &Mute| meant.iter().any(|(code, object)| (code, object) == (&mute.code, &mute.object));
        (gone, losses.mutes) = std::mem::take(&mut losses.mutes).into_iter().partition(is_meant);
    })?;
    Ok(gone)
}

fn is_of_the_same(one: &Mute, other: &Mute) -> bool {
    (&one.code, &one.object) == (&other.code, &other.object)
}

fn change(dir: &StateDir, by: &str, act: impl FnOnce(&mut Losses, Timestamp)) -> Result<(), LossesError> {
    let _lock = FileLock::acquire(&dir.disk, &dir.paths.losses_lock(), dir.lock_wait)?;
    let mut losses = Losses::read(dir)?;
    let now = dir.clock.now();
    if let Some(why) = losses.damaged.take() {
        let path = dir.paths.losses();
        dir.quarantine().keep_file(&path, &why, &now.to_string())?;
        let sentence = format!("what was known to be lost cannot be read and is in quarantine: {why}");
        let object = Object::file(&path);
        losses.add(&Found { code: OF_ITSELF.to_owned(), object, sentence, stays: false, gap: None }, by, now);
    }
    act(&mut losses, now);
    losses.forget_old(now);
    let body = serde_json::to_vec(&losses).unwrap_or_default(); // Text, numbers and times: always JSON.
    replace(&dir.disk, &dir.paths.losses(), &sealed::seal(&body))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::state::Clock;

    fn place() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        (folder, dir)
    }

    fn found(object: &str, stays: bool) -> Found {
        let (code, sentence) = ("job-lost".to_owned(), "nothing tells of it".to_owned());
        Found { code, object: Object::from(object), sentence, stays, gap: None }
    }

    fn open(dir: &StateDir) -> Vec<String> {
        Losses::read(dir).unwrap().open().map(|loss| loss.object.to_string()).collect()
    }

    #[test]
    fn loss_is_reported_until_acknowledged() {
        let (_folder, dir) = place();
        assert_eq!(Losses::read(&dir).unwrap(), Losses::default());
        record(&dir, "daemon", &[], &[]).unwrap();
        assert!(!dir.paths.losses().exists(), "nothing to write");
        let both = [found("job:a", false), found("job:b", true)];
        record(&dir, "daemon", &both, &[("audit", 3)]).unwrap();
        record(&dir, "recover", &both, &[]).unwrap();
        let known = Losses::read(&dir).unwrap();
        assert_eq!((known.losses.len(), known.marks["audit"]), (2, 3), "found twice, told once: {known:#?}");
        assert_eq!(known.losses[0].found_by, "daemon");

        let ids = [known.losses[0].id.clone(), "00000000".to_owned()];
        let done = acknowledge(&dir, &ids, &[], &[], ("me", "seen")).unwrap();
        assert_eq!(done.len(), 1);
        assert_eq!(open(&dir), ["job:b"]);
        let all = [known.losses[1].id.clone()];
        acknowledge(&dir, &all, &[], &[], ("me", "seen")).unwrap();
        // The evidence of one loss went when it was recorded, so a second finding is another loss. The
        // evidence of the other stays, so it is the same loss.
        record(&dir, "daemon", &both, &[]).unwrap();
        assert_eq!(open(&dir), ["job:a"]);
        let ids: std::collections::BTreeSet<_> =
            Losses::read(&dir).unwrap().losses.into_iter().map(|loss| loss.id).collect();
        assert_eq!(ids.len(), 3, "each has an id of its own");
    }

    #[test]
    fn loss_acknowledged_in_same_run() {
        let (_folder, dir) = place();
        let one = found("job:a", true);
        let id = numbered_id(&one.code, &one.object.to_string(), Some(&one.sentence), 0);
        let done = acknowledge(&dir, &[id], &[one], &[("audit", 0)], ("me", "seen")).unwrap();
        assert_eq!((done.len(), open(&dir).len()), (1, 0));
    }

    #[test]
    fn damaged_ledger_is_a_loss() {
        let (_folder, dir) = place();
        record(&dir, "daemon", &[found("job:a", false)], &[]).unwrap();
        let text = std::fs::read_to_string(dir.paths.losses()).unwrap();
        std::fs::write(dir.paths.losses(), text.replace("job:a", "job:x")).unwrap();
        assert!(Losses::read(&dir).unwrap().damaged.is_some());
        record(&dir, "daemon", &[], &[]).unwrap();
        let now = Losses::read(&dir).unwrap();
        assert_eq!((now.losses.len(), now.losses[0].code.as_str()), (1, "losses-damaged"));
        assert_eq!(dir.quarantine().notes().len(), 1);
    }

    #[test]
    fn gap_identity_after_restart_and_growth() {
        let (_folder, dir) = place();
        let gap = |last: u64| Found {
            sentence: format!("entries 1 to {last} are gone"),
            gap: Some((1, last)),
            ..found("file:log", true)
        };
        record(&dir, "daemon", &[gap(4)], &[]).unwrap();
        record(&dir, "daemon", &[gap(5)], &[]).unwrap();
        assert_eq!(open(&dir).len(), 1);
        let id = Losses::read(&dir).unwrap().losses[0].id.clone();
        acknowledge(&dir, &[id], &[gap(5)], &[], ("me", "seen")).unwrap();
        assert_eq!(open(&dir).len(), 0);
        record(&dir, "daemon", &[gap(9)], &[]).unwrap();
        assert_eq!(open(&dir).len(), 1);
    }

    #[test]
    fn many_losses_are_counted() {
        let (_folder, dir) = place();
        let many: Vec<Found> = (0..NAMED + 5).map(|n| found(&format!("job:{n}"), false)).collect();
        record(&dir, "daemon", &many, &[]).unwrap();
        let known = Losses::read(&dir).unwrap();
        let last = known.losses.last().unwrap();
        assert_eq!((known.losses.len(), last.object.kind()), (NAMED + 1, "job"));
        assert!(last.sentence.starts_with("5 more"), "{last:?}");
    }

    #[test]
    fn mute_expires_or_is_withdrawn() {
        let (_folder, dir) = place();
        let now = dir.clock.now();
        let one = |object: Option<&str>, ms| Mute {
            code: "webhook-parked".to_owned(),
            object: object.map(Object::from),
            until: now.plus_millis(ms),
            by: "me".to_owned(),
            reason: None,
        };
        mute(&dir, &[one(Some("webhook:a"), 60_000), one(None, -1)]).unwrap();
        let known = Losses::read(&dir).unwrap();
        assert!(known.mute_of("webhook-parked", &Object::from("webhook:a"), now).is_some());
        assert!(known.mute_of("webhook-parked", &Object::from("webhook:b"), now).is_none());
        assert!(
            known.mute_of("webhook-parked", &Object::from("webhook:a"), now.plus_millis(60_000)).is_none()
        );
        let meant = [("webhook-parked".to_owned(), Some(Object::from("webhook:a")))];
        assert_eq!(unmute(&dir, "me", &meant).unwrap().len(), 1);
        assert!(Losses::read(&dir).unwrap().mutes.is_empty());
    }
}
