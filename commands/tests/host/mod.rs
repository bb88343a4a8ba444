//! A host that is weak for a while: it costs no job anything, and no part of the daemon is missing unseen.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests take files away and put others in their place.

mod clocks;
mod daemon;
mod directory;
mod filter;
mod missing_calls;
mod paths;
mod starts;
