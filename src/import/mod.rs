//! Takes over the workspace of a crashed C#/.NET batch server: `import claude-batch-server WORKSPACE`.
//!
//! The workspace is only read. Every job that is taken over becomes a `restore` record; one durable append
//! writes all of them, after a few files in the state directory: so a run that is killed anywhere leaves
//! either nothing in the queue or everything, and a repeated run finishes or changes nothing. One import at a
//! time (`queue/import.lock`). What each thing becomes is in `docs/import.md`.
//!
//! Job files are parsed with tolerance ([`parse`]), the process of a job is recognised by a strict
//! rule ([`runs_script`]), and one total function ([`outcome::judge`]) turns both into an outcome.

mod document;
mod effects;
mod error;
mod evidence;
mod examine;
mod findings;
mod legacy;
mod options;
mod outcome;
mod report;
mod scan;
mod script_process;
mod takeover;
mod template;

pub use error::ImportError;
pub use evidence::{Evidence, OutputTail, PidFile, ProcessEvidence};
pub use legacy::{LegacyJob, LegacyStatus, Reading, parse};
pub use options::ImportOptions;
pub use outcome::{Judgement, Verdict};
pub use report::{
    ImportCounts, ImportReport, ImportedJob, JobAction, OrphanCandidate, OrphanKind, QuarantinedFile,
};
pub use scan::{FoundJob, Scan, ScanError};
pub use script_process::runs_script;
pub use takeover::take_over;
pub use template::{CommandTemplate, TemplateError};

/// The kind of server, as it is written into the jobs' records.
pub(crate) const SOURCE: &str = "claude-batch-server";
