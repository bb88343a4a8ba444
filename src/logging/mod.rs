//! What this program logs: kinds of events, the line in which an event is kept, the files of such lines, and how
//! repeats are limited.
//!
//! Code logs with `tracing`: `info!(event = events::JOB_STARTED, job_id = %id, "…")`. The binary decides where
//! the lines go, in which form and from which level on (`commands/src/log`). [`events`] is the one table of
//! kinds: a kind's name never changes its meaning, and its `MESSAGE_ID` in the journal is derived from the name.
//!
//! *Files.* `daemon/daemon.log` has the lines of daemons, `work` and `run`, `daemon/supervisors.log` those of
//! supervisors. Each line is a JSON object ([`LogLine`], whose `v` is [`line::VERSION`]), appended with one
//! write; the files have mode 0600. A file of `MOST_BYTES` becomes the earlier generation, `….log.1`, which
//! replaces the one before ([`open_bounded`]). Nothing is synced and nothing is decided by these lines: a power
//! loss, a full disk or two processes that begin a new generation at the same moment may cost lines and nothing
//! else. Readers skip what is no line. There is one file for all supervisors, and not one for each job: so a
//! job's start costs no further file, and what the supervisor logs before it has found its job is in the same
//! place.

pub mod events;
mod file;
pub mod line;
mod read;
mod repeats;

pub use file::LogFile;
pub(crate) use file::open_bounded;
pub use line::{Level, LogLine};
pub use read::JobLog;
pub(crate) use read::{last_of_supervisor, lines_of_job};
pub use repeats::Repeats;
