//! Power losses in a row: one in the operation, one in the recovery after it, one in the recovery after that.
//!
//! All combinations would be too many, so chains are sampled, each from random numbers of its own, so that a
//! chain is the same whichever others are tried.

use std::path::Path;

use crate::case::{Base, Case, Judged, judge};
use crate::image::{Detail, Random, disks};
use crate::moments::{Moment, moments};
use crate::record::Recorder;

/// The level of detail: one disk out of many is taken.
const DETAIL: Detail =
    Detail { all_subsets_up_to: 3, random_subsets: 4, every_byte_up_to: 0, most_per_moment: 60 };
/// How many power losses a chain has.
const LOSSES: usize = 3;

/// The result of a chain.
pub(crate) struct Followed {
    /// Number of disks recovered.
    pub(crate) tried: u64,
    /// The disk on which a condition fails, with the condition.
    pub(crate) failed: Option<(Case, String)>,
}

/// Follows one chain in the folder `world`.
pub(crate) fn follow(
    world: &Path,
    base: &Base,
    of_operation: &[Moment],
    boot_id: &str,
    mut random: Random,
) -> Followed {
    let mut tried = 0;
    let mut facts = None;
    let mut how = String::new();
    let mut of_recovery: Vec<Moment> = Vec::new();
    for loss in 0..LOSSES {
        let at_hand = if loss == 0 { of_operation } else { &of_recovery };
        if at_hand.is_empty() {
            break;
        }
        let moment = &at_hand[random.below(at_hand.len())];
        // Facts acknowledged before the first loss must survive all of them.
        let facts = facts.get_or_insert_with(|| moment.facts.clone());
        let what = ["event", "event of the recovery,", "event of the recovery after that,"][loss];
        how += &format!("{}power loss after {what} {}", if loss == 0 { "" } else { ", " }, moment.at);
        let mut chosen = None;
        let mut met = 0;
        let mut choices = random.fork();
        disks(&moment.model, &DETAIL, &mut random, &mut |tree| {
            met += 1;
            // Each disk has the same chance, although the total is not known in advance.
            if choices.below(met) == 0 {
                chosen = Some(tree);
            }
        });
        let Some(tree) = chosen else { break };
        let tree = tree.after_reboot(boot_id);
        let case = Case { tree, moment: how.clone(), facts: facts.clone(), shown: None, is_kill: false };
        tried += 1;
        match judge(world, base, &case, Recorder::in_memory(world)) {
            Ok(Judged { recovery, .. }) => of_recovery = moments(&case.tree, &recovery),
            Err(why) => return Followed { tried, failed: Some((case, why)) },
        }
    }
    Followed { tried, failed: None }
}
