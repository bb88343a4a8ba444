//! `why orphan:ID`, `why container:NAME` and the other kinds of orphans.

use recovery::report::why_orphan::WhyOrphan;
use recovery::state::human;

use crate::command::why::past::render_past;
use crate::paint::Tone;
use crate::text::Text;

pub(crate) fn render(text: &mut Text, report: &WhyOrphan) {
    let tone = match &*report.verdict {
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
