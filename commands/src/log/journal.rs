//! The journal's own protocol: one datagram an event, a field a line (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! Messages and values are cut (`fields.rs`), so that an event fits into a datagram and needs no file in memory.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use recovery::logging::{Level, LogLine, events};
use rustix::fs::fstat;
use serde_json::Value;

/// Where systemd-journald takes them.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
const IDENTIFIER: &str = "recoveryctl";

/// A journal that takes nothing for so long hangs; a burst of lines waits for it no longer.
const PATIENCE: Duration = Duration::from_millis(100);
/// After that it gets nothing for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// A socket to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    hung: Mutex<Option<Instant>>,
}

impl Journal {
    /// Connects; a journal that is started anew later is found by its path.
    pub(super) fn connect(path: &Path) -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // This checks whether anybody listens there.
        UnixDatagram::unbound()?.connect(path)?;
        Ok(Journal { socket, path: path.to_owned(), hung: Mutex::default() })
    }

    pub(super) fn send(&self, line: &LogLine) -> io::Result<()> {
        let mut hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        if hung.is_some_and(|since| since.elapsed() < PAUSE) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let sent = self.socket.send_to(&datagram(line), &self.path).map(drop);
        *hung = sent.is_err().then(Instant::now);
        sent
    }
}

/// Whether what is written to standard error arrives in the journal: systemd says by which file.
pub(super) fn is_behind_stderr() -> bool {
    let told = std::env::var("JOURNAL_STREAM").ok();
    let Some((device, inode)) = told.as_deref().and_then(|told| told.split_once(':')) else { return false };
    let is_it =
        |stat: rustix::fs::Stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino);
    fstat(io::stderr()).is_ok_and(is_it)
}

fn datagram(line: &LogLine) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let priority = match line.level {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
        Level::Debug | Level::Trace => "7",
    };
    field(&mut bytes, "MESSAGE", &line.message);
    field(&mut bytes, "PRIORITY", priority);
    field(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
    field(&mut bytes, "SYSLOG_PID", &line.pid.to_string());
    field(&mut bytes, "PROCESS", &line.process);
    field(&mut bytes, "TARGET", &line.target);
    if let Some(event) = &line.event {
        field(&mut bytes, "EVENT", event);
        field(&mut bytes, "MESSAGE_ID", &events::message_id(event).simple().to_string());
    }
    for (name, value) in &line.fields {
        match value {
            Value::String(text) => field(&mut bytes, &journal_name(name), text),
            other => field(&mut bytes, &journal_name(name), &other.to_string()),
        }
    }
    bytes
}

/// Capitals, digits and underscores, and neither of the latter two first.
fn journal_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(plain).skip_while(|c| !c.is_ascii_uppercase()).take(64).collect()
}

fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn datagram_has_a_field_a_line_and_lengths_where_values_have_lines() {
        let line: LogLine = serde_json::from_value(json!({
            "v": 1, "at": "2026-01-01T00:00:00.000Z", "level": "warn", "event": "job-crashed",
            "process": "daemon", "pid": 7, "target": "t", "message": "two\nlines", "fields": { "job_id": "a", "n": 3 }
        }))
        .unwrap();
        let bytes = datagram(&line);
        assert!(bytes.starts_with(b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=4\n"), "{bytes:?}");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let id = events::message_id("job-crashed").simple();
        assert!(text.ends_with(&format!("EVENT=job-crashed\nMESSAGE_ID={id}\nJOB_ID=a\nN=3\n")), "{text}");
        assert_eq!(journal_name("_1job-id"), "JOB_ID");
    }
}
