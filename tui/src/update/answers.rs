//! Results of reading replace the shown content.

use std::sync::Arc;

use recovery::recovery::RecoveryOutcome;

use super::list;
use crate::message::{Answer, Ask, Effect, Trouble};
use crate::model::{Lost, Model, Overlay};
use crate::panel::overview::{Overview, Progress};
use crate::views::View;

pub(super) fn answered(model: &mut Model, answer: Answer) -> Vec<Effect> {
    // It may be known without a read that no recovery runs.
    if !matches!(answer, Answer::Progress(None)) {
        model.read_at = Some(model.now);
        model.lost = None;
    }
    match answer {
        Answer::Overview(overview) => overview_came(model, overview),
        Answer::Progress(Some(snapshot)) => {
            let is_over = snapshot.outcome != RecoveryOutcome::Running;
            let progress = Progress::of(&snapshot, model.now);
            let overview = match &model.overview {
                Some(overview) => overview.gone_on(progress),
                None => Overview::of_progress(progress),
            };
            overview_came(model, Arc::new(overview));
            if is_over && model.setting.is_recovering {
                return vec![Effect::Quit];
            }
        }
        Answer::Progress(None) => {}
        Answer::List(view, data) => {
            let list = &mut model.lists[view.number()];
            list.data = Some(data);
            list.trouble = None;
            list::arrange(model, view);
        }
        Answer::Object(object, document) => {
            for overlay in &mut model.overlays {
                if let Overlay::Page(page) = overlay
                    && page.object.as_ref() == Some(&object)
                {
                    page.document = Some(Arc::clone(&document));
                    page.trouble = None;
                }
            }
        }
    }
    Vec::new()
}

fn overview_came(model: &mut Model, overview: Arc<Overview>) {
    model.overview = Some(Arc::clone(&overview));
    let list = &mut model.lists[View::Overview.number()];
    list.data = Some(overview);
    list.trouble = None;
    list::arrange(model, View::Overview);
}

/// Keeps the shown content, and shows why it is not newer.
pub(super) fn trouble(model: &mut Model, ask: &Ask, trouble: Trouble) -> Vec<Effect> {
    let why = match trouble {
        Trouble::NotRead(why) => why,
        Trouble::Unreachable(why) => {
            let since = model.lost.as_ref().map(|lost| lost.since).or(model.read_at).unwrap_or(model.now);
            model.lost = Some(Lost { since, why });
            return Vec::new();
        }
    };
    match ask {
        Ask::Overview | Ask::Progress => model.lists[View::Overview.number()].trouble = Some(why),
        Ask::List(view) => model.lists[view.number()].trouble = Some(why),
        Ask::Object(object) => {
            for overlay in &mut model.overlays {
                if let Overlay::Page(page) = overlay
                    && page.object.as_ref() == Some(object)
                {
                    page.trouble = Some(why.clone());
                }
            }
        }
    }
    Vec::new()
}
