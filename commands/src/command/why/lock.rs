//! `why lock:REPO`.

use recovery::findings::shell_word;
use recovery::report::why_lock::WhyLock;

use crate::command::locks::show::tone_of;
use crate::command::why::past::render_past;
use crate::output::Output;
use crate::paint::Tone;
use crate::text::Text;

/// Shows the way out of a verdict that cannot be given.
pub(crate) fn remark(report: &WhyLock, output: &mut Output) {
    if report.verdict != "unknown" {
        return;
    }
    // Both refuse a lock whose holder provably lives.
    let can_repair = report.repair.as_ref().is_some_and(|repair| repair.action.is_some());
    let out = match &report.lock.lock.job_id {
        _ if can_repair => "repair locks".to_owned(),
        Some(job) => {
            format!("repair jobs --assume-dead {} --reason 'known to be over'", shell_word(&job.to_string()))
        }
        None => format!("release {} --force", shell_word(&report.lock.lock.repository)),
    };
    output.hint(&format!("recoveryctl {out}"));
}

pub(crate) fn render(text: &mut Text, report: &WhyLock) {
    text.toned(tone_of(&report.verdict), format!("{}  {}", report.object, report.verdict));
    for (number, piece) in (1..).zip(&report.evidence) {
        text.line(format!("  {number}. {piece}"));
    }
    render_past(text, &report.past);
    let about = &report.lock.lock;
    let copy = report.copy.as_ref();
    text.fields(&[
        ("holder", about.holder.clone()),
        ("lock id", about.lock_id.clone()),
        ("fencing number", about.token.map(|n| n.to_string())),
        ("number in the lock file", copy.and_then(|c| c.token).map(|n| n.to_string())),
        ("last grant there", copy.and_then(|c| c.holder.clone())),
        ("running job", report.running_job.clone()),
        ("waiting", (!about.waiting.is_empty()).then(|| about.waiting.join(", "))),
        ("file", Some(report.lock.file.clone())),
    ]);
    if let Some(repair) = &report.repair {
        text.gap();
        let act = repair.action.as_deref().unwrap_or("nothing, only you can decide");
        text.toned(Tone::Warning, format!("repair would do: {act}: {}", repair.reason));
        repair.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
    }
}
