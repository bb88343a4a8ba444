//! Bad disks, bad clocks, short supplies: whatever is refused at whatever moment, what was acknowledged is
//! there, the error says what was tried on which object, and when the fault is gone everything works.

pub mod clocks;
pub mod disk;
pub mod effects;
pub mod limits;
