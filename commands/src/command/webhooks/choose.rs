//! How chosen deliveries are shown.

use recovery::report::webhooks::{ChosenDelivery, RefusedDelivery};

use crate::paint::Tone;
use crate::text::Text;

pub(crate) fn describe(text: &mut Text, done: &str, chosen: &[ChosenDelivery], refused: &[RefusedDelivery]) {
    for delivery in chosen {
        let job = delivery.job_id.as_ref().map_or_else(String::new, |id| format!(" of job {id}"));
        text.line(format!("{}{job} to {} {done}", delivery.delivery_id, delivery.url));
    }
    for refused in refused {
        text.toned(Tone::Warning, format!("{}: {} [{}]", refused.delivery_id, refused.detail, refused.code));
    }
}
