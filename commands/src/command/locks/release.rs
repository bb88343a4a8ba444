//! `release REPO`: gives a repository's lock back in its holder's stead.

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::findings::Object;
use recovery::locks::{ReleaseRefused, Released, release, would_release};
use recovery::report::locks::ReleaseReport;
use recovery::state::StateDir;

use crate::command::locks::holders::holders;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::text::Text;

/// Give back the lock of a repository whose holder is gone
///
/// The lock of a living holder, or of one whose life cannot be told, needs --force, which says what it
/// breaks and asks.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The repository
    #[arg(value_name = "REPO")]
    repository: String,
    /// Only this grant, never a successor's
    #[arg(long, value_name = "LOCK_ID")]
    id: Option<String>,
    /// Also when its holder is alive, or cannot be judged
    #[arg(long)]
    force: bool,
}

pub(crate) fn cmd_release(context: &mut Context, args: &ReleaseArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let holders = holders(context, &dir)?;
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let (name, id) = (args.repository.as_str(), args.id.as_deref());
    let preview = would_release(&dir, name, id, args.force, &liveness)
        .map_err(|refused| named_if_own(refused, context, &dir, name))?;
    if context.is_dry_run() {
        let report = ReleaseReport { released: false, dry_run: true, ..ReleaseReport::done(preview) };
        context.output.report(&report, |text| render(text, &report));
        return Ok(Ending::Done);
    }
    if preview.forced {
        preview.breaks.iter().for_each(|sentence| context.output.warning(sentence));
        context.confirm(&format!("give the lock of '{name}' back all the same?"))?;
    }
    let trail = Trail::open(&dir)?;
    let actor = context.actor();
    // What was looked at, and perhaps agreed to, is this grant and no later one.
    let id = id.or(preview.lock_id.as_deref());
    let released = match release(&dir, name, id, preview.forced, &actor, &liveness) {
        Ok(released) => released,
        Err(refused) => {
            if matches!(refused, ReleaseRefused::Disk(_) | ReleaseRefused::Lock(_)) {
                trail.record(&entry(context, &dir, &preview).failed())?;
            }
            return Err(refused.into());
        }
    };
    trail.record(&entry(context, &dir, &released))?;
    let report = ReleaseReport::done(released);
    context.output.report(&report, |text| render(text, &report));
    Ok(Ending::Done)
}

/// A holder that asks for its own lock back is told that it is the holder.
fn named_if_own(refused: ReleaseRefused, context: &Context, dir: &StateDir, repository: &str) -> CliError {
    let is_held = matches!(refused, ReleaseRefused::HeldByLiveOwner { .. });
    let inside = context.caller().filter(|_| is_held).and_then(|caller| caller.is_inside(dir, repository));
    let Some(holder) = inside else { return refused.into() };
    let message = format!(
        "the lock of repository '{repository}' is held by {holder}, and this command runs inside it: it is given \
         back when that ends"
    );
    CliError::new(ErrorKind::Held, message)
        .code("lock-held-by-caller")
        .hint("leave `recoveryctl release` out: who holds the lock gives it back by itself")
}

fn entry(context: &Context, dir: &StateDir, released: &Released) -> Entry {
    let id = released.lock_id.as_deref().unwrap_or("that cannot be told");
    let force = if released.forced { "by force; " } else { "" };
    let detail = format!("{force}lock id {id}");
    let object = Object::lock(&released.repository);
    Entry::done(dir.clock.now(), &context.actor(), "release", object, detail)
        .with_evidence(released.evidence.clone())
}

fn render(text: &mut Text, report: &ReleaseReport) {
    let id = report.lock_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
    let act = if report.dry_run { "would give back" } else { "gave back" };
    text.line(format!("{act} the lock of '{}'{id}", report.repository));
    if let Some(was) = &report.was {
        text.line(format!("it was of {}", was.holder_text()));
    }
    report.breaks.iter().for_each(|sentence| text.toned(Tone::Warning, format!("  ! {sentence}")));
    report.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
}
