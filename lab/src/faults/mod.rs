//! Bad disks, bad clocks, scarce resources: whatever is refused at whatever moment, acknowledged things are
//! there, the error names the operation and its object, and when the fault is gone everything works.

pub mod clocks;
pub mod disk;
pub mod effects;
pub mod limits;
