//! Appending to a log, from many threads and many processes at once.
//!
//! Under the append lock a writer learns the end from the shared page (and repairs the end if the previous writer
//! was killed half way), writes all its records in one call and publishes the new end. Then the writer that gets
//! the sync lock without waiting leads: it syncs once for everything written so far, publishes how far, and wakes
//! the others, which wait for that (group commit).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::frame::{self, HEAD};
use super::handle::{Log, OpenSegment, Writer};
use super::read::{Damage, Position};
use super::segment::SegmentFile;
use super::{LogError, LogOptions, repair};
use crate::durable::disk::Disk;
use crate::durable::error::{DiskError, IoContext};
use crate::durable::lock::{HeldFile, LockFile};
use crate::durable::seeded_bug::SeededBug;
use crate::durable::shared_page::{End, SharedPage};

/// The longest sleep of a follower before it checks whether its leader is dead.
const FOLLOWER_PATIENCE: Duration = Duration::from_millis(50);
/// A follower syncs itself after this long without progress: its leader may be stopped.
const LEADER_PATIENCE: Duration = Duration::from_secs(1);

/// The most times that a leader lets other writers go first.
const GATHER_MOMENTS: usize = 16;

/// The largest file that this process may write, in bytes (RLIMIT_FSIZE).
fn largest_file() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

fn position(end: End) -> Position {
    Position { segment: end.segment, offset: end.tail, last_seq: end.next_seq.saturating_sub(1) }
}

/// The log while no other process or thread can append to it.
#[derive(Debug)]
pub struct Locked<'a> {
    log: &'a Log,
    writer: &'a mut Writer,
}

impl Locked<'_> {
    /// The end of the log, which cannot move while this lives.
    pub(crate) fn end(&self) -> Position {
        position(self.log.page.end())
    }

    /// Appends records without syncing them; returns the first one's sequence number.
    ///
    /// # Errors
    /// The system's error: then nothing was appended, or, when the records do not fit in one segment, only the
    /// first few. [`LogError::TooLong`] for a payload that no record can hold.
    pub fn append<P: AsRef<[u8]>>(&mut self, payloads: &[P]) -> Result<u64, LogError> {
        if let Some(long) = payloads.iter().map(|p| p.as_ref().len()).find(|&l| l > frame::LONGEST_PAYLOAD) {
            return Err(LogError::TooLong { bytes: long });
        }
        let first = self.log.page.end().next_seq;
        let mut rest = payloads;
        while !rest.is_empty() {
            let written = self.append_to_one_segment(rest)?;
            rest = &rest[written..];
        }
        Ok(first)
    }

    /// Appends, in one write, as many of the records as the present segment holds, at least one; returns how
    /// many.
    fn append_to_one_segment<P: AsRef<[u8]>>(&mut self, payloads: &[P]) -> Result<usize, LogError> {
        let mut end = self.log.page.end();
        let room = self.log.options.segment_bytes;
        let need = (HEAD + payloads[0].as_ref().len() + 1) as u64;
        if end.tail + need > room && end.next_seq > end.segment {
            self.begin_segment(end)?;
            end = self.log.page.end();
        }
        let frames = &mut self.writer.frames;
        frames.clear();
        let mut count = 0;
        for payload in payloads {
            let len = (HEAD + payload.as_ref().len() + 1 + frames.len()) as u64;
            if count > 0 && end.tail + len > room {
                break;
            }
            frame::encode(frames, end.next_seq + count, payload.as_ref());
            count += 1;
        }
        let frames = std::mem::take(&mut self.writer.frames);
        let written = self.write(end, &frames);
        let after = End { tail: end.tail + frames.len() as u64, next_seq: end.next_seq + count, ..end };
        self.writer.frames = frames;
        written?;
        self.log.page.publish_end(after);
        self.log.page.set_writing(false);
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn write(&mut self, end: End, frames: &[u8]) -> Result<(), LogError> {
        let file = OpenSegment::find(&mut self.writer.current, self.log, end.segment)?;
        self.log.page.set_writing(true);
        if let Err(e) = file.write_at(frames, end.tail) {
            // Half a record may be there (a full disk writes as much as fits): remove it at once. If that fails
            // too, the mark stays and the next writer repairs the end.
            if file.truncate(end.tail).is_ok() {
                self.log.page.set_writing(false);
            }
            return Err(e.into());
        }
        Ok(())
    }

    fn begin_segment(&mut self, end: End) -> Result<(), LogError> {
        let mut leaving = self.writer.current.take();
        let old = OpenSegment::find(&mut leaving, self.log, end.segment)?;
        if !SeededBug::NoSyncBeforeNextSegment.is_on() {
            old.sync_data().map_err(|e| self.log.poison(e))?;
        }
        self.log.publish_synced(end)?;
        self.log.page.wake();
        // If this process is killed between making the file and publishing it, the next writer must notice.
        self.log.page.set_writing(true);
        repair::start_segment(self.log, self.writer, end.next_seq)?;
        self.log.page.set_writing(false);
        // Give back the old segment's reserve only now, when no process writes there any more.
        Ok(old.truncate(end.tail)?)
    }
}

impl Log {
    /// Opens the log in `options.folder`; makes what is missing.
    ///
    /// # Errors
    /// The system's error; [`LogError::Lock`] when another process keeps the append lock.
    pub fn open(disk: &Disk, mut options: LogOptions) -> Result<Log, LogError> {
        // A segment ends before the largest size that this process may write: the next record then goes to a new
        // file.
        options.segment_bytes = options.segment_bytes.min(largest_file());
        let append_lock = LockFile::open(disk, &options.folder.join("append.lock"))?;
        let sync_lock = LockFile::open(disk, &options.folder.join("sync.lock"))?;
        let page_path = options.folder.join("commit.page");
        let page_file = disk.open_or_create(&page_path)?;
        if page_file.metadata()?.len() < SharedPage::LEN {
            let _append = append_lock.acquire(options.lock_wait)?;
            // The page is written and not only extended: a store into a hole on a full disk would kill the
            // process.
            if page_file.metadata()?.len() < SharedPage::LEN {
                page_file.write_at(&[0; SharedPage::LEN as usize], 0)?;
            }
        }
        let page = SharedPage::map(page_file.as_file()).context("map", &page_path)?;
        let mut log = Log {
            disk: disk.clone(),
            options,
            page,
            page_file,
            append_lock,
            sync_lock,
            writer: Mutex::default(),
            leader: Mutex::default(),
            known: Mutex::default(),
            poisoned: AtomicBool::new(false),
            cut_bytes: AtomicU64::new(0),
        };
        if !log.is_usable()? {
            log.verify_unless(Log::is_usable)?;
        }
        *log.known.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) = log.page.end();
        Ok(log)
    }

    /// Whether the page can be believed. It cannot when a snapshot knows later records than the page's end: then
    /// the log was cut, or replaced by an older one.
    fn is_usable(&self) -> Result<bool, LogError> {
        let usable = self.page.is_valid(self.epoch())
            && !self.page.is_poisoned()
            && self.page.end().next_seq >= self.options.min_next_seq;
        Ok(usable && repair::end_is_plausible(self)?)
    }

    /// Learns the end of the log from its files, repairs it, syncs everything, and publishes the end. This also
    /// makes the log usable again after a failed sync.
    pub fn verify(&self) -> Result<(), LogError> {
        self.verify_unless(|_| Ok(false))
    }

    /// As [`Log::verify`], unless another process has done enough while this one waited for the lock. Without the
    /// check, many processes that open a log after a reboot would all sync it, one after the other.
    fn verify_unless(&self, is_done: impl Fn(&Log) -> Result<bool, LogError>) -> Result<(), LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _append = self.take_append_lock()?;
        if is_done(self)? {
            return Ok(());
        }
        writer.current = None;
        repair::rebuild(self, &mut writer)?;
        self.poisoned.store(false, Ordering::Release);
        Ok(())
    }

    /// Appends records and returns once they are synced. Their sequence numbers are consecutive; the first one is
    /// returned.
    ///
    /// # Errors
    /// On any error nothing is acknowledged. After [`LogError::Poisoned`] the records may or may not be there.
    #[track_caller]
    pub fn append<P: AsRef<[u8]>>(&self, payloads: &[P]) -> Result<u64, LogError> {
        // Written under the append lock, synced without it: the next writer appends while this one syncs.
        let first = self.locked(|locked| locked.append(payloads))?;
        if SeededBug::AcknowledgeBeforeSync.is_on() {
            return Ok(first);
        }
        self.commit((first + payloads.len() as u64).saturating_sub(1))?;
        Ok(first)
    }

    /// Runs `act` while no other process or thread can append. Nothing is acknowledged before
    /// [`Log::commit`].
    #[track_caller]
    pub fn locked<T, E: From<LogError>>(
        &self,
        act: impl FnOnce(&mut Locked<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.disk.reached();
        let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _held = self.take_append_lock().map_err(E::from)?;
        self.check_usable().map_err(E::from)?;
        if self.page.is_writing() || !self.page.is_valid(self.epoch()) {
            writer.current = None;
            repair::after_killed_writer(self, &mut writer).map_err(E::from)?;
        }
        act(&mut Locked { log: self, writer: &mut writer })
    }

    fn take_append_lock(&self) -> Result<HeldFile<'_>, LogError> {
        let held = self.append_lock.acquire(self.options.lock_wait)?;
        // Writers that do not share the lock and the page would overwrite each other's records.
        for shared in [&self.page_file, self.append_lock.file()] {
            if !shared.has_its_name() {
                return Err(LogError::PageReplaced { path: shared.path().to_owned() });
            }
        }
        // The file was emptied while it was mapped, and may have its old length again: other processes do not see
        // what is published in this mapping. If it is emptied after this check, the end reads as zeros, which is
        // no segment's end, and the append is refused.
        if self.page_file.metadata()?.len() < SharedPage::LEN || self.page.is_lost() {
            return Err(LogError::PageReplaced { path: self.page_file.path().to_owned() });
        }
        Ok(held)
    }

    /// Fills the page anew if another program has written into it.
    fn repair_page(&self, writer: &mut Writer) -> Result<(), LogError> {
        let _append = self.take_append_lock()?;
        if self.page.is_valid(self.epoch()) {
            return Ok(());
        }
        writer.current = None;
        repair::rebuild(self, writer)
    }

    fn check_usable(&self) -> Result<(), LogError> {
        if self.poisoned.load(Ordering::Acquire) || self.page.is_poisoned() {
            return Err(LogError::Poisoned { folder: self.options.folder.clone() });
        }
        Ok(())
    }

    /// Where the log ends now; the records before it are whole, but perhaps not synced.
    ///
    /// A page that another program has written into is first repaired; where that is not possible, this is the
    /// last end that this handle saw.
    pub fn end(&self) -> Position {
        if self.page.whole_end().is_none()
            // Another thread that has the writer repairs the page itself before it writes.
            && let Ok(mut writer) = self.writer.try_lock()
        {
            // If this fails, the next append reports why.
            let _ = self.repair_page(&mut writer);
        }
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(end) = self.page.whole_end() {
            *known = end;
        }
        position(*known)
    }

    /// Up to which sequence number everything is synced.
    pub fn synced(&self) -> u64 {
        self.page.synced()
    }

    /// Waits until a process appends or syncs, at most `timeout`; `end` is the end that the caller knows.
    pub fn wait_for_change(&self, end: Position, timeout: Duration) {
        let begun = Instant::now();
        loop {
            let ticket = self.page.ticket();
            let waited = begun.elapsed();
            if self.end() != end || waited >= timeout {
                return;
            }
            self.page.wait(ticket, timeout - waited);
        }
    }

    /// Returns once everything up to `seq` is synced, no matter by which process.
    ///
    /// # Errors
    /// [`LogError::Poisoned`] when a sync failed; [`LogError::Gone`] when there is no such record.
    pub fn commit(&self, seq: u64) -> Result<(), LogError> {
        let (mut reached, mut since) = (self.page.synced(), Instant::now());
        loop {
            // Read the ticket before the conditions below are checked: a wake-up in between then ends the wait at
            // once.
            let ticket = self.page.ticket();
            self.check_usable()?;
            if self.page.is_damaged(self.epoch()) {
                let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                self.repair_page(&mut writer)?;
                continue;
            }
            let synced = self.page.synced();
            if synced >= seq {
                return Ok(());
            }
            if self.page.end().next_seq <= seq {
                return Err(LogError::Gone { folder: self.options.folder.clone(), seq });
            }
            if synced != reached {
                (reached, since) = (synced, Instant::now());
            } else if since.elapsed() >= LEADER_PATIENCE {
                // The sync lock only saves syncs; a leader that does not progress must not stop the others.
                self.sync_to_end(&mut None)?;
                self.page.wake();
                continue;
            }
            if self.lead(seq)? {
                continue;
            }
            if self.page.synced() < seq {
                self.page.wait(ticket, FOLLOWER_PATIENCE);
            }
        }
    }

    /// Syncs for all waiting writers; false when another process already leads.
    fn lead(&self, seq: u64) -> Result<bool, LogError> {
        {
            let Ok(mut cached) = self.leader.try_lock() else { return Ok(false) };
            let Some(_held) = self.sync_lock.try_acquire()? else { return Ok(false) };
            if self.page.synced() < seq {
                self.gather();
                self.sync_to_end(&mut cached)?;
            }
        }
        // Wake the others only after giving up the lead: a process whose records are not yet synced wakes to take
        // the lead. Woken earlier, it would find the lead still taken and sleep on, with no process left to wake
        // it.
        self.page.wake();
        Ok(true)
    }

    /// Lets writers that are about to append do so first, for as long as each moment brings more of them: writers
    /// woken together by the last sync come back together. A lone writer does not wait.
    fn gather(&self) {
        let mut end = self.page.end().next_seq;
        if end <= self.page.synced().saturating_add(2) {
            return;
        }
        for _ in 0..GATHER_MOMENTS {
            std::thread::yield_now();
            let now = self.page.end().next_seq;
            if now == end {
                return;
            }
            end = now;
        }
    }

    /// Syncs the present segment, which covers everything published before: older segments were synced when they
    /// were left.
    fn sync_to_end(&self, kept: &mut Option<OpenSegment>) -> Result<(), LogError> {
        // All processes that wait for this sync find the page damaged, too, and repair it.
        let Some(end) = self.page.whole_end() else { return Ok(()) };
        let file = OpenSegment::find(kept, self, end.segment)?;
        // The end was read before the sync, so that only records written before it are published as synced.
        file.sync_data().map_err(|e| self.poison(e))?;
        self.publish_synced(end)
    }

    /// Publishes a sync unless the log was poisoned: another process's sync may have failed in between, and ours
    /// may have succeeded only because the failed one left the pages marked clean.
    fn publish_synced(&self, end: End) -> Result<(), LogError> {
        self.check_usable()?;
        self.page.publish_synced(end.next_seq - 1);
        Ok(())
    }

    /// Poisons the log after a failed sync. The kernel has marked the pages clean: another sync would succeed
    /// without anything being on disk. So nothing is acknowledged until the log has been verified.
    pub(super) fn poison(&self, cause: DiskError) -> LogError {
        if !SeededBug::ForgetFailedSync.is_on() {
            self.poisoned.store(true, Ordering::Release);
            self.page.set_poisoned(true);
        }
        LogError::Disk(cause)
    }

    /// Leaves the present segment and begins a new one, so that older ones can be removed.
    pub fn rotate(&self) -> Result<(), LogError> {
        self.locked(|locked| {
            let end = locked.log.page.end();
            if end.next_seq == end.segment { Ok(()) } else { locked.begin_segment(end) }
        })
    }

    /// Removes segments whose records are all at or before `seq`. The present one stays. Bytes that are no
    /// record are copied to quarantine first.
    pub fn remove_until(&self, seq: u64) -> Result<usize, LogError> {
        let segments = SegmentFile::list(&self.options.folder)?;
        let mut removed = 0;
        for pair in segments.windows(2) {
            if pair[1].first_seq > seq + 1 {
                break;
            }
            repair::keep_unreadable(self, &pair[0])?;
            self.disk.remove_file(&pair[0].path)?;
            removed += 1;
        }
        if removed > 0 {
            self.disk.sync_dir(&self.options.folder)?;
        }
        Ok(removed)
    }

    /// How many bytes of half-written records this handle has cut off since it was opened.
    pub(crate) fn cut_bytes(&self) -> u64 {
        self.cut_bytes.load(Ordering::Relaxed)
    }

    /// Copies unreadable bytes to quarantine.
    pub(crate) fn keep_damage(&self, damage: &[Damage]) -> Result<(), LogError> {
        repair::keep_damage(self, damage)
    }

    /// Rewrites finished segments without the bytes that cannot be read; those are copied to quarantine
    /// first. The present segment is left alone: call [`Log::rotate`] before.
    ///
    /// # Errors
    /// The system's error; the remaining segments are then unchanged.
    pub(crate) fn drop_damage(&self, damage: &[Damage]) -> Result<(), LogError> {
        self.locked(|_| repair::drop_damage(self, damage))
    }
}
