//! The moments of a recording at which a crash can come, with the disk and the acknowledged facts.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::facts::Fact;
use crate::model::Model;
use crate::tree::Tree;

/// The disk and the acknowledged facts after one event of a recording.
#[derive(Clone)]
pub(crate) struct Moment {
    /// The event's number.
    pub(crate) at: usize,
    pub(crate) model: Model,
    pub(crate) facts: BTreeMap<String, Fact>,
    /// The index of the moment of the last acknowledgement.
    pub(crate) acknowledged_at: usize,
}

pub(crate) fn moments(base: &Tree, events: &[Event]) -> Vec<Moment> {
    let mut model = Model::new(base);
    let mut facts = BTreeMap::new();
    let mut moments: Vec<Moment> = Vec::new();
    let mut acknowledged_at = 0;
    // Facts stated before any change hold from the beginning.
    let first = |e: &&Event| !matches!(e, Event::Changed { .. } | Event::Page { .. });
    for event in events.iter().take_while(first) {
        if let Event::Acknowledged(fact) = event {
            facts.insert(fact.key(), fact.clone());
        }
    }
    moments.push(Moment { at: 0, model: model.clone(), facts: facts.clone(), acknowledged_at });
    for (number, event) in events.iter().enumerate() {
        model.play(event);
        match event {
            Event::Acknowledged(fact) => {
                facts.insert(fact.key(), fact.clone());
                acknowledged_at = moments.len();
            }
            Event::Changed { .. } | Event::Page { .. } | Event::SyncFailed { .. } => {}
            _ => continue,
        }
        let at = number + 1;
        moments.push(Moment { at, model: model.clone(), facts: facts.clone(), acknowledged_at });
    }
    moments
}
