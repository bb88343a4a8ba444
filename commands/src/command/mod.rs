//! A file a command: its arguments as `<Name>Args`, what it does as `cmd_<name>`.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod explain;
pub(crate) mod init;
