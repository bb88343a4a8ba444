//! `cleanup run`: works on every cleanup once, without a daemon.

use crate::cleanup::{Cleaner, CleanupRecord, CleanupStatus, findings};
use crate::findings::Finding;
use crate::operations::prelude::*;
use crate::operations::settings::cleaning;
use crate::queue::Queue;
use crate::report::cleanup::CleanupEntry;

plain_requests! {
    /// Work on every cleanup once, without a daemon, and do not wait for those that are to be tried later
    RunCleanups;
}

/// What became of the cleanups.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct CleanupsRun {
    /// Made now because the queue asks for them.
    pub derived: usize,
    pub completed: u64,
    pub waiting: u64,
    pub parked: u64,
    pub bytes_freed: u64,
    pub cleanups: Vec<CleanupEntry>,
    pub findings: Vec<Finding>,
}

impl Operation for RunCleanups {
    type Report = CleanupsRun;

    const ENTRY: Entry = Entry::local(Method::Post, &["cleanup", "run"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CleanupsRun>, OperationError> {
        context.refuse_dry_run(&Self::ENTRY.name())?;
        let dir = context.state_dir()?;
        let settings = cleaning(context);
        let queue = Queue::open(&dir)?;
        let (interrupt, ticker) = (context.front().catch(), context.front().ticker());
        let stop = || interrupt.requested().is_some();
        let told = |record: &CleanupRecord| {
            if let Some(ticker) = &ticker {
                ticker(&progress_line(record));
            }
        };
        let pass = Cleaner::new(dir.clone(), queue, settings, &stop).pass(true, &told)?;
        drop(ticker);
        let cleanups: Vec<CleanupEntry> = pass.worked_on.iter().map(|r| CleanupEntry::of(r, false)).collect();
        let count = |status| cleanups.iter().filter(|c| c.status == status).count() as u64;
        let report = CleanupsRun {
            derived: pass.derived,
            completed: count(CleanupStatus::Completed),
            waiting: count(CleanupStatus::Waiting) + count(CleanupStatus::Pending),
            parked: count(CleanupStatus::Parked),
            bytes_freed: cleanups.iter().map(|c| c.bytes_freed).sum(),
            findings: findings(&dir, &pass.worked_on, false)?,
            cleanups,
        };
        Ok(Done::complete_if(report.waiting + report.parked == 0, report))
    }
}

fn progress_line(record: &CleanupRecord) -> String {
    let phase = record.current_phase().and_then(|name| record.phase(name));
    let done = phase.map(|p| format!(" {} {}/{}", p.phase.as_str(), p.items_done, p.items_total));
    format!("{}{}", record.cleanup_id, done.unwrap_or_default())
}
