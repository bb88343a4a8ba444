//! A job's output: a pipe between its command and its output file, and the process that empties it.
//!
//! The command gets a pipe, not the file: a script that opens `/dev/stderr` opens its standard error anew, which
//! truncates or overwrites a file with everything printed before. A pipe is the same pipe however it is opened,
//! and cannot be truncated, and its reader knows how long the file is, so that the limit holds (`limit`).
//!
//! A pipe breaks when its reader ends, so three things prevent that:
//!
//! - The command's end is opened for reading and writing ([`pipe`]): as long as the command lives its pipe has a
//!   reader, namely the command itself, so that printing never ends it with SIGPIPE, whichever of our processes
//!   was killed.
//! - Two processes have the other end: the supervisor, and a keeper (`recoveryctl keep-output`) that it starts
//!   when the command has run for a moment. The keeper empties the pipe and lives until no process has the
//!   command's end any more; so a job whose supervisor was killed can print for hours. When the keeper is killed,
//!   the supervisor empties the pipe itself and starts another. When both are killed, the process that adopts the
//!   job starts one ([`reattach`]); until then the output waits in the pipe, and a command that prints more than
//!   the pipe holds waits with it.
//! - The output goes from pipe to file inside the kernel ([`pump`], splice(2)): a keeper that is killed at any
//!   instruction holds no bytes itself.
//!
//! The process that empties the pipe holds the flock of the output file, so there is at most one. The supervisor
//! and the keeper share one open file, and with it the lock, which lasts until both are gone.
//!
//! A job may remove its output, or put something else in its place. Output still goes into the open file; the
//! supervisor writes that file anew under its name when the job is over ([`put_back`]).

mod limit;
mod pipe;
mod pump;
mod put_back;
mod reattach;
mod stream;

pub use pipe::size_of_output_pipe;
pub(super) use pipe::{OutputPipe, pipe_of};
pub use pump::keep_output;
pub(super) use reattach::reattach;
pub(super) use stream::OutputStream;
