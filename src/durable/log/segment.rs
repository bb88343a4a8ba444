//! The files of a log: `<first sequence number, 20 digits>.log`, each with a header line.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::frame::{self, Frame};
use crate::durable::disk::{Disk, DiskFile};
use crate::durable::error::{DiskError, IoContext};
use crate::durable::replace::{Survives, Temporary, replace};

/// The version of the framing, in every header.
pub(super) const LOG_VERSION: u32 = 1;

/// The first line of a segment; its sequence number is 0, which no record has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHeader {
    /// Which log: `queue`, `audit`.
    pub log: String,
    /// Version of the framing.
    pub version: u32,
    /// The state directory that it belongs to.
    pub state_id: String,
    /// The sequence number of its first record, as in its name.
    pub first_seq: u64,
    /// When it was begun, RFC 3339.
    pub created_at: String,
}

impl SegmentHeader {
    /// The header line that a segment's content begins with, and its length.
    pub fn parse(content: &[u8]) -> Option<(SegmentHeader, usize)> {
        let Frame { seq: 0, payload, len } = frame::decode(content)? else { return None };
        Some((serde_json::from_slice(payload).ok()?, len))
    }
}

/// Makes a segment, or a file that begins like one, belong to another state directory: only its first line
/// changes. False when it does not belong to `from`.
///
/// # Errors
/// The system's error; the file is then unchanged.
#[track_caller]
pub(crate) fn reassign(disk: &Disk, path: &Path, from: &str, to: &str) -> Result<bool, DiskError> {
    let content = crate::durable::plain::read(path).context("read", path)?;
    let Some(Frame { seq: 0, payload, len }) = frame::decode(&content) else { return Ok(false) };
    let Ok(mut header) = serde_json::from_slice::<serde_json::Value>(payload) else { return Ok(false) };
    if header["state_id"] != from {
        return Ok(false);
    }
    header["state_id"] = to.into();
    let mut changed = Vec::with_capacity(content.len());
    frame::encode(&mut changed, 0, header.to_string().as_bytes());
    changed.extend_from_slice(&content[len..]);
    replace(disk, path, &changed)?;
    Ok(true)
}

/// A segment as it lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// First sequence number, from its name.
    pub first_seq: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl SegmentFile {
    /// The segment of this number in a folder.
    pub fn named(folder: &Path, first_seq: u64) -> SegmentFile {
        SegmentFile { first_seq, path: folder.join(format!("{first_seq:020}.log")) }
    }

    /// The segments in a folder, in order.
    ///
    /// # Errors
    /// The system's error; a missing folder has no segments.
    pub fn list(folder: &Path) -> Result<Vec<SegmentFile>, DiskError> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).context("list", folder),
        };
        let mut segments = Vec::new();
        for entry in entries {
            let entry = entry.context("list", folder)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_suffix(".log")).filter(|n| n.len() == 20);
            if let Some(first_seq) = number.and_then(|n| n.parse().ok()) {
                segments.push(SegmentFile { first_seq, path: entry.path() });
            }
        }
        segments.sort_by_key(|s| s.first_seq);
        Ok(segments)
    }

    /// Reads the file from an offset on into a buffer, which is emptied first; to its end, or to `until`.
    pub(crate) fn read_from(
        &self,
        offset: u64,
        until: Option<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), DiskError> {
        use std::io::{Seek, SeekFrom};
        buffer.clear();
        let mut file = crate::durable::plain::open(&self.path).context("open", &self.path)?;
        // A caller that has read all of a segment may name a place behind its end.
        let len = file.metadata().context("look at", &self.path)?.len();
        let end = until.map_or(len, |until| until.min(len));
        if offset >= end {
            return Ok(());
        }
        let wanted = end - offset;
        buffer.reserve_exact(usize::try_from(wanted).unwrap_or(0));
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).context("read", &self.path)?;
        }
        file.take(wanted).read_to_end(buffer).context("read", &self.path)?;
        Ok(())
    }

    /// Makes the file, with its header and perhaps records, durably and all at once.
    pub(super) fn create(
        disk: &Disk,
        folder: &Path,
        header: &SegmentHeader,
        records: &[u8],
        reserve: u64,
    ) -> Result<(DiskFile, u64), DiskError> {
        let mut content = Vec::with_capacity(256 + records.len());
        let text = serde_json::to_vec(header).unwrap_or_default();
        frame::encode(&mut content, 0, &text);
        content.extend_from_slice(records);
        let temporary = Temporary::new(disk, folder)?;
        if reserve > content.len() as u64 {
            temporary.file.allocate(reserve)?;
        }
        temporary.file.write_at(&content, 0)?;
        temporary.file.sync()?;
        let path = SegmentFile::named(folder, header.first_seq).path;
        temporary.publish(&path, true, Survives::PowerLoss)?;
        Ok((disk.open(&path)?, content.len() as u64))
    }
}
