//! The text of a job's record: one line of JSON that proves itself whole.
//!
//! ```json
//! {"version":2,"checksum":"5f1c09aa","job_id":"nightly","status":"queued",…}
//! ```
//!
//! The checksum is the CRC-32 of all that follows its comma, to the closing brace. When the log is lost, these
//! files decide what is run: a digit that a disk has changed would otherwise be believed. Version 1 has no
//! checksum and is read as it is; it is written anew only when the job changes.

use serde::Deserialize;

use super::stored::Stored;
use crate::durable::{DiskError, read_optional};
use crate::queue::JobDocument;

/// The version that is written.
const VERSION: u32 = 2;
/// What stands before the eight digits of the checksum, and behind them.
const HEAD: (&str, &str) = ("{\"version\":2,\"checksum\":\"", "\",");

#[derive(Deserialize)]
struct Checked {
    #[serde(default)]
    version: u32,
    #[serde(default)]
    checksum: Option<String>,
}

/// The record's text.
pub(super) fn text_of(document: &JobDocument) -> Vec<u8> {
    let body = body_of(document);
    let mut text = format!("{}{:08x}{}", HEAD.0, crc32fast::hash(&body), HEAD.1).into_bytes();
    text.extend_from_slice(&body);
    text.push(b'\n');
    text
}

/// Whether a text says exactly this, in whichever version.
pub(super) fn says(text: &[u8], document: &JobDocument) -> bool {
    let former = || [b"{\"version\":1,".as_slice(), &body_of(document), b"\n"].concat();
    text == text_of(document) || text == former()
}

/// Without the opening brace.
fn body_of(document: &JobDocument) -> Vec<u8> {
    let text = serde_json::to_vec(document).unwrap_or_default();
    text.strip_prefix(b"{").unwrap_or(&text).to_vec()
}

/// Understands a record; the reason when it cannot be believed.
pub(super) fn understand(text: &[u8]) -> Result<JobDocument, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let Checked { version, checksum } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if let Some(checksum) = &checksum {
        let body = text.get(HEAD.0.len() + checksum.len() + HEAD.1.len()..).unwrap_or_default();
        let real = format!("{:08x}", crc32fast::hash(body.trim_ascii_end()));
        if !text.starts_with(HEAD.0.as_bytes()) || real != *checksum {
            return Err(format!("its checksum is {checksum}, that of its content is {real}"));
        }
    } else if version >= VERSION {
        return Err("it has no checksum".to_owned());
    }
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

/// Reads a record.
pub(super) fn read_record(path: &std::path::Path) -> Result<Stored<JobDocument>, DiskError> {
    let Some(text) = read_optional(path)? else { return Ok(Stored::Missing) };
    Ok(match understand(&text) {
        Ok(document) => Stored::Whole(document),
        Err(reason) => Stored::Damaged { reason },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::samples;

    fn document() -> JobDocument {
        samples::job("nightly", 41).to_document()
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = text_of(&document());
        assert!(understand(&text).is_ok() && says(&text, &document()));
        // The line's end says nothing.
        for at in 0..text.len() - 1 {
            for bit in [0x01, 0x02, 0x10] {
                let mut damaged = text.clone();
                damaged[at] ^= bit;
                assert!(understand(&damaged).is_err(), "{}", String::from_utf8_lossy(&damaged));
            }
            assert!(understand(&text[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn records_without_a_checksum_are_read() {
        let text = [b"{\"version\":1,".as_slice(), &body_of(&document()), b"\n"].concat();
        assert_eq!(understand(&text).unwrap().job_id, document().job_id);
        assert!(says(&text, &document()));
        let later = String::from_utf8(text).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(understand(later.as_bytes()).unwrap_err(), "it has no checksum");
    }
}
