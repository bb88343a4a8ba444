//! Files as another boot finds them: what they tell of their boot (its id, and when the kernel started) is of an
//! earlier one, and their checksums are right all the same.

use memchr::memmem::{Finder, find};
use recovery::durable::log::{decode, encode};

/// How many seconds earlier the kernel started.
const EARLIER: u64 = 100_000;
/// The member that holds when it started.
const BOOTED_AT: &[u8] = b"\"booted_at\":";
/// What a line with a checksum of its own begins with, before and after the checksum.
const SEALED: (&[u8], &[u8]) = (b"{\"version\":2,\"checksum\":\"", b"\",");
/// What the metadata of a lock ends with, before and after its checksum, which does not cover the boot id.
const METADATA: (&[u8], &[u8]) = (b",\"checksum\":\"", b"\"}\n");

/// Replaces one boot id by another of the same length; `None` when it is not there. `is_earlier` also changes when
/// that boot's kernel started.
pub(crate) fn with_boot(content: &[u8], from: &Finder<'_>, to: &[u8], is_earlier: bool) -> Option<Vec<u8>> {
    from.find(content)?;
    let mut changed = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let mut after = line.to_vec();
        for at in from.find_iter(line) {
            after[at..at + to.len()].copy_from_slice(to);
        }
        if after != line {
            if is_earlier {
                start_earlier(&mut after);
            }
            after = checked_anew(line, after, from.needle(), to);
        }
        changed.extend_from_slice(&after);
    }
    Some(changed)
}

fn start_earlier(line: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = find(&line[from..], BOOTED_AT) {
        let begin = from + at + BOOTED_AT.len();
        let digits = line[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&line[begin..begin + digits]).unwrap_or_default();
        if let Some(then) = text.parse::<u64>().ok().and_then(|seconds| seconds.checked_sub(EARLIER)) {
            line[begin..begin + digits].copy_from_slice(format!("{then:0digits$}").as_bytes());
        }
        from = begin;
    }
}

/// Gives a changed line its checksum, if the line before the change had the right one.
fn checked_anew(before: &[u8], mut after: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    if let Some(frame) = decode(before) {
        let payload = after[before.len() - 1 - frame.payload.len()..after.len() - 1].to_vec();
        after.clear();
        encode(&mut after, frame.seq, &payload);
    } else if let Some((checksum, body)) = sealed(before)
        && checksum == digits(&[body.trim_ascii_end()]).as_bytes()
    {
        let anew = digits(&[after[before.len() - body.len()..].trim_ascii_end()]);
        let at = SEALED.0.len();
        after[at..at + anew.len()].copy_from_slice(anew.as_bytes());
    } else if let Some((covered, checksum)) = metadata(before)
        && checksum == digits(&without(covered, from)).as_bytes()
    {
        let at = covered.len() + METADATA.0.len();
        let anew = digits(&without(&after[..covered.len()], to));
        after[at..at + anew.len()].copy_from_slice(anew.as_bytes());
    }
    after
}

fn sealed(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (checksum, rest) = line.strip_prefix(SEALED.0)?.split_at_checked(8)?;
    Some((checksum, rest.strip_prefix(SEALED.1)?))
}

fn metadata(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(METADATA.1)?;
    let (rest, checksum) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    Some((rest.strip_suffix(METADATA.0)?, checksum))
}

/// The parts of a text around each `left_out`.
fn without<'a>(text: &'a [u8], left_out: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = find(rest, left_out) {
        parts.push(&rest[..at]);
        rest = &rest[at + left_out.len()..];
    }
    parts.push(rest);
    parts
}

fn digits(parts: &[&[u8]]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebooted(content: &[u8]) -> Vec<u8> {
        with_boot(content, &Finder::new("aaaaaaaa"), b"bbbbbbbb", true).unwrap()
    }

    #[test]
    fn lines_keep_right_checksums_and_wrong_ones() {
        let mut log = Vec::new();
        encode(&mut log, 7, br#"{"op":"claim","boot_id":"aaaaaaaa","booted_at":1796058010}"#);
        let whole = log.len();
        encode(&mut log, 8, br#"{"op":"claim","boot_id":"aaaaaaaa"}"#);
        log[whole] = b'z';
        let changed = rebooted(&log);
        let expected = br#"{"op":"claim","boot_id":"bbbbbbbb","booted_at":1795958010}"#;
        assert_eq!(decode(&changed).unwrap().payload, expected);
        assert!(decode(&changed[whole..]).is_none() && changed.ends_with(b"\"bbbbbbbb\"}\n"));
        assert_eq!(with_boot(b"nothing", &Finder::new("aaaa"), b"bbbb", true), None);
    }

    #[test]
    fn documents_keep_right_checksums() {
        let body = b"\"boot_id\":\"aaaaaaaa\",\"booted_at\":1796058010}";
        let changed = rebooted(&[SEALED.0, digits(&[body]).as_bytes(), SEALED.1, body, b"\n"].concat());
        let (checksum, body) = sealed(&changed).unwrap();
        assert_eq!(body, b"\"boot_id\":\"bbbbbbbb\",\"booted_at\":1795958010}\n");
        assert_eq!(checksum, digits(&[body.trim_ascii_end()]).as_bytes());
        let parts: [&[u8]; 2] = [b"{\"host\":{\"booted_at\":1796058010},\"boot_id\":\"", b"\""];
        let checksum = digits(&parts);
        let before = [parts[0], b"aaaaaaaa", parts[1], METADATA.0, checksum.as_bytes(), METADATA.1].concat();
        let changed = rebooted(&before);
        let (covered, checksum) = metadata(&changed).unwrap();
        assert_eq!(covered, b"{\"host\":{\"booted_at\":1795958010},\"boot_id\":\"bbbbbbbb\"");
        assert_eq!(checksum, digits(&without(covered, b"bbbbbbbb")).as_bytes());
    }
}
