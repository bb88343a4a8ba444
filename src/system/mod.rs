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

pub(crate) use account::base_environment_of;
pub use account::{USUAL_PATH, base_environment};
pub use author::Account;
pub(crate) use author::Author;
pub(crate) use boot_clock::since_boot;
pub use cgroup::Cgroup;
pub(crate) use cgroup::leave_groups;
pub use children::ResourceUse;
pub(crate) use children::{memory_high_water, runs_own_program, use_of_children, use_of_this_process};
pub(crate) use clock_watch::ClockWatch;
pub(crate) use filesystem::{LocalDevice, is_full, is_network};
pub use filesystem::{Room, room_on};
pub(crate) use folder_watch::FolderWatch;
pub(crate) use hindrance::{Hindrance, hindrance_of};
pub use host::Host;
pub(crate) use host::{Relation, SAME_START_SECONDS};
pub use limits::{BadLimit, Confinement, Limit};
pub(crate) use new_process::look_after_exec;
pub(crate) use parallel_map::parallel_map;
pub(crate) use pids::pids;
pub use process::{
    Presence, ProcessIdentity, ProcessStat, command_line, end_process, environment_of, marked_processes,
    presence, process_stat, signal_process,
};
pub(crate) use process::{age_of, leads_a_session, open_pidfd, start_time};
pub use process_probe::user_of;
pub(crate) use process_probe::{ProcessProbe, other_user_of, probe_process};
pub use process_table::{ProcessEntry, descendants, process_table};
pub(crate) use restricted::Restricted;
pub use search_path::{NoProgram, SearchPath};
pub(crate) use tool::wait as wait_for_tool;
pub use tool::{Tool, ToolEnd, ToolRan, run_tool};
pub use usage::Usage;
pub(crate) use usage::usage_of;
