//! Annotated tags: their targets, and whether their messages are to be kept.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::Git;
use super::commits::Known;
use crate::archive::open::Objects;
use crate::archive::tips::{Id, MOST, hex, id_of, time_of};
use crate::system::Author;

/// git prints the target of a tag within this many bytes.
const TAG_BEGIN: u64 = 512;

impl Git<'_> {
    /// Tags as `git cat-file --batch` writes them, with the tags that they point to, except those whose
    /// message came with the clone; `None` when there are none. The commits they lead to are then anchored: a
    /// tag's age does not say which remote it came from and whether that still has the commit.
    pub(super) fn contents_of(
        &self,
        objects: &Objects,
        known: &mut Known,
        cloned_at: Option<i64>,
    ) -> Result<Option<std::fs::File>, String> {
        // Without a remote that is elsewhere, nothing came from one.
        let cloned_at = cloned_at.filter(|_| !known.elsewhere.is_empty());
        let (mut contents, mut is_empty) = (self.nameless()?, true);
        let mut open = known.tags.clone();
        while !open.is_empty() {
            if known.tags.len() > MOST {
                return Err("it has too many tags to be judged".to_owned());
            }
            let mut command = self.command(objects, Author::Ourselves)?;
            command.args(["cat-file", "--batch"]);
            let mut printed = self.run(command, Some(self.lines(open.iter().map(hex))?))?;
            let mut next = BTreeSet::new();
            for tag in &open {
                let from = printed.stream_position().map_err(|e| e.to_string())?;
                let begin = printed_tag(&mut printed, tag)?;
                let (kind, target) = tag_of(&begin)?;
                match kind.as_str() {
                    "commit" => known.own.push((target, format!("the tag {}", hex(tag)))),
                    "tag" if known.tags.insert(target) => drop(next.insert(target)),
                    "tag" => {}
                    kind => return Err(format!("the tag {} is of a {kind}", hex(tag))),
                }
                // A message that was written here is not older than the clone; one with an older date is in a file of
                // its own until git packs it.
                let came = cloned_at.is_some_and(|cloned| tagged_at(&begin).is_some_and(|at| at < cloned));
                if came && !is_loose(objects.as_fd(), tag) {
                    continue;
                }
                copy_from(&mut printed, from, &mut contents).map_err(|e| e.to_string())?;
                is_empty = false;
            }
            open = next;
        }
        Ok((!is_empty).then_some(contents))
    }
}

/// Reads the beginning of a tag that git printed; afterwards the file stands behind the tag.
fn printed_tag(printed: &mut std::fs::File, id: &Id) -> Result<Vec<u8>, String> {
    let strange = || "git did not print the tags that it was asked for".to_owned();
    let begin = printed.stream_position().map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    (&mut *printed).take(TAG_BEGIN).read_to_end(&mut head).map_err(|e| e.to_string())?;
    let end = head.iter().position(|byte| *byte == b'\n').ok_or_else(strange)?;
    let size = std::str::from_utf8(&head[..end]).ok().and_then(|line| line.strip_prefix(&hex(id)));
    let size = size.and_then(|line| line.strip_prefix(" tag ")?.parse::<u64>().ok()).ok_or_else(strange)?;
    printed.seek(SeekFrom::Start(begin + end as u64 + size + 2)).map_err(|e| e.to_string())?;
    head.drain(..=end);
    head.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(head)
}

/// Copies what lies between `from` and the file's position, which does not change.
fn copy_from(file: &mut std::fs::File, from: u64, to: &mut std::fs::File) -> std::io::Result<()> {
    let end = file.stream_position()?;
    file.seek(SeekFrom::Start(from))?;
    std::io::copy(&mut (&mut *file).take(end - from), to)?;
    file.seek(SeekFrom::Start(end)).map(drop)
}

/// Returns when a tag says that it was made, in seconds since the epoch.
fn tagged_at(begin: &[u8]) -> Option<i64> {
    // A line that ends beyond what was read may be cut within the number.
    let end = begin.iter().rposition(|byte| *byte == b'\n')?;
    let head = begin[..end].split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let mut tagger = head.filter(|line| line.starts_with(b"tagger "));
    tagger.next().and_then(time_of)
}

/// Whether an object has a file of its own, as objects made here have until git packs them.
fn is_loose(objects: BorrowedFd<'_>, id: &Id) -> bool {
    let name = hex(id);
    let path = Path::new(&name[..2]).join(&name[2..]);
    rustix::fs::statat(objects, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Returns the target of a tag.
fn tag_of(begin: &[u8]) -> Result<(String, Id), String> {
    let mut lines = begin.split(|byte| *byte == b'\n');
    let mut line = |word: &[u8]| lines.next().and_then(|line| line.strip_prefix(word).map(<[u8]>::to_vec));
    let id = line(b"object ").and_then(|id| id_of(&id));
    let kind = line(b"type ").map(|kind| String::from_utf8_lossy(&kind).into_owned());
    kind.zip(id).ok_or_else(|| "a tag cannot be understood".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_time_needs_whole_line() {
        let head = |name: &str| {
            format!(
                "object {}\ntype commit\ntag {name}\ntagger a <a@b> 1700000000 +0000\n\nm",
                "0".repeat(40)
            )
        };
        assert_eq!(tagged_at(head("v").as_bytes()), Some(1_700_000_000));
        // A long name makes the text end within the number.
        let long = head(&"n".repeat(426));
        let cut = &long.as_bytes()[..usize::try_from(TAG_BEGIN).unwrap()];
        assert!(cut.ends_with(b" 170000"), "{}", String::from_utf8_lossy(&cut[480..]));
        assert_eq!(tagged_at(cut), None);
    }
}
