//! The outside world behind narrow types: hosts, processes, file systems, Docker, git, tools.

pub mod docker;
mod filesystem;
mod git;
pub mod git_work;
mod host;
mod process;
mod process_table;
mod tool;
mod usage;

pub use filesystem::{is_full, is_network};
pub use git::{GitState, git_repositories, git_state};
pub use host::Host;
pub use process::{
    Presence, ProcessIdentity, ProcessStat, command_line, end_process, environment_of, leads_a_session,
    marked_processes, presence, process_stat, signal_process, start_time,
};
pub use process_table::{ProcessEntry, descendants, process_table};
pub use tool::{Tool, ToolEnd, ToolRan, run_tool};
pub use usage::{Usage, usage_of};
