//! The crash laboratory: it kills, tortures and damages real state directories, and checks from outside
//! that nothing acknowledged is lost and nothing alive is touched.
//!
//! Each part is a function that gives a [`Tally`] for the table; `cargo test` runs a sample of each, the
//! full run takes everything. What is random comes from a seed that is printed and repeats the run.
#![allow(clippy::disallowed_methods)] // The laboratory itself breaks files; it looks at them from outside.

pub mod kill;
pub mod place;
pub mod seed;
pub mod tally;
pub mod witness;

pub use place::{Place, Ran};
pub use seed::Seed;
pub use tally::Tally;
