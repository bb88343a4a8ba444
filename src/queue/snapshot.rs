//! Snapshots: the whole queue at a sequence number, so that replay stays short.
//!
//! `queue/snapshot-<sequence number, 20 digits>.log`: framed lines as in the log. The first (number 0) is the
//! header, then one [`JobDocument`] for each job in the order in which they entered, then a closing line, without
//! which the snapshot is not whole. The last two are kept: if the newer one is damaged, the older one and the log
//! after it give the same state.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::job::JobDocument;
use super::state::{QueueState, Totals};
use crate::durable::log::{decode, encode};
use crate::durable::{Disk, DiskError, IoContext, replace_with};
use crate::state::Timestamp;

/// The version of this format.
const SNAPSHOT_VERSION: u32 = 1;
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".log";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// Version of the format.
    pub version: u32,
    /// The state directory that it belongs to.
    pub state_id: String,
    /// The last record whose effect is in it.
    pub seq: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How many jobs.
    pub jobs: u64,
    /// Counters up to then.
    pub totals: Totals,
}

/// A snapshot as it lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The last record whose effect is in it, as its name says.
    pub seq: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its content differs from what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl SnapshotFile {
    /// The snapshots in a folder, newest first.
    ///
    /// # Errors
    /// The system's error; a missing folder has none.
    pub fn list(folder: &Path) -> Result<Vec<SnapshotFile>, DiskError> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).context("list", folder),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.context("list", folder)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            if let Some(seq) = number.filter(|n| n.len() == 20).and_then(|n| n.parse().ok()) {
                found.push(SnapshotFile { seq, path: entry.path() });
            }
        }
        found.sort_by_key(|s| std::cmp::Reverse(s.seq));
        Ok(found)
    }

    /// Writes one.
    ///
    /// # Errors
    /// The system's error; no snapshot was changed then.
    pub fn write(
        disk: &Disk,
        folder: &Path,
        state_id: &str,
        state: &QueueState,
        at: Timestamp,
    ) -> Result<SnapshotFile, DiskError> {
        let header = SnapshotHeader {
            version: SNAPSHOT_VERSION,
            state_id: state_id.to_owned(),
            seq: state.last_seq(),
            taken_at: at,
            jobs: state.jobs().len() as u64,
            totals: state.totals(),
        };
        let path = folder.join(format!("{PREFIX}{:020}{SUFFIX}", header.seq));
        replace_with(disk, &path, |out| {
            let mut line = Vec::new();
            encode(&mut line, 0, &serde_json::to_vec(&header)?);
            out.write_all(&line)?;
            let mut number = 1;
            for job in state.jobs() {
                line.clear();
                encode(&mut line, number, &serde_json::to_vec(&job.to_document())?);
                out.write_all(&line)?;
                number += 1;
            }
            line.clear();
            encode(&mut line, number, b"{\"end\":true}");
            out.write_all(&line)
        })?;
        Ok(SnapshotFile { seq: header.seq, path })
    }

    /// Reads its header only.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] when it is not as it was written.
    pub fn header(&self) -> Result<SnapshotHeader, SnapshotError> {
        let mut lines = Lines::open(&self.path)?;
        lines.parse(0)
    }

    /// Reads it whole.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] when it is not exactly as it was written.
    pub fn read(&self, state_id: &str) -> Result<(SnapshotHeader, QueueState), SnapshotError> {
        let (mut lines, header) = self.begin(state_id)?;
        let mut state = QueueState::default();
        state.reserve(usize::try_from(header.jobs.min(1 << 24)).unwrap_or(0));
        for number in 1..=header.jobs {
            state.load(lines.parse::<JobDocument>(number)?);
        }
        let end: serde_json::Value = lines.parse(header.jobs + 1)?;
        if !lines.is_at_end()? || end["end"] != true || state.jobs().len() as u64 != header.jobs {
            return Err(lines.damaged("it does not end where it should"));
        }
        state.load_totals(header.totals, header.seq);
        Ok((header, state))
    }

    /// Reads it to its end and verifies only the checksums, to learn whether it could be used.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] when a line is not as it was written.
    pub(crate) fn check(&self, state_id: &str) -> Result<(), SnapshotError> {
        let (mut lines, header) = self.begin(state_id)?;
        for number in 1..=header.jobs + 1 {
            lines.payload(number)?;
        }
        if lines.is_at_end()? { Ok(()) } else { Err(lines.damaged("it does not end where it should")) }
    }

    fn begin(&self, state_id: &str) -> Result<(Lines, SnapshotHeader), SnapshotError> {
        let mut lines = Lines::open(&self.path)?;
        let header: SnapshotHeader = lines.parse(0)?;
        let own = header.state_id == state_id && header.seq == self.seq;
        if !own || header.version > SNAPSHOT_VERSION {
            return Err(lines.damaged("its header belongs to another state directory, version or file"));
        }
        Ok((lines, header))
    }
}

struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, SnapshotError> {
        let file = crate::durable::plain::open(path).context("open", path)?;
        Ok(Lines { path: path.to_owned(), file: BufReader::with_capacity(1 << 16, file), line: Vec::new() })
    }

    fn damaged(&self, why: &str) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.clone(), why: why.to_owned() }
    }

    fn is_at_end(&mut self) -> Result<bool, SnapshotError> {
        Ok(self.file.fill_buf().context("read", &self.path)?.is_empty())
    }

    fn parse<T: serde::de::DeserializeOwned>(&mut self, number: u64) -> Result<T, SnapshotError> {
        let payload = self.payload(number)?;
        serde_json::from_slice(payload).map_err(|e| SnapshotError::Damaged {
            path: self.path.clone(),
            why: format!("line {number} cannot be understood: {e}"),
        })
    }

    fn payload(&mut self, number: u64) -> Result<&[u8], SnapshotError> {
        self.line.clear();
        let longest = crate::durable::log::LONGEST_LINE;
        io::Read::take(&mut self.file, longest)
            .read_until(b'\n', &mut self.line)
            .context("read", &self.path)?;
        match decode(&self.line) {
            Some(frame) if frame.seq == number && frame.len == self.line.len() => Ok(frame.payload),
            _ => Err(SnapshotError::Damaged {
                path: self.path.clone(),
                why: format!("line {number} does not check out"),
            }),
        }
    }
}
