//! The second copy of a grant: the content of the `.lock` file itself.
//!
//! The first line, always 30 bytes, is the fencing number: twenty digits, a space, the digits' CRC-32 as
//! eight hexadecimal ones, a line feed. The metadata of the grant, as it was made, follows (versions before 2
//! wrote the first line only). The file is empty when the lock was never granted.
//!
//! The holder of the flock writes it in place and syncs it *before* the metadata that grants the number. So the
//! number here is never below a granted one, and a torn write costs nothing, because the metadata then still has
//! the last granted number. When the metadata is damaged, this copy names the holder of the last grant; it does
//! not tell whether that grant was given back, so the lock counts as held.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::fencing_number::FencingNumber;
use super::metadata::{LockMetadata, MetadataRead, parse as parse_metadata};
use crate::durable::{DiskError, DiskFile, IoContext};
use crate::state::Timestamp;

const LENGTH: usize = 30;

/// The content of the `.lock` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing was ever written.
    Nothing,
    /// Something other than our fencing number.
    Damaged,
    /// The number of the last grant, or of one that was not completed.
    Number(FencingNumber),
}

pub(super) fn read(file: &DiskFile) -> Result<Stored, DiskError> {
    let mut bytes = [0u8; LENGTH];
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Stored::Nothing);
    }
    if length < LENGTH as u64 {
        return Ok(Stored::Damaged);
    }
    file.as_file().read_exact_at(&mut bytes, 0).context("read", file.path())?;
    Ok(parse(&bytes).map_or(Stored::Damaged, Stored::Number))
}

/// Writes a grant's number, and the grant.
pub(super) fn write(file: &DiskFile, grant: &LockMetadata) -> Result<(), DiskError> {
    let mut bytes = format(grant.token).into_bytes();
    bytes.extend(grant.to_bytes());
    file.write_at(&bytes, 0)?;
    if file.metadata()?.len() != bytes.len() as u64 {
        file.truncate(bytes.len() as u64)?;
    }
    file.sync_data()
}

/// The last grant, as it was made; `None` when the file has none, or an earlier one.
pub(super) fn last_grant(path: &Path, repository: &str) -> Option<LockMetadata> {
    let bytes = crate::durable::plain::read(path).ok()?;
    let (first, rest) = bytes.split_at_checked(LENGTH)?;
    let number = parse(first.try_into().ok()?)?;
    match parse_metadata(rest, repository) {
        MetadataRead::Whole(grant) if grant.token == number => Some(*grant),
        _ => None,
    }
}

fn format(token: FencingNumber) -> String {
    let digits = format!("{:020}", token.get());
    format!("{digits} {:08x}\n", crc32fast::hash(digits.as_bytes()))
}

fn parse(bytes: &[u8; LENGTH]) -> Option<FencingNumber> {
    let token = FencingNumber::new(std::str::from_utf8(&bytes[..20]).ok()?.parse().ok()?);
    (format(token).as_bytes() == bytes).then_some(token)
}

/// The number of the last grant, from the two copies. When both are lost, the number is unknown; the present time
/// in milliseconds is then used, because it is far above any count of grants.
pub(super) fn last(stored: Stored, metadata: &MetadataRead, now: Timestamp) -> FencingNumber {
    let unknowable = FencingNumber::new(u64::try_from(now.as_millis()).unwrap_or(0));
    match (stored, metadata) {
        (Stored::Number(n), MetadataRead::Whole(m)) => n.max(m.token),
        (Stored::Number(n), _) => n,
        (_, MetadataRead::Whole(m)) => m.token,
        (Stored::Nothing, MetadataRead::Missing) => FencingNumber::default(),
        (Stored::Nothing | Stored::Damaged, _) => unknowable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fencing_number_round_trip_and_damage() {
        for token in [0, 1, 42, u64::MAX].map(FencingNumber::new) {
            let text = format(token);
            let mut bytes: [u8; LENGTH] = text.as_bytes().try_into().unwrap();
            assert_eq!(parse(&bytes), Some(token));
            bytes[19] ^= 1;
            assert_eq!(parse(&bytes), None);
        }
    }

    #[test]
    fn fencing_number_never_falls() {
        let now = Timestamp::from_millis(1_772_000_000_000);
        let number = FencingNumber::new;
        let damaged = MetadataRead::Damaged { why: String::new() };
        assert_eq!(last(Stored::Nothing, &MetadataRead::Missing, now), number(0));
        assert_eq!(last(Stored::Number(number(9)), &MetadataRead::Missing, now), number(9));
        assert_eq!(last(Stored::Number(number(9)), &damaged, now), number(9));
        assert_eq!(last(Stored::Damaged, &damaged, now), number(1_772_000_000_000));
        assert_eq!(last(Stored::Nothing, &damaged, now), number(1_772_000_000_000));
    }
}
