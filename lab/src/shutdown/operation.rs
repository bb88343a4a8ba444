//! Plays the operations on one file system: at each moment the plug is pulled, and the rest is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::mount::{Kind, Mount, end_others};
use super::plug::{Hand, wait_until};
use crate::check::check;
use crate::event::Event;
use crate::facts::Fact;
use crate::operations::{self, Operation};
use crate::play::{Orders, Player};
use crate::record::Recorder;
use crate::seeded_bugs::Turn;
use crate::tree::Tree;
use crate::{Error, Tally};

/// The operations of a sample.
pub const SAMPLE: [&str; 6] = ["submit", "submit-batch", "attempt", "checkpoint", "lock", "recover"];

/// How much to try.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Of each operation at most so many moments, evenly taken; the first and the last are among them.
    pub moments: u64,
    /// The operations; empty for all.
    pub operations: Vec<String>,
    /// A fault of the library that is switched on.
    pub bug: Option<String>,
}

/// The result of a run.
#[derive(Debug)]
pub enum Tried {
    /// A row for each operation, told when it was finished.
    Rows(Vec<Tally>),
    /// Why nothing can be tried here.
    Skipped(String),
}

/// Tries operations on a file system that is shut down. `progress` is called after each moment, with how many
/// the operation has, `finished` with each row.
pub fn try_file_system(
    player: &Player,
    kind: Kind,
    extent: &Extent,
    progress: &(dyn Fn(&str, u64) + Sync),
    finished: &(dyn Fn(&Tally) + Sync),
) -> Result<Tried, Error> {
    // Two runs that play the same operation at the same time have jobs with the same name and claim, and a
    // recovery may take a process of the other for one of its own that is left.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The operation has the fault; its recovery does not.
    let _without_fault = Turn::with("")?;
    // The mount namespace belongs to a thread, which cannot leave it.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let place = crate::run::scratch()?;
            let mount = match Mount::make(kind, place.path()) {
                Ok(mount) => mount,
                Err(why) => return Ok(Tried::Skipped(why)),
            };
            let recording = place.path().join("recorded");
            let hand = match Hand::take(&recording, mount.folder()) {
                Ok(hand) => hand,
                Err(e) => return Ok(Tried::Skipped(format!("setpriv or python3: {e}"))),
            };
            let world = mount.folder().join("world");
            let boot_id = recovery::system::Host::this().boot_id;
            let base = [Tree::default(), Tree::default()];
            let mut bench = Bench { player, extent, mount, hand, recording, world, boot_id, base };
            let wanted = |o: &&Operation| {
                extent.operations.is_empty() || extent.operations.iter().any(|name| name == o.name)
            };
            let mut rows: Vec<Tally> = Vec::new();
            for operation in operations::ALL.iter().filter(wanted) {
                let name = format!("{}: {}", kind.name(), operation.name);
                if rows.iter().all(|row| row.operation != name) {
                    let row = bench.operation(operation, Tally::new(&*name), progress).unwrap_or_else(|e| {
                        let mut row = Tally::new(name);
                        row.note("the laboratory failed", Err(e.to_string()));
                        row
                    });
                    finished(&row);
                    rows.push(row);
                }
            }
            Ok(Tried::Rows(rows))
        });
        thread.join().unwrap_or_else(|_| Err("the laboratory panicked".into()))
    })
}

/// The tools of a run.
struct Bench<'a> {
    player: &'a Player,
    extent: &'a Extent,
    mount: Mount,
    hand: Hand,
    recording: PathBuf,
    world: PathBuf,
    boot_id: String,
    /// The disk before the operation, without and with a reboot since.
    base: [Tree; 2],
}

impl Bench<'_> {
    fn operation(
        &mut self,
        operation: &Operation,
        mut tally: Tally,
        progress: &dyn Fn(&str, u64),
    ) -> Result<Tally, Error> {
        let base = self.player.prepare(operation, &self.world)?;
        end_others(self.hand.id())?;
        self.base = [base.clone(), base.after_reboot(&self.boot_id)];
        // The first run goes to its end, to count the effects.
        self.begin(0)?;
        self.play(operation)?;
        tally.effects = self.hand.count()?;
        let wanted = moments(tally.effects + 1, self.extent.moments);
        let len = wanted.len() as u64;
        for at in wanted {
            self.begin(at)?;
            self.play(operation)?;
            tally.images += 1;
            let outcome = self.power_loss()?;
            tally.note(&format!("power loss before effect {at} of {}", tally.effects), outcome);
            progress(&tally.operation, len);
        }
        Ok(tally)
    }

    /// Restores everything as it was before the operation, and makes it durable.
    fn begin(&mut self, at: u64) -> Result<(), Error> {
        self.base[0].restore(&self.world)?;
        rustix::fs::syncfs(std::fs::File::open(&self.world)?)?;
        let _ = std::fs::remove_file(&self.recording);
        Ok(self.hand.set(at)?)
    }

    /// Plays until it ends or the power does.
    fn play(&self, operation: &Operation) -> Result<(), Error> {
        let orders = Orders { bug: self.extent.bug.clone(), ..Orders::default() };
        let mut process = self.player.begin(operation, &self.world, &self.recording, &orders)?;
        let is_over = wait_until(|| Ok(self.hand.is_pulled() || process.try_wait()?.is_some()))?;
        end_others(self.hand.id())?;
        process.wait()?;
        if is_over { Ok(()) } else { Err(format!("{} does not end", operation.name).into()) }
    }

    /// Cuts the power, if it is not cut yet, and restores it.
    fn power_loss(&self) -> Result<Result<(), String>, Error> {
        self.hand.pull()?;
        self.mount.mount_again(self.hand.id())?;
        let facts: BTreeMap<String, Fact> = Event::read_until_torn(&self.recording)?
            .into_iter()
            .filter_map(|event| match event {
                Event::Acknowledged(fact) => Some((fact.key(), fact)),
                _ => None,
            })
            .collect();
        let disk = Tree::read(&self.world)?.after_reboot(&self.boot_id);
        Ok(check(&self.world, &self.base, &disk, &facts, true, Recorder::of_effects(&self.world)).map(drop))
    }
}

/// At most so many of the numbers from 1 to `last`.
fn moments(last: u64, most: u64) -> Vec<u64> {
    if last <= most {
        return (1..=last).collect();
    }
    (0..most).map(|i| 1 + i * (last - 1) / (most - 1).max(1)).collect()
}
