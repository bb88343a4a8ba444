//! Which repositories have lock files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::durable::{DiskError, IoContext};
use crate::state::names::decode;

/// The repositories with a flock target or metadata, in order of their names. The name comes from the file's
/// name, so that it is known even when the content is damaged. Other files are passed over.
pub(super) fn repositories(folder: &Path) -> Result<BTreeSet<String>, DiskError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(e).context("list", folder),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.context("list", folder)?;
        names.extend(entry.file_name().to_str().and_then(repository_of));
    }
    Ok(names)
}

fn repository_of(file: &str) -> Option<String> {
    decode(file.strip_suffix(".lock.json").or_else(|| file.strip_suffix(".lock"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_file_names_round_trip() {
        assert_eq!(repository_of("web.lock").as_deref(), Some("web"));
        assert_eq!(repository_of("web.lock.json").as_deref(), Some("web"));
        assert_eq!(repository_of("a%2Fb.lock.lock.json").as_deref(), Some("a/b.lock"));
        assert_eq!(repository_of(".web.writing"), None);
        assert_eq!(repository_of(".tmp-aaaaaa"), None);
        assert_eq!(repository_of(".lock"), None);
    }
}
