//! One disk: recovered twice, and checked.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use recovery::durable::Disk;

use crate::event::Event;
use crate::facts::Fact;
use crate::invariants::{
    acknowledged, documents_are_whole, exits_are_kept, nothing_changed, unreadable_is_kept,
};
use crate::record::Recorder;
use crate::recovering::recover;
use crate::tree::Tree;
use crate::view::View;

/// Recovers `disk` twice in the folder `world` and checks the conditions; `base` is the disk before the
/// operation, without and with a reboot since. `recorder` records the first recovery.
///
/// # Errors
/// A sentence about the condition that does not hold.
pub(crate) fn check(
    world: &Path,
    base: &[Tree; 2],
    disk: &Tree,
    facts: &BTreeMap<String, Fact>,
    has_lost_power: bool,
    recorder: Recorder,
) -> Result<(View, Vec<Event>), String> {
    let checked = || check_inner(world, base, disk, facts, has_lost_power, recorder);
    catch_unwind(AssertUnwindSafe(checked)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("recovery panicked: {}", said.unwrap_or_default()))
    })
}

fn check_inner(
    world: &Path,
    base: &[Tree; 2],
    disk: &Tree,
    facts: &BTreeMap<String, Fact>,
    has_lost_power: bool,
    recorder: Recorder,
) -> Result<(View, Vec<Event>), String> {
    let laboratory = |e: crate::Error| format!("the laboratory failed: {e}");
    documents_are_whole(disk, base, has_lost_power)?;
    disk.restore(world).map_err(laboratory)?;
    let (view, recovery) = observed(world, recorder)?;
    let first = Tree::read(world).map_err(laboratory)?;
    acknowledged(&view, facts, world, has_lost_power)?;
    exits_are_kept(disk, &view)?;
    unreadable_is_kept(disk, &first)?;
    unreadable_is_kept(&base[0], &first).or_else(|_| unreadable_is_kept(&base[1], &first))?;
    let (again, _) = observed(world, Recorder::of_effects(world))?;
    let second = Tree::read(world).map_err(laboratory)?;
    nothing_changed(&first, &second)?;
    if again.essence() != view.essence() || again.state_id != view.state_id {
        return Err(format!("a second recovery shows {} instead of {}", again.essence(), view.essence()));
    }
    Ok((view, recovery))
}

/// Recovers, and checks that nothing outside the state directory is touched; returns the effects.
fn observed(world: &Path, recorder: Recorder) -> Result<(View, Vec<Event>), String> {
    let recorder = Arc::new(recorder);
    let view = recover(world, Disk::observed(recorder.clone()));
    let events = recorder.take();
    let outside = events.iter().find_map(|event| match event {
        // A sync of the outer folder makes a new folder durable.
        Event::Outside { effect } if !effect.starts_with("SyncDir") => Some(effect.clone()),
        Event::Changed { change, .. } if !change.is_within(Path::new("state")) => Some(format!("{change:?}")),
        _ => None,
    });
    match outside {
        Some(effect) => Err(format!("an effect outside the state directory: {effect}")),
        None => Ok((view?, events)),
    }
}
