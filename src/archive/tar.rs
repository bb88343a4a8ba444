//! The format of an archive: tar (POSIX.1-2001, with GNU's records for sparse files), so that it can be
//! unpacked without this program. Written and read in one pass, with at most one block in memory.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

/// Every part of an archive is a multiple of this size, in bytes.
pub(super) const UNIT: usize = 512;
/// How many bytes are read and written at a time.
const BLOCK: usize = 256 << 10;
/// Parts of a sparse file that are recorded; further holes are written as zeros.
const MOST_PARTS: usize = 4096;
/// Most zeros written for the holes of a file.
const MOST_ZEROS: u64 = 1 << 30;
/// A record of names and numbers is not longer than this.
const LONGEST_RECORD: u64 = 8 << 20;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link(Vec<u8>),
    Pipe,
}

/// An entry, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TarEntry {
    /// Its path in the archive.
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    /// Seconds since the epoch.
    pub(super) modified: i64,
    /// The length of a file.
    pub(super) size: u64,
}

/// Writes entries one after the other.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    pub(super) written: u64,
    pub(super) entries: u64,
    buffer: Vec<u8>,
}

/// Why a file's content was not written.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The file could not be read, or it changes.
    Read(io::Error),
    /// The archive could not be written.
    Write(io::Error),
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Writer<'a> {
        Writer { out, written: 0, entries: 0, buffer: vec![0; BLOCK] }
    }

    /// Writes an entry without content.
    pub(super) fn put(&mut self, entry: &TarEntry) -> io::Result<()> {
        self.entries += 1;
        self.head(entry, entry.size, &[])
    }

    /// Writes a small file from memory.
    pub(super) fn put_bytes(&mut self, entry: &TarEntry, content: &[u8]) -> io::Result<()> {
        self.put(entry)?;
        self.write(content)?;
        self.pad(content.len() as u64)
    }

    /// Writes a file with its content; `go_on` is called at each block.
    pub(super) fn put_file(
        &mut self,
        entry: &TarEntry,
        file: &std::fs::File,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), CopyError> {
        self.entries += 1;
        let parts = parts_of(file, entry.size).map_err(CopyError::Read)?;
        let Some(parts) = parts else {
            self.head(entry, entry.size, &[]).map_err(CopyError::Write)?;
            self.copy(file, 0, entry.size, go_on)?;
            self.ends(file, entry.size)?;
            return self.pad(entry.size).map_err(CopyError::Write);
        };
        let mut map = format!("{}\n", parts.len());
        parts.iter().for_each(|(at, length)| map.push_str(&format!("{at}\n{length}\n")));
        let mut map = map.into_bytes();
        map.resize(map.len().next_multiple_of(UNIT), 0);
        let stored = map.len() as u64 + parts.iter().map(|(_, length)| length).sum::<u64>();
        let records = [
            ("GNU.sparse.major", b"1".to_vec()),
            ("GNU.sparse.minor", b"0".to_vec()),
            ("GNU.sparse.name", entry.name.clone()),
            ("GNU.sparse.realsize", entry.size.to_string().into_bytes()),
        ];
        self.head(entry, stored, &records).map_err(CopyError::Write)?;
        self.write(&map).map_err(CopyError::Write)?;
        for (at, length) in parts {
            self.copy(file, at, length, go_on)?;
        }
        self.ends(file, entry.size)?;
        self.pad(stored).map_err(CopyError::Write)
    }

    /// Writes the end of the archive.
    pub(super) fn finish(mut self) -> io::Result<(u64, u64)> {
        self.write(&[0; 2 * UNIT])?;
        Ok((self.written, self.entries))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % UNIT as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.write(&[0; UNIT][over..]) }
    }

    fn copy(
        &mut self,
        file: &std::fs::File,
        at: u64,
        length: u64,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), CopyError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (mut at, end) = (at, at + length);
        while at < end {
            go_on().map_err(CopyError::Read)?;
            let most = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            let n = file.read_at(&mut buffer[..most], at).map_err(CopyError::Read)?;
            if n == 0 {
                return Err(CopyError::Read(io::Error::other("it became shorter while it was read")));
            }
            self.write(&buffer[..n]).map_err(CopyError::Write)?;
            at += n as u64;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Fails when the file grew, because it is still being written.
    fn ends(&self, file: &std::fs::File, size: u64) -> Result<(), CopyError> {
        match file.read_at(&mut [0], size).map_err(CopyError::Read)? {
            0 => Ok(()),
            _ => Err(CopyError::Read(io::Error::other("it became longer while it was read"))),
        }
    }

    fn head(&mut self, entry: &TarEntry, stored: u64, records: &[(&str, Vec<u8>)]) -> io::Result<()> {
        let mut records = records.to_vec();
        let link = if let Kind::Link(target) = &entry.kind { target.as_slice() } else { &[] };
        if entry.name.len() > 100 && records.is_empty() {
            records.push(("path", entry.name.clone()));
        }
        if link.len() > 100 {
            records.push(("linkpath", link.to_vec()));
        }
        if !(0..=0o777_7777_7777).contains(&entry.modified) {
            records.push(("mtime", entry.modified.to_string().into_bytes()));
        }
        if stored > 0o777_7777_7777 {
            records.push(("size", stored.to_string().into_bytes()));
        }
        for (word, number) in [("uid", entry.owner.0), ("gid", entry.owner.1)] {
            if number > 0o777_7777 {
                records.push((word, number.to_string().into_bytes()));
            }
        }
        if !records.is_empty() {
            let text: Vec<u8> = records.iter().flat_map(|(word, value)| record(word, value)).collect();
            let about = TarEntry { name: b"PaxHeaders/entry".to_vec(), kind: Kind::File, ..entry.clone() };
            let header = header(&about, b'x', text.len() as u64, &[]);
            self.write(&header)?;
            self.write(&text)?;
            self.pad(text.len() as u64)?;
        }
        let letter = match entry.kind {
            Kind::File => b'0',
            Kind::Link(_) => b'2',
            Kind::Folder => b'5',
            Kind::Pipe => b'6',
        };
        self.write(&header(entry, letter, stored, link))
    }
}

/// Returns the parts of a file that have content; `None` when it has no holes worth noting.
fn parts_of(file: &std::fs::File, size: u64) -> io::Result<Option<Vec<(u64, u64)>>> {
    use rustix::fs::{SeekFrom, seek};
    use std::os::unix::fs::MetadataExt;
    if file.metadata()?.blocks().saturating_mul(512) >= size {
        return Ok(None);
    }
    let (mut parts, mut at) = (Vec::new(), 0);
    while at < size {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let end = seek(file, SeekFrom::Hole(begin))?.min(size);
        if begin >= size {
            break;
        }
        parts.push((begin, end - begin));
        at = end;
        if parts.len() > MOST_PARTS {
            let (first, _) = parts[MOST_PARTS - 1];
            // Holes read as zeros, and there may be any number of them.
            if size - first > file.metadata()?.blocks().saturating_mul(512).saturating_add(MOST_ZEROS) {
                return Err(io::Error::other("it has too many holes to be kept"));
            }
            parts.truncate(MOST_PARTS - 1);
            parts.push((first, size - first));
            at = size;
        }
    }
    // An empty part marks the end.
    parts.push((size, 0));
    Ok(Some(parts))
}

/// `LENGTH WORD=VALUE\n`, the length counting itself.
fn record(word: &str, value: &[u8]) -> Vec<u8> {
    let rest = word.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {word}=").as_bytes(), value, b"\n"].concat()
}

fn header(entry: &TarEntry, letter: u8, size: u64, link: &[u8]) -> [u8; UNIT] {
    let mut head = [0; UNIT];
    let mut put = |at: usize, length: usize, bytes: &[u8]| {
        let n = bytes.len().min(length);
        head[at..at + n].copy_from_slice(&bytes[..n]);
    };
    let octal = |number: u64, digits: usize| format!("{:0digits$o}", number & ((1 << (3 * digits)) - 1));
    put(0, 100, &entry.name);
    put(100, 8, octal(u64::from(entry.mode & 0o7777), 7).as_bytes());
    put(108, 8, octal(u64::from(entry.owner.0), 7).as_bytes());
    put(116, 8, octal(u64::from(entry.owner.1), 7).as_bytes());
    put(124, 12, octal(size, 11).as_bytes());
    put(136, 12, octal(u64::try_from(entry.modified).unwrap_or(0).min(0o777_7777_7777), 11).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[letter]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

/// Reads entries one after the other.
pub(super) struct Reader<R> {
    from: R,
    /// Unread bytes of the last entry, with padding.
    left: u64,
    padding: u64,
}

/// An entry that was read, and the parts of a file with holes.
pub(super) struct Next {
    pub(super) entry: TarEntry,
    /// Offset and length of each part; `None` for a file without holes.
    pub(super) parts: Option<Vec<(u64, u64)>>,
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl<R: Read + io::Seek> Reader<R> {
    pub(super) fn new(from: R) -> Reader<R> {
        Reader { from, left: 0, padding: 0 }
    }

    /// The next entry; the unread rest of the previous one is skipped.
    pub(super) fn next(&mut self) -> io::Result<Option<Next>> {
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            let past = self.left.checked_add(self.padding).ok_or_else(|| damaged("an entry is too long"))?;
            self.from.seek_relative(i64::try_from(past).map_err(|_| damaged("an entry is too long"))?)?;
            (self.left, self.padding) = (0, 0);
            let mut head = [0; UNIT];
            self.from.read_exact(&mut head)?;
            if head.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&head)?;
            self.left = number(&head[124..136])?;
            if head[156] == b'x' {
                self.padding = padding(self.left);
                records = self.records()?;
                continue;
            }
            return self.entry(&head, &records).map(Some);
        }
    }

    fn records(&mut self) -> io::Result<Vec<(String, Vec<u8>)>> {
        if self.left > LONGEST_RECORD {
            return Err(damaged("a record is too long"));
        }
        let mut text = vec![0; usize::try_from(self.left).unwrap_or(0)];
        self.read_exact(&mut text)?;
        let (mut records, mut rest) = (Vec::new(), &text[..]);
        while !rest.is_empty() {
            let strange = || damaged("a record cannot be understood");
            let blank = rest.iter().position(|byte| *byte == b' ').ok_or_else(strange)?;
            let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|n| n.parse::<usize>().ok());
            let length = length.filter(|n| *n > blank + 1 && *n <= rest.len()).ok_or_else(strange)?;
            let (word, value) = {
                let body = &rest[blank + 1..length - 1];
                let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(strange)?;
                (String::from_utf8_lossy(&body[..equals]).into_owned(), body[equals + 1..].to_vec())
            };
            records.push((word, value));
            rest = &rest[length..];
        }
        Ok(records)
    }

    fn entry(&mut self, head: &[u8; UNIT], records: &[(String, Vec<u8>)]) -> io::Result<Next> {
        let record = |word: &str| records.iter().find(|(w, _)| w == word).map(|(_, value)| value.clone());
        let digits = |word: &str| -> io::Result<Option<u64>> {
            let Some(value) = record(word) else { return Ok(None) };
            let number = std::str::from_utf8(&value).ok().and_then(|n| n.parse().ok());
            number.map(Some).ok_or_else(|| damaged("a number cannot be understood"))
        };
        if let Some(size) = digits("size")? {
            self.left = size;
        }
        self.padding = padding(self.left);
        let kind = match head[156] {
            b'0' | 0 => Kind::File,
            b'2' => Kind::Link(record("linkpath").unwrap_or_else(|| word(&head[157..257]))),
            b'5' => Kind::Folder,
            b'6' => Kind::Pipe,
            _ => return Err(damaged("an entry is of an unknown kind")),
        };
        let owner = |word: &str, at: std::ops::Range<usize>| -> io::Result<u32> {
            let found = digits(word)?.map_or_else(|| number(&head[at]), Ok)?;
            u32::try_from(found).map_err(|_| damaged("an owner cannot be understood"))
        };
        let name = record("GNU.sparse.name").or_else(|| record("path")).unwrap_or_else(|| word(&head[..100]));
        let real = digits("GNU.sparse.realsize")?;
        let parts = if real.is_some() { Some(self.map()?) } else { None };
        let modified = match record("mtime") {
            Some(text) => whole_seconds(&text)?,
            None => i64::try_from(number(&head[136..148])?).unwrap_or(0),
        };
        let entry = TarEntry {
            name,
            kind,
            mode: u32::try_from(number(&head[100..108])?).unwrap_or(0o600),
            owner: (owner("uid", 108..116)?, owner("gid", 116..124)?),
            modified,
            size: real.unwrap_or(self.left),
        };
        Ok(Next { entry, parts })
    }

    /// Reads where the content of a file with holes goes.
    fn map(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut text = Vec::new();
        let mut numbers = Vec::new();
        loop {
            let mut unit = [0; UNIT];
            self.read_exact(&mut unit)?;
            text.extend(unit);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let digits = std::str::from_utf8(&text[..end]).ok().and_then(|n| n.parse::<u64>().ok());
                numbers.push(digits.ok_or_else(|| damaged("a file's holes cannot be understood"))?);
                text.drain(..=end);
            }
            let wanted = numbers.first().map(|parts| parts.saturating_mul(2).saturating_add(1));
            if wanted.is_some_and(|wanted| numbers.len() as u64 == wanted) {
                return Ok(numbers[1..].chunks_exact(2).map(|part| (part[0], part[1])).collect());
            }
            if numbers.len() > 4 * MOST_PARTS {
                return Err(damaged("a file has too many holes"));
            }
        }
    }
}

impl<R: Read> Read for Reader<R> {
    /// Reads the content of the last entry.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.from.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Reads the whole seconds of a time that other programs write with a fraction.
fn whole_seconds(text: &[u8]) -> io::Result<i64> {
    let text = String::from_utf8_lossy(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole: i64 = whole.parse().map_err(|_| damaged("a time cannot be understood"))?;
    let is_below = text.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
    Ok(whole.saturating_sub(i64::from(is_below)))
}

fn padding(size: u64) -> u64 {
    (UNIT as u64 - size % UNIT as u64) % UNIT as u64
}

fn word(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn number(field: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(field).map_err(|_| damaged("a number cannot be understood"))?;
    let text = text.trim_matches(|c: char| c == '\0' || c == ' ');
    if text.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(text, 8).map_err(|_| damaged("a number cannot be understood"))
}

fn check_sum(head: &[u8; UNIT]) -> io::Result<()> {
    let blanks = 8 * u64::from(b' ');
    let sum: u64 = head[..148].iter().chain(&head[156..]).map(|byte| u64::from(*byte)).sum::<u64>() + blanks;
    if number(&head[148..156])? == sum { Ok(()) } else { Err(damaged("an entry's head is damaged")) }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes files with holes.
mod tests {
    use super::*;

    fn entry(name: &[u8], kind: Kind, size: u64) -> TarEntry {
        TarEntry {
            name: name.to_vec(),
            kind,
            mode: 0o640,
            owner: (3, 4_000_000),
            modified: 1_700_000_000,
            size,
        }
    }

    #[test]
    fn tar_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, holes) = (folder.path().join("plain"), folder.path().join("holes"));
        let content: Vec<u8> = (0..300_001u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(&plain, &content).unwrap();
        let sparse = std::fs::File::create_new(&holes).unwrap();
        sparse.write_all_at(b"middle", 5 << 20).unwrap();
        sparse.set_len(9 << 20).unwrap();
        let long = b"deep/".repeat(3000);
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        let go_on = || Ok(());
        let plain = std::fs::File::open(plain).unwrap();
        let holes = std::fs::File::open(holes).unwrap();
        writer.put_file(&entry(&long, Kind::File, 300_001), &plain, &go_on).unwrap();
        writer.put(&entry(b"folder/", Kind::Folder, 0)).unwrap();
        let old = TarEntry { modified: -86_400, ..entry(b"link", Kind::Link(b"x".repeat(500)), 0) };
        writer.put(&old).unwrap();
        let late = TarEntry { modified: (1 << 33) + 5, ..entry(b"late/", Kind::Folder, 0) };
        writer.put(&late).unwrap();
        writer.put_file(&entry(b"holes", Kind::File, 9 << 20), &holes, &go_on).unwrap();
        let (written, entries) = writer.finish().unwrap();
        assert_eq!((written, entries), (bytes.len() as u64, 5));
        assert!(written < 1 << 20, "holes take no room");
        let mut reader = Reader::new(io::Cursor::new(bytes));
        let first = reader.next().unwrap().unwrap();
        assert_eq!(first.entry, entry(&long, Kind::File, 300_001));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
        assert_eq!(reader.next().unwrap().unwrap().entry.kind, Kind::Folder);
        assert_eq!(reader.next().unwrap().unwrap().entry, old);
        assert_eq!(reader.next().unwrap().unwrap().entry, late);
        assert_eq!(
            ["-1.5", "-1.0", "1.9", "7"].map(|t| whole_seconds(t.as_bytes()).unwrap()),
            [-2, -1, 1, 7]
        );
        let last = reader.next().unwrap().unwrap();
        assert_eq!((last.entry.name.as_slice(), last.entry.size), (&b"holes"[..], 9 << 20));
        let parts = last.parts.unwrap();
        assert!(parts.iter().any(|(at, length)| *at <= 5 << 20 && at + length >= (5 << 20) + 6), "{parts:?}");
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn tar_damaged_or_truncated_is_error() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.put(&entry(b"folder/", Kind::Folder, 0)).unwrap();
        writer.finish().unwrap();
        for at in [0, 101, 150, 156] {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(Reader::new(io::Cursor::new(wrong)).next().is_err(), "byte {at}");
        }
        assert!(Reader::new(io::Cursor::new(bytes[..300].to_vec())).next().is_err());
    }

    /// Whatever somebody wrote into it.
    #[test]
    fn tar_arbitrary_bytes_are_error() {
        let read = |records: &[(&'static str, Vec<u8>)], content: &[u8]| {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            writer.head(&entry(b"file", Kind::File, 1), content.len() as u64, records).unwrap();
            writer.write(content).unwrap();
            writer.pad(content.len() as u64).unwrap();
            writer.finish().unwrap();
            let mut reader = Reader::new(io::Cursor::new(bytes));
            reader.next()?;
            reader.next().map(drop)
        };
        assert!(read(&[], b"content").is_ok());
        for size in [u64::MAX, u64::MAX - 511, 1 << 63] {
            assert!(read(&[("size", size.to_string().into_bytes())], b"x").is_err(), "{size}");
        }
        // The map holds one part, and half of another.
        let mut map = b"1\n5\n7\n9\n".to_vec();
        map.resize(UNIT, 0);
        assert!(read(&[("GNU.sparse.realsize", b"9".to_vec())], &map).is_err());
        let mut map = format!("{}\n5\n7\n", u64::MAX).into_bytes();
        map.resize(UNIT, 0);
        assert!(read(&[("GNU.sparse.realsize", b"9".to_vec())], &map).is_err());
    }

    #[test]
    fn tar_file_that_changes_length_is_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        for size in [4, 6] {
            let (mut bytes, file) = (Vec::new(), std::fs::File::open(&path).unwrap());
            let put = Writer::new(&mut bytes).put_file(&entry(b"file", Kind::File, size), &file, &|| Ok(()));
            assert!(matches!(put, Err(CopyError::Read(_))), "{size}");
        }
    }
}
