//! Jobs as processes while a daemon watches: what it sees, how soon it records it, and what it says.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

mod conditions;
pub mod deaths;
mod fence;
mod namespace;
mod output;
#[allow(dead_code)] // Shared with the scenes of crashes.
mod starts;
mod thousand;

/// Waits for its gate, in a shell that does nothing else.
const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; \
    until [ -e $W/open-$RECOVERYCTL_JOB_ID ]; do sleep 0.05; done";
