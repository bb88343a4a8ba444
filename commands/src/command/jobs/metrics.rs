//! `jobs metrics`: figures about re-attachment.

use recovery::operations::jobs::JobMetricsRequest;
use recovery::report::job_metrics::JobMetrics;
use recovery::state::human;

use crate::operate::Show;
use crate::text::Text;

impl Show for JobMetricsRequest {
    fn show(&self, report: &JobMetrics, text: &mut Text) {
        let number = |n: u64| Some(n.to_string());
        text.fields(&[
            ("found running by recoveries", number(report.found_total)),
            ("re-attached", number(report.reattached_total)),
            ("finished while away", number(report.finished_while_away_total)),
            ("crashed", number(report.crashed_total)),
            ("unknown", number(report.unknown_total)),
            ("died after re-attachment", number(report.died_after_reattach_total)),
            ("resumed", number(report.resumed_total)),
            ("found whole", report.success_rate.map(|rate| format!("{:.1} %", rate * 100.0))),
            ("re-attachment took, mean", report.reattach_ms.mean.map(human::duration)),
            ("re-attachment took, at most", report.reattach_ms.max.map(human::duration)),
        ]);
    }
}
