//! The trampoline's report to its supervisor when it does not become the command.
//!
//! An exit status cannot tell that, because the command may end with 126, too. So the trampoline's standard input
//! is the writing end of a pipe, which the supervisor reads after the process has ended. The trampoline keeps
//! that end close-on-exec, and replaces it by `/dev/null` before exec, so that the command cannot write into it.
//!
//! A report is one line: `host` or `start`, a tab, and the reason.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, stdin};

/// The most that is read of a report, in bytes.
const LONGEST: u64 = 4096;

/// Why the command was not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartFailure {
    pub(super) why: String,
    /// Whether the host was too weak.
    pub(super) of_host: bool,
}

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct ReportReader(PipeReader);

impl ReportReader {
    /// A reader, and the end that becomes the trampoline's standard input.
    pub(super) fn pipe() -> io::Result<(ReportReader, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        Ok((ReportReader(reader), writer))
    }

    /// Reads the report. Call it after the trampoline, or the command that it became, has ended.
    pub(super) fn read(self) -> Option<StartFailure> {
        // The pipe has no writer any more; if one could still exist, this does not wait for it.
        rustix::io::ioctl_fionbio(&self.0, true).ok()?;
        let mut text = Vec::new();
        let _ = self.0.take(LONGEST).read_to_end(&mut text); // The bytes before an error count.
        parse(&String::from_utf8_lossy(&text))
    }
}

fn parse(text: &str) -> Option<StartFailure> {
    let (kind, why) = text.trim_end().split_once('\t')?;
    let of_host = match kind {
        "host" => true,
        "start" => false,
        _ => return None,
    };
    Some(StartFailure { why: why.to_owned(), of_host })
}

/// The trampoline's end.
#[derive(Debug)]
pub(super) struct Report(OwnedFd);

impl Report {
    /// Takes it from standard input.
    pub(super) fn take() -> io::Result<Report> {
        Ok(Report(fcntl_dupfd_cloexec(stdin(), 3)?))
    }

    /// Replaces it by `/dev/null`, for the command.
    pub(super) fn give_way() -> io::Result<()> {
        Ok(dup2_stdin(&crate::durable::plain::open("/dev/null")?)?)
    }

    pub(super) fn tell(self, failure: &StartFailure) {
        let kind = if failure.of_host { "host" } else { "start" };
        let line = format!("{kind}\t{}\n", failure.why.replace('\n', " "));
        // Without the report only the exit status is known.
        let _ = std::fs::File::from(self.0).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_report_round_trip() {
        for of_host in [true, false] {
            let failure = StartFailure { why: "no process: try again".to_owned(), of_host };
            let (reader, writer) = ReportReader::pipe().unwrap();
            Report(writer.into()).tell(&failure);
            assert_eq!(reader.read(), Some(failure));
        }
        let (reader, writer) = ReportReader::pipe().unwrap();
        assert_eq!(reader.read(), None, "also while somebody could still write");
        drop(writer);
        assert_eq!(parse("what a command may write\t126"), None);
    }
}
