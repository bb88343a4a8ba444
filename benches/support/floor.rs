//! What ours is compared with: the least that one can do by hand.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The length of a record on disk, line feed included.
pub const RECORD: usize = 300;

/// A file that grows by a record and a sync at a time.
pub struct BareFile {
    file: File,
    record: Vec<u8>,
}

impl BareFile {
    /// Opens it for appending; makes it when absent.
    pub fn open(path: &Path) -> BareFile {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("a file");
        let mut record = vec![b'x'; RECORD];
        record[RECORD - 1] = b'\n';
        BareFile { file, record }
    }

    /// Appends and syncs.
    pub fn append(&mut self) {
        self.file.write_all(&self.record).expect("a write");
        self.file.sync_data().expect("a sync");
    }

    /// As [`BareFile::append`], while nobody else does.
    pub fn append_locked(&mut self) {
        fs2::FileExt::lock_exclusive(&self.file).expect("a lock");
        self.append();
        fs2::FileExt::unlock(&self.file).expect("an unlock");
    }
}

/// How long one call takes.
pub fn timed<T>(act: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    std::hint::black_box(act());
    begun.elapsed()
}

/// Two things one after the other, operation by operation, so that both meet the same moods of the
/// disk; who goes first alternates.
pub fn alternate(
    operations: usize,
    mut one: impl FnMut(),
    mut other: impl FnMut(),
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for i in 0..operations {
        if i % 2 == 0 {
            ones.push(timed(&mut one));
            others.push(timed(&mut other));
        } else {
            others.push(timed(&mut other));
            ones.push(timed(&mut one));
        }
    }
    (ones, others)
}
