//! `why orphan:ID`, `why container:NAME` and the other kinds of orphans.

use recovery::orphans::{Asked, ScanContext, explain, plan};
use recovery::report::why_orphan::WhyOrphan;
use recovery::state::human;

use crate::command::locks::holders::holders;
use crate::command::why::past::render_past;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::text::Text;
use recovery::operations::jobs::ids::whole;
use recovery::operations::settings::scanning;

pub(crate) fn why_orphan(context: &mut Context, object: &str, asked: Asked<'_>) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let settings = scanning(&context.operation()?);
    let holders = holders(context, &dir)?;
    let queue = context.queue_to_look(&dir)?;
    let world = ScanContext::look(&dir, &settings, &queue)?;
    let known = plan(&dir)?;
    let ids = known.iter().flat_map(|plan| plan.candidates.iter().map(|c| &*c.id));
    let whole_id = match asked {
        Asked::Candidate(id) => Some(whole(ids, id)?),
        Asked::Object(..) => None,
    };
    let asked = whole_id.as_deref().map_or(asked, Asked::Candidate);
    let explained = explain(&world, &|id, claim| holders.liveness(id, claim), asked)?;
    let name = match asked {
        Asked::Candidate(id) => id,
        Asked::Object(..) => object,
    };
    let report = match explained {
        Some(explained) => WhyOrphan::new(&dir, &explained),
        None => WhyOrphan::of_removed(&dir, name).ok_or_else(|| no_such_thing(object, asked))?,
    };
    context.output.report(&report, |text| render(text, &report));
    Ok(Ending::Done)
}

fn no_such_thing(object: &str, asked: Asked<'_>) -> CliError {
    let where_looked = match asked {
        Asked::Candidate(_) => "the last scan has no such candidate",
        Asked::Object(..) => "neither the last scan nor the Docker engine names it",
    };
    CliError::new(ErrorKind::NotFound, format!("nothing is known of '{object}': {where_looked}"))
        .code("no-such-orphan")
        .hint("recoveryctl scan")
        .hint("recoveryctl orphans candidates")
}

fn render(text: &mut Text, report: &WhyOrphan) {
    let tone = match report.verdict {
        "orphan" => Tone::Good,
        "unknown" => Tone::Warning,
        _ => Tone::Plain,
    };
    text.toned(tone, format!("{}  {}", report.object, report.verdict));
    for (number, piece) in (1..).zip(&report.evidence) {
        text.line(format!("  {number}. {piece}"));
    }
    render_past(text, &report.past);
    let Some(candidate) = &report.candidate else { return };
    text.fields(&[
        ("protected by", report.reason.clone()),
        ("id", Some(candidate.id.clone())),
        ("name", candidate.name.clone()),
        ("job", candidate.job_id.clone()),
        ("path", candidate.path.as_ref().map(|path| path.display().to_string())),
        ("size", (candidate.bytes > 0).then(|| human::size(candidate.bytes))),
        ("age", candidate.age_ms.map(|ms| human::duration(ms.unsigned_abs()))),
        ("plan", Some(report.plan_id.clone().unwrap_or_else(|| "of no scan: not a candidate".to_owned()))),
    ]);
}
