//! Real file systems that lose power: an ext4 and an xfs in a file, mounted over a loop device, shut down by
//! ioctl (`EXT4_IOC_SHUTDOWN`, `XFS_IOC_GOINGDOWN`, without flushing the journal) before the n-th effect of
//! an operation.
//!
//! The disks of [`crate::run_operation`] come from a model of what a file system may keep; these come from
//! file systems themselves. Every process of the operation is killed with the power, the file system is
//! mounted again and replays its journal, the boot id is changed, and the same checks follow as for every
//! disk. One run gives the disk of one moment only, so this finds less; but no model can explain its findings
//! away.
//!
//! It needs root, loop devices, a kernel that knows the file system, its `mkfs`, `setpriv`, and `python3`,
//! which calls the ioctl. Where one of them is missing, [`Tried::Skipped`] says which. The mounts are in a
//! mount namespace of the thread that works with them and end with it.

mod mount;
mod operation;
mod plug;

pub use mount::Kind;
pub use operation::{Extent, SAMPLE, Tried, try_file_system};
pub(crate) use plug::Plug;
