//! Every operation that writes, each in a file of its own, with its preparation.
//!
//! A new one is a `pub(super) const` with a name, a preparation, and the operation itself, in [`ALL`]. It
//! acknowledges as the product does: after the call that returns when the change is durable.

mod again;
mod asked;
mod attempt;
mod clean;
mod daemon;
mod deliver;
mod import;
mod layout;
mod life;
mod lock;
mod losses;
mod odd;
mod prune;
mod queue;
mod rebuild;
mod recover;
mod repair;
mod small;
mod stage;
mod startup;
mod submit;
pub(crate) mod supervisor;

use crate::Error;

pub use stage::Stage;

/// An operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Names it in reports and on the command line.
    pub name: &'static str,
    /// Makes the initial state; its effects count as long durable, its processes as dead.
    pub prepare: fn(&Stage) -> Result<(), Error>,
    /// Does it, in a process of its own.
    pub run: fn(&Stage) -> Result<(), Error>,
}

/// All operations.
pub const ALL: &[Operation] = &[
    small::INIT,
    small::INIT_DEEP,
    submit::ONE,
    submit::BATCH,
    submit::NAMED,
    attempt::ATTEMPT,
    again::ATTEMPTS,
    prune::PRUNE,
    rebuild::RECORDS,
    rebuild::WORKSPACES,
    attempt::ATTEMPT_ODD,
    attempt::ATTEMPT_CANCELLED,
    attempt::ATTEMPT_INTERRUPTED,
    attempt::LONG_OUTPUT,
    queue::CANCEL,
    queue::CANCEL_RUNNING,
    queue::CANCEL_ORPHAN,
    queue::RESUME,
    queue::CHECKPOINT,
    queue::CHECKPOINT_DAMAGED,
    lock::GRANT,
    lock::COMMAND,
    lock::TAKE_OVER,
    lock::NUMBER_DAMAGED,
    lock::RELEASE,
    lock::RELEASE_DAMAGED,
    small::AUDIT,
    small::REQUEST,
    import::IMPORT,
    life::RESTORED,
    life::NOTICED,
    life::SWAPPED,
    life::ADOPTED,
    asked::TOKENS,
    asked::TOKENS_FOUND,
    asked::SIGNING_SECRET,
    asked::SIGNING_SECRET_FOUND,
    asked::ANSWERS,
    daemon::DAEMON,
    daemon::DAEMON_ALONE,
    deliver::DELIVER,
    recover::RECOVER,
    recover::RECOVER_SKIPPING,
    recover::RECOVER_DAMAGED,
    recover::RECOVER_LOST,
    recover::RECOVER_REUSED,
    startup::STARTUP,
    startup::SAFE_MODE,
    startup::MIGRATE,
    layout::MOVE_ATTEMPTS,
    layout::MOVE_ATTEMPTS_LATE,
    startup::MIGRATE_DAMAGED,
    startup::REQUESTS,
    repair::TICKET,
    repair::STALE,
    repair::LOCKS,
    repair::QUEUE,
    repair::AUDIT_KEPT,
    repair::AUDIT_IN_THE_WAY,
    clean::CLEANUP,
    clean::ORPHANS,
    odd::FOLDERS_GONE,
    odd::SUBMIT_FOLDER_GONE,
    odd::MISPLACED,
    odd::ASSUME_DEAD,
    odd::PRUNE_CUT_SHORT,
    odd::FAILED_AND_DAMAGED,
    odd::REHEARSE,
    losses::LOST_JOB,
    losses::LOSSES,
    losses::LIST_DAMAGED,
];

/// The operation of this name.
pub fn find(name: &str) -> Result<&'static Operation, Error> {
    ALL.iter().find(|o| o.name == name).ok_or_else(|| format!("there is no operation '{name}'").into())
}

/// Nothing is there before.
fn nothing(_: &Stage) -> Result<(), Error> {
    Ok(())
}
