//! The effects of a crash on the whole product: real daemons, supervisors and jobs, killed and damaged.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.
#![allow(clippy::print_stdout)] // Which case of a table it was.

mod behaviour;
mod daemon_killed;
mod damage;
mod damaged_attempts;
mod input;
mod removed_files;
mod repository;
pub mod scene;
mod storm;
