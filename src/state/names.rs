//! Names from outside as file names: percent-encoded, so that any name is safe and two names never collide.

use std::fmt::Write as _;

/// The longest encoded name; with the suffixes of this program it stays below the 255 bytes of a file name.
pub(crate) const LONGEST_ENCODED: usize = 240;

/// A name that cannot become a file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The name is empty.
    #[error("an empty name")]
    Empty,
    /// Too long once encoded.
    #[error("a name of {bytes} bytes ({encoded} when encoded as a file name; at most {LONGEST_ENCODED})")]
    TooLong {
        bytes: usize,
        /// Its length as a file name.
        encoded: usize,
    },
    /// NUL, line feed and the like do not belong in a name that people read.
    #[error("a control character in a name")]
    Control,
}

/// The file name for a name: letters, digits, `-`, `_` and `.` (not at the start) stay, every other
/// byte is `%` and two hexadecimal digits.
pub fn encode(name: &str) -> Result<String, BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.chars().any(char::is_control) {
        return Err(BadName::Control);
    }
    let mut out = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(byte as char),
            b'.' if i > 0 => out.push('.'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    if out.len() > LONGEST_ENCODED {
        return Err(BadName::TooLong { bytes: name.len(), encoded: out.len() });
    }
    Ok(out)
}

/// The name that a file name encodes; `None` when [`encode`] would not have made that file name.
pub fn decode(file_name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file_name.len());
    let mut rest = file_name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name).ok()? == file_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encode_round_trip_is_safe(name in "\\PC{1,60}") {
            match encode(&name) {
                Ok(file) => {
                    prop_assert!(!file.contains('/') && !file.starts_with('.'));
                    prop_assert_eq!(decode(&file), Some(name));
                }
                Err(e) => prop_assert!(matches!(e, BadName::TooLong { .. }), "{e}"),
            }
        }

        #[test]
        fn decode_any_is_safe(file in ".{0,40}") {
            if let Some(name) = decode(&file) {
                prop_assert_eq!(encode(&name).unwrap(), file);
            }
        }
    }

    #[test]
    fn encode_refuses_bad_names() {
        assert_eq!(encode(""), Err(BadName::Empty));
        assert_eq!(encode("a\nb"), Err(BadName::Control));
        assert!(matches!(encode(&"x".repeat(300)), Err(BadName::TooLong { bytes: 300, .. })));
        assert_eq!(encode("../../etc").unwrap(), "%2E.%2F..%2Fetc");
    }
}
