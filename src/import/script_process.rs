//! Whether a process is the script of a job: a strict rule, for a PID may belong to a stranger by now.
//!
//! A process is the script of job `ID` when what its command line *runs* is a file named
//! `.claude-job-ID.sh`: the script itself, or a shell whose first argument that is no option is the
//! script, or a shell with `-c` whose command runs it, each also behind `nohup`, `setsid` and their like.
//! An editor, `tail` or `cat` that has the name among its arguments is a stranger, and so is a shell that
//! runs another script with the name as an argument. A process that replaced itself (`exec`) is
//! recognised when its output goes to the job's `.output` file and it works in the job's folder.
//! Process 1 and this process are never the script.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::system::{ProcessEntry, ProcessIdentity, command_line};

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"];
const PREFIXES: [&str; 11] =
    ["nohup", "setsid", "timeout", "nice", "ionice", "stdbuf", "env", "exec", "command", ".", "source"];
const SEPARATORS: [&str; 6] = ["&&", "||", ";", "|", "&", "("];

/// Whether a command line runs a file with this name.
#[must_use]
pub fn runs_script(arguments: &[String], script: &str) -> bool {
    let Some(program) = arguments.first() else { return false };
    let name = file_name(program).trim_start_matches('-'); // a login shell's name begins with a dash
    if file_name(program).eq_ignore_ascii_case(script) {
        return true;
    }
    let rest = &arguments[1..];
    if SHELLS.contains(&name) {
        return shell_runs(rest, script);
    }
    let is_setting = |a: &String| {
        a.starts_with('-') || a.contains('=') || a.trim_end_matches(['s', 'm', 'h']).parse::<f64>().is_ok()
    };
    let first = rest.iter().position(|a| !is_setting(a));
    PREFIXES.contains(&name) && first.is_some_and(|at| runs_script(&rest[at..], script))
}

fn shell_runs(arguments: &[String], script: &str) -> bool {
    let mut with_command = false;
    let mut at = 0;
    while let Some(option) = arguments.get(at).filter(|a| a.starts_with(['-', '+'])) {
        with_command |= !option.starts_with("--") && option.contains('c');
        let has_value = matches!(option.as_str(), "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file");
        at += if has_value { 2 } else { 1 };
    }
    let Some(first) = arguments.get(at) else { return false };
    if with_command {
        return command_runs(first, script);
    }
    // `busybox sh script`
    if SHELLS.contains(&first.as_str()) && arguments.len() > at + 1 {
        return shell_runs(&arguments[at + 1..], script);
    }
    file_name(first).eq_ignore_ascii_case(script)
}

/// Looks where a command may begin: at the start and behind separators.
fn command_runs(command: &str, script: &str) -> bool {
    let Some(words) = shlex::split(command) else { return false };
    let words: Vec<String> = words.iter().flat_map(|w| split_separator(w)).collect();
    let begins = |i: usize| i == 0 || SEPARATORS.contains(&words[i - 1].as_str());
    (0..words.len()).any(|i| begins(i) && runs_script(&words[i..], script))
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

/// The names that the script of a job may have.
#[must_use]
pub(super) fn script_names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| format!(".claude-job-{id}.sh")).collect()
}

/// Whether exactly this process is the script; looked at twice, so that it is one process all along.
pub(super) fn is_script(process: ProcessIdentity, scripts: &[String], folder: Option<&Path>) -> bool {
    if process.pid <= 1 || process.pid == std::process::id() {
        return false;
    }
    let arguments = command_line(process.pid);
    let runs = scripts.iter().any(|script| runs_script(&arguments, script))
        || folder.is_some_and(|folder| writes_output(process.pid, folder, scripts));
    runs && ProcessIdentity::of(process.pid) == Some(process)
}

/// Whether standard output or error of a process that works in the job's folder is the job's output file.
fn writes_output(pid: u32, folder: &Path, scripts: &[String]) -> bool {
    let Ok(cwd) = std::fs::read_link(format!("/proc/{pid}/cwd")) else { return false };
    if !std::fs::canonicalize(folder).is_ok_and(|folder| cwd.starts_with(folder)) {
        return false;
    }
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    scripts.iter().any(|script| {
        let output = folder.join(script.trim_end_matches("sh").to_owned() + "output");
        let Some(output) = identity(&output) else { return false };
        [1, 2].iter().any(|fd| identity(Path::new(&format!("/proc/{pid}/fd/{fd}"))) == Some(output))
    })
}

/// Finds a process by the script it runs, whatever the PID file says. Of several (a shell's subshells
/// have its command line) the one that no other of them started.
pub(super) fn find_script(table: &[ProcessEntry], scripts: &[String]) -> Option<ProcessIdentity> {
    let own = std::process::id();
    let running: Vec<&ProcessEntry> = table
        .iter()
        .filter(|p| p.identity.pid > 1 && p.identity.pid != own)
        .filter(|p| scripts.iter().any(|script| runs_script(&p.arguments, script)))
        .collect();
    let outermost = running.iter().filter(|p| !running.iter().any(|q| q.identity.pid == p.parent));
    outermost.min_by_key(|p| p.identity.start_time).map(|p| p.identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = ".claude-job-7.sh";

    fn runs(line: &str) -> bool {
        runs_script(&shlex::split(line).unwrap(), SCRIPT)
    }

    #[test]
    fn what_runs_the_script_is_recognised() {
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
    fn what_only_names_the_script_is_a_stranger() {
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
    fn neither_process_1_nor_this_process_is_ever_the_script() {
        let names = script_names(&["7"]);
        assert!(!is_script(ProcessIdentity::this(), &names, None));
        let one = ProcessIdentity { pid: 1, start_time: 0 };
        assert!(!is_script(one, &names, None));
        let entry = |pid, parent| ProcessEntry {
            identity: ProcessIdentity { pid, start_time: u64::from(pid) },
            parent,
            session: pid,
            arguments: vec!["bash".to_owned(), SCRIPT.to_owned()],
        };
        assert_eq!(find_script(&[entry(1, 0), entry(std::process::id(), 1)], &names), None);
        let found = find_script(&[entry(900, 1), entry(800, 900), entry(700, 800)], &names);
        assert_eq!(found.map(|p| p.pid), Some(900));
    }
}
