//! The layouts of a state directory.
//!
//! | layout | what it changed |
//! | --- | --- |
//! | 1 | |
//! | 2 | past startups and acts of cleaning, once `startup/history.json` and `startup/cleanup-log.json`, are records of the log in `startup/log/`: a damaged record costs itself and not the whole history, an act is one append, and existing entries are not rewritten |
//! | 3 | the server's files about the attempts of a job (`sentinel.json`, `sentinel.lock`, `command.json`, `exit.json`, `output.log`, and those of earlier attempts), once in the job's workspace, are in `attempts/<id>/`, where no job of another user can change them |
//!
//! A later layout is refused before anything is changed. Every command reads an earlier one as it is; the next
//! startup brings it to this version's, see [`crate::startup`]. While some jobs still have their files where
//! layout 2 has them (a supervisor of that layout lives), `state.json` says `"moving_attempts":true`.

/// The layout that this version writes. A newer one is refused, an older one is migrated by the next startup.
pub const LAYOUT_VERSION: u32 = 3;
/// The first layout that keeps no file of the server in a workspace.
pub(super) const ATTEMPTS_APART: u32 = 3;
