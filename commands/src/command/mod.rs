//! A file a command: its arguments as `<Name>Args`, what it does as `cmd_<name>`.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod jobs;
mod jobs_cancel;
mod jobs_failed;
mod jobs_list;
mod jobs_metrics;
mod jobs_output;
mod jobs_sentinels;
mod jobs_show;
mod jobs_status;
pub(crate) mod lock;
pub(crate) mod locks;
pub(crate) mod queue;
mod queue_wal;
pub(crate) mod recover;
pub(crate) mod release;
pub(crate) mod resume;
pub(crate) mod skip;
pub(crate) mod status;
pub(crate) mod submit;
mod submit_from;
mod submit_lines;
pub(crate) mod work;
