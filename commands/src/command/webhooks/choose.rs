//! What `retry webhook` and `webhooks discard` have in common: which deliveries, why not the others, and
//! one record for all.

use std::collections::{BTreeSet, HashMap};

use recovery::audit::{Entry, Trail};
use recovery::findings::Object;
use recovery::queue::Actor;
use recovery::report::webhooks::{ChosenDelivery, RefusedDelivery};
use recovery::webhooks::record::Operation;
use recovery::webhooks::{DeliveryId, DeliveryLog, DeliveryLogState, DeliveryRefusal, Undelivered};

use crate::command::webhooks::survey::survey;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::text::Text;
use recovery::operations::jobs::ids::whole;

/// So many ids fit well into a record.
const A_RECORD: usize = 500;

/// So many have an entry of their own in the audit trail.
const NAMED: usize = 20;

/// What is asked for.
pub(crate) struct Choice<'a> {
    pub(crate) ids: &'a [String],
    pub(crate) all_parked: bool,
    /// For the audit trail.
    pub(crate) action: &'static str,
    /// Whether it can be done with one.
    pub(crate) check: fn(&DeliveryLogState, DeliveryId) -> Result<(), DeliveryRefusal>,
    pub(crate) operation: fn(Vec<DeliveryId>, Vec<String>, Actor) -> Operation,
}

type Chosen = (Vec<ChosenDelivery>, Vec<RefusedDelivery>);

/// Decides while nobody else can write, and records it.
pub(crate) fn choose(context: &mut Context, choice: &Choice<'_>) -> Result<Chosen, CliError> {
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
        let entry = |object, detail| Entry::done(dir.clock.now(), &actor, choice.action, object, detail);
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

pub(crate) fn describe(text: &mut Text, done: &str, chosen: &[ChosenDelivery], refused: &[RefusedDelivery]) {
    for delivery in chosen {
        let job = delivery.job_id.as_ref().map_or_else(String::new, |id| format!(" of job {id}"));
        text.line(format!("{}{job} to {} {done}", delivery.delivery_id, delivery.url));
    }
    for refused in refused {
        text.toned(Tone::Warning, format!("{}: {} [{}]", refused.delivery_id, refused.detail, refused.code));
    }
}

/// Nothing found is a failure; some of it is done in part.
pub(crate) fn ending(
    context: &mut Context,
    chosen: &[ChosenDelivery],
    refused: &[RefusedDelivery],
) -> Result<Ending, CliError> {
    if chosen.is_empty() && refused.is_empty() {
        context.output.note("no delivery is parked");
    } else if chosen.is_empty() && refused.iter().all(|r| r.code == "no-such-delivery") {
        return Err(CliError::new(ErrorKind::NotFound, "there is no such undelivered delivery")
            .code("no-such-delivery")
            .hint("recoveryctl webhooks pending"));
    }
    Ok(if refused.is_empty() { Ending::Done } else { Ending::Degraded })
}
