//! Configurable rules for what counts as work.

use std::time::Duration;

use crate::system::SearchPath;

/// The rules for keeping git work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepRules {
    /// A commit that only a reflog has counts for so long after its entry was made; one that no name leads to, for so
    /// long after anything was written to the objects of its repository.
    pub reflog: Duration,
    /// Files that a repository ignores and that are kept all the same: names with `*`, of the file or of a folder that
    /// it lies in.
    pub keep_ignored: Vec<String>,
    /// Where git and the index tool are looked for.
    pub tools: SearchPath,
}

impl Default for KeepRules {
    /// Commits count as long as git itself would keep them, no ignored files are kept, and git is looked for
    /// where every machine has its programs.
    fn default() -> KeepRules {
        KeepRules {
            reflog: Duration::from_secs(90 * 24 * 3600),
            keep_ignored: Vec::new(),
            tools: SearchPath::default(),
        }
    }
}

impl KeepRules {
    /// Whether an ignored file is kept, by its path in the working tree.
    pub(super) fn keeps_ignored(&self, path: &[u8]) -> bool {
        let mut parts = path.split(|byte| *byte == b'/');
        parts.any(|part| self.keep_ignored.iter().any(|pattern| fits(pattern.as_bytes(), part)))
    }
}

/// Whether a name fits a pattern with `*`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = (0..=rest.len()).find(|at| rest[*at..].starts_with(part)) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_ignored_matches_name_or_folder() {
        let rules = |patterns: &[&str]| KeepRules {
            keep_ignored: patterns.iter().map(|p| (*p).to_owned()).collect(),
            ..KeepRules::default()
        };
        for (patterns, path, is_kept) in [
            (&[][..], ".env", false),
            (&["*"], "target/a.o", true),
            (&[".env*"], "deploy/.env.local", true),
            (&["*.sqlite"], "data.sqlite", true),
            (&["*.sqlite"], "data.sqlite.bak", false),
            (&["notes"], "notes/a/b", true),
            (&["a*b*c"], "a--b--b-c", true),
            (&["a*b*c"], "ab", false),
            (&["ab*ab"], "ab", false),
        ] {
            assert_eq!(rules(patterns).keeps_ignored(path.as_bytes()), is_kept, "{patterns:?} {path}");
        }
    }
}
