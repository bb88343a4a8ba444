//! One line of JSON with a checksum of its own.
//!
//! ```json
//! {"version":2,"checksum":"5f1c09aa","job_id":"nightly","status":"queued",…}
//! ```
//!
//! The checksum is the CRC-32 of everything after its comma up to and including the closing brace. Lines that are
//! older than the checksum have version 1 or format 1. A line that has neither has lost its beginning.

use serde::Deserialize;

/// The version that has a checksum.
const VERSION: u32 = 2;
/// The text before and after the eight digits of the checksum.
const HEAD: (&[u8], &[u8]) = (b"{\"version\":2,\"checksum\":\"", b"\",");
const DIGITS: usize = 8;

/// The line that holds an object, given as its own JSON.
pub(crate) fn seal(object: &[u8]) -> Vec<u8> {
    let body = object.strip_prefix(b"{").unwrap_or(object);
    let mut text = Vec::with_capacity(HEAD.0.len() + DIGITS + HEAD.1.len() + body.len() + 1);
    text.extend_from_slice(HEAD.0);
    text.extend_from_slice(format!("{:08x}", crc32fast::hash(body)).as_bytes());
    text.extend_from_slice(HEAD.1);
    text.extend_from_slice(body);
    text.push(b'\n');
    text
}

/// What proves that a line is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its checksum.
    Checksum,
    /// Nothing: the line is of a version without a checksum.
    None,
}

/// Checks that a line is as it was written, as far as the line itself can tell.
pub(crate) fn check(text: &[u8]) -> Result<Proof, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Some((checksum, body)) = taken_apart(text) {
        let real = format!("{:08x}", crc32fast::hash(body.trim_ascii_end()));
        if real.as_bytes() == checksum {
            return Ok(Proof::Checksum);
        }
        let said = String::from_utf8_lossy(checksum);
        return Err(format!("its checksum is {said}, that of its content is {real}"));
    }
    #[derive(Deserialize)]
    struct Former {
        #[serde(alias = "format")]
        version: u32,
        #[serde(default)]
        checksum: Option<String>,
    }
    let former: Former = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match former {
        Former { version, .. } if version > VERSION => {
            Err(format!("it is of version {version}, this program knows {VERSION}"))
        }
        Former { checksum: Some(_), .. } => Err("its checksum is not where it belongs".to_owned()),
        Former { version: VERSION, .. } => Err("it has no checksum".to_owned()),
        Former { .. } => Ok(Proof::None),
    }
}

/// The checksum, and the bytes that it covers.
fn taken_apart(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (checksum, rest) = text.strip_prefix(HEAD.0)?.split_at_checked(DIGITS)?;
    Some((checksum, rest.strip_prefix(HEAD.1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_detects_every_changed_byte() {
        let text = seal(br#"{"job_id":"nightly","attempts":[1,2]}"#);
        assert_eq!(check(&text), Ok(Proof::Checksum));
        // A change of the last byte, the closing line feed, is not noticed.
        for at in 0..text.len() - 1 {
            for bit in [0x01, 0x02, 0x10] {
                let mut damaged = text.clone();
                damaged[at] ^= bit;
                assert!(check(&damaged).is_err(), "{}", String::from_utf8_lossy(&damaged));
            }
            assert!(check(&text[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn sealed_accepts_old_version_without_checksum() {
        assert_eq!(check(br#"{"version":1,"job_id":"nightly"}"#), Ok(Proof::None));
        assert_eq!(check(br#"{"format":1}"#), Ok(Proof::None));
        assert!(check(br#"{"job_id":"nightly"}"#).is_err());
        assert!(check(br#"{"vers----------ecksum":"5f1c09aa","job_id":"nightly"}"#).is_err());
        assert_eq!(check(br#"{"version":2,"job_id":"nightly"}"#).unwrap_err(), "it has no checksum");
        assert!(check(br#"{"version":3,"checksum":"0"}"#).unwrap_err().contains("version 3"));
        assert!(check(br#"{"checksum":"00000000"}"#).is_err());
    }
}
