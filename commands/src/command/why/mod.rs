//! `why OBJECT`: every piece of evidence behind a verdict.

mod job;
mod lock;
mod orphan;
mod past;

use recovery::operations::why::{Why, WhyRequest};

use crate::operate::Show;
use crate::output::Output;
use crate::text::Text;

impl Show for WhyRequest {
    fn show(&self, report: &Why, text: &mut Text) {
        match report {
            Why::Job(report) => job::render(text, report),
            Why::Lock(report) => lock::render(text, report),
            Why::Orphan(report) => orphan::render(text, report),
        }
    }

    fn remark(&self, report: &Why, output: &mut Output) {
        if let Why::Lock(report) = report {
            lock::remark(report, output);
        }
    }
}
