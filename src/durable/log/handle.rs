//! The parts of an open log: its locks, the page that all writers share, and the segments that are kept open.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::LogOptions;
use super::segment::{LOG_VERSION, SegmentFile, SegmentHeader};
use crate::durable::disk::{Disk, DiskFile};
use crate::durable::error::DiskError;
use crate::durable::lock::LockFile;
use crate::durable::shared_page::{End, SharedPage};

/// An open log.
#[derive(Debug)]
pub struct Log {
    pub(super) disk: Disk,
    pub(super) options: LogOptions,
    pub(super) page: SharedPage,
    pub(super) page_file: DiskFile,
    pub(super) append_lock: LockFile,
    pub(super) sync_lock: LockFile,
    pub(super) writer: Mutex<Writer>,
    pub(super) leader: Mutex<Option<OpenSegment>>,
    /// The end of the log when this handle last saw it.
    pub(super) known: Mutex<End>,
    /// A sync through this handle failed: the handle acknowledges nothing any more.
    pub(super) poisoned: AtomicBool,
    /// Bytes of half-written records that this handle cut off.
    pub(super) cut_bytes: AtomicU64,
}

/// A segment that is kept open.
#[derive(Debug)]
pub(super) struct OpenSegment {
    first_seq: u64,
    /// [`SharedPage::segments_made`] when it was opened: if that has risen since, the name may belong to another
    /// file.
    made: u64,
    pub(super) file: DiskFile,
}

impl OpenSegment {
    pub(super) fn new(log: &Log, first_seq: u64, file: DiskFile) -> OpenSegment {
        OpenSegment { first_seq, made: log.page.segments_made(), file }
    }

    /// Opens a segment, unless it is the one that is kept open.
    pub(super) fn find<'a>(
        kept: &'a mut Option<OpenSegment>,
        log: &Log,
        first_seq: u64,
    ) -> Result<&'a DiskFile, DiskError> {
        let made = log.page.segments_made();
        let segment = match kept.take().filter(|s| s.first_seq == first_seq && s.made == made) {
            Some(open) => open,
            None => {
                let path = SegmentFile::named(&log.options.folder, first_seq).path;
                OpenSegment { first_seq, made, file: log.disk.open(&path)? }
            }
        };
        Ok(&kept.insert(segment).file)
    }
}

#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) current: Option<OpenSegment>,
    pub(super) frames: Vec<u8>,
}

impl Log {
    /// The epoch that the shared page must have to be believed: this boot, this log.
    pub(super) fn epoch(&self) -> u64 {
        let key = format!("{}/{}", self.options.epoch, self.options.state_id);
        u64::from(crc32fast::hash(key.as_bytes())) << 32 | u64::from(LOG_VERSION)
    }

    pub(super) fn header(&self, first_seq: u64) -> SegmentHeader {
        SegmentHeader {
            log: self.options.name.to_owned(),
            version: LOG_VERSION,
            state_id: self.options.state_id.clone(),
            first_seq,
            created_at: (self.options.stamp)(),
        }
    }
}
