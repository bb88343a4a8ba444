//! What was done on a verdict before.

use recovery::report::past_proof::PastProof;

use crate::paint::Tone;
use crate::text::Text;

/// What was done on such a verdict before, and what proved it then.
pub(crate) fn render_past(text: &mut Text, past: &[PastProof]) {
    for proof in past {
        text.gap();
        let reason = proof.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        text.toned(Tone::Strong, format!("{}  {} by {}{reason}", proof.at, proof.action, proof.by));
        proof.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
    }
    if !past.is_empty() {
        text.gap();
    }
}
