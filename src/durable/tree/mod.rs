//! Removes whole folders: a rename into a trash, then deletion below folder descriptors.
//!
//! [`take_into_trash`] compares identity (device, inode, creation) with what was noted, renames, and compares
//! again; [`remove_tree`] empties the trash. It opens each folder with `openat2` (beneath, no links, no other
//! mount) from its parent's descriptor, so neither a link nor a mount leads out of the tree, even when
//! folders are exchanged while it runs: `std::fs::remove_dir_all`, `rm -rf` and a comparison of device
//! numbers each emptied a bind mount in our trial.
//!
//! Entries that cannot be removed (immutable, a mount, another user's) are kept and reported, and all others are
//! removed. After a stop or a kill at any point, the next call continues. Only the name at the top is durable: a
//! power loss may bring deleted entries back, still in the trash, and they are deleted again.

mod identity;
mod measure;
mod regular;
mod remove;
mod take;
mod walk;

pub use identity::TreeIdentity;
pub use measure::{TreeEntry, TreeSize, measure_tree, walk_tree};
pub(crate) use regular::{entry_at, name_of, open_file, open_file_behind};
pub(crate) use remove::is_on_one_mount;
pub use remove::{Kept, Progress, Removed, remove_tree};
pub(crate) use take::rename_to_delete;
pub use take::{TakeError, put_back, take_into_trash};
pub use walk::Unread;
pub(crate) use walk::{Go, Visitor, open_folder, open_top, shown, walk};
