//! Examines what lies in a job's folder, and whether the job's process lives.
//!
//! The PID file is not removed when the job ends, may be empty or garbage, and its number may belong to
//! another process by now. Of the output only the end is read: the file may have gigabytes.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::legacy::exit_code;
use super::scan::{FoundJob, Unreadable, Workspace, open_in};
use super::script_process::{Wanted, is_script, script_names};
use crate::durable::tree::entry_at;
use crate::state::{Timestamp, human};
use crate::system::{Presence, ProcessEntry, ProcessIdentity, command_line, presence, process_table};

/// How many bytes of the end of an output are read: far more than the exit line has.
const TAIL_BYTES: u64 = 64 * 1024;
/// How many bytes of a PID file are read.
const PID_FILE_BYTES: u64 = 256;

/// What the PID file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidFile {
    /// There is none: the shell was never started.
    Absent,
    /// It cannot be read.
    Unreadable(String),
    /// It is empty or holds no PID.
    NoPid(String),
    /// A PID.
    Pid(u32),
}

/// How the output ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTail {
    /// There is no output, or nothing that could be an output file.
    Absent,
    /// The system refuses to show it.
    Unreadable(String),
    /// The output has no exit line; the length in bytes.
    Unfinished(u64),
    /// The output has the exit line of a job that has ended; the exit status.
    Ended(i32),
}

/// What is known about the job's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessEvidence {
    /// No PID is known and no process runs the script.
    None,
    /// A living process is the job's script.
    Script {
        /// That process.
        process: ProcessIdentity,
        /// Which evidence led to the process.
        found_by: &'static str,
    },
    /// The PID belongs to something else.
    Stranger {
        /// The PID.
        pid: u32,
        /// What that process runs.
        command: String,
    },
    /// No process has the PID.
    Gone(u32),
    /// Something has the PID but may not be looked at.
    Hidden(u32),
}

/// All evidence about one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The job's folder.
    pub folder: Option<PathBuf>,
    /// The PID file.
    pub pid_file: PidFile,
    /// How the output ends.
    pub output: OutputTail,
    /// Where the output is.
    pub output_path: Option<PathBuf>,
    /// When the output, or else the PID file, was last written.
    pub last_sign: Option<Timestamp>,
    /// The script that was started.
    pub script: Option<PathBuf>,
    /// What is known about the process.
    pub process: ProcessEvidence,
}

impl Evidence {
    /// Returns the evidence of a job without a folder.
    pub(crate) fn nothing() -> Evidence {
        Evidence {
            folder: None,
            pid_file: PidFile::Absent,
            output: OutputTail::Absent,
            output_path: None,
            last_sign: None,
            script: None,
            process: ProcessEvidence::None,
        }
    }

    /// Whether the job's shell was started, whatever its record says.
    pub(crate) fn was_started(&self) -> bool {
        !matches!(self.pid_file, PidFile::Absent)
            || matches!(self.process, ProcessEvidence::Script { .. })
            || !matches!(self.output, OutputTail::Absent | OutputTail::Unfinished(0))
    }

    /// Returns the files from which a lost record can be rebuilt.
    pub(crate) fn sources(&self) -> Vec<String> {
        let mut sources = vec!["directory"];
        if matches!(self.pid_file, PidFile::Pid(_)) {
            sources.push("pid file");
        }
        if self.output_path.is_some() {
            sources.push("output");
        }
        if self.script.is_some() {
            sources.push("script");
        }
        if matches!(self.process, ProcessEvidence::Script { .. }) {
            sources.push("process");
        }
        sources.into_iter().map(str::to_owned).collect()
    }

    fn of_folder(&self) -> Vec<String> {
        if self.folder.is_none() {
            return vec!["it has no folder".to_owned()];
        }
        let pid_file = match &self.pid_file {
            PidFile::Absent => "there is no PID file".to_owned(),
            PidFile::Unreadable(why) => format!("the PID file cannot be used: {why}"),
            PidFile::NoPid(what) => format!("the PID file {what}"),
            PidFile::Pid(pid) => format!("the PID file names process {pid}"),
        };
        let output = match &self.output {
            OutputTail::Absent => "there is no output".to_owned(),
            OutputTail::Unreadable(why) => format!("the output cannot be read: {why}"),
            OutputTail::Unfinished(bytes) => {
                format!("the output ({}) has no exit line at its end", human::size(*bytes))
            }
            OutputTail::Ended(code) => format!("the output ends with 'Exit code: {code}'"),
        };
        vec![pid_file, output]
    }

    /// Returns the evidence in sentences for people.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut told = self.of_folder();
        told.extend(match &self.process {
            ProcessEvidence::None => None,
            ProcessEvidence::Script { process, found_by } => {
                Some(format!("process {} lives and runs the job's script (found by {found_by})", process.pid))
            }
            ProcessEvidence::Stranger { pid, command } => {
                Some(format!("process {pid} is not the job's script but: {command}"))
            }
            ProcessEvidence::Gone(pid) => Some(format!("no process {pid} lives")),
            ProcessEvidence::Hidden(pid) => Some(format!("process {pid} may not be looked at")),
        });
        told
    }
}

/// The processes of this machine that may belong to any job; they are read once, when first needed.
#[derive(Debug, Default)]
pub(super) struct Processes(OnceLock<Vec<ProcessEntry>>);

impl Processes {
    fn related(&self) -> &[ProcessEntry] {
        let names_a_job = |p: &ProcessEntry| p.arguments.iter().any(|a| a.contains(".claude-job-"));
        self.0.get_or_init(|| process_table().into_iter().filter(names_a_job).collect())
    }
}

/// Examines a job's folder and process.
pub(super) fn gather(
    workspace: &Workspace,
    job: &FoundJob,
    recorded_pid: Option<u32>,
    processes: &Processes,
) -> Evidence {
    let id = job.id.to_string();
    let mut names = vec![job.stem.as_str()];
    names.extend(job.folder.as_deref().and_then(|n| n.to_str()));
    names.push(&id);
    names.dedup();
    let scripts = script_names(&names);
    let Some(folder) = workspace.job_folder(job) else {
        // The folder may be gone while the process lives.
        let absent = workspace.root().join("jobs").join(&job.stem);
        let wanted = Wanted { folder: &absent, scripts: &scripts };
        let process = look_for(recorded_pid, None, &wanted, processes);
        return Evidence { process, ..Evidence::nothing() };
    };
    // The folder may be replaced before it is opened.
    let opened = workspace.open_folder(&folder);
    let files = Files { folder: &folder, opened: opened.as_ref().ok(), names: &names };
    let (pid_file, pid_time) = files.pid_file();
    let pid = if let PidFile::Pid(pid) = pid_file { Some(pid) } else { None };
    let (mut output, output_path, mut output_time) = files.output();
    let process = look_for(recorded_pid, pid, &Wanted { folder: &folder, scripts: &scripts }, processes);
    if !matches!(output, OutputTail::Ended(_)) && !matches!(process, ProcessEvidence::Script { .. }) {
        // The process may have ended, and written its exit line, between the two looks.
        (output, _, output_time) = files.output();
    }
    let script = files.script();
    let last_sign = output_time.or(pid_time);
    Evidence { pid_file, output, output_path, last_sign, script, process, folder: Some(folder) }
}

fn look_for(
    recorded_pid: Option<u32>,
    pid: Option<u32>,
    wanted: &Wanted<'_>,
    processes: &Processes,
) -> ProcessEvidence {
    let known = [(pid, "the PID file"), (recorded_pid, "the job file")];
    for (pid, found_by) in known.into_iter().filter_map(|(pid, by)| Some((pid?, by))) {
        if let Some(process) = ProcessIdentity::of(pid).filter(|p| is_script(*p, wanted, true)) {
            return ProcessEvidence::Script { process, found_by };
        }
    }
    let seen = wanted.find(processes.related()).filter(|p| is_script(*p, wanted, false));
    if let Some(process) = seen {
        return ProcessEvidence::Script { process, found_by: "its command line" };
    }
    let Some(pid) = pid else { return ProcessEvidence::None };
    if ProcessIdentity::of(pid).is_some() {
        return ProcessEvidence::Stranger { pid, command: describe(pid) };
    }
    match presence(ProcessIdentity { pid, start_time: 0 }) {
        Presence::Hidden => ProcessEvidence::Hidden(pid),
        _ => ProcessEvidence::Gone(pid),
    }
}

/// Describes briefly what a process runs; other users' secrets must not be in a report.
fn describe(pid: u32) -> String {
    command_line(pid).first().map_or_else(|| "an unnamed process".to_owned(), |program| shorten(program))
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// The files of one job in its folder.
struct Files<'a> {
    folder: &'a Path,
    /// `None` when it is no folder.
    opened: Option<&'a OwnedFd>,
    names: &'a [&'a str],
}

impl Files<'_> {
    fn open(&self, kind: &str) -> Option<Result<(File, PathBuf), Unreadable>> {
        let folder = self.opened?.as_fd();
        let names = self.names.iter().map(|name| format!(".claude-job-{name}.{kind}"));
        let there = |name: &String| {
            let name = CString::new(name.as_bytes()).unwrap_or_default();
            !matches!(entry_at(folder, &name), Ok(None))
        };
        let name = names.into_iter().find(there)?;
        Some(open_in(folder, OsStr::new(&name)).map(|file| (file, self.folder.join(name))))
    }

    /// Returns the script, if it is a file: it is run again when nothing else is known of the job.
    fn script(&self) -> Option<PathBuf> {
        self.open("sh")?.ok().map(|(_, path)| path)
    }

    fn pid_file(&self) -> (PidFile, Option<Timestamp>) {
        let file = match self.open("pid") {
            None | Some(Err(Unreadable::Missing)) => return (PidFile::Absent, None),
            Some(Err(e)) => return (PidFile::Unreadable(e.to_string()), None),
            Some(Ok((file, _))) => file,
        };
        let time = written_at(&file);
        let mut bytes = Vec::new();
        match file.take(PID_FILE_BYTES).read_to_end(&mut bytes) {
            Ok(_) => (parse_pid(&bytes), time),
            Err(e) => (PidFile::Unreadable(e.to_string()), time),
        }
    }

    fn output(&self) -> (OutputTail, Option<PathBuf>, Option<Timestamp>) {
        match self.open("output") {
            Some(Ok((file, path))) => match tail(&file) {
                Ok(tail) => (tail, Some(path), written_at(&file)),
                Err(e) => (OutputTail::Unreadable(e.to_string()), None, None),
            },
            Some(Err(Unreadable::System(e))) => (OutputTail::Unreadable(e.to_string()), None, None),
            // A link, anything that is not a file, or a file of another user is not the job's output.
            None | Some(Err(_)) => (OutputTail::Absent, None, None),
        }
    }
}

fn written_at(file: &File) -> Option<Timestamp> {
    Some(file.metadata().ok()?.modified().ok()?.into())
}

/// Parses digits, with blanks, line ends, zeros of an unwritten block, or a byte-order mark around them.
fn parse_pid(bytes: &[u8]) -> PidFile {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if text.is_empty() {
        return PidFile::NoPid("is empty".to_owned());
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(pid) if digits && pid > 0 && i32::try_from(pid).is_ok() => PidFile::Pid(pid),
        _ => PidFile::NoPid(format!("holds no PID but '{}'", shorten(text))),
    }
}

fn tail(file: &File) -> std::io::Result<OutputTail> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64)? {
            0 => break, // It was cut meanwhile.
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    let ended = exit_line(&bytes, from == 0).map(OutputTail::Ended);
    Ok(ended.unwrap_or(OutputTail::Unfinished(length)))
}

/// Returns the number of the exit line, when the last line that is not blank is an exit line and nothing
/// else.
fn exit_line(tail: &[u8], is_whole: bool) -> Option<i32> {
    let end = tail.iter().rposition(|b| !b.is_ascii_whitespace())? + 1;
    let start = tail[..end].iter().rposition(|&b| b == b'\n').map(|i| i + 1);
    let line = &tail[start.or(is_whole.then_some(0))?..end];
    // Only the line's end may follow the number: `\r`, but no spaces.
    let behind = tail[end..].iter().take_while(|&&b| b != b'\n').all(|&b| b == b'\r');
    let number = std::str::from_utf8(line.strip_prefix(b"Exit code: ")?).ok().filter(|_| behind)?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_number).and_then(exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<i32> {
        exit_line(text.as_bytes(), true)
    }

    #[test]
    fn exit_line_must_be_exact_and_last() {
        for (text, want) in [
            ("work\nExit code: 0\n", 0),
            ("Exit code: 137", 137),
            ("work\r\nExit code: -1\r\n", -1),
            ("Exit code: 3\nmore\nExit code: 4\n\n  \n", 4),
            ("x\nExit code: 4294967295\n", -1),
            ("\u{fffd}\nExit code: 007\n", 7),
        ] {
            assert_eq!(code(text), Some(want), "{text:?}");
        }
        for text in [
            "",
            "\n\n",
            "Exit code: 0\nmore\n",
            "Exit code: ",
            "Exit code:",
            "Exit code: -",
            "Exit code: +1",
            "Exit code: 1.0",
            "Exit code: 0 \n",
            " Exit code: 0\n",
            "the tool says Exit code: 0\n",
            "exit code: 0\n",
            "Exit code: 99999999999999999999\n",
            "Exit code: 0 or so",
        ] {
            assert_eq!(code(text), None, "{text:?}");
        }
    }

    #[test]
    fn exit_line_not_in_middle_of_long_line() {
        assert_eq!(exit_line(b"Exit code: 0\n", false), None);
        assert_eq!(exit_line(b"...\nExit code: 0\n", false), Some(0));
    }

    #[test]
    fn pid_file_variants() {
        for text in ["4711\n", " 4711 \r\n", "4711", "\u{feff}4711\n", "4711\n\0\0\0", "0004711"] {
            assert_eq!(parse_pid(text.as_bytes()), PidFile::Pid(4711), "{text:?}");
        }
        for text in
            ["", "\n", "\0\0", "0", "-1", "+4711", "4711 4712", "x", "4294967296", "4000000000", "0x12"]
        {
            assert!(matches!(parse_pid(text.as_bytes()), PidFile::NoPid(_)), "{text:?}");
        }
    }
}
