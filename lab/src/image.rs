//! Which disks a power loss could leave at one moment, of those that the model allows.

use std::sync::Arc;

use crate::event::Bytes;
use crate::model::{DataChange, Id, Model, overwrite};
use crate::tree::Tree;

const SECTOR: usize = 512;

/// How far to go where all combinations would be too many.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    /// Up to so many unsynced changes of names, every subset is tried; beyond that all lost, all kept,
    /// each alone lost, each alone kept, every prefix, and some at random.
    pub all_subsets_up_to: usize,
    /// Subsets at random beyond that.
    pub random_subsets: usize,
    /// A write of up to so many bytes is torn at every byte, a longer one at sector borders and some bytes.
    pub every_byte_up_to: usize,
    /// At most so many disks of one moment.
    pub most_per_moment: usize,
}

impl Detail {
    /// For every run of the tests.
    pub const BOUNDED: Detail =
        Detail { all_subsets_up_to: 4, random_subsets: 2, every_byte_up_to: 0, most_per_moment: 400 };
    /// For the full run.
    pub const FULL: Detail =
        Detail { all_subsets_up_to: 6, random_subsets: 12, every_byte_up_to: 1200, most_per_moment: 6000 };
}

/// Hands every disk to `each`; the first one has lost nothing.
pub(crate) fn disks(model: &Model, detail: &Detail, random: &mut Random, each: &mut dyn FnMut(Tree)) {
    let dirty = model.dirty();
    let variants: Vec<(Id, Vec<Bytes>)> =
        dirty.iter().map(|&id| (id, contents(model, id, detail, random))).collect();
    let choices = choices_of_names(model.unsynced_names(), detail, random);
    let mut left = detail.most_per_moment;
    // First what is lost or kept as a whole, for every choice of names.
    for kept in &choices {
        for content in [Model::kept, Model::lost, zeros_of] {
            if left == 0 {
                return;
            }
            each(model.disk(kept, &mut |id| content(model, id)));
            left -= 1;
        }
    }
    // Then one file at a time, the others kept or lost. Where these are too many, some of all of them.
    let mut others = variants.iter().map(|(_, contents)| contents.len()).sum::<usize>() * choices.len() * 2;
    for kept in &choices {
        for (chosen, contents) in &variants {
            for content in contents {
                for rest in [Model::kept, Model::lost] {
                    let is_wanted = random.below(others) < left;
                    others -= 1;
                    if is_wanted {
                        let mut with = |id: Id| if id == *chosen { content.clone() } else { rest(model, id) };
                        each(model.disk(kept, &mut with));
                        left -= 1;
                    }
                }
            }
        }
    }
}

/// Which unsynced changes of names to keep. First all, then none.
fn choices_of_names(count: usize, detail: &Detail, random: &mut Random) -> Vec<Vec<bool>> {
    let mut choices = vec![vec![true; count], vec![false; count]];
    if count <= detail.all_subsets_up_to {
        choices
            .extend((1..(1usize << count) - 1).map(|bits| (0..count).map(|i| bits >> i & 1 == 1).collect()));
        return choices;
    }
    for at in 0..count {
        choices.push((0..count).map(|i| i != at).collect());
        choices.push((0..count).map(|i| i == at).collect());
        choices.push((0..count).map(|i| i < at).collect());
    }
    for _ in 0..detail.random_subsets {
        choices.push((0..count).map(|_| random.below(2) == 1).collect());
    }
    choices
}

/// What a file may hold: everything, nothing new, a part of the changes, a torn last one, zeros.
fn contents(model: &Model, id: Id, detail: &Detail, random: &mut Random) -> Vec<Bytes> {
    let changes: Vec<&DataChange> = model.pending(id).collect();
    let mut found = vec![model.kept(id), model.lost(id)];
    for (count, change) in changes.iter().enumerate() {
        let before = model.with_changes(id, count);
        let DataChange::Write { offset, bytes } = change else {
            found.push(before);
            continue;
        };
        let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
        for cut in cuts(offset, bytes.len(), detail, random) {
            // Only the beginning arrived, and the length with it or the full one.
            let mut torn = before.to_vec();
            overwrite(&mut torn, offset, &bytes[..cut]);
            found.push(Arc::new(torn.clone()));
            if torn.len() < offset + bytes.len() {
                torn.resize(offset + bytes.len(), 0);
                found.push(Arc::new(torn));
            }
            // Only the end arrived: the system writes pages in any order.
            if (offset + cut).is_multiple_of(SECTOR) {
                let mut torn = before.to_vec();
                overwrite(&mut torn, offset + cut, &bytes[cut..]);
                found.push(Arc::new(torn));
            }
        }
        found.push(before);
    }
    // Each alone lost: changes of different pages arrive in any order.
    if changes.len() > 1 {
        for lost in 0..changes.len() {
            let mut content = model.lost(id).to_vec();
            changes.iter().enumerate().filter(|(i, _)| *i != lost).for_each(|(_, c)| c.apply(&mut content));
            found.push(Arc::new(content));
        }
    }
    found.push(zeros_of(model, id));
    found.sort();
    found.dedup();
    found
}

/// The length is right and what is new is not there.
fn zeros_of(model: &Model, id: Id) -> Bytes {
    let (kept, lost) = (model.kept(id), model.lost(id));
    if kept.len() <= lost.len() {
        return lost;
    }
    let mut content = lost.to_vec();
    content.resize(kept.len(), 0);
    Arc::new(content)
}

/// Where a write of `len` bytes at `offset` may break off.
fn cuts(offset: usize, len: usize, detail: &Detail, random: &mut Random) -> Vec<usize> {
    if len <= detail.every_byte_up_to {
        return (1..len).collect();
    }
    let borders = (offset / SECTOR + 1..).map(|n| n * SECTOR - offset).take_while(|&cut| cut < len);
    let mut cuts: Vec<usize> = borders.take(64).collect();
    if len > 1 {
        cuts.extend([1, len / 2, len - 1]);
        cuts.push(1 + random.below(len - 1));
    }
    cuts.retain(|&cut| cut > 0 && cut < len);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Numbers from a seed (xorshift64*): a run can be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    /// Others that follow from these.
    pub(crate) fn fork(&mut self) -> Random {
        Random::new(self.number())
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() >> 33).unwrap_or(0) % limit.max(1)
    }

    fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
