//! Git work in folders to be removed: workspaces of jobs that are cleaned up or pruned, orphans, the trash.
//!
//! **One rule**: a folder is removed only when everything that git anchors in it is proven to exist
//! elsewhere, or was copied into an archive. Every removal calls [`keep`]; anything that cannot be read is an
//! error that names it, and the folder stays.
//!
//! 1. *Look* (`look`): all of the folder below descriptors, at any depth, for anything that looks like git. A
//!    folder in which a repository of another workspace has its objects or its own folder waits
//!    (`borrowers`), and so does one in which a working tree elsewhere has its repository (`led`).
//! 2. *Judge* (`judge`): of each repository (`repositories`), everything that its own files anchor (`tips`:
//!    names, HEADs of linked working trees, reflogs), every commit that it has itself (`objects`), and
//!    everything that its index stages must be reachable from its remote-tracking names, of remotes that are
//!    not removed too (`elsewhere`, `settings`); a remote on this machine must have a name that leads to it,
//!    and all its objects (`git/remote`). Of each working tree (`trees`), the files that differ from the
//!    index, or are not in it. An operation under way, an unknown format, a left lock, LFS objects, any
//!    doubt: not proven. git is only asked about objects, and never in the repository itself (`git`), so none
//!    of its settings has effect.
//! 3. *Copy* (`keep`, `tar`): everything not proven, as it is: the whole repository (with those that it
//!    borrows objects from, here or where they are removed too: `lenders`), or the uncommitted files. Where
//!    git cannot say, all files of the working tree. An earlier archive is replaced only by one that has all
//!    of it.
//!
//! A folder in the trash is judged again when it was changed ([`fingerprint()`]) or an archive of it is gone
//! ([`Judged`]), never merely because of its age.
//!
//! **Files**: `cleanup/archive/<id>.tar`, written to a temporary file beside it that startups sweep;
//! `<id>.json` beside it, a description ([`Archive`]), without which the archive is still usable. A folder
//! `<id>/` there or in `orphans/archive/` comes from earlier versions: bundles and patches. `cleanup/git/`:
//! the empty repository that git runs in.

mod borrowers;
mod cannot_keep;
mod copy;
mod elsewhere;
mod fingerprint;
mod git;
mod judge;
mod judged;
mod keep;
mod led;
mod lenders;
mod look;
mod note;
mod objects;
mod open;
mod plan;
mod remote;
mod repositories;
mod restore;
mod rules;
mod settings;
mod state;
mod store;
mod tar;
mod tips;
mod trees;

pub use cannot_keep::CannotKeep;
pub use fingerprint::fingerprint;
pub use judged::{Judged, keep_noted};
pub(crate) use keep::has_work_below;
pub use keep::{KeepOutcome, KeepRequest, has_git, keep};
pub use note::{ArchiveSource, Repository};
pub use restore::{RestoreError, Restored, restore};
pub use rules::KeepRules;
pub use state::{GitState, git_states};
pub use store::{Archive, ArchiveForm, ArchiveRetention, PruneError, Totals, archive, archives, remove};
pub(crate) use store::{outlived, prune, remove_audited, totals};
