//! The lines about one job in the logs.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::file::earlier;
use super::line::{Level, LogLine, VERSION};
use crate::durable::{DiskError, IoContext, plain};
use crate::state::JobId;
use crate::state::StateDir;

/// The longest line that this program writes, in bytes.
const LONGEST_LINE: usize = 64 << 10;
/// How much of a log's end is searched for the last line about a job, in bytes.
const TAIL: u64 = 64 << 10;

/// What was said of a job, in order of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobLog {
    /// Which job.
    pub job_id: String,
    /// The lines, as far as the logs go back.
    pub lines: Vec<LogLine>,
}

/// Reads both generations of both logs.
pub(crate) fn lines_of_job(dir: &StateDir, id: &JobId) -> Result<JobLog, DiskError> {
    let mut lines = Vec::new();
    for log in [dir.paths.daemon_log(), dir.paths.supervisor_log()] {
        for path in [earlier(&log), log] {
            match read(&path, id, &mut lines) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).context("read", &path),
                _ => {}
            }
        }
    }
    // Stable: lines of one process at one moment stay in their order.
    lines.sort_by_key(|line| line.at);
    Ok(JobLog { job_id: id.to_string(), lines })
}

fn read(path: &Path, id: &JobId, lines: &mut Vec<LogLine>) -> io::Result<()> {
    let mut file = BufReader::new(plain::open(path)?);
    let name = id.to_string();
    let finder = memchr::memmem::Finder::new(name.as_bytes());
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if file.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        if finder.find(&bytes).is_some() {
            lines.extend(line_of(&bytes, &name));
        }
    }
}

/// The line, if it is one of this job.
fn line_of(bytes: &[u8], id: &str) -> Option<LogLine> {
    match serde_json::from_slice::<LogLine>(bytes) {
        Ok(line) => (line.field("job_id") == Some(id)).then_some(line),
        Err(_) => plain_line(std::str::from_utf8(bytes).ok()?, id),
    }
}

/// A line in the form of supervisors of earlier versions, which may still live: `TIME job ID: text`.
fn plain_line(text: &str, id: &str) -> Option<LogLine> {
    let (at, rest) = text.trim_end().split_once(' ')?;
    let message = rest.strip_prefix("job ")?.strip_prefix(id)?.strip_prefix(": ")?;
    Some(LogLine {
        v: VERSION,
        at: at.parse().ok()?,
        level: Level::Warn,
        event: None,
        process: "supervisor".to_owned(),
        pid: 0,
        target: String::new(),
        message: message.to_owned(),
        fields: Map::from_iter([("job_id".to_owned(), Value::from(id))]),
    })
}

/// What a supervisor last logged about a job when something went wrong, if it is near the end of the log.
pub(crate) fn last_of_supervisor(dir: &StateDir, id: &JobId) -> Option<String> {
    let mut file = plain::open(dir.paths.supervisor_log()).ok()?;
    let from = file.metadata().ok()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).ok()?;
    let name = id.to_string();
    let said = tail
        .rsplit(|byte| *byte == b'\n')
        .find_map(|line| line_of(line, &name).filter(|line| line.level <= Level::Warn))?;
    Some(said.message.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // Tests write what they read.

    use super::*;
    use crate::durable::Disk;
    use crate::state::Clock;

    #[test]
    fn lines_of_a_job_are_of_all_logs_in_order_and_without_what_is_no_line() {
        let place = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&place.path().join("state"), Disk::real(), Clock::system()).unwrap();
        dir.disk.ensure_dir(&dir.paths.daemon()).unwrap();
        let line = |second: u32, process: &str, id: &str| {
            format!(
                "{{\"v\":1,\"at\":\"2026-01-01T00:00:{second:02}.000Z\",\"level\":\"info\",\"process\":\"{process}\",\
                 \"pid\":1,\"target\":\"t\",\"message\":\"{second}\",\"fields\":{{\"job_id\":\"{id}\"}}}}\n"
            )
        };
        let (log, said) = (dir.paths.daemon_log(), dir.paths.supervisor_log());
        std::fs::write(earlier(&log), line(1, "daemon", "a")).unwrap();
        let torn = format!("{}{{\"v\":1,\"job_id\":\"a\n{}", line(3, "daemon", "a"), line(9, "daemon", "ab"));
        std::fs::write(&log, torn).unwrap();
        let old = "2026-01-01T00:00:04.000Z job a: it is in the old form\n";
        std::fs::write(&said, format!("{}{old}", line(2, "supervisor", "a"))).unwrap();
        let id: JobId = "a".parse().unwrap();
        let found = lines_of_job(&dir, &id).unwrap();
        let messages: Vec<_> = found.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["1", "2", "3", "it is in the old form"]);
        let again: JobLog = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
        assert_eq!(again, found);
        assert_eq!(last_of_supervisor(&dir, &id).as_deref(), Some("it is in the old form"));
    }
}
