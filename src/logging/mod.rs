//! What this program says of what it does: kinds of events, the line in which one is kept, the files of such lines, and
//! how repeats are limited.
//!
//! Code says it with `tracing`: `info!(event = events::JOB_STARTED, job_id = %id, "…")`. Who listens, in which form and
//! from which level on, is the binary's affair (`commands/src/log`). [`events`] is the one table of kinds: a kind's
//! name never changes its meaning, and its `MESSAGE_ID` in the journal is made of the name.
//!
//! *Files.* `daemon/daemon.log` has what daemons, `work` and `run` say, `daemon/supervisors.log` what supervisors
//! say; each is a JSON object a line ([`LogLine`], whose `v` is [`line::VERSION`]), appended with one
//! write, with mode 0600. A file of `MOST_BYTES` becomes the earlier generation, `….log.1`, which replaces the one
//! before ([`open_bounded`]). Nothing is synced and nothing decides by these lines: a power loss, a full disk or two
//! processes that begin a new generation at the same moment may cost lines and nothing else. Readers pass over what is
//! no line. One file for all supervisors, and not one a job: a job's start costs no further file, and what the
//! supervisor says before it has found its job is in the same place.

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
