//! What is read behind a line, at fixed sizes: a job with its output, the evidence about jobs and locks with the
//! waiting line, and what the other lists open.

use crate::support;
use std::sync::Arc;

use crate::support::{Names, at, compare_all, documents, press, reports, showing};
use recovery_tui::key::Key;
use recovery_tui::listing::{Document, Object};
use recovery_tui::message::{Answer, Message};
use recovery_tui::{Model, View, update};

const KINDS: [(Names, &str); 2] = [(Names::Plain, "typical"), (Names::Hostile, "hostile")];

/// The first line's page of a view, opened with a key and answered.
fn opened(view: View, names: Names, key: char, object: Object, document: Arc<dyn Document>) -> Model {
    let mut model = showing(view, reports::list(view, names, 7));
    press(&mut model, &[Key::Char('g'), if key == '\n' { Key::Enter } else { Key::Char(key) }]);
    assert_eq!(model.wanted()[0], recovery_tui::message::Ask::Object(object.clone()));
    update(&mut model, Message::Answer(Answer::Object(object, document)));
    model
}

#[test]
fn a_job_and_its_evidence() {
    for (names, kind) in KINDS {
        let first = names.name(0);
        let job = Object::Job(first.clone());
        compare_all(
            &format!("page-job-{kind}"),
            &opened(View::Jobs, names, '\n', job, Arc::new(documents::job(names))),
        );
        let why = Object::Why(format!("job:{first}"));
        compare_all(
            &format!("page-why-job-{kind}"),
            &opened(View::Jobs, names, 'w', why, Arc::new(documents::why_job(names))),
        );
    }
}

#[test]
fn a_lock_its_evidence_and_who_waits() {
    for (names, kind) in KINDS {
        // What cannot be judged comes first in this list.
        let why = Object::Why(format!("lock:{}", names.name(3)));
        let page = opened(View::Locks, names, '\n', why, Arc::new(documents::why_lock(names)));
        compare_all(&format!("page-why-lock-{kind}"), &page);
    }
}

#[test]
fn what_the_other_lists_open() {
    for (names, kind) in KINDS {
        for view in [View::Cleanup, View::Orphans, View::Startup, View::Webhooks, View::Audit] {
            let mut model = showing(view, reports::list(view, names, 7));
            press(&mut model, &[Key::Char('g'), Key::Enter]);
            assert_eq!(model.depth(), 1, "{view:?}");
            compare_all(&format!("page-{}-{kind}", view.title().to_lowercase()), &model);
        }
    }
}

#[test]
fn a_page_is_scrolled_to_its_end_at_any_size() {
    let object = Object::Job(Names::Hostile.name(0));
    let document = Arc::new(documents::job(Names::Hostile));
    let page = opened(View::Jobs, Names::Hostile, '\n', object, document);
    for (columns, rows) in support::SIZES {
        let mut page = at(&page, columns, rows);
        press(&mut page, &[Key::Char('G')]);
        let text = recovery_tui::text_of(&recovery_tui::picture(&page, support::THEME));
        assert!(text.contains("line 19"), "{columns}×{rows}:\n{text}");
    }
}
