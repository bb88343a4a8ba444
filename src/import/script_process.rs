//! Decides whether a process is the script of a job. The rule is strict, because a PID may belong to a
//! stranger by now.
//!
//! A process is the script of job `ID` when what its command line *runs* is a file named
//! `.claude-job-ID.sh`: the script itself, or a shell whose first argument that is no option is the
//! script, or a shell with `-c` whose command runs it, each also behind `nohup`, `setsid` and their like.
//! An editor, `tail` or `cat` that has the name among its arguments is a stranger, and so is a shell that
//! runs another script with the name as an argument. A process that replaced itself (`exec`) is
//! recognised when its output goes to the job's `.output` file and it works in the job's folder. The
//! script must be the very file in this workspace: a copy of the workspace has the same ids.
//! Process 1 and this process are never the script.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::system::{ProcessEntry, ProcessIdentity, command_line};

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"];
const PREFIXES: [&str; 11] =
    ["nohup", "setsid", "timeout", "nice", "ionice", "stdbuf", "env", "exec", "command", ".", "source"];
const SEPARATORS: [&str; 6] = ["&&", "||", ";", "|", "&", "("];

/// Whether a command line runs a file with this name.
pub fn runs_script(arguments: &[String], script: &str) -> bool {
    script_argument(arguments, script).is_some()
}

/// Returns the path by which a command line runs a file with this name.
fn script_argument(arguments: &[String], script: &str) -> Option<String> {
    let (program, rest) = arguments.split_first()?;
    let name = file_name(program);
    if name.eq_ignore_ascii_case(script) {
        return Some(program.clone());
    }
    let name = name.trim_start_matches('-'); // a login shell's name begins with a dash
    if SHELLS.contains(&name) {
        return shell_argument(rest, script);
    }
    let is_setting = |a: &String| {
        a.starts_with('-') || a.contains('=') || a.trim_end_matches(['s', 'm', 'h']).parse::<f64>().is_ok()
    };
    let first = rest.iter().position(|a| !is_setting(a)).filter(|_| PREFIXES.contains(&name))?;
    script_argument(&rest[first..], script)
}

fn shell_argument(arguments: &[String], script: &str) -> Option<String> {
    let mut with_command = false;
    let mut at = 0;
    while let Some(option) = arguments.get(at).filter(|a| a.starts_with(['-', '+'])) {
        with_command |= !option.starts_with("--") && option.contains('c');
        let has_value = matches!(option.as_str(), "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file");
        at += if has_value { 2 } else { 1 };
    }
    let first = arguments.get(at)?;
    if with_command {
        return argument_in_command(first, script);
    }
    // `busybox sh script`
    if SHELLS.contains(&first.as_str()) && arguments.len() > at + 1 {
        return shell_argument(&arguments[at + 1..], script);
    }
    file_name(first).eq_ignore_ascii_case(script).then(|| first.clone())
}

/// Searches where a command may begin: at the start and behind separators.
fn argument_in_command(command: &str, script: &str) -> Option<String> {
    let words: Vec<String> = shlex::split(command)?.iter().flat_map(|w| split_separator(w)).collect();
    let begins = |i: usize| i == 0 || SEPARATORS.contains(&words[i - 1].as_str());
    (0..words.len()).filter(|i| begins(*i)).find_map(|i| script_argument(&words[i..], script))
}

fn split_separator(word: &str) -> Vec<String> {
    match word.strip_suffix(';') {
        Some(rest) if !rest.is_empty() => vec![rest.to_owned(), ";".to_owned()],
        _ => vec![word.to_owned()],
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the names that the script of a job may have.
pub(super) fn script_names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| format!(".claude-job-{id}.sh")).collect()
}

/// What a process must match to be a job's script.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The job's folder, whether or not it is there.
    pub(super) folder: &'a Path,
    /// The names that its script may have.
    pub(super) scripts: &'a [String],
}

/// Where the script that a process runs lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the job's folder.
    Here,
    /// The script lies elsewhere: it belongs to a job of another workspace, perhaps a copy of this one.
    Elsewhere,
    /// The script was moved or removed, or cannot be examined.
    Unknown,
}

/// Whether exactly this process is the script. A process that the job's own files name may have been
/// started by a path that is gone, as in a workspace that was moved; any other must run the very file.
///
/// The process is looked at twice, so that it is the same process throughout.
pub(super) fn is_script(process: ProcessIdentity, wanted: &Wanted<'_>, is_named: bool) -> bool {
    if process.pid <= 1 || process.pid == std::process::id() {
        return false;
    }
    let arguments = command_line(process.pid);
    let place = wanted.place(process.pid, &arguments);
    let runs = place == Some(Place::Here) || (is_named && place == Some(Place::Unknown));
    (runs || (is_named && wanted.receives_output(process.pid)))
        && ProcessIdentity::of(process.pid) == Some(process)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

impl Wanted<'_> {
    /// Returns where the script lies that a process runs; `None` when it runs none of these.
    fn place(&self, pid: u32, arguments: &[String]) -> Option<Place> {
        let path = self.scripts.iter().find_map(|script| script_argument(arguments, script))?;
        // The path is as the process sees it: it may have another root, and a relative path begins at its
        // working directory.
        let seen = if path.starts_with('/') {
            identity(Path::new(&format!("/proc/{pid}/root{path}"))).or_else(|| identity(Path::new(&path)))
        } else {
            identity(Path::new(&format!("/proc/{pid}/cwd/{path}")))
        };
        let ours = |seen| self.scripts.iter().any(|name| identity(&self.folder.join(name)) == Some(seen));
        Some(match seen {
            Some(seen) if ours(seen) => Place::Here,
            Some(_) => Place::Elsewhere,
            None if self.scripts.iter().any(|name| self.folder.join(name) == Path::new(&path)) => Place::Here,
            None => Place::Unknown,
        })
    }

    /// Whether standard output or error of a process that works in the job's folder is the job's output.
    fn receives_output(&self, pid: u32) -> bool {
        let Ok(cwd) = std::fs::read_link(format!("/proc/{pid}/cwd")) else { return false };
        if !std::fs::canonicalize(self.folder).is_ok_and(|folder| cwd.starts_with(folder)) {
            return false;
        }
        self.scripts.iter().any(|script| {
            let output = self.folder.join(script.trim_end_matches("sh").to_owned() + "output");
            let Some(output) = identity(&output) else { return false };
            [1, 2].iter().any(|fd| identity(Path::new(&format!("/proc/{pid}/fd/{fd}"))) == Some(output))
        })
    }

    /// Finds a process by the script that it runs, whatever the PID file says. Of several (a shell's
    /// subshells have its command line), it returns the one that none of the others started.
    pub(super) fn find(&self, table: &[ProcessEntry]) -> Option<ProcessIdentity> {
        let own = std::process::id();
        let running: Vec<&ProcessEntry> = table
            .iter()
            .filter(|p| p.identity.pid > 1 && p.identity.pid != own)
            .filter(|p| self.place(p.identity.pid, &p.arguments) == Some(Place::Here))
            .collect();
        let outermost = running.iter().filter(|p| !running.iter().any(|q| q.identity.pid == p.parent));
        outermost.min_by_key(|p| p.identity.start_time).map(|p| p.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = ".claude-job-7.sh";

    fn runs(line: &str) -> bool {
        runs_script(&shlex::split(line).unwrap(), SCRIPT)
    }

    #[test]
    fn script_process_is_recognised() {
        for line in [
            "/w/jobs/7/.claude-job-7.sh",
            "./.claude-job-7.sh x",
            "/bin/bash /w/jobs/7/.claude-job-7.sh",
            "bash -e --norc .claude-job-7.sh arg",
            "-bash .claude-job-7.sh",
            "bash -eu -o pipefail .claude-job-7.sh",
            "nohup bash /w/.claude-job-7.sh",
            "timeout -k 5 300s setsid sh /w/.claude-job-7.sh",
            "env A=1 /w/.claude-job-7.sh",
            "bash -c 'cd \"/w x\" && ./.claude-job-7.sh > o 2>&1'",
            "bash -lc 'cd /w; exec bash .claude-job-7.sh'",
            "busybox sh .claude-job-7.sh",
        ] {
            assert!(runs(line), "{line}");
        }
    }

    #[test]
    fn script_name_in_arguments_is_not_enough() {
        for line in [
            "sleep 100",
            "vim /w/jobs/7/.claude-job-7.sh",
            "tail -f .claude-job-7.sh",
            "bash other.sh .claude-job-7.sh",
            "bash /w/.claude-job-77.sh",
            "bash /w/x.claude-job-7.sh",
            "bash /w/.claude-job-7.sh.bak",
            "bash -c 'tail -f .claude-job-7.sh'",
            "bash -c 'sleep 9 # .claude-job-7.sh'",
            "bash -c true .claude-job-7.sh",
            "bash",
            "nohup",
            "timeout 300 cat .claude-job-7.sh",
            "recoveryctl import claude-batch-server /w/.claude-job-7.sh",
        ] {
            assert!(!runs(line), "{line}");
        }
        assert!(!runs_script(&[], SCRIPT));
    }

    #[test]
    fn script_process_is_never_init_or_self() {
        let folder = tempfile::tempdir().unwrap();
        let names = script_names(&["7"]);
        let wanted = Wanted { folder: folder.path(), scripts: &names };
        assert!(!is_script(ProcessIdentity::this(), &wanted, true));
        assert!(!is_script(ProcessIdentity { pid: 1, start_time: 0 }, &wanted, true));
        // These numbers are beyond the largest PID, so that no real process is examined.
        let pid = |n: u32| 0x7000_0000 + n;
        let entry = |pid, parent, path: &Path| ProcessEntry {
            identity: ProcessIdentity { pid, start_time: u64::from(pid) },
            parent,
            session: pid,
            arguments: vec!["bash".to_owned(), path.join(SCRIPT).display().to_string()],
        };
        let here = |pid, parent| entry(pid, parent, folder.path());
        assert_eq!(wanted.find(&[here(1, 0), here(std::process::id(), 1)]), None);
        assert_eq!(wanted.find(&[entry(pid(1), 1, Path::new("/nowhere"))]), None);
        let found = wanted.find(&[here(pid(9), 1), here(pid(8), pid(9)), here(pid(7), pid(8))]);
        assert_eq!(found.map(|p| p.pid), Some(pid(9)));
    }
}
