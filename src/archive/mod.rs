//! Git work of folders that go: workspaces of jobs that are cleaned up or pruned, orphans, what is in a trash.
//!
//! **One rule**: a folder goes only when everything that git anchors in it is proven to be elsewhere, or was copied
//! into an archive. [`keep`] is what all who remove folders call; what cannot be read is an error that names it, and
//! the folder stays.
//!
//! 1. *Look* (`look`): all of the folder below descriptors, at any depth, for whatever looks like git. A folder in
//!    which a repository of another workspace has its objects or its own folder waits (`borrowers`), and so does one in
//!    which a working tree elsewhere has its repository (`led`).
//! 2. *Judge* (`judge`): of each repository (`repositories`), what its own files anchor (`tips`: names, HEADs of linked
//!    working trees, reflogs), every commit that it has itself (`objects`), and what its index stages must be reachable
//!    from what its remote-tracking names say, of remotes that do not go too (`elsewhere`, `settings`) and, where they
//!    are on this machine, have a name that leads to it and all that it consists of (`git/remote`); of each working
//!    tree (`trees`), what differs from the index, or is not in it. An operation under way, a format that is not known,
//!    a lock that was left, LFS objects, any doubt: not proven. git is only asked about objects, and never in the
//!    repository itself (`git`): so nothing of it is obeyed.
//! 3. *Copy* (`keep`, `tar`): what is not proven, as it is: the whole repository (and those that it borrows objects
//!    from, here or where they go too: `lenders`), or the files that are not committed. Where git cannot say, all files
//!    of the working tree. What was kept before is replaced only by what has all of it.
//!
//! What went to a trash is judged again when it was changed ([`fingerprint()`]) or an archive of it is gone
//! ([`Judged`]), never merely because time went by.
//!
//! **Files**: `cleanup/archive/<id>.tar`, written to a temporary file beside it that startups sweep when nobody writes
//! it any more; `<id>.json` beside it, what is in it and why ([`Archive`]); the archive stands without that file too. A
//! folder `<id>/` there or in `orphans/archive/` is what earlier versions kept: bundles and patches. `cleanup/git/`:
//! the empty repository that git runs in.

mod borrowers;
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
mod repositories;
mod restore;
mod rules;
mod settings;
mod state;
mod store;
mod tar;
mod tips;
mod trees;

pub use fingerprint::fingerprint;
pub use judged::{Judged, keep_noted};
pub use keep::{CannotKeep, KeepOutcome, KeepRequest, has_git, has_work_below, keep};
pub use note::{ArchiveSource, Repository};
pub use restore::{RestoreError, Restored, restore};
pub use rules::KeepRules;
pub use state::{GitState, git_states};
pub use store::{
    Archive, ArchiveForm, ArchiveRetention, PruneError, Totals, archive, archives, outlived, prune, remove,
    remove_audited, totals,
};
