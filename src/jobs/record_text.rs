//! The text of a job's record: one line of JSON with a checksum of its own ([`crate::durable::sealed`]).
//!
//! When the log is lost, these files decide which commands run; without the checksum a digit that a disk has
//! changed would be believed. Version 1 has no checksum and is read as it is; it is rewritten only when the job
//! changes.

use super::stored::Stored;
use crate::durable::{DiskError, read_optional, sealed};
use crate::queue::JobDocument;

/// The record's text.
pub(super) fn text_of(document: &JobDocument) -> Vec<u8> {
    sealed::seal(&json_of(document))
}

/// Whether a text has exactly this content, in either version.
pub(super) fn says(text: &[u8], document: &JobDocument) -> bool {
    text == text_of(document) || text == former_text_of(document)
}

fn json_of(document: &JobDocument) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// The text as version 1 wrote it.
fn former_text_of(document: &JobDocument) -> Vec<u8> {
    let json = json_of(document);
    [b"{\"version\":1,", json.strip_prefix(b"{").unwrap_or(&json), b"\n"].concat()
}

/// Parses a record; the reason when it cannot be believed.
pub(super) fn understand(text: &[u8]) -> Result<JobDocument, String> {
    sealed::check(text)?;
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
    use crate::queue::Claim;

    fn document() -> JobDocument {
        samples::job("nightly", Claim::of_record(41)).to_document()
    }

    #[test]
    fn record_whole_and_damaged() {
        let mut text = text_of(&document());
        assert!(understand(&text).is_ok() && says(&text, &document()));
        let at = text.iter().position(|&b| b == b'4').unwrap();
        text[at] = b'5';
        assert!(understand(&text).unwrap_err().starts_with("its checksum is"));
    }

    #[test]
    fn record_version_1_without_checksum() {
        let text = former_text_of(&document());
        assert_eq!(understand(&text).unwrap().job_id, document().job_id);
        assert!(says(&text, &document()));
        let later = String::from_utf8(text).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(understand(later.as_bytes()).unwrap_err(), "it has no checksum");
    }
}
