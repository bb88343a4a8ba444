//! Operations on findings: the list, and what an operator says of them.

mod ack;
mod list;
mod mute;

pub use ack::{AckFindings, AckReport, RefusedFinding};
pub use list::ListFindings;
pub use mute::{MuteFindings, MuteReport, UnmuteFindings, named};
