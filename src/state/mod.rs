//! The state directory: paths, identity, layout version, permissions, configuration, time, names.

mod cidr;
pub mod config;
mod directory;
mod error;
mod exposure;
mod folder_id;
pub mod human;
mod identity;
mod job_id;
mod layout;
pub mod names;
mod origin_check;
mod paths;
mod repair;
mod secret;
mod shared_files;
pub mod suggest;
mod token_file;
mod units;
pub(crate) mod word;

pub use crate::system::clock::{Clock, NotATime, Timestamp};
pub use cidr::{Cidr, NotACidr};
pub use directory::{SEGMENT_BYTES, StateDir};
pub use error::StateError;
pub use exposure::{Exposed, Exposure, check_file, check_way};
pub use folder_id::{CopiedFrom, DirectoryOrigin, FolderId, FolderRecord, Past, Restored, StateStamp};
pub use identity::Identity;
pub use job_id::JobId;
pub use layout::LAYOUT_VERSION;
pub(crate) use paths::{ATTEMPT_FILES, CHECKPOINT, EARLIER, LINKED, is_own_name_of_layout_2};
pub use paths::{JobPaths, LockPaths, StatePaths};
pub use repair::IdentityRepair;
pub use secret::Secret;
pub use token_file::Distrust;
pub use units::{BadUnit, format_duration, format_size, parse_duration, parse_size};
pub use word::Word;
