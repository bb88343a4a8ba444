//! The outside world behind narrow types: hosts, processes, file systems, Docker, git, tools.

mod account;
mod author;
mod boot_clock;
mod cgroup;
mod children;
pub(crate) mod clock;
mod clock_watch;
pub mod docker;
mod filesystem;
mod folder_watch;
pub(crate) mod git;
mod hindrance;
mod host;
pub mod inherited;
mod limits;
mod new_process;
mod parallel_map;
mod pids;
mod process;
mod process_probe;
mod process_table;
mod restricted;
mod search_path;
mod tool;
mod usage;

pub use account::{USUAL_PATH, base_environment, base_environment_of};
pub use author::{Account, Author};
pub use boot_clock::since_boot;
pub use cgroup::{Cgroup, leave_groups};
pub use children::{ResourceUse, memory_high_water, runs_own_program, use_of_children, use_of_this_process};
pub use clock_watch::{ClockWatch, Jump};
pub use filesystem::{LocalDevice, Room, is_full, is_network, room_on};
pub use folder_watch::FolderWatch;
pub use hindrance::{Hindrance, hindrance_of};
pub(crate) use host::SAME_START_SECONDS;
pub use host::{Host, Relation};
pub use limits::{BadLimit, Confinement, Limit};
pub(crate) use new_process::look_after_exec;
pub(crate) use parallel_map::parallel_map;
pub(crate) use pids::pids;
pub use process::age_of;
pub use process::{
    Presence, ProcessIdentity, ProcessStat, command_line, end_process, environment_of, leads_a_session,
    marked_processes, open_pidfd, presence, process_stat, signal_process, start_time,
};
pub use process_probe::{ProcessProbe, other_user_of, probe_process, user_of};
pub use process_table::{ProcessEntry, descendants, process_table};
pub(crate) use restricted::Restricted;
pub use search_path::{NoProgram, SearchPath};
pub(crate) use tool::wait as wait_for_tool;
pub use tool::{Tool, ToolEnd, ToolRan, run_tool};
pub use usage::{Usage, usage_of};
