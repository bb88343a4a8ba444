//! Bad disks, bad clocks, scarce resources. Whatever is refused at any moment, acknowledged things stay, the
//! error names the operation and its object, and everything works when the fault is gone.

pub mod clocks;
pub mod disk;
pub mod effects;
pub mod limits;
