//! Generates the disks that a power loss could leave at one moment, by the model.

use std::sync::Arc;

use crate::event::Bytes;
use crate::model::{DataChange, Id, Model, overwrite};
use crate::tree::Tree;

const SECTOR: usize = 512;

/// How many disks to make where all combinations would be too many.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    /// Up to so many unsynced changes of names, every subset is tried; beyond that all lost, all kept,
    /// each alone lost, each alone kept, every prefix, and some at random.
    pub all_subsets_up_to: usize,
    /// Subsets at random beyond that.
    pub random_subsets: usize,
    /// A write of up to this many bytes is torn at every byte, a longer one at sector borders and some bytes.
    pub every_byte_up_to: usize,
    /// The largest number of disks for one moment.
    pub most_per_moment: usize,
}

impl Detail {
    /// The level for every run of the tests.
    pub const BOUNDED: Detail =
        Detail { all_subsets_up_to: 4, random_subsets: 2, every_byte_up_to: 0, most_per_moment: 400 };
    /// The level for the full run.
    pub const FULL: Detail =
        Detail { all_subsets_up_to: 6, random_subsets: 12, every_byte_up_to: 1200, most_per_moment: 6000 };
}

/// Passes every disk to `each`; the first one has lost nothing.
pub(crate) fn disks(model: &Model, detail: &Detail, random: &mut Random, each: &mut dyn FnMut(Tree)) {
    let dirty = model.dirty();
    let all_variants: Vec<(Id, Vec<Variant>)> =
        dirty.iter().map(|&id| (id, variants(model, id, detail, random))).collect();
    let choices = choices_of_names(model.unsynced_names(), detail, random);
    let mut left = detail.most_per_moment;
    // First come contents that are lost or kept as a whole, for every choice of names.
    for kept in &choices {
        for content in [Model::kept, Model::lost, zeros_of] {
            if left == 0 {
                return;
            }
            each(model.disk(kept, &mut |id| content(model, id)));
            left -= 1;
        }
    }
    // Then come the variants of one file at a time, with the others kept or lost. Where these are too many,
    // only some are taken.
    let mut others = all_variants.iter().map(|(_, of_file)| of_file.len()).sum::<usize>() * choices.len() * 2;
    for kept in &choices {
        for (chosen, of_file) in &all_variants {
            for variant in of_file {
                for rest in [Model::kept, Model::lost] {
                    let is_wanted = random.below(others) < left;
                    others -= 1;
                    if is_wanted {
                        let content = variant.content(model, *chosen);
                        let mut with = |id: Id| if id == *chosen { content.clone() } else { rest(model, id) };
                        each(model.disk(kept, &mut with));
                        left -= 1;
                    }
                }
            }
        }
    }
}

/// Returns which unsynced changes of names to keep: first all, then none.
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

/// A possible content of a file. Contents are made on demand: of thousands only a few are used.
#[derive(Debug, Clone, Copy)]
enum Variant {
    /// The first changes, this many, in their order.
    First(usize),
    /// All changes but this: those of different pages arrive in any order.
    Without(usize),
    /// Only the beginning arrived of the write that follows the first changes, `before` in number.
    Beginning { before: usize, cut: usize },
    /// As [`Variant::Beginning`], with the full length.
    BeginningAtLength { before: usize, cut: usize },
    /// Only the end arrived: the system writes pages in any order.
    End { before: usize, cut: usize },
    /// The length is right and the new content is missing.
    Zeros,
}

/// Returns the variants: everything, nothing new, a part of the changes, a torn change, zeros.
fn variants(model: &Model, id: Id, detail: &Detail, random: &mut Random) -> Vec<Variant> {
    let changes: Vec<&DataChange> = model.pending(id).collect();
    let mut found: Vec<Variant> = (0..=changes.len()).map(Variant::First).collect();
    for (before, change) in changes.iter().enumerate() {
        let DataChange::Write { offset, bytes } = change else { continue };
        let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
        let is_longer = model.with_changes(id, before).len() < offset + bytes.len();
        for cut in cuts(offset, bytes.len(), detail, random) {
            found.push(Variant::Beginning { before, cut });
            if is_longer {
                found.push(Variant::BeginningAtLength { before, cut });
            }
            if (offset + cut).is_multiple_of(SECTOR) {
                found.push(Variant::End { before, cut });
            }
        }
    }
    if changes.len() > 1 {
        // All changes without the last one are the first ones.
        found.extend((0..changes.len() - 1).map(Variant::Without));
    }
    found.push(Variant::Zeros);
    found
}

impl Variant {
    fn content(self, model: &Model, id: Id) -> Bytes {
        let after = |before: usize, from: usize, to: Option<usize>, is_full: bool| {
            let mut content = model.with_changes(id, before).to_vec();
            if let Some(DataChange::Write { offset, bytes }) = model.pending(id).nth(before) {
                let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                overwrite(&mut content, offset + from, &bytes[from..to.unwrap_or(bytes.len())]);
                if is_full && content.len() < offset + bytes.len() {
                    content.resize(offset + bytes.len(), 0);
                }
            }
            Arc::new(content)
        };
        match self {
            Variant::First(count) => model.with_changes(id, count),
            Variant::Without(lost) => {
                let mut content = model.lost(id).to_vec();
                let others = model.pending(id).enumerate().filter(|(at, _)| *at != lost);
                others.for_each(|(_, change)| change.apply(&mut content));
                Arc::new(content)
            }
            Variant::Beginning { before, cut } => after(before, 0, Some(cut), false),
            Variant::BeginningAtLength { before, cut } => after(before, 0, Some(cut), true),
            Variant::End { before, cut } => after(before, cut, None, false),
            Variant::Zeros => zeros_of(model, id),
        }
    }
}

/// The length is right and the new content is missing.
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

    /// Returns another generator that follows from this one.
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
