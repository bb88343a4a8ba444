//! Which deliveries are meant, why not the others, and one record for all: for retrying and giving up.
use std::collections::{BTreeSet, HashMap};

use super::survey;
use crate::audit::{Entry, Trail};
use crate::findings::Object;
use crate::operations::jobs::ids::whole;
use crate::operations::{Context, ErrorKind, OperationError};
use crate::queue::Actor;
use crate::report::webhooks::{ChosenDelivery, RefusedDelivery};
use crate::webhooks::record::Operation;
use crate::webhooks::{DeliveryId, DeliveryLog, DeliveryLogState, DeliveryRefusal, Undelivered};

/// So many ids fit well into a record.
const A_RECORD: usize = 500;

/// So many have an entry of their own in the audit trail.
const NAMED: usize = 20;

/// What is asked for.
pub(super) struct Choice<'a> {
    pub(super) ids: &'a [String],
    pub(super) all_parked: bool,
    /// For the audit trail.
    pub(super) action: &'static str,
    /// Whether it can be done with one.
    pub(super) check: fn(&DeliveryLogState, DeliveryId) -> Result<(), DeliveryRefusal>,
    pub(super) operation: fn(Vec<DeliveryId>, Vec<String>, Actor) -> Operation,
}

type Chosen = (Vec<ChosenDelivery>, Vec<RefusedDelivery>);

/// Decides while nobody else can write, and records it.
pub(super) fn choose(context: &mut Context<'_>, choice: &Choice<'_>) -> Result<Chosen, OperationError> {
    let dir = context.state_dir()?;
    let survey = survey(context, &dir)?;
    let known: HashMap<String, &Undelivered> =
        survey.undelivered.iter().map(|u| (u.delivery.id.to_string(), u)).collect();
    let wanted: Vec<String> = if choice.all_parked {
        let parked = survey.undelivered.iter().filter(|u| u.is_parked());
        parked.map(|u| u.delivery.id.to_string()).collect()
    } else {
        let of = |id: &String| whole(known.keys().map(String::as_str), id);
        choice.ids.iter().map(of).collect::<Result<_, _>>()?
    };
    let trail = Trail::open(&dir)?;
    let mut log = DeliveryLog::open(&dir)?;
    let (actor, dry_run) = (context.actor(), context.is_dry_run());
    let chosen = log.decide(&mut |_| {}, |state, _| {
        let (mut chosen, mut refused, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for text in &wanted {
            match (known.get(text), text.parse()) {
                (Some(u), Ok(id)) => match (choice.check)(state, id) {
                    Ok(()) if ids.contains(&id) => {}
                    Ok(()) => {
                        ids.push(id);
                        chosen.push(ChosenDelivery::of(&u.delivery));
                    }
                    Err(refusal) => refused.push(RefusedDelivery::because(id, &refusal)),
                },
                (None, Ok(id)) if state.is_settled(id) => {
                    refused.push(RefusedDelivery::because(id, &DeliveryRefusal::Settled(id)));
                }
                _ => refused.push(RefusedDelivery::unknown(text)),
            }
        }
        let pieces = ids.chunks(A_RECORD).map(|ids| {
            let of = |id: &DeliveryId| known.get(&id.to_string()).map(|u| u.delivery.target.endpoint.clone());
            let endpoints: BTreeSet<String> = ids.iter().filter_map(of).collect();
            (choice.operation)(ids.to_vec(), endpoints.into_iter().collect(), actor.clone())
        });
        (if dry_run { Vec::new() } else { pieces.collect() }, (chosen, refused))
    })?;
    log.commit()?;
    if !dry_run {
        let entry =
            |object: Object, detail| Entry::done(dir.clock.now(), &actor, choice.action, object, detail);
        for delivery in chosen.0.iter().take(NAMED) {
            trail.record(&entry(Object::Webhook(delivery.delivery_id.to_string()), delivery.url.clone()))?;
        }
        if let Some(more) = chosen.0.len().checked_sub(NAMED).filter(|more| *more > 0) {
            let detail = format!("besides the {NAMED} that have an entry each");
            trail.record(&entry(Object::from(format!("webhooks:{more}")), detail))?;
        }
    }
    Ok(chosen)
}

/// Nothing found is a failure; some of it is done in part. Whether all of it was done.
pub(super) fn judge(
    context: &mut Context<'_>,
    chosen: &[ChosenDelivery],
    refused: &[RefusedDelivery],
) -> Result<bool, OperationError> {
    if chosen.is_empty() && refused.is_empty() {
        context.note("no delivery is parked");
    } else if chosen.is_empty() && refused.iter().all(|r| r.code == "no-such-delivery") {
        let error = OperationError::new(ErrorKind::NotFound, "there is no such undelivered delivery");
        return Err(error.code("no-such-delivery").hint("recoveryctl webhooks pending"));
    }
    Ok(refused.is_empty())
}
