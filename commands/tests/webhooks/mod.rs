//! Callbacks that always arrive: real receivers, real daemons, real kills.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

mod behaviour;
mod clocks;
mod damage;
mod endpoints;
mod keeping;
mod office;
mod operator;
pub mod receiver;
mod storm;
