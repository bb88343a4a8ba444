//! A finding: its object, its meaning, and the way out.

use recovery::findings::{self, Finding, Severity, catalogue};

use crate::action::{Meant, meant};
use crate::listing::{Document, DocumentLine, Object, Text, Tone};

/// How a severity looks.
pub(crate) fn tone_of(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Plain,
        Severity::Warning => Tone::Warning,
        Severity::Error | Severity::Critical => Tone::Bad,
    }
}

/// The finding itself, and what deals with it.
pub(crate) fn line_of(finding: &Finding) -> Vec<DocumentLine> {
    let text = format!("{}: {}: {} [{}]", finding.severity, finding.object, finding.sentence, finding.code);
    let mut lines = vec![DocumentLine { text, tone: tone_of(finding.severity), indent: 2 }];
    if let Some(next) = &finding.next {
        lines.push(DocumentLine { text: format!("  next: {next}"), tone: Tone::Strong, indent: 8 });
    }
    lines
}

/// The finding with all that the catalogue says of its kind.
pub(crate) fn document(finding: &Finding) -> impl Document + use<> {
    let mut lines = line_of(finding);
    if let Some(entry) = catalogue::find(&finding.code) {
        let mut part = |title: &str, text: &str| {
            lines.push(DocumentLine::plain(""));
            lines.push(DocumentLine::toned(title, Tone::Strong));
            lines.push(DocumentLine::plain(text));
        };
        part(entry.title, entry.meaning);
        part("What was done", entry.done);
        part("What is left to do", entry.advice);
    }
    let action = finding.next.as_deref().and_then(|next| match meant(next) {
        Meant::Action(action) => Some(*action),
        _ => None,
    });
    let title = format!("{} {}", finding.severity, finding.code);
    Text { title, lines, actions: action.into_iter().collect() }
}

/// The object whose evidence can be shown, if there is any.
pub(crate) fn why(object: &findings::Object) -> Option<Object> {
    let has_evidence =
        matches!(object, findings::Object::Job(_) | findings::Object::Lock(_) | findings::Object::Orphan(_));
    has_evidence.then(|| Object::Why(object.to_string()))
}
