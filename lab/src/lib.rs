//! The crash laboratory: power losses, kills, faults and damage, applied to real state directories, with the
//! conditions that must hold after each.
//!
//! *Every disk that a power loss could leave.* An operation is played by processes of their own (`play`),
//! because recovery must find them dead. Their effects come back as a [`Recording`]. `model` knows which
//! effects are durable at each moment; `image` chooses what a crash keeps of the rest; `check` recovers the
//! image and checks it. `operations` is the list of all operations, and a test makes sure that together they
//! take every write path of the library ([`write_paths`]). `docs/internals.md` says how to add one.
//!
//! *Real file systems that lose power.* `shutdown` plays the same operations on an ext4 and an xfs and shuts
//! them down at each effect.
//!
//! *The real binary, killed and starved.* `kill` kills it at its n-th system call and checks from outside;
//! each part is a function that returns a [`Tally`] for the table. `cargo test` runs a sample of each, the
//! full run tries everything. Random choices come from a seed that is printed and repeats the run.

// The laboratory makes and breaks disks by hand; the library that it examines does not.
#![allow(clippy::disallowed_methods)]

pub mod bytes;
mod case;
mod check;
mod copy;
mod event;
mod facts;
pub mod faults;
mod image;
mod invariants;
pub mod kill;
mod kinds;
mod model;
mod moments;
mod nested;
pub mod operations;
mod parallel_map;
mod play;
mod reboot;
mod record;
mod recovering;
mod run;
pub mod sandbox;
pub mod seed;
mod seeded_bugs;
pub mod shutdown;
pub mod table;
pub mod tally;
pub mod torture;
mod tree;
mod view;
pub mod witness;
pub mod write_paths;

pub use case::{Again, try_kept};
pub use event::{Bytes, Change, Event};
pub use facts::Fact;
pub use image::Detail;
pub use play::{Orders, Player, Recording, play};
pub use record::Recorder;
pub use recovering::SEGMENT_BYTES;
pub use run::{Failure, Limits, Report, Step, Which, run_operation};
pub use sandbox::{Ran, Sandbox};
pub use seed::Seed;
pub use tally::Tally;

/// An error of the laboratory itself.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
