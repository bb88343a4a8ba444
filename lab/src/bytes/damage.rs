//! Ways to damage the bytes of a file.

use std::fmt;

use crate::Seed;

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A byte became another.
    Byte {
        at: usize,
        /// The new value.
        is: u8,
    },
    /// The file was cut.
    Cut {
        /// Bytes that are left.
        len: usize,
    },
    /// Bytes became others.
    Overwritten {
        at: usize,
        /// The replacement.
        with: Vec<u8>,
    },
    /// Bytes came in between.
    Inserted { at: usize, bytes: Vec<u8> },
    /// A part is there twice.
    Doubled {
        /// The first byte.
        from: usize,
        /// The byte after the last.
        to: usize,
    },
    /// A part is gone.
    Dropped {
        /// The first byte.
        from: usize,
        /// The byte after the last.
        to: usize,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Damage {
    /// Returns the damaged content.
    pub fn of(&self, content: &[u8]) -> Vec<u8> {
        let mut bytes = content.to_vec();
        match self {
            Damage::Byte { at, is } => bytes[*at] = *is,
            Damage::Cut { len } => bytes.truncate(*len),
            Damage::Overwritten { at, with } => {
                let end = (at + with.len()).min(bytes.len());
                bytes[*at..end].copy_from_slice(&with[..end - at]);
            }
            Damage::Inserted { at, bytes: new } => drop(bytes.splice(at..at, new.iter().copied())),
            Damage::Doubled { from, to } => {
                let part = bytes[*from..*to].to_vec();
                drop(bytes.splice(to..to, part));
            }
            Damage::Dropped { from, to } => drop(bytes.drain(from..to)),
        }
        bytes
    }
}

/// Each byte with a bit flipped, zeroed and set, and each cut. A file's reserve of zeros is left alone.
pub fn every(content: &[u8]) -> Vec<Damage> {
    let used = used(content);
    let bytes = (0..used).flat_map(|at| {
        let was = content[at];
        [was ^ (1 << (at % 8)), 0, 0xff]
            .into_iter()
            .filter(move |is| *is != was)
            .map(move |is| Damage::Byte { at, is })
    });
    bytes.chain((0..used).map(|len| Damage::Cut { len })).collect()
}

/// How many bytes are not the zeros at the end.
fn used(content: &[u8]) -> usize {
    content.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}

/// Numbers, brackets and texts that parsers stumble over.
const NASTY: &[&[u8]] = &[
    b"99999999",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e999999",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
    b"null",
    b"\"\\ud800\"",
    b"\0\0\0\0\0\0\0\0",
    b"\n\n",
    b"\xff\xfe\xfd",
    b"../../../../etc/passwd",
    b"9999-99-99T99:99:99.999Z",
];

/// Returns a random damage.
pub fn random(content: &[u8], seed: &mut Seed) -> Damage {
    let used = used(content);
    if used == 0 {
        return Damage::Inserted { at: 0, bytes: seed.one_of(NASTY).to_vec() };
    }
    let at = seed.below(used);
    let to = (at + 1 + seed.below(used.min(64))).min(used);
    match seed.below(8) {
        0 => Damage::Byte { at, is: 0 },
        1 => Damage::Byte { at, is: 0xff },
        2 => Damage::Cut { len: at },
        3 => Damage::Overwritten { at, with: seed.one_of(NASTY).to_vec() },
        4 => Damage::Inserted { at, bytes: seed.one_of(NASTY).to_vec() },
        5 => Damage::Doubled { from: at, to },
        6 => Damage::Dropped { from: at, to },
        _ => Damage::Byte { at, is: content[at] ^ (1 << seed.below(8)) },
    }
}
