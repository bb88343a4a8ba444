//! Finds and repairs the end of a log: after a reboot, after a killed writer, after a failed sync.
//!
//! All of it happens under the append lock. Bytes are copied to quarantine before they are cut.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::LogError;
use super::frame::{self, Item, Scan};
use super::handle::{Log, OpenSegment, Writer};
use super::read::{Damage, DamageKind};
use super::segment::{SegmentFile, SegmentHeader};
use crate::durable::disk::parent;
use crate::durable::error::{IoContext, read_optional};
use crate::durable::replace::replace;
use crate::durable::seeded_bug::SeededBug;
use crate::durable::shared_page::End;

/// A cheap check when a log is opened: there is no later segment, the file is as long as the page says, a line
/// ends there, and any bytes after that are being written right now. It notices changes made without the lock (a
/// cut file, a page older than the log); recovery verifies thoroughly.
pub(super) fn end_is_plausible(log: &Log) -> Result<bool, LogError> {
    // List the files before reading the page: the page names a segment only once its file is there.
    let newest = SegmentFile::list(&log.options.folder)?.last().map(|s| s.first_seq);
    let end = log.page.end();
    if newest.is_some_and(|newest| newest > end.segment) && !log.page.is_writing() {
        return Ok(false);
    }
    let path = SegmentFile::named(&log.options.folder, end.segment).path;
    let Ok(file) = crate::durable::plain::open(&path) else { return Ok(false) };
    let mut around = [0; 2];
    let read = file.read_at(&mut around, end.tail.saturating_sub(1)).context("read", &path)?;
    let behind = read == 2 && around[1] != 0;
    // Read the end again, last: a writer publishes the end before it clears its mark.
    Ok(around[0] == b'\n' && (!behind || log.page.is_writing() || log.page.end() != end))
}

/// Repairs the end when the previous writer was killed between beginning to write and publishing.
pub(super) fn after_killed_writer(log: &Log, writer: &mut Writer) -> Result<(), LogError> {
    let end = log.page.end();
    let newest = SegmentFile::list(&log.options.folder)?.last().map(|s| s.first_seq);
    if !log.page.is_valid(log.epoch()) || newest != Some(end.segment) || !end_is_plausible(log)? {
        return rebuild(log, writer);
    }
    let segment = SegmentFile::named(&log.options.folder, end.segment);
    let mut content = Vec::new();
    segment.read_from(end.tail, None, &mut content)?;
    let repaired = repair_tail(log, &segment, &content, end)?;
    log.page.publish_end(repaired);
    log.page.set_writing(false);
    Ok(())
}

/// Fills the page anew from the files. Everything is synced before it is published: a record that was only in the
/// page cache must not be shown and then vanish.
pub(super) fn rebuild(log: &Log, writer: &mut Writer) -> Result<(), LogError> {
    let _leader = log.leader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _sync = log.sync_lock.acquire(log.options.lock_wait)?;
    let (known, valid) = (log.page.end(), log.page.was_valid(log.epoch()));
    // A damaged page does not tell how far the log was synced.
    let synced = if valid { Some(log.page.synced()) } else { log.page.is_damaged(log.epoch()).then_some(0) };
    let suspect_from = synced.filter(|_| log.page.is_poisoned());
    let floor = log.options.min_next_seq.max(1).max(if valid { known.next_seq } else { 0 });
    log.page.invalidate(log.epoch());
    // The process that made the folder may have been killed before the folder's name was durable.
    log.disk.sync_dir(parent(&log.options.folder))?;
    let segments = SegmentFile::list(&log.options.folder)?;
    let Some(last) = segments.last() else {
        start_segment(log, writer, floor)?;
        return finish(log);
    };
    let mut content = Vec::new();
    last.read_from(0, None, &mut content)?;
    let (found, goes_on) = look_at_last(log, last, &content)?;
    let file = log.disk.open(&last.path)?;
    if !SeededBug::ShowBeforeSync.is_on() {
        file.sync_data()?;
    }
    log.disk.sync_dir(&log.options.folder)?;
    let next_seq = found.next_seq.max(floor);
    if let Some(synced) = suspect_from.filter(|_| !is_foreign(log, &content)) {
        if !goes_on {
            // Any damage in these bytes is kept together with the other suspects.
            let used = content.iter().rposition(|b| *b != 0).map_or(0, |end| end + 1);
            let reason = "the log's end, damaged, when a sync had failed";
            log.options.quarantine.keep(
                &last.path,
                None,
                &content[..used],
                reason,
                &(log.options.stamp)(),
            )?;
        }
        rewrite_suspects(log, writer, last, &content, synced)?;
        if next_seq > log.page.end().next_seq {
            start_segment(log, writer, next_seq)?;
        }
    } else if !goes_on || next_seq != found.next_seq {
        log.page.publish_end(End { next_seq, ..found });
        start_segment(log, writer, next_seq)?;
    } else {
        log.page.publish_end(found);
    }
    finish(log)
}

/// Whether a segment says that it belongs to another state directory.
fn is_foreign(log: &Log, content: &[u8]) -> bool {
    SegmentHeader::parse(content).is_some_and(|(header, _)| header.state_id != log.options.state_id)
}

/// Where the last segment ends, and whether it can be appended to. A segment without a header of ours, or one
/// that ends in a damaged record, is left as it is, and its name and numbers are not used again.
fn look_at_last(log: &Log, last: &SegmentFile, content: &[u8]) -> Result<(End, bool), LogError> {
    let header = SegmentHeader::parse(content);
    let start = header.as_ref().map_or(0, |(_, len)| *len);
    let is_ours = header.as_ref().is_some_and(|(h, _)| h.state_id == log.options.state_id);
    let end = End { segment: last.first_seq, tail: start as u64, next_seq: last.first_seq };
    let mut scan = Scan::new(&content[start..], end.tail);
    let mut next_seq = end.next_seq;
    let mut damaged_end = false;
    for item in scan.by_ref() {
        match item {
            Item::Record { frame, .. } => next_seq = next_seq.max(frame.seq + 1),
            Item::Torn { offset, len } => {
                // A line with its line feed was once whole, and may have been acknowledged.
                let from = usize::try_from(offset).unwrap_or(0);
                let torn = &content[from..from + usize::try_from(len).unwrap_or(0)];
                let lines = memchr::memchr_iter(b'\n', torn).count() as u64;
                damaged_end = lines > 0;
                next_seq += lines;
            }
            Item::Damaged { .. } => {}
        }
    }
    if is_ours && !damaged_end {
        return Ok((repair_tail(log, last, &content[start..], end)?, true));
    }
    let next_seq = next_seq.max(last.first_seq + 1);
    Ok((End { tail: scan.tail(), next_seq, ..end }, false))
}

fn finish(log: &Log) -> Result<(), LogError> {
    log.page.reset_synced(log.page.end().next_seq - 1);
    log.page.set_writing(false);
    log.page.set_poisoned(false);
    log.page.validate(log.epoch());
    Ok(())
}

/// Begins an empty segment and publishes it as the end.
pub(super) fn start_segment(log: &Log, writer: &mut Writer, first_seq: u64) -> Result<(), LogError> {
    create_segment(log, writer, first_seq, &[], first_seq)
}

fn create_segment(
    log: &Log,
    writer: &mut Writer,
    first_seq: u64,
    records: &[u8],
    next_seq: u64,
) -> Result<(), LogError> {
    let reserve = if log.options.preallocate { log.options.segment_bytes } else { 0 };
    let (file, tail) =
        SegmentFile::create(&log.disk, &log.options.folder, &log.header(first_seq), records, reserve)?;
    log.page.count_segment();
    writer.current = Some(OpenSegment::new(log, first_seq, file));
    log.page.publish_new_segment(End { segment: first_seq, tail, next_seq });
    Ok(())
}

/// Includes whole records after the known end (their writer was killed before it published them); cuts an
/// unfinished one off and keeps a copy of it.
fn repair_tail(log: &Log, segment: &SegmentFile, content: &[u8], end: End) -> Result<End, LogError> {
    let mut repaired = end;
    let mut scan = Scan::new(content, end.tail);
    for item in scan.by_ref() {
        match item {
            Item::Record { frame, .. } => repaired.next_seq = repaired.next_seq.max(frame.seq + 1),
            Item::Damaged { .. } => {}
            Item::Torn { offset, len } => {
                let from = usize::try_from(offset - end.tail).unwrap_or(0);
                if SeededBug::KeepTornTail.is_on() {
                    return Ok(End { tail: offset + len, ..repaired });
                }
                let torn = &content[from..from + usize::try_from(len).unwrap_or(0)];
                cut(log, segment, offset, torn)?;
            }
        }
    }
    repaired.tail = scan.tail();
    Ok(repaired)
}

fn cut(log: &Log, segment: &SegmentFile, offset: u64, torn: &[u8]) -> Result<(), LogError> {
    let reason = "the end of the log, half written";
    if !SeededBug::NoQuarantineOfTornTail.is_on() {
        log.options.quarantine.keep(&segment.path, Some(offset), torn, reason, &(log.options.stamp)())?;
    }
    log.cut_bytes.fetch_add(torn.len() as u64, Ordering::Relaxed);
    let file = log.disk.open(&segment.path)?;
    file.truncate(offset)?;
    if log.options.preallocate && log.options.segment_bytes > offset {
        file.allocate(log.options.segment_bytes)?;
    }
    Ok(file.sync_data()?)
}

/// After a failed sync, writes records anew in a segment of their own: the page cache still shows them, but they
/// may not be on disk, and syncing the same pages again proves nothing.
fn rewrite_suspects(
    log: &Log,
    writer: &mut Writer,
    last: &SegmentFile,
    content: &[u8],
    synced: u64,
) -> Result<(), LogError> {
    let start = SegmentHeader::parse(content).map_or(0, |(_, len)| len);
    let (mut records, mut next_seq, mut cut_at) = (Vec::new(), synced + 1, None);
    for item in Scan::new(&content[start..], start as u64) {
        let Item::Record { offset, frame } = item else { continue };
        if frame.seq > synced {
            cut_at.get_or_insert(offset);
            frame::encode(&mut records, frame.seq, frame.payload);
            next_seq = frame.seq + 1;
        }
    }
    let first_seq = (synced + 1).max(last.first_seq);
    create_segment(log, writer, first_seq, &records, next_seq)?;
    // Readers skip records that they already know, so the old copies do no harm until they are cut.
    if let Some(offset) = cut_at.filter(|_| first_seq != last.first_seq) {
        let old = log.disk.open(&last.path)?;
        old.truncate(offset)?;
        old.sync_data()?;
    }
    Ok(())
}

/// Copies unreadable bytes to quarantine. A torn end was copied when it was cut.
pub(super) fn keep_damage(log: &Log, damage: &[Damage]) -> Result<(), LogError> {
    if SeededBug::DropDamageWithoutQuarantine.is_on() {
        return Ok(());
    }
    let at = (log.options.stamp)();
    for place in damage.iter().filter(|d| d.kind != DamageKind::TornTail) {
        let Some(content) = read_optional(&place.path)? else { continue };
        let (reason, offset) = match place.kind {
            DamageKind::Foreign => ("a segment of another state directory", None),
            _ => ("no record of the log", Some(place.offset)),
        };
        let from = usize::try_from(place.offset).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(place.len).unwrap_or(usize::MAX)).min(content.len());
        if let Some(bytes) = content.get(from..to) {
            log.options.quarantine.keep(&place.path, offset, bytes, reason, &at)?;
        }
    }
    Ok(())
}

/// Copies the bytes that are no record to quarantine before a segment is removed, because a damaged record may be
/// the only trace of a job.
pub(super) fn keep_unreadable(log: &Log, segment: &SegmentFile) -> Result<(), LogError> {
    if SeededBug::DropDamageWithoutQuarantine.is_on() {
        return Ok(());
    }
    let mut content = Vec::new();
    segment.read_from(0, None, &mut content)?;
    let at = (log.options.stamp)();
    let header = SegmentHeader::parse(&content);
    if header.as_ref().is_none_or(|(h, _)| h.state_id != log.options.state_id) {
        let reason = "a segment of another state directory, or without its first line";
        log.options.quarantine.keep(&segment.path, None, &content, reason, &at)?;
        return Ok(());
    }
    let start = header.map_or(0, |(_, len)| len);
    for item in Scan::new(&content[start..], start as u64) {
        let (Item::Damaged { offset, len } | Item::Torn { offset, len }) = item else { continue };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = &content[from..from + usize::try_from(len).unwrap_or(0)];
        log.options.quarantine.keep(&segment.path, Some(offset), bytes, "no record of the log", &at)?;
    }
    Ok(())
}

/// Rewrites sealed segments that have damage, without the damage.
pub(super) fn drop_damage(log: &Log, damage: &[Damage]) -> Result<(), LogError> {
    keep_damage(log, damage)?;
    let at = (log.options.stamp)();
    let present = SegmentFile::named(&log.options.folder, log.page.end().segment).path;
    let sealed = damage.iter().filter(|d| d.path != present);
    for path in sealed.clone().map(|d| &d.path).collect::<BTreeSet<_>>() {
        let Some(content) = read_optional(path)? else { continue };
        let of_this = || sealed.clone().filter(|d| d.path == *path);
        if of_this().any(|d| d.kind == DamageKind::Foreign) {
            log.options.quarantine.take_file(path, "a segment of another state directory", &at)?;
            continue;
        }
        replace(&log.disk, path, &without_damage(log, path, &content))?;
    }
    Ok(())
}

fn without_damage(log: &Log, path: &std::path::Path, content: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(content.len());
    let name = path.file_stem().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
    let header = SegmentHeader::parse(content);
    let start = header.as_ref().map_or(0, |(_, len)| *len);
    let header = header.map_or_else(|| log.header(name.unwrap_or(0)), |(h, _)| h);
    frame::encode(&mut clean, 0, &serde_json::to_vec(&header).unwrap_or_default());
    for item in Scan::new(&content[start..], 0) {
        if let Item::Record { frame, .. } = item {
            frame::encode(&mut clean, frame.seq, frame.payload);
        }
    }
    clean
}
