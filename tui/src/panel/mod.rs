//! The content of each view: one file a panel, which makes a list, or a document, from a report of the
//! library. [`crate::view`] draws it.

pub mod audit;
pub mod cleanup;
pub mod finding;
pub mod job;
pub mod jobs;
pub mod locks;
pub mod orphans;
pub mod overview;
pub mod queue;
pub mod startup;
pub mod webhooks;

use recovery::report::past_proof::PastProof;
use recovery::state::{Timestamp, human};

use crate::listing::{DocumentLine, Tone};

/// Earlier acts on such a verdict, with the evidence of that time.
fn past_lines(past: &[PastProof], now: Timestamp) -> impl Iterator<Item = DocumentLine> {
    past.iter().flat_map(move |proof| {
        let when = human::ago(now, proof.at);
        let reason = proof.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let head = format!("{} {when}, by {}{reason}", proof.action, proof.by);
        std::iter::once(DocumentLine::toned(head, Tone::Strong))
            .chain(proof.evidence.iter().map(DocumentLine::piece))
            .collect::<Vec<_>>()
    })
}
