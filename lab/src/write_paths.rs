//! Finds every place in the library's source that changes the disk, by reading the source.
//!
//! The functions of the seam know their caller (`#[track_caller]`), and report it to the observer: so a
//! recording shows which of these places an operation has passed. A place that no operation passes is a write
//! path without its crash test.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Error;

/// Places that no operation of the laboratory can pass, each with the reason: the file, a part of the line,
/// why. One that is passed, or is not in the source any more, must go from here.
const EXCUSED: &[(&str, &str, &str)] = &[
    ("src/durable/log/write.rs", "file.truncate(end.tail).is_ok()", "only a disk that refuses a write"),
    ("src/jobs/supervise/attempt.rs", "remove_file(&self.paths.sentinel())", "a cancel between two looks"),
    (
        "src/jobs/keeper/pump.rs",
        "self.file.write_at(note",
        "a disk that refuses for half a minute, and then not",
    ),
    ("src/jobs/keeper/pump.rs", "file.write_at(&bytes[..read]", "a file system without splice(2)"),
    (
        "src/jobs/keeper/reattach.rs",
        "disk.open_or_create(&output)",
        "a job whose supervisor and keeper were killed: commands/tests/printing.rs has it",
    ),
    ("src/jobs/supervise/attempt.rs", "remove_file(&file)", "only a host that cannot start the command"),
    (
        "src/jobs/supervise/finish.rs",
        "Some(_) => append(dir",
        "a directory that was moved while the job ran: commands/tests/host/directory.rs has it",
    ),
    (
        "src/jobs/record.rs",
        "if is_blank(&path) => dir.disk.remove_file",
        "a record whose content no power loss of the laboratory takes before the log's: tests/prune.rs has it",
    ),
    ("src/state/directory.rs", "disk.remove_dir(root)", "only a file system that is refused"),
    (
        "src/logging/file.rs",
        "disk.rename(path, &earlier(path), true)",
        "lines of 8 MiB: a crash costs lines that nothing is decided by, and no write depends on them",
    ),
    (
        "src/startup/last_turn.rs",
        "open_or_create(&dir.paths.daemon_turn())",
        "the daemon's edge calls it: killed daemons try it; it helps to judge the living only",
    ),
    ("src/startup/last_turn.rs", "self.file.write_at(", "as above"),
    ("src/locks/release.rs", "open_or_create(&self.paths.flock)", "it is there: opening changes nothing"),
    ("src/queue/repair.rs", "take_file(&file.path, why, &at)", "the checkpoint before it has removed it"),
    (
        "src/jobs/recover/reconcile.rs",
        "quarantine.keep_file(&file, reason",
        "a damaged file of a job that lives",
    ),
    (
        "src/import/takeover.rs",
        "examiner.keep_file(path, reason)",
        "as for a damaged job file, which is tried",
    ),
    (
        "src/durable/log/repair.rs",
        "keep(&segment.path, None, &content",
        "another server's segment among old ones",
    ),
    ("src/durable/tree/take.rs", "disk.rename(trash, path, false)?;", "an exchange between two looks"),
    ("src/jobs/layout_2.rs", "disk.rename(taken, &to, false)", "as above"),
    (
        "src/jobs/layout_2.rs",
        "replace(disk, &sentinel, NO_EVIDENCE",
        "the workspace of another user, which only root can make: tests/layout_2.rs has it",
    ),
    (
        "src/recovery/rehearse.rs",
        "disk.create_dir(&to",
        "the copy: a temporary folder, gone with its process",
    ),
    ("src/recovery/rehearse.rs", "disk.create_dir(to)", "as above"),
    ("src/recovery/rehearse.rs", "disk.create_new(&to", "as above"),
    ("src/recovery/rehearse.rs", "disk.create_new(to", "as above"),
    ("src/recovery/rehearse.rs", "copy.write_at(", "as above"),
    (
        "src/archive/restore.rs",
        "disk.create_dir(to)",
        "a new folder of the user's, outside: an unpacking that was cut short is begun anew elsewhere",
    ),
    ("src/archive/restore.rs", "disk.create_new(&path, 0o600)", "as above"),
    ("src/archive/restore.rs", "file.truncate(length)", "as above"),
    ("src/archive/restore.rs", "disk.set_mode(&path, mode)", "as above"),
    ("src/archive/restore.rs", "disk.set_mode(path, *mode)", "as above"),
    ("src/archive/restore.rs", "file.write_at(&content, 0)", "as above"),
    ("src/archive/restore.rs", "disk.sync_filesystem(to)", "as above"),
    ("src/archive/restore.rs", "file.write_at(&buffer[..n], at)", "as above"),
    ("src/archive/restore.rs", "disk.create_dir(path)", "as above"),
    (
        "src/state/origin_check.rs",
        ".keep_file(&self.paths.place()",
        "a damaged record of the folder, which no disk of the laboratory has; tests/incarnations.rs does it",
    ),
    (
        "src/durable/log/repair.rs",
        "take_file(path, \"a segment of another",
        "as above; tests/log/mod.rs has it",
    ),
];

/// The write paths that no operation took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Untried {
    /// Places without a crash test.
    pub untried: Vec<String>,
    /// Excuses that excuse nothing.
    pub stale: Vec<String>,
}

impl Untried {
    /// Compares the source in a repository with the places (`file:line`) that were passed.
    pub fn find(repository: &Path, passed: &BTreeSet<String>) -> Result<Untried, Error> {
        let sites = of_the_library(repository)?;
        let excuses = |site: &Site, (file, text, _): &(&str, &str, &str)| {
            site.file == *file && site.text.contains(text)
        };
        let is_passed = |site: &Site| passed.contains(&format!("{}:{}", site.file, site.line));
        let is_excused = |site: &Site| EXCUSED.iter().any(|excuse| excuses(site, excuse));
        let untried = sites.iter().filter(|s| !is_passed(s) && !is_excused(s)).map(ToString::to_string);
        let is_stale =
            |excuse: &&(&str, &str, &str)| !sites.iter().any(|s| excuses(s, excuse) && !is_passed(s));
        let stale = EXCUSED.iter().filter(is_stale).map(|(file, text, _)| format!("{file}: {text}"));
        Ok(Untried { untried: untried.collect(), stale: stale.collect() })
    }
}

/// Functions that take a disk or a state directory first, called by their names.
const FUNCTIONS: [&str; 6] =
    ["replace", "replace_with", "create", "create_many", "remove_abandoned", "append"];

/// Methods of `Disk`, `DiskFile`, `Quarantine` and `Queue` that nothing else has.
const METHODS: [&str; 21] = [
    "create_new",
    "create_fifo",
    "create_locked",
    "open_or_create",
    "open_append",
    "rename",
    "remove_file",
    "create_dir",
    "ensure_dir",
    "ensure_dirs",
    "remove_dir",
    "sync_dir",
    "sync_filesystem",
    "set_mode",
    "write_at",
    "allocate",
    "punch",
    "sync_data",
    "touch",
    "transact",
    "take_file",
];

/// Methods that other types have too, with the text before them.
const METHODS_OF_FILES: [&str; 5] =
    ["file.truncate(", "old.truncate(", "file.sync()", ".keep_file(", "quarantine.keep("];

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The file, relative to the repository.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The line's text.
    pub text: String,
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// All places below `src/` in the repository that change the disk, except tests and the seam itself.
pub fn of_the_library(repository: &Path) -> Result<Vec<Site>, Error> {
    let mut sites = Vec::new();
    add(repository, Path::new("src"), &mut sites)?;
    sites.sort();
    Ok(sites)
}

fn add(repository: &Path, folder: &Path, sites: &mut Vec<Site>) -> Result<(), Error> {
    for entry in std::fs::read_dir(repository.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            add(repository, &path, sites)?;
        } else if path.extension().is_some_and(|e| e == "rs") && !is_the_seam_or_a_test(&path) {
            let source = std::fs::read_to_string(entry.path())?;
            sites.extend(in_source(&path.to_string_lossy(), &source));
        }
    }
    Ok(())
}

fn is_the_seam_or_a_test(path: &Path) -> bool {
    path == Path::new("src/durable/disk.rs") || path.ends_with("tests.rs") || path.ends_with("samples.rs")
}

/// The places in one file, up to its tests. Places in a function that knows its caller count as its caller's.
fn in_source(file: &str, source: &str) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut end_of_function: Option<String> = None;
    let mut knows_its_caller = false;
    for (at, line) in source.lines().enumerate() {
        let code = line.trim_start();
        if code == "#[cfg(test)]" {
            break;
        }
        if let Some(end) = &end_of_function {
            if line == end {
                end_of_function = None;
            }
            continue;
        }
        knows_its_caller |= code == "#[track_caller]";
        if knows_its_caller && line.ends_with('{') {
            let indentation = " ".repeat(line.len() - code.len());
            // A function head with several lines ends with at most the indentation with which it began.
            end_of_function = Some(format!("{indentation}}}"));
            knows_its_caller = false;
            continue;
        }
        if !code.starts_with("//") && (calls_function(code) || calls_method(code)) {
            sites.push(Site { file: file.to_owned(), line: at + 1, text: code.trim_end().to_owned() });
        }
    }
    sites
}

fn calls_function(code: &str) -> bool {
    FUNCTIONS.iter().any(|name| {
        code.match_indices(name).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            let is_whole = before.is_none_or(|c| !c.is_alphanumeric() && !"_.:".contains(c));
            let is_defined = code[..at].trim_end().ends_with("fn");
            let arguments = code[at + name.len()..].strip_prefix('(');
            is_whole && !is_defined && arguments.is_some_and(takes_a_disk)
        })
    })
}

/// Whether the first argument is a disk or a state directory. An open bracket at the end of a line counts:
/// better one place too many than one too few.
fn takes_a_disk(arguments: &str) -> bool {
    let first = arguments.split([',', ')']).next().unwrap_or_default().trim_start_matches('&');
    first.is_empty() && !arguments.starts_with(')')
        || first.split('.').next_back().is_some_and(|name| name == "disk" || name == "dir")
}

fn calls_method(code: &str) -> bool {
    let called = |name: &&str| code.contains(&format!(".{name}("));
    METHODS.iter().any(called) || METHODS_OF_FILES.iter().any(|call| code.contains(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_definitions_and_from_other_things_of_the_same_name() {
        let source = "
            replace(&dir.disk, &path, &text)?;
            let text = name.replace('a', \"b\");
            pub fn replace(disk: &Disk, path: &Path) {}
            std::mem::replace(&mut a, b);
            // replace(disk, path, bytes)
            append(dir, &actor(), &[operation])?;
            append(self.dir, self.actor, &operations)?;
            queue.transact(&actor, |_| (operations, ()))?;
            lines.append(&mut more);
            disk.remove_file(&path)?;
            create(
                &disk,
            )?;
            create(root, disk, clock)?;
            short.truncate(3);
            #[track_caller]
            fn take(disk: &Disk) {
                disk.remove_file(&path)?;
            }
            disk.sync_dir(&path)?;
            #[cfg(test)]
            disk.remove_file(&path)?;
        ";
        let found: Vec<usize> = in_source("x.rs", source).iter().map(|s| s.line).collect();
        assert_eq!(found, [2, 7, 8, 9, 11, 12, 21]);
    }
}
