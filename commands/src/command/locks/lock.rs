//! `lock REPO -- CMD`: runs a command under a repository's lock.
//!
//! SIGTERM, and a lost terminal, end the command and `lock`. Stdout is the command's. With `--json` it is the
//! report's, and what the command prints goes to stderr.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::findings::Object;
use recovery::locks::{
    Caller, FencingNumber, GiveBackError, HeldBy, LockGrant, LockRefused, RunUnderError, UnderLock,
    run_with_lock,
};
use recovery::state::names::encode;
use recovery::state::{StateDir, parse_duration};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::leave_job::{Server, leave_job};
use recovery::operations::locks::holders;

/// Run a command while holding the lock of a repository, and end as it does
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// The repository
    #[arg(value_name = "REPO")]
    repository: String,
    /// How long to wait for the lock, such as 10m or 0s [default: as --lock-wait]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Debug, Serialize)]
struct LockReport {
    repository: String,
    dry_run: bool,
    lock_id: Option<String>,
    /// The fencing number.
    token: Option<FencingNumber>,
    /// The exit status of the command; 128 plus the signal's number when a signal ended it.
    exit_status: Option<i32>,
    given_back: bool,
}

pub(crate) fn cmd_lock(context: &mut Context, args: &LockArgs) -> Result<Ending, CliError> {
    // This check comes before a state directory is made for it.
    encode(&args.repository).map_err(LockRefused::from)?;
    if context.is_dry_run() {
        return rehearse(context, args);
    }
    context.operation()?.refuse_to_make_one_inside_a_job()?;
    leave_job(Server::Lock)?;
    let mut dir = context.operation()?.state_dir_or_create()?;
    // In the incarnation that was lost, numbers would be given twice and survivors be taken for ours.
    dir.record_restore()?;
    let holders = holders(&context.operation()?, &dir);
    let caller = Caller::this(std::env::vars_os());
    let jobs = context.settings()?.jobs.clone();
    let trail = Trail::open(&dir)?;
    let actor = context.actor();
    let interruption = context.interruption.clone();
    let granted = |grant: &LockGrant| {
        interruption.leave_signals_to_the_command();
        let object = Object::lock(grant.repository());
        let entry = Entry::done(dir.clock.now(), &actor, "lock", object, detail(grant, &args.command));
        trail.record(&entry).map(drop).map_err(Into::into)
    };
    // The only borrow of the output while the command runs.
    let note = std::cell::RefCell::new(&mut context.output);
    let waiting = |by: &HeldBy| note.borrow_mut().note(&format!("waiting for {by}"));
    let is_json = note.borrow().is_json();
    let ran = run_with_lock(
        &dir,
        UnderLock {
            repository: &args.repository,
            command: &args.command,
            stdout: if is_json { Stdio::from(std::io::stderr()) } else { Stdio::inherit() },
            wait: args.wait.unwrap_or(dir.lock_wait),
            caller: &caller,
            kill_grace: jobs.kill_grace,
            cgroup: jobs.cgroup,
            job_liveness: &|id, claim| holders.liveness(id, claim),
            queue: Some(&holders),
            waiting: &waiting,
            granted: &granted,
        },
    )
    .map_err(|e| not_run(e, args))?;
    match &ran.given_back {
        Ok(()) => {}
        Err(e @ GiveBackError::LeftRunning { .. }) => {
            context.output.warning(&format!("{e}; when that has ended it is free"));
        }
        Err(e @ GiveBackError::CannotEnd { .. }) => context.output.warning(&e.to_string()),
        Err(e) => context
            .output
            .warning(&format!("the lock was not given back in order, a recovery will do that: {e}")),
    }
    if is_json {
        let report = LockReport {
            repository: args.repository.clone(),
            dry_run: false,
            lock_id: Some(ran.lock_id),
            token: Some(ran.token),
            exit_status: Some(ran.status),
            given_back: ran.given_back.is_ok(),
        };
        context.output.report(&report, |_| {});
    }
    Ok(Ending::Command(u8::try_from(ran.status & 0xFF).unwrap_or(1)))
}

/// Describes the command by its program only: arguments may be secrets.
fn detail(grant: &LockGrant, command: &[OsString]) -> String {
    let program = command.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    format!("lock id {}; fencing number {}; for {}", grant.lock_id, grant.token, program.display())
}

fn not_run(error: RunUnderError, args: &LockArgs) -> CliError {
    match error {
        RunUnderError::Objected(cause) => CliError::new(ErrorKind::Failed, RunUnderError::Objected(cause))
            .code("audit-trail")
            .hint(format!("the lock of '{}' was given back", args.repository)),
        other => other.into(),
    }
}

fn rehearse(context: &mut Context, args: &LockArgs) -> Result<Ending, CliError> {
    let dir: Option<StateDir> = context.operation()?.state_dir_if_any()?;
    if let Some(dir) = dir {
        let holders = holders(&context.operation()?, &dir);
        let lock = recovery::locks::inspect(&dir, &args.repository, &|id, claim| holders.liveness(id, claim))
            .map_err(LockRefused::from)?;
        if let Some(lock) = lock.filter(|l| l.verdict.is_live() || l.unavailable) {
            let kind = if lock.unavailable { ErrorKind::Refused } else { ErrorKind::Held };
            let holder = lock.holder.as_deref().unwrap_or("a process not named yet");
            let message =
                format!("the lock of repository '{}' is {} ({holder})", lock.repository, lock.liveness);
            return Err(CliError::new(kind, message).hint("recoveryctl locks inspect"));
        }
    }
    let repository = args.repository.clone();
    let report = LockReport {
        repository,
        dry_run: true,
        lock_id: None,
        token: None,
        exit_status: None,
        given_back: false,
    };
    context.output.report(&report, |text| {
        text.line(format!("would run the command under the lock of '{}'", args.repository));
    });
    Ok(Ending::Done)
}
