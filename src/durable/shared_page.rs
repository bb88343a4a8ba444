//! One page of memory that all processes on a log share: how far the log is written and how far it is synced.
//!
//! The page is a hint, valid within one boot, and rebuilt from the log when in doubt. This is the only module
//! with `unsafe` beside `page_guard`: mapping a file is unsafe because another program could shorten it. No other
//! user may write in the state directory (that is checked when it is opened), and this library never shortens the
//! file; if another program does, the page is lost and the process goes on: see `page_guard`.
//!
//! Layout, in 8-byte words: 0 magic, 1 epoch, 2 generation, 3..6 and 6..9 two slots of (segment, tail, next
//! sequence number), 9 synced, 10 wake counter and waiters, 11 poisoned, 12 writing, 13 segments made, 14 and
//! 15 the slots' checks: a page that another program wrote into is not believed. The generation's lowest bit
//! selects the valid slot: a writer fills the other slot and then raises the generation, so that a kill
//! between any two stores leaves a consistent page.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;

use super::page_guard::PageGuard;

const PAGE: usize = 4096;
const MAGIC: u64 = 0x7265_636f_7665_7202;
/// The page was valid and is being filled anew: its values are old, but not garbage.
const MAGIC_STALE: u64 = 0x7265_636f_7665_72ff;

const WORD_MAGIC: usize = 0;
const WORD_EPOCH: usize = 1;
const WORD_GENERATION: usize = 2;
const WORD_SLOTS: usize = 3;
const WORD_SYNCED: usize = 9;
const WORD_WAKE: usize = 10;
const WORD_POISONED: usize = 11;
const WORD_WRITING: usize = 12;
const WORD_SEGMENTS_MADE: usize = 13;
/// Two words, a check for each slot.
const WORD_CHECKS: usize = 14;

/// The published end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct End {
    /// First sequence number, and so the name, of the segment that is being written.
    pub(crate) segment: u64,
    /// Offset of its next record, in bytes.
    pub(crate) tail: u64,
    /// The next record's sequence number.
    pub(crate) next_seq: u64,
}

impl End {
    /// The slot's check: a CRC-32, so that a damaged slot does not match, changed so that a slot of zeros does
    /// not match either.
    fn check(self) -> u64 {
        let words = [self.segment, self.tail, self.next_seq];
        let mut hasher = crc32fast::Hasher::new();
        words.iter().for_each(|w| hasher.update(&w.to_le_bytes()));
        u64::from(hasher.finalize()) | 1 << 63
    }
}

/// The mapped page.
#[derive(Debug)]
pub(crate) struct SharedPage {
    base: *mut u8,
    guard: Option<PageGuard>,
}

// SAFETY: the mapping lives as long as the value, and all access to it is through atomics.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Bytes that the file must have before it is mapped.
    pub(crate) const LEN: u64 = PAGE as u64;

    /// Maps the first page of a file that is open for reading and writing.
    pub(crate) fn map(file: &File) -> io::Result<SharedPage> {
        if file.metadata()?.len() < SharedPage::LEN {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        // SAFETY: a new mapping at an address of the kernel's choice, of a file that has that page.
        let base = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap(std::ptr::null_mut(), PAGE, access, MapFlags::SHARED, file, 0)?
        };
        let base = base.cast();
        Ok(SharedPage { base, guard: Some(PageGuard::of(base)) })
    }

    /// Whether the mapping and the file show the same bytes, in both directions. It overwrites the page, so only
    /// for a page that no process uses.
    pub(crate) fn reads_as(&self, file: &File) -> io::Result<bool> {
        use std::os::unix::fs::FileExt;
        self.word(WORD_EPOCH).store(MAGIC, Ordering::SeqCst);
        let mut read = [0; 8];
        file.read_exact_at(&mut read, 8 * WORD_EPOCH as u64)?;
        Ok(u64::from_ne_bytes(read) == MAGIC)
    }

    /// Whether the file was shortened and the page was accessed since: other processes no longer see what is
    /// written into it.
    pub(crate) fn is_lost(&self) -> bool {
        self.guard.as_ref().is_some_and(PageGuard::is_lost)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < PAGE / 8);
        // SAFETY: within the mapping, aligned (mappings start at a page), and only ever accessed as atomics.
        unsafe { &*self.base.cast::<AtomicU64>().add(index) }
    }

    fn half(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < PAGE / 4);
        // SAFETY: as in `word`.
        unsafe { &*self.base.cast::<AtomicU32>().add(index) }
    }

    fn wake_counter(&self) -> &AtomicU32 {
        self.half(WORD_WAKE * 2)
    }

    fn waiters(&self) -> &AtomicU32 {
        self.half(WORD_WAKE * 2 + 1)
    }

    /// Whether the page was filled in this epoch (this boot, this log).
    pub(crate) fn is_valid(&self, epoch: u64) -> bool {
        self.word(WORD_MAGIC).load(Ordering::Acquire) == MAGIC
            && self.word(WORD_EPOCH).load(Ordering::Acquire) == epoch
            && self.whole_end().is_some()
    }

    /// Whether the page was ever filled in this epoch, even if it is not valid now. If filling it anew failed
    /// half way, a failed sync and the numbers already given must not be forgotten.
    pub(crate) fn was_valid(&self, epoch: u64) -> bool {
        let magic = self.word(WORD_MAGIC).load(Ordering::Acquire);
        (magic == MAGIC || magic == MAGIC_STALE)
            && self.word(WORD_EPOCH).load(Ordering::Acquire) == epoch
            && self.whole_end().is_some()
    }

    /// Whether the page is of this epoch but another program wrote into it.
    pub(crate) fn is_damaged(&self, epoch: u64) -> bool {
        let magic = self.word(WORD_MAGIC).load(Ordering::Acquire);
        (magic == MAGIC || magic == MAGIC_STALE)
            && self.word(WORD_EPOCH).load(Ordering::Acquire) == epoch
            && self.whole_end().is_none()
    }

    /// Makes the page invalid, before it is filled anew.
    pub(crate) fn invalidate(&self, epoch: u64) {
        let magic = if self.was_valid(epoch) { MAGIC_STALE } else { 0 };
        self.word(WORD_MAGIC).store(magic, Ordering::Release);
    }

    /// Declares the page valid, once everything else is in it.
    pub(crate) fn validate(&self, epoch: u64) {
        self.word(WORD_EPOCH).store(epoch, Ordering::Release);
        self.word(WORD_MAGIC).store(MAGIC, Ordering::Release);
    }

    /// Where the log ends.
    pub(crate) fn end(&self) -> End {
        self.end_and_check().0
    }

    /// The end of the log, unless the page is damaged. A writer that believed a damaged page would give records
    /// wrong numbers for good, acknowledge records that were never synced, and hide written ones.
    pub(crate) fn whole_end(&self) -> Option<End> {
        // Read before the end: both only grow and nothing is synced before it is written, so it is never beyond
        // the end.
        let synced = self.synced();
        let (end, check) = self.end_and_check();
        (check == end.check() && synced < end.next_seq.max(1)).then_some(end)
    }

    fn end_and_check(&self) -> (End, u64) {
        loop {
            let generation = self.word(WORD_GENERATION).load(Ordering::Acquire);
            let slot = WORD_SLOTS + 3 * (generation & 1) as usize;
            let end = End {
                segment: self.word(slot).load(Ordering::Relaxed),
                tail: self.word(slot + 1).load(Ordering::Relaxed),
                next_seq: self.word(slot + 2).load(Ordering::Relaxed),
            };
            let check = self.word(WORD_CHECKS + (generation & 1) as usize).load(Ordering::Relaxed);
            std::sync::atomic::fence(Ordering::Acquire);
            if self.word(WORD_GENERATION).load(Ordering::Relaxed) == generation {
                return (end, check);
            }
        }
    }

    /// Publishes where a new segment ends, in both slots. If the generation's lowest bit were damaged, a slot
    /// that names an older segment would let writers append to that segment, and their records would be lost.
    pub(crate) fn publish_new_segment(&self, end: End) {
        self.publish_end(end);
        self.publish_end(end);
    }

    /// Publishes where the log ends. Only under the append lock.
    pub(crate) fn publish_end(&self, end: End) {
        let generation = self.word(WORD_GENERATION).load(Ordering::Relaxed);
        // The page may hold garbage, so the number may be the highest: let it wrap around.
        let next = generation.wrapping_add(1);
        let slot = WORD_SLOTS + 3 * (next & 1) as usize;
        // A reader that sees any of these stores sees at least this generation, and so reads again.
        std::sync::atomic::fence(Ordering::Release);
        self.word(slot).store(end.segment, Ordering::Relaxed);
        self.word(slot + 1).store(end.tail, Ordering::Relaxed);
        self.word(slot + 2).store(end.next_seq, Ordering::Relaxed);
        self.word(WORD_CHECKS + (next & 1) as usize).store(end.check(), Ordering::Relaxed);
        self.word(WORD_GENERATION).store(next, Ordering::Release);
    }

    /// Up to which sequence number everything is synced.
    pub(crate) fn synced(&self) -> u64 {
        self.word(WORD_SYNCED).load(Ordering::Acquire)
    }

    /// Publishes a sync. The caller calls [`SharedPage::wake`] once it has released the locks.
    pub(crate) fn publish_synced(&self, seq: u64) {
        self.word(WORD_SYNCED).fetch_max(seq, Ordering::AcqRel);
    }

    /// Sets how far everything is synced; only while the page is being filled anew.
    pub(crate) fn reset_synced(&self, seq: u64) {
        self.word(WORD_SYNCED).store(seq, Ordering::Release);
    }

    /// Whether a sync failed and the log has not been verified since.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.word(WORD_POISONED).load(Ordering::Acquire) != 0
    }

    /// Declares the log unusable until verified, or usable again.
    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        self.word(WORD_POISONED).store(u64::from(poisoned), Ordering::Release);
        self.wake();
    }

    /// Whether a writer has begun and not published: it is writing now, or it was killed.
    pub(crate) fn is_writing(&self) -> bool {
        self.word(WORD_WRITING).load(Ordering::Acquire) != 0
    }

    /// Marks the beginning and the end of a write. Only under the append lock.
    pub(crate) fn set_writing(&self, writing: bool) {
        self.word(WORD_WRITING).store(u64::from(writing), Ordering::Release);
    }

    /// How many segments were made so far. A segment that was opened may be used for as long as this number
    /// stays: after a failed sync a segment may be made anew under the same name.
    pub(crate) fn segments_made(&self) -> u64 {
        self.word(WORD_SEGMENTS_MADE).load(Ordering::Acquire)
    }

    /// Counts a new segment, before it is published as the end. Only under the append lock.
    pub(crate) fn count_segment(&self) {
        self.word(WORD_SEGMENTS_MADE).fetch_add(1, Ordering::AcqRel);
    }

    /// The counter for [`SharedPage::wait`]; to be read before the condition is checked.
    pub(crate) fn ticket(&self) -> u32 {
        self.wake_counter().load(Ordering::Acquire)
    }

    /// Waits until something is published after the ticket was drawn, at most `timeout`.
    pub(crate) fn wait(&self, ticket: u32, timeout: Duration) {
        // Sequentially consistent, as in `wake`: either `wake` sees this waiter counted, or this waiter sees the
        // counter raised.
        self.waiters().fetch_add(1, Ordering::SeqCst);
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // On every return the caller checks its condition again: woken, timed out, interrupted, or already
        // changed.
        let _ = futex::wait(self.wake_counter(), futex::Flags::empty(), ticket, Some(&timeout));
        self.waiters().fetch_sub(1, Ordering::AcqRel);
    }

    /// Wakes all who wait for something to be published.
    pub(crate) fn wake(&self) {
        self.wake_counter().fetch_add(1, Ordering::SeqCst);
        // A waiter that was killed stays counted; each wake then costs a needless system call.
        if self.waiters().load(Ordering::SeqCst) != 0 {
            let _ = futex::wake(self.wake_counter(), futex::Flags::empty(), i32::MAX as u32);
        }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // The guard goes first: once the page is unmapped, another mapping may get its address.
        self.guard = None;
        // SAFETY: mapped by `map`, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.base.cast(), PAGE) };
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    /// The page's file, and two mappings of the page, as two processes would have them.
    fn mapped_twice() -> (File, SharedPage, SharedPage) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SharedPage::LEN).unwrap();
        let (one, other) = (SharedPage::map(&file).unwrap(), SharedPage::map(&file).unwrap());
        (file, one, other)
    }

    /// An end whose members follow from one number, so that a mixture of two ends is noticed.
    fn end_of(n: u64) -> End {
        End { segment: n, tail: n * 3 + 1, next_seq: n * 7 + 2 }
    }

    #[test]
    fn page_file_too_short_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SharedPage::LEN - 1).unwrap();
        assert_eq!(SharedPage::map(&file).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Reading the mapping of an emptied file once ended the process with SIGBUS.
    #[test]
    fn page_emptied_file_is_lost() {
        let (file, one, other) = mapped_twice();
        one.publish_end(end_of(5));
        one.validate(7);
        file.set_len(0).unwrap();
        assert!(!one.is_valid(7) && one.is_lost());
        assert_eq!(one.end(), End::default());
        // A file that regains its length is not a valid page, and never again the page of the process that lost
        // it.
        file.set_len(SharedPage::LEN).unwrap();
        assert!(!other.is_valid(7) && !other.is_lost());
        other.validate(7);
        assert!(!one.is_valid(7) && one.is_lost());
    }

    #[test]
    fn page_is_shared_between_mappings() {
        let (_file, one, other) = mapped_twice();
        assert!(!other.is_valid(7));
        one.publish_end(end_of(5));
        one.reset_synced(3);
        one.validate(7);
        assert!(other.is_valid(7) && !other.is_valid(8));
        assert_eq!((other.end(), other.synced()), (end_of(5), 3));
        one.publish_synced(9);
        one.publish_synced(4);
        assert_eq!(other.synced(), 9, "how far it is synced never goes back");
        one.set_writing(true);
        one.set_poisoned(true);
        assert!(other.is_writing() && other.is_poisoned());
        other.invalidate(7);
        assert!(!one.is_valid(7) && one.was_valid(7) && !one.was_valid(8));
    }

    /// A page that another program wrote into once gave its number, up to 10^18, to the next segment for good.
    #[test]
    fn page_damaged_end_is_rejected() {
        let (_file, one, other) = mapped_twice();
        one.publish_end(end_of(5));
        one.validate(7);
        assert!(other.is_valid(7));
        let slot = WORD_SLOTS + 3 * (one.word(WORD_GENERATION).load(Ordering::Relaxed) & 1) as usize;
        for word in slot..slot + 3 {
            let was = one.word(word).load(Ordering::Relaxed);
            for bit in 0..64 {
                one.word(word).store(was ^ (1 << bit), Ordering::Relaxed);
                assert!(!other.is_valid(7) && !other.was_valid(7), "word {word}, bit {bit}");
            }
            one.word(word).store(was, Ordering::Relaxed);
        }
        assert!(other.is_valid(7));
    }

    /// A page that another program wrote into once reported records as synced that no process had written.
    #[test]
    fn page_synced_beyond_written_is_rejected() {
        let (_file, one, other) = mapped_twice();
        one.publish_end(end_of(5));
        one.reset_synced(end_of(5).next_seq - 1);
        one.validate(7);
        assert!(other.is_valid(7));
        for bit in 0..64 {
            one.reset_synced((end_of(5).next_seq - 1) | 1 << bit);
            let is_written = one.synced() < end_of(5).next_seq;
            assert_eq!((other.is_valid(7), other.was_valid(7)), (is_written, is_written), "bit {bit}");
        }
    }

    #[test]
    fn page_killed_writer_keeps_old_end() {
        let (_file, one, other) = mapped_twice();
        one.publish_end(end_of(1));
        one.publish_end(end_of(2));
        // All stores of `publish_end` except the last.
        let generation = one.word(WORD_GENERATION).load(Ordering::Relaxed);
        let slot = WORD_SLOTS + 3 * ((generation + 1) & 1) as usize;
        for (i, value) in [3, 10, 23].into_iter().enumerate() {
            one.word(slot + i).store(value, Ordering::Relaxed);
            assert_eq!(other.end(), end_of(2));
        }
    }

    #[test]
    fn page_ends_are_atomic() {
        let (_file, one, other) = mapped_twice();
        one.publish_end(end_of(0));
        const LAST: u64 = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=LAST).for_each(|n| one.publish_end(end_of(n))));
            let mut known = 0;
            while known < LAST {
                let end = other.end();
                assert_eq!(end, end_of(end.segment));
                assert!(end.segment >= known, "{} after {known}", end.segment);
                known = end.segment;
            }
        });
    }

    #[test]
    fn page_wait_returns_after_publish() {
        let (_file, one, other) = mapped_twice();
        let ever = Duration::from_secs(3600);
        let ticket = other.ticket();
        one.publish_synced(1);
        one.wake();
        other.wait(ticket, ever); // Published already: returns at once, or this test never ends.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while other.synced() < 1_000 {
                    let ticket = other.ticket();
                    if other.synced() < 1_000 {
                        other.wait(ticket, ever);
                    }
                }
            });
            for n in 2..=1_000 {
                one.publish_synced(n);
                one.wake();
            }
        });
        assert_eq!(one.waiters().load(Ordering::SeqCst), 0);
    }
}
