//! The waiting line, in the order in which jobs are to start.

use std::borrow::Cow;
use std::cmp::Ordering;

use recovery::queue::JobStatus;
use recovery::report::queue::{QueueStatus, Waiting};
use recovery::state::{Timestamp, human};

use super::jobs::actions;
use crate::action::Action;
use crate::listing::{Cell, Column, Listing, Object, Open, Tone};

const COLUMNS: &[Column] = &[
    Column::number("PLACE", 6, 0),
    Column::new("JOB", 16, 0).growing(2),
    Column::number("PRIO", 4, 2),
    Column::new("REPOSITORY", 12, 3).growing(1),
    Column::new("WAITS FOR", 16, 1).growing(2),
];

/// The waiting line and the queue's condition.
pub struct Queue {
    /// At a glance.
    pub status: QueueStatus,
    /// The jobs in the line.
    pub line: Vec<Waiting>,
}

fn waits_for(waiting: &Waiting, now: Timestamp) -> Cow<'_, str> {
    match (&waiting.waiting_for, waiting.not_before.filter(|at| *at > now)) {
        (Some(object), _) => (&**object).into(),
        (None, Some(at)) => format!("its start {}", human::ago(now, at)).into(),
        (None, None) => "a free worker".into(),
    }
}

impl Listing for Queue {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.line.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        (&*self.line[row].job_id).into()
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let waiting = &self.line[row];
        match column {
            0 => Cell::plain(waiting.position.to_string()),
            1 => Cell::plain(&*waiting.job_id),
            2 if waiting.priority != 0 => Cell::plain(waiting.priority.to_string()),
            3 => Cell::plain(waiting.repository.as_deref().unwrap_or_default()),
            4 => Cell::toned(waits_for(waiting, now), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (&self.line[a], &self.line[b]);
        match column {
            0 => a.position.cmp(&b.position),
            1 => a.job_id.cmp(&b.job_id),
            2 => b.priority.cmp(&a.priority),
            3 => a.repository.cmp(&b.repository),
            _ => (&a.waiting_for, a.not_before).cmp(&(&b.waiting_for, b.not_before)),
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let (status, counts) = (&self.status, &self.status.counts);
        let tone = if status.state == "healthy" { Tone::Good } else { Tone::Bad };
        let mut cells = vec![
            Cell::toned(format!("files {}", status.state), tone),
            Cell::plain(format!("{} waiting, {} running", counts.queued, counts.running)),
        ];
        if status.recovered.records_damaged > 0 {
            let text = format!(
                "{} at the last recovery",
                human::count(status.recovered.records_damaged, "damaged record")
            );
            cells.push(Cell::toned(text, Tone::Warning));
        }
        cells.push(Cell::toned(format!("last record {}", status.last_seq), Tone::Quiet));
        cells
    }

    fn empty(&self) -> &'static str {
        "Nothing waits."
    }

    fn open(&self, row: usize) -> Option<Open> {
        Some(Open::Object(Object::Job(self.line[row].job_id.clone())))
    }

    fn why(&self, row: usize) -> Option<Object> {
        Some(Object::Why(format!("job:{}", self.line[row].job_id)))
    }

    fn output(&self, row: usize) -> Option<Object> {
        Some(Object::Output(self.line[row].job_id.clone()))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let jobs: Vec<(&str, JobStatus)> =
            rows.iter().map(|&row| (&*self.line[row].job_id, JobStatus::Queued)).collect();
        actions(&jobs)
    }
}
