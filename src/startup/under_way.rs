//! The startup of this process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::crash_loop::SafeMode;
use super::detect::{Detection, judge_by};
use super::error::StartupError;
use super::log::{StartupLog, Writer};
use super::marker::{Marker, MarkerRead, StartedBy, read};
use super::migrate::{Migrated, migrate};
use super::record::{CleanupEntry, StartupEntry, StartupOutcome, StartupRecord};
use crate::durable::log::Damage;
use crate::durable::seeded_bug::SeededBug;
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::state::{LAYOUT_VERSION, StateDir};

/// A process that only looks holds the lock for less than this.
const LOOK_GRACE: Duration = Duration::from_millis(50);

/// How many acts of one startup are logged one by one; further acts are logged as a number.
const MOST_ACTS: usize = 1000;

/// Options of a startup.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartOptions<'a> {
    /// The phase that the startup enters with the first write of its marker.
    pub phase: Option<&'a str>,
    /// The recovery that runs in it.
    pub recovery_id: Option<Uuid>,
    /// The phases that are tried again, when this is not a whole recovery.
    pub retried: &'a [String],
}

/// What a startup found when it began.
#[derive(Debug)]
pub struct StartReport {
    /// How the startup before ended.
    pub detection: Detection,
    /// The layout that was brought up to date.
    pub migrated: Option<Migrated>,
    /// Unreadable parts of the startup log; they are in quarantine.
    pub damage: Vec<Damage>,
    /// Parts of an earlier layout's files that cannot be parsed; copies are in quarantine.
    pub damaged_files: Vec<(std::path::PathBuf, String)>,
    /// Whether the startups before this one were a crash loop.
    pub safe_mode: Option<SafeMode>,
}

/// A startup that is under way. When it is dropped without [`Startup::finish`], it counts as aborted, as if
/// this process had died. Threads may enter and leave phases side by side.
#[derive(Debug)]
pub struct Startup {
    dir: StateDir,
    id: String,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    marker: Marker,
    /// Present when the log knows the previous startup, so that its marker may be overwritten.
    writer: Option<Writer>,
    /// Why this startup is not recorded on disk.
    unrecorded: Option<StartupError>,
    /// Released at the end, although an abandoned phase may keep the startup itself longer.
    lock: Option<FileLock>,
}

impl Startup {
    /// Begins a startup: records a previous one that was cut short in the log, then writes the marker.
    ///
    /// # Errors
    /// [`StartupError::Running`] while another process is starting up or recovering.
    pub fn begin(dir: &StateDir, by: StartedBy) -> Result<(Startup, Detection), StartupError> {
        let (startup, met) = Startup::begin_in(dir, by, StartOptions::default())?;
        Ok((startup, met.detection))
    }

    /// As [`Startup::begin`], with a report of the state that it found.
    pub fn begin_in(
        dir: &StateDir,
        by: StartedBy,
        beginning: StartOptions<'_>,
    ) -> Result<(Startup, StartReport), StartupError> {
        dir.disk.ensure_dir(&dir.paths.startup())?;
        let lock = match FileLock::acquire(&dir.disk, &dir.paths.startup_lock(), LOOK_GRACE) {
            Ok(lock) => lock,
            Err(LockError::Disk(e)) => return Err(e.into()),
            Err(held) => return Err(StartupError::Running(held)),
        };
        let mut marker = Marker::new(by, dir.clock.now());
        marker.phases_entered.extend(beginning.phase.map(str::to_owned));
        marker.recovery_id = beginning.recovery_id;
        marker.retried = beginning.retried.to_vec();
        let holder = Holder {
            pid: marker.process.pid,
            purpose: by.as_str().to_owned(),
            since: marker.started_at.to_string(),
        };
        // The holder in the lock is only a hint for people.
        let _ = lock.describe(&holder);
        if SeededBug::MarkerBeforeHistory.is_on() {
            marker.write(dir)?;
        }
        // A full disk must not prevent a start: the recovery's cleaning may free space. The previous startup
        // enters the log before its marker is overwritten, because it would be lost otherwise.
        let (writer, met, unrecorded) = match enter_previous(dir) {
            Ok((writer, met)) => (Some(writer), met, None),
            Err(e) if e.refused_change().is_some() => (None, StartReport::by_looking(dir)?, Some(e)),
            Err(e) => return Err(e),
        };
        let id = marker.startup_id.clone();
        let under_way = Mutex::new(UnderWay { marker, writer, unrecorded, lock: Some(lock) });
        let startup = Startup { dir: dir.clone(), id, under_way };
        startup.change(|_| ())?;
        let acts = startup.acts_of_beginning(&met);
        match startup.log(&acts) {
            Err(e) if e.refused_change().is_none() => Err(e),
            _ => Ok((startup, met)),
        }
    }

    /// Returns why this startup is not recorded on disk: after a kill, nothing would show that it ran, or how
    /// far.
    pub fn unrecorded(&self) -> Option<String> {
        self.under_way().unrecorded.as_ref().map(StartupError::in_one_line)
    }

    /// Returns the id of this startup.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Records durably that a phase is about to begin. A disk that refuses writes is noted, see
    /// [`Startup::unrecorded`], and stops no phase.
    ///
    /// # Errors
    /// The marker cannot be replaced for another reason; the phase must not begin then.
    pub fn enter(&self, phase: &str) -> Result<(), StartupError> {
        self.change(|marker| {
            marker.phases_done.retain(|p| p != phase); // Tried again.
            marker.phases_entered.retain(|p| p != phase);
            marker.phases_entered.push(phase.to_owned());
        })
    }

    fn change(&self, change: impl FnOnce(&mut Marker)) -> Result<(), StartupError> {
        let mut now = self.under_way();
        if now.lock.is_none() {
            return Err(StartupError::Over);
        }
        change(&mut now.marker);
        let written = self.writer(&mut now).map(drop).and_then(|()| Ok(now.marker.write(&self.dir)?));
        now.unrecorded = match written {
            Err(e) if e.refused_change().is_none() => return Err(e),
            other => other.err(),
        };
        Ok(())
    }

    /// Returns the log, once it knows the previous startup.
    fn writer<'a>(&self, now: &'a mut UnderWay) -> Result<&'a Writer, StartupError> {
        let writer = match now.writer.take() {
            Some(writer) => writer,
            None => enter_previous(&self.dir)?.0,
        };
        Ok(now.writer.insert(writer))
    }

    fn append(&self, records: &[StartupRecord]) -> Result<(), StartupError> {
        let mut now = self.under_way();
        Ok(self.writer(&mut now)?.append(records)?)
    }

    /// Records that a phase is over. It is written at once when another phase is under way beside it, because
    /// that one may hang; otherwise with the next write of the marker. If the process dies before, the
    /// startup counts as dead at the very end of this phase, and every phase may run again.
    pub fn done(&self, phase: &str) {
        let mut now = self.under_way();
        now.marker.phases_entered.retain(|p| p != phase);
        now.marker.phases_done.retain(|p| p != phase);
        now.marker.phases_done.push(phase.to_owned());
        if now.lock.is_some() && !now.marker.phases_entered.is_empty() {
            now.unrecorded = now.marker.write(&self.dir).err().map(StartupError::from);
        }
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an act of this startup, for [`Startup::log`].
    pub fn act(
        &self,
        action: &str,
        object: impl std::fmt::Display,
        result: &str,
        detail: impl Into<String>,
    ) -> CleanupEntry {
        CleanupEntry {
            at: self.dir.clock.now(),
            startup_id: self.id.clone(),
            action: action.to_owned(),
            object: object.to_string(),
            result: result.to_owned(),
            detail: detail.into(),
        }
    }

    fn acts_of_beginning(&self, met: &StartReport) -> Vec<CleanupEntry> {
        let mut acts = Vec::new();
        let cut = self.under_way().writer.as_ref().map_or(0, Writer::cut_bytes);
        if cut > 0 {
            let detail = format!("{cut} bytes that a killed writer left; a copy is in quarantine");
            acts.push(self.act("cut_torn_tail", "startup/log", "done", detail));
        }
        for damage in &met.damage {
            let object = self.relative(&damage.path);
            let detail = format!("{} bytes at offset {}; a copy is in quarantine", damage.len, damage.offset);
            acts.push(self.act("drop_damaged_record", &object, "done", detail));
        }
        for (path, why) in &met.damaged_files {
            let detail = format!("{why}; a copy is in quarantine");
            acts.push(self.act("drop_damaged_file", self.relative(path), "done", detail));
        }
        if let Some(Migrated { from, records }) = met.migrated {
            let detail = format!("from layout {from} to {LAYOUT_VERSION}; {records} records taken over");
            acts.push(self.act("migrate_layout", "state.json", "done", detail));
        }
        acts
    }

    /// Returns a path in the state directory as the log names it.
    pub(crate) fn relative(&self, path: &std::path::Path) -> String {
        path.strip_prefix(self.dir.paths.root()).unwrap_or(path).display().to_string()
    }

    /// Adds acts to the log. When there are more than a thousand at once, the rest becomes one entry with
    /// their number.
    pub fn log(&self, acts: &[CleanupEntry]) -> Result<(), StartupError> {
        let (single, rest) = acts.split_at(acts.len().min(MOST_ACTS));
        let mut records: Vec<StartupRecord> = single.iter().cloned().map(StartupRecord::Act).collect();
        if let Some(first) = rest.first() {
            let detail = format!("{} more acts of this kind and others", rest.len());
            records.push(StartupRecord::Act(self.act(&first.action, "…", &first.result, detail)));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.append(&records)
    }

    /// Records durably that this startup comes up in safe mode.
    pub fn enter_safe_mode(&self, safe: &SafeMode) -> Result<(), StartupError> {
        if safe.since.is_some() {
            return Ok(());
        }
        let because = safe.because.iter().map(|e| e.startup_id.clone()).collect();
        self.append(&[StartupRecord::SafeMode { at: self.dir.clock.now(), because }])
    }

    /// Ends the startup: the end is logged first, then the marker is removed.
    ///
    /// # Errors
    /// The system's error; the marker may then still be there.
    pub fn finish(&self, outcome: StartupOutcome, findings_total: u64) -> Result<StartupEntry, StartupError> {
        self.end(outcome, findings_total, false)
    }

    /// Ends a startup that recovered nothing, because those before it were a crash loop.
    pub fn finish_in_safe_mode(&self) -> Result<StartupEntry, StartupError> {
        self.end(StartupOutcome::Degraded, 1, true)
    }

    fn end(
        &self,
        outcome: StartupOutcome,
        findings_total: u64,
        safe_mode: bool,
    ) -> Result<StartupEntry, StartupError> {
        let mut under_way = self.under_way();
        if under_way.lock.is_none() {
            return Err(StartupError::Over);
        }
        let (marker, now) = (&under_way.marker, self.dir.clock.now());
        let entry = StartupEntry {
            ended_at: Some(now),
            // When the clock went back, there is no duration.
            duration_ms: Some(now.millis_since(marker.started_at).max(0)),
            findings_total,
            safe_mode,
            ..StartupEntry::of(marker, outcome)
        };
        self.writer(&mut under_way)?.append(&[StartupRecord::Startup(entry.clone())])?;
        // The marker goes after the log's record, and the lock last: a kill in between leaves a marker whose
        // end the log knows.
        remove_marker(&self.dir)?;
        under_way.lock = None;
        Ok(entry)
    }
}

impl StartReport {
    /// Makes the report where nothing can be written.
    fn by_looking(dir: &StateDir) -> Result<StartReport, StartupError> {
        let log = match StartupLog::read(dir) {
            // A log that cannot be read is treated as empty; the phase reports that it cannot be written
            // either.
            Err(e) if e.is_refused_change() => StartupLog::default(),
            other => other?,
        };
        let history: Vec<StartupEntry> = log.startups().cloned().collect();
        let detection = judge_by(&history, &read(&dir.paths.startup_marker())?);
        let left = match &detection {
            Detection::Aborted { previous, .. } => Some(&**previous),
            _ => None,
        };
        let safe_mode = SafeMode::of(&log, left, dir.clock.now());
        Ok(StartReport {
            detection,
            migrated: None,
            damage: Vec::new(),
            damaged_files: Vec::new(),
            safe_mode,
        })
    }
}

/// Records an aborted startup in the log before its marker is overwritten. A crash in between repeats that,
/// and the startup's id keeps it from being counted twice.
fn enter_previous(dir: &StateDir) -> Result<(Writer, StartReport), StartupError> {
    let writer = Writer::open(dir)?;
    let marker = read(&dir.paths.startup_marker())?;
    if !matches!(marker, MarkerRead::Missing) {
        // That startup may have been killed between writing its end and syncing it; the marker is judged by
        // the end.
        writer.sync()?;
    }
    let log = StartupLog::read(dir)?;
    if !log.damage.is_empty() {
        writer.repair(&log.damage)?;
    }
    let migrated = migrate(dir, &writer, &log)?;
    let history: Vec<StartupEntry> = log.startups().cloned().collect();
    let detection = judge_by(&history, &marker);
    if let MarkerRead::Damaged { why, .. } = &marker {
        dir.quarantine().keep_file(&dir.paths.startup_marker(), why, &dir.clock.now().to_string())?;
    }
    let mut left = None;
    if let Detection::Aborted { previous, .. } = &detection {
        if history.iter().all(|e| e.startup_id != previous.startup_id) {
            writer.append(&[StartupRecord::Startup((**previous).clone())])?;
        }
        left = Some(&**previous);
    }
    let safe_mode = SafeMode::of(&log, left, dir.clock.now());
    writer.trim(&log)?;
    let (damage, damaged_files) = (log.damage, log.damaged_files);
    Ok((writer, StartReport { detection, migrated, damage, damaged_files, safe_mode }))
}

fn remove_marker(dir: &StateDir) -> Result<(), DiskError> {
    match dir.disk.remove_file(&dir.paths.startup_marker()) {
        Err(e) if !e.is_not_found() => return Err(e),
        _ => {}
    }
    dir.disk.sync_dir(&dir.paths.startup())
}
