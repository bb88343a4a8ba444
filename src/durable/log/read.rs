//! Reading a log from a sequence number on, past damage, up to the published end.

use std::fmt;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::frame::{Frame, Item, Scan};
use super::segment::{SegmentFile, SegmentHeader};
use crate::durable::error::DiskError;

/// A place in a log between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The segment, named by its first sequence number; 0 for the start of the log.
    pub segment: u64,
    /// Offset in the segment, in bytes.
    pub offset: u64,
    /// Sequence number of the last record before this place.
    pub last_seq: u64,
}

/// `SEGMENT:OFFSET:SEQ`, as one process passes a position to another.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.segment, self.offset, self.last_seq)
    }
}

impl FromStr for Position {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Position, ParseIntError> {
        let mut numbers = text.splitn(3, ':');
        let mut next = || numbers.next().unwrap_or_default().parse();
        Ok(Position { segment: next()?, offset: next()?, last_seq: next()? })
    }
}

/// Bytes of a segment that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// What is wrong.
    pub kind: DamageKind,
    /// The number of the last whole record before it.
    pub after: u64,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// A record was here; records follow it.
    Record,
    /// The end of the log, torn by a crash.
    TornTail,
    /// The segment's first line; its records were read all the same.
    Header,
    /// The segment belongs to another state directory; no record of it was read.
    Foreign,
}

/// Result of reading a log.
#[derive(Debug, Clone, Default)]
pub struct ReadSummary {
    /// The place after the last record.
    pub position: Position,
    /// How many records were handed out.
    pub records: u64,
    /// The damage that was passed over.
    pub damage: Vec<Damage>,
    /// Sequence numbers that should be there and are not, first and last of each gap.
    pub missing: Vec<(u64, u64)>,
}

impl ReadSummary {
    /// Bytes at the end that a crash left half written.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.damage.iter().filter(|d| d.kind == DamageKind::TornTail).map(|d| d.len).sum()
    }

    /// Damaged places in the middle of the log.
    pub fn damaged_records(&self) -> u64 {
        self.damage.iter().filter(|d| d.kind == DamageKind::Record).count() as u64
    }
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest<'a> {
    /// The log's folder.
    pub folder: &'a Path,
    /// Segments with another id are left out; `None` takes any.
    pub state_id: Option<&'a str>,
    /// Where to begin. Its `last_seq` says which records are known already.
    pub from: Position,
    /// Where to stop: a write after this place may still be under way. `None` reads to the end.
    pub until: Option<Position>,
}

/// Passes every record after `request.from` to the callback, in order.
///
/// # Errors
/// The system's error when a segment cannot be read. Damage is no error; see [`ReadSummary`].
pub fn read(request: ReadRequest<'_>, mut each: impl FnMut(u64, &[u8])) -> Result<ReadSummary, DiskError> {
    let segments = segments(&request)?;
    let first = first_needed(&segments, request.from);
    let mut pass = Pass {
        state_id: request.state_id,
        summary: ReadSummary { position: request.from, ..ReadSummary::default() },
    };
    let mut buffer = Vec::new();
    for (i, segment) in segments.iter().enumerate().skip(first) {
        let begin = if segment.first_seq == request.from.segment { request.from.offset } else { 0 };
        if request.until.is_some_and(|u| segment.first_seq > u.segment) {
            break;
        }
        let until = request.until.filter(|u| u.segment == segment.first_seq).map(|u| u.offset);
        if let Err(e) = segment.read_from(begin, until, &mut buffer) {
            if e.is_not_found() {
                continue; // A queue checkpoint or compaction has removed it: its records are kept elsewhere.
            }
            return Err(e);
        }
        let is_last = i + 1 == segments.len();
        pass.segment(segment, begin, &buffer, is_last, &mut each);
    }
    Ok(pass.summary)
}

/// The segments of a log, in order; only the one that is read, when that is known without listing the folder.
fn segments(request: &ReadRequest<'_>) -> Result<Vec<SegmentFile>, DiskError> {
    let same = request.until.filter(|until| until.segment == request.from.segment && until.segment > 0);
    let only = same.map(|until| SegmentFile::named(request.folder, until.segment));
    match only.filter(|only| only.path.exists()) {
        Some(only) => Ok(vec![only]),
        None => SegmentFile::list(request.folder),
    }
}

/// The segment that holds the record after `from`, or the first segment.
fn first_needed(segments: &[SegmentFile], from: Position) -> usize {
    match segments.iter().position(|s| s.first_seq == from.segment) {
        Some(i) => i,
        None => segments.partition_point(|s| s.first_seq <= from.last_seq + 1).saturating_sub(1),
    }
}

struct Pass<'a> {
    state_id: Option<&'a str>,
    summary: ReadSummary,
}

impl Pass<'_> {
    fn segment(
        &mut self,
        segment: &SegmentFile,
        begin: u64,
        content: &[u8],
        is_last: bool,
        each: &mut impl FnMut(u64, &[u8]),
    ) {
        let mut start = 0;
        if begin == 0 {
            match SegmentHeader::parse(content) {
                Some((header, _)) if self.state_id.is_some_and(|id| id != header.state_id) => {
                    self.damage(segment, 0, content.len() as u64, DamageKind::Foreign);
                    return;
                }
                Some((_, len)) => start = len,
                None => {}
            }
        }
        // The segment's name says which record comes first, so a gap before it is noticed even if the segment is
        // empty.
        self.expect(segment.first_seq);
        let had_header = start > 0 || begin > 0;
        let mut scan = Scan::new(&content[start..], begin + start as u64);
        for item in scan.by_ref() {
            match item {
                Item::Record { frame, .. } => self.record(frame, each),
                Item::Damaged { offset, len } if offset == 0 && !had_header => {
                    self.damage(segment, offset, len, DamageKind::Header);
                }
                Item::Damaged { offset, len } => self.damage(segment, offset, len, DamageKind::Record),
                Item::Torn { offset, len } => {
                    self.damage(
                        segment,
                        offset,
                        len,
                        torn_kind(&content[start..], begin + start as u64, offset, len, is_last),
                    );
                }
            }
        }
        self.summary.position.segment = segment.first_seq;
        self.summary.position.offset = scan.tail();
    }

    fn record(&mut self, frame: Frame<'_>, each: &mut impl FnMut(u64, &[u8])) {
        let last = self.summary.position.last_seq;
        if frame.seq <= last {
            return; // Known already: it is in a snapshot, or was written again after a failed sync.
        }
        self.expect(frame.seq);
        self.summary.position.last_seq = frame.seq;
        self.summary.records += 1;
        each(frame.seq, frame.payload);
    }

    /// Expects this number, or an earlier one that is known already; any numbers skipped before it are a gap.
    fn expect(&mut self, seq: u64) {
        let last = &mut self.summary.position.last_seq;
        if seq > *last + 1 {
            self.summary.missing.push((*last + 1, seq - 1));
            *last = seq - 1;
        }
    }

    fn damage(&mut self, segment: &SegmentFile, offset: u64, len: u64, kind: DamageKind) {
        let after = self.summary.position.last_seq;
        self.summary.damage.push(Damage { path: segment.path.clone(), offset, len, kind, after });
    }
}

/// A whole line that fails its check was once a record; only an unfinished last line is a torn tail.
fn torn_kind(content: &[u8], base: u64, offset: u64, len: u64, is_last: bool) -> DamageKind {
    let from = usize::try_from(offset - base).unwrap_or(0);
    let to = from + usize::try_from(len).unwrap_or(0);
    let whole_line = content.get(from..to).is_some_and(|b| b.contains(&b'\n'));
    if is_last && !whole_line { DamageKind::TornTail } else { DamageKind::Record }
}
