//! `jobs prune`: removes jobs that are over and old enough, with everything that they left.

use recovery::operations::jobs::{JobsPruned, PruneJobs};
use recovery::state::{Clock, human};

use crate::operate::Show;
use crate::output::Output;
use crate::text::Text;

impl Show for PruneJobs {
    fn show(&self, report: &JobsPruned, text: &mut Text) {
        render(text, report);
    }

    fn remark(&self, report: &JobsPruned, output: &mut Output) {
        if output.is_json() {
            return;
        }
        for kept in &report.pruned.report.kept {
            output.note(&format!("job {} stays: {}", kept.job_id, kept.detail));
        }
        for (path, why) in &report.pruned.report.trash.failed {
            output.warning(&format!("{} stays: {why}", path.display()));
        }
    }
}

fn render(text: &mut Text, answer: &JobsPruned) {
    let act = if answer.dry_run { "would be removed" } else { "removed" };
    let now = Clock::system().now();
    for job in &answer.pruned.report.removed {
        let (status, ended) = (job.status.as_str().replace('_', " "), human::ago(now, job.finished_at));
        text.line(format!("{}: {act}, {status} {ended}", job.job_id));
    }
    for cleanup in &answer.pruned.cleanups {
        let (id, status) = (cleanup.cleanup_id.as_deref().unwrap_or("of its own"), cleanup.status.as_str());
        let status = if answer.dry_run { "to be done first" } else { status };
        let why = cleanup.detail.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        text.line(format!("{}: cleanup {id} {status}{why}", cleanup.job_id));
    }
    let n = answer.pruned.report.removed.len();
    let jobs = human::count(n, "job");
    let mib = answer.pruned.report.trash.bytes_freed as f64 / f64::from(1 << 20);
    match answer.dry_run {
        true => text.line(format!("{jobs} would be removed")),
        false => text.line(format!("{jobs} removed, {mib:.1} MiB given back")),
    }
}
