//! The jobs that wait, in lines: one for each repository, and one of the jobs that need none. So the next job is
//! found without passing over the jobs that wait behind others.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeSet, BinaryHeap, HashMap, btree_set};
use std::ops::Bound;
use std::sync::Arc;

use super::job::{Job, QueuePosition};
use crate::state::JobId;

/// Higher priority first, then by position. The id is last: two jobs can have the same position only after the
/// log was lost and its numbers began anew.
pub(super) type OrderKey = (Reverse<i32>, QueuePosition, JobId);

pub(super) fn order_key(job: &Job) -> OrderKey {
    (Reverse(job.priority), job.place, job.id.clone())
}

type Line = BTreeSet<OrderKey>;

/// The lines: see the module. No line is empty.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Option<Arc<str>>, Line>,
    /// The first job of each line.
    heads: BTreeSet<OrderKey>,
}

impl Lines {
    pub(super) fn insert(&mut self, job: &Job) {
        let line = self.lines.entry(job.repository.clone()).or_default();
        let key = order_key(job);
        match line.first() {
            Some(head) if *head < key => {}
            head => {
                if let Some(head) = head {
                    self.heads.remove(head);
                }
                self.heads.insert(key.clone());
            }
        }
        line.insert(key);
    }

    pub(super) fn remove(&mut self, job: &Job) {
        let Some(line) = self.lines.get_mut(&job.repository) else { return };
        let key = order_key(job);
        if !line.remove(&key) || !self.heads.remove(&key) {
            return;
        }
        match line.first() {
            Some(head) => drop(self.heads.insert(head.clone())),
            None => drop(self.lines.remove(&job.repository)),
        }
    }

    /// The first of each line, in order.
    pub(super) fn heads(&self) -> impl Iterator<Item = &OrderKey> {
        self.heads.iter()
    }

    /// The job after this one in its line.
    pub(super) fn behind(&self, job: &Job, key: &OrderKey) -> Option<&OrderKey> {
        let line = self.lines.get(&job.repository)?;
        line.range((Bound::Excluded(key), Bound::Unbounded)).next()
    }

    /// All waiting jobs, in order.
    pub(super) fn iter(&self) -> Merged<'_> {
        Merged(self.lines.values().filter_map(Rest::of).map(Reverse).collect())
    }

    /// The repositories that jobs wait for.
    pub(super) fn repositories(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lines.keys().flatten()
    }
}

/// The rest of a line, ordered by its first job.
struct Rest<'a> {
    head: &'a OrderKey,
    rest: btree_set::Iter<'a, OrderKey>,
}

impl<'a> Rest<'a> {
    fn of(line: &'a Line) -> Option<Rest<'a>> {
        let mut rest = line.iter();
        Some(Rest { head: rest.next()?, rest })
    }
}

impl PartialEq for Rest<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head
    }
}

impl Eq for Rest<'_> {}

impl PartialOrd for Rest<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rest<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.head.cmp(other.head)
    }
}

/// See [`Lines::iter`].
pub(super) struct Merged<'a>(BinaryHeap<Reverse<Rest<'a>>>);

impl<'a> Iterator for Merged<'a> {
    type Item = &'a OrderKey;

    fn next(&mut self) -> Option<&'a OrderKey> {
        let mut first = self.0.peek_mut()?;
        let head = first.0.head;
        match first.0.rest.next() {
            Some(next) => first.0.head = next,
            None => drop(PeekMut::pop(first)),
        }
        Some(head)
    }
}
