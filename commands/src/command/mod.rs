//! A file a command: its arguments as `<Name>Args`, what it does as `cmd_<name>`.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod recover;
pub(crate) mod status;
pub(crate) mod submit;
mod submit_from;
mod submit_lines;
pub(crate) mod work;
