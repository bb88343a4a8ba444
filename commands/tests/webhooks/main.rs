//! Callbacks that always arrive: real receivers, real daemons, real kills.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // Shared with the scenes of crashes.
#[path = "../crash/scene.rs"]
mod scene;

mod behaviour;
mod clocks;
mod damage;
mod endpoints;
mod keeping;
mod office;
mod operator;
mod receiver;
mod storm;
