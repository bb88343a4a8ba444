//! `startup/log/`: the events of startups, one record each, in an append-only log ([`crate::durable::log`]).
//!
//! A reader also reads layout 1's two files as long as they exist, so every command can read a state
//! directory that no startup has migrated yet, or whose migration was interrupted.
//!
//! At least the last [`STARTUPS_KEPT`] startups are kept with all their acts; segments with only older
//! records are removed.

use std::collections::HashSet;

use super::layout_1;
use super::record::{CleanupEntry, StartupEntry, StartupRecord};
use crate::durable::DiskError;
use crate::durable::log::{Damage, DamageKind, Log, LogError, Position, ReadRequest, SegmentFile};
use crate::state::{StateDir, Timestamp};
use crate::system::Host;

const SEGMENT_BYTES: u64 = 64 << 10;

/// How many startups are kept at least.
pub const STARTUPS_KEPT: usize = 200;

/// The content of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartupLog {
    /// The records in order. Those of layout 1 come first, without a number.
    pub records: Vec<(Option<u64>, StartupRecord)>,
    /// Bytes that are no record, except a half-written end, which a process may still be writing.
    pub damage: Vec<Damage>,
    /// The files of layout 1 that cannot be understood, and why.
    pub damaged_files: Vec<(std::path::PathBuf, String)>,
}

impl StartupLog {
    /// Reads the log. Changes nothing.
    ///
    /// # Errors
    /// The system's error. Damage is no error.
    pub(crate) fn read(dir: &StateDir) -> Result<StartupLog, DiskError> {
        let (folder, state_id) = (dir.paths.startup_log(), dir.identity.state_id.to_string());
        let mut log = StartupLog::default();
        let mut own = Vec::new();
        let first = SegmentFile::list(&folder)?.first().map_or(1, |s| s.first_seq);
        // Records that were removed for their age are not missing.
        let from = Position { last_seq: first.saturating_sub(1), ..Position::default() };
        let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: None };
        let summary = crate::durable::log::read(request, |seq, line| {
            // A record that this version does not know comes from a later version and is ignored.
            if let Ok(record) = serde_json::from_slice(line) {
                own.push((Some(seq), record));
            }
        })?;
        log.damage = summary.damage;
        log.damage.retain(|d| d.kind != DamageKind::TornTail);
        let old = layout_1::read(dir)?;
        let known: HashSet<Key<'_>> = own.iter().filter_map(|(_, r)| key(r)).collect();
        let is_new = |r: &StartupRecord| key(r).is_none_or(|k| !known.contains(&k));
        log.records = old.records.into_iter().filter(is_new).map(|r| (None, r)).collect();
        log.damaged_files = old.damaged;
        log.records.extend(own);
        Ok(log)
    }

    /// Whether the whole log could be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.damaged_files.is_empty()
    }

    /// Returns the startups, oldest first.
    pub(crate) fn startups(&self) -> impl DoubleEndedIterator<Item = &StartupEntry> {
        self.records.iter().filter_map(|(_, record)| match record {
            StartupRecord::Startup(entry) => Some(entry),
            _ => None,
        })
    }

    /// Returns the acts, oldest first.
    pub(crate) fn acts(&self) -> impl DoubleEndedIterator<Item = &CleanupEntry> {
        self.records.iter().filter_map(|(_, record)| match record {
            StartupRecord::Act(entry) => Some(entry),
            _ => None,
        })
    }

    /// Returns the number of the record up to which everything may be removed: all before the startups to
    /// keep.
    fn expendable(&self) -> u64 {
        let mut startups = self.records.iter().rev().filter(|(_, r)| matches!(r, StartupRecord::Startup(_)));
        // This is the startup before those to keep: its record is its end, and its acts come before that
        // record.
        startups.nth(STARTUPS_KEPT).and_then(|(seq, _)| *seq).unwrap_or_default()
    }
}

/// The identity of a startup or an act in both layouts.
type Key<'a> = (&'a str, Timestamp, &'a str, &'a str);

fn key(record: &StartupRecord) -> Option<Key<'_>> {
    match record {
        StartupRecord::Startup(e) => Some((&e.startup_id, Timestamp::default(), "", "")),
        StartupRecord::Act(a) => Some((&a.startup_id, a.at, &a.action, &a.object)),
        StartupRecord::SafeMode { .. } | StartupRecord::Cleared { .. } => None,
    }
}

/// The log, open for appending. Several processes may have it open.
#[derive(Debug)]
pub(super) struct Writer(Log);

impl Writer {
    pub(super) fn open(dir: &StateDir) -> Result<Writer, LogError> {
        let options =
            dir.log_options(dir.paths.startup_log(), "startup", Host::this().boot_id, SEGMENT_BYTES);
        dir.sync_identity(&options.folder)?;
        dir.disk.ensure_dir(&dir.paths.startup())?;
        dir.disk.ensure_dir(&options.folder)?;
        Ok(Writer(Log::open(&dir.disk, options)?))
    }

    /// Appends records; they are synced when this returns.
    pub(super) fn append(&self, records: &[StartupRecord]) -> Result<(), LogError> {
        if records.is_empty() {
            return Ok(());
        }
        // These records hold only texts, numbers and times, which are always JSON.
        let lines: Vec<Vec<u8>> = records.iter().map(|r| serde_json::to_vec(r).unwrap_or_default()).collect();
        self.0.append(&lines).map(drop)
    }

    /// Waits until everything in the log is synced, from all writers. That includes complete records that a
    /// killed writer had not published yet: locking the log takes them in.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let last = self.0.locked(|locked| Ok::<_, LogError>(locked.end().last_seq))?;
        self.0.commit(last)
    }

    /// Returns how many bytes of a killed writer's half-written record this handle has cut.
    pub(super) fn cut_bytes(&self) -> u64 {
        self.0.cut_bytes()
    }

    /// Copies unreadable parts to quarantine and rewrites their segments without them.
    pub(super) fn repair(&self, damage: &[Damage]) -> Result<(), LogError> {
        self.0.rotate()?;
        self.0.drop_damage(damage)
    }

    /// Removes the segments that are not needed any more.
    pub(super) fn trim(&self, log: &StartupLog) -> Result<(), LogError> {
        match log.expendable() {
            0 => Ok(()),
            seq => self.0.remove_until(seq).map(drop),
        }
    }
}

/// Records durably that the crash loop is over: the next start, or the daemon in safe mode, recovers and runs
/// jobs again.
pub fn clear(dir: &StateDir, by: &str, why: Option<&str>) -> Result<(), LogError> {
    let record =
        StartupRecord::Cleared { at: dir.clock.now(), by: by.to_owned(), why: why.map(str::to_owned) };
    Writer::open(dir)?.append(&[record])
}
