//! The daemon of this state directory, asked instead of reading the directory: it has the queue in memory. It is asked
//! only for what it tells as the directory would: by the same version, with the same settings, for the same directory.
//! Where it does not answer at once, or goes silent, the directory is read: a daemon that is dead or hangs delays
//! nobody for longer than [`PATIENCE`].

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use recovery::operations::{Done, Operation};
use recovery::state::check_way;

use super::connect::Target;
use super::operation::{Answered, exchange, outcome};
use crate::context::Context;
use crate::error::CliError;
use crate::wire::{Nearby, Told};

/// A daemon that lives tells so more often.
const PATIENCE: Duration = Duration::from_millis(100);

/// The report by the daemon; `None` when the directory is to be read.
pub(crate) fn carry_out<O: Operation>(
    context: &mut Context,
    request: &O,
) -> Option<Result<Done<O::Report>, CliError>> {
    if !O::ENTRY.from_queue || context.globals().direct {
        return None;
    }
    let root = context.settings().ok()?.state_dir.clone()?;
    let socket = recovery::state::StatePaths::new(root.clone()).admin_socket();
    // A socket that another user could have put there is not asked.
    if !socket.exists() || check_way(&socket).is_err() {
        return None;
    }
    let nearby = nearby(context, &root)?;
    let request = serde_json::to_value(request).ok()?;
    let mut asked = context.asked(O::ENTRY.name(), request);
    (asked.nearby, asked.is_streamed, asked.shows_progress) = (Some(nearby), false, false);
    let mut body = serde_json::to_vec(&asked).ok()?;
    body.push(b'\n');
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().ok()?;
    let (target, mut told) = (Target::Socket(socket), Vec::new());
    let answered = runtime.block_on(exchange(&target, body, Some(PATIENCE), |one| {
        told.push(one);
        true
    }));
    let Ok(Answered::Ended(ended)) = answered else { return None };
    let outcome = outcome::<O>(&target, ended);
    if outcome.as_ref().is_err_and(|e| e.code_name() == "other-version") {
        return None;
    }
    for one in told {
        match one {
            Told::Warning(sentence) => context.output.warning(&sentence),
            Told::Note(sentence) => context.output.note(&sentence),
            _ => {}
        }
    }
    Some(outcome)
}

/// What the daemon must have in common with this process.
fn nearby(context: &mut Context, root: &Path) -> Option<Nearby> {
    let folder = std::fs::metadata(root).ok()?;
    let settings = context.settings().ok()?.digest();
    Some(Nearby { settings, folder: (folder.dev(), folder.ino()), version: Nearby::VERSION.to_owned() })
}
