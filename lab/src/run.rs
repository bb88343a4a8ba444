//! One operation through the laboratory: recorded, every disk made, each recovered and checked.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::case::{Base, Case, Objects, Shown, judge, keep};
use crate::event::Event;
use crate::image::{Detail, Random, disks};
use crate::moments::{Moment, moments};
use crate::nested::follow;
use crate::operations::Operation;
use crate::parallel_map::parallel_map;
use crate::play::{Orders, Player, Recording};
use crate::record::Recorder;
use crate::seeded_bugs::Turn;

/// How much to try.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The level of detail.
    pub detail: Detail,
    /// Whether each sync is made to fail once.
    pub failing_syncs: bool,
    /// The largest number of disks for each of those recordings.
    pub most_after_failed_sync: usize,
    /// How many syncs of an operation are made to fail at most, evenly chosen.
    pub most_failing_syncs: usize,
    /// At most so many kills of one recording, evenly spaced. Power losses are compared with kills only where
    /// every kill around that moment was tried.
    pub most_kills: usize,
    /// The largest number of disks for one recording.
    pub most_images: usize,
    /// Beyond the limits the choice follows from this seed; without one it is made at equal distances.
    pub seed: Option<u64>,
    /// For this many of the kills, evenly chosen, recovery is recorded too and the power is cut after it.
    pub power_losses_after_kills: usize,
    /// The largest number of disks for each of those.
    pub most_after_kill: usize,
    /// Stop an operation at its first failure.
    pub stop_at_first: bool,
    /// How many disks are tried in parallel.
    pub workers: usize,
    /// Number of chains of power losses: one in the operation, one in the recovery after it, one in the
    /// recovery after that.
    pub chains: usize,
    /// Where disks are kept on which something does not hold, for [`crate::try_kept`].
    pub keep: Option<PathBuf>,
}

/// How many disks of one operation are kept at most.
const MOST_KEPT: usize = 20;

impl Limits {
    /// For every run of the tests.
    pub fn bounded() -> Limits {
        Limits {
            detail: Detail::BOUNDED,
            failing_syncs: false,
            most_after_failed_sync: 2,
            most_failing_syncs: 20,
            most_kills: 8,
            most_images: 8,
            seed: None,
            power_losses_after_kills: 1,
            most_after_kill: 3,
            stop_at_first: false,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            chains: 1,
            keep: None,
        }
    }

    /// As [`Limits::bounded_for`], without any disk: to see which write paths the operation takes.
    pub fn recording_of(operation: &Operation) -> Limits {
        Limits {
            most_kills: 0,
            most_images: 0,
            most_after_failed_sync: 0,
            power_losses_after_kills: 0,
            chains: 0,
            ..Limits::bounded_for(operation)
        }
    }

    /// As [`Limits::bounded`], for this operation: some write paths are those of a log whose sync failed, and
    /// one operation is enough to take them.
    pub fn bounded_for(operation: &Operation) -> Limits {
        Limits { failing_syncs: operation.name == "submit", ..Limits::bounded() }
    }

    /// For the full run: a choice from a seed where there are more disks than a quarter of an hour allows.
    pub fn full(seed: u64) -> Limits {
        Limits {
            detail: Detail::FULL,
            failing_syncs: true,
            most_after_failed_sync: 30,
            most_failing_syncs: 8,
            most_kills: 400,
            most_images: 1000,
            seed: Some(seed),
            power_losses_after_kills: 10,
            most_after_kill: 40,
            stop_at_first: false,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            chains: 100,
            keep: None,
        }
    }

    /// Everything: many hours.
    pub fn every(seed: u64) -> Limits {
        Limits {
            most_after_failed_sync: 150,
            most_failing_syncs: usize::MAX,
            most_kills: usize::MAX,
            most_images: usize::MAX,
            power_losses_after_kills: usize::MAX,
            most_after_kill: 400,
            chains: 20_000,
            ..Limits::full(seed)
        }
    }

    /// Returns the level of detail for one of `moments` moments, of which at most `most` disks are tried:
    /// several times as many are made as are needed, because many are equal.
    fn detail_of(&self, moments: usize, most: usize) -> Detail {
        let wanted = most.saturating_mul(4) / moments.max(1) + 20;
        Detail { most_per_moment: self.detail.most_per_moment.min(wanted), ..self.detail }
    }
}

/// The disks to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// One, by the number that a failure names.
    One(usize),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This many more disks will be tried.
    Planned(usize),
    /// One disk was tried.
    Tried,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub operation: String,
    /// The number of the disk, with which it can be tried again.
    pub image: usize,
    /// How the disk came about.
    pub moment: String,
    /// The condition that does not hold.
    pub why: String,
    /// The folder in which it is kept, when that was wanted.
    pub kept: Option<PathBuf>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} image {} ({}): {}", self.operation, self.image, self.moment, self.why)?;
        self.kept.as_ref().map_or(Ok(()), |folder| write!(f, " [kept in {}]", folder.display()))
    }
}

/// The result of an operation.
#[derive(Debug, Default)]
pub struct Report {
    /// Effects recorded.
    pub effects: u64,
    /// Different disks tried.
    pub images: u64,
    /// Syncs that were made to fail.
    pub faults: u64,
    /// The conditions that do not hold.
    pub failures: Vec<Failure>,
    /// The write paths that were taken, as `file:line`.
    pub sites: BTreeSet<String>,
}

/// Records an operation and tries it.
///
/// # Errors
/// When the laboratory itself fails; failed conditions are in the report.
pub fn run_operation(
    player: &Player,
    operation: &Operation,
    orders: &Orders,
    limits: &Limits,
    which: Which,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Report, Error> {
    // The turn is for recoveries in this process: played processes have their own.
    let _turn = Turn::with(orders.bug.as_deref().unwrap_or_default())?;
    let place = scratch()?;
    let recorded = place.path().join("recorded");
    let base = player.prepare(operation, &recorded)?;
    let mut run = Run {
        player,
        orders,
        operation,
        limits,
        which,
        base: [base.clone(), base.after_reboot(&recovery::system::Host::this().boot_id)],
        progress,
        place: place.path(),
        seen: HashMap::new(),
        number: 0,
        report: Report::default(),
        random: Random::new(limits.seed.unwrap_or(0x5eed_0001)),
    };
    let recording = player.record(operation, &base, &recorded, orders)?;
    run.note(&recording);
    run.recording(&recording, "")?;
    if limits.failing_syncs && !run.is_over() {
        for failing_sync in evenly((1..=recording.syncs()).collect(), limits.most_failing_syncs) {
            let orders = Orders { failing_sync, ..orders.clone() };
            let recording = player.record(operation, &base, &recorded, &orders)?;
            run.report.faults += 1;
            run.note_sites(&recording);
            run.recording(&recording, &format!("sync {failing_sync} failed, "))?;
        }
    }
    Ok(run.report)
}

/// Makes a temporary folder, in memory where possible: a hundred thousand disks are written.
pub(crate) fn scratch() -> Result<tempfile::TempDir, Error> {
    let memory = Path::new("/dev/shm");
    Ok(tempfile::Builder::new()
        .prefix("recovery-lab-")
        .tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())?)
}

impl Recording {
    fn syncs(&self) -> u64 {
        let is_sync = |e: &&Event| matches!(e, Event::Changed { change, .. } if change.is_sync());
        self.events.iter().filter(is_sync).count() as u64
    }
}

struct Run<'a> {
    player: &'a Player,
    orders: &'a Orders,
    operation: &'a Operation,
    limits: &'a Limits,
    which: Which,
    /// The disk before the operation, without and with a reboot since.
    base: Base,
    progress: &'a (dyn Fn(Step) + Sync),
    place: &'a Path,
    /// The results of tried disks, by disk and conditions.
    seen: HashMap<u64, Option<Objects>>,
    number: usize,
    report: Report,
    random: Random,
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        self.limits.stop_at_first && !self.report.failures.is_empty()
    }

    fn note_sites(&mut self, recording: &Recording) {
        for event in &recording.events {
            if let Event::Changed { site, .. } | Event::Reached { site } = event {
                self.report.sites.insert(site.clone());
            }
        }
    }

    fn note(&mut self, recording: &Recording) {
        for event in &recording.events {
            match event {
                Event::Changed { site, .. } => {
                    self.report.effects += 1;
                    self.report.sites.insert(site.clone());
                }
                Event::Reached { site } => {
                    self.report.sites.insert(site.clone());
                }
                // A sync of the outer folder makes a new folder durable.
                Event::Outside { effect } if effect.starts_with("SyncDir") => {}
                Event::Outside { effect } => self.report.failures.push(Failure {
                    operation: self.operation.name.to_owned(),
                    image: 0,
                    moment: "recording".to_owned(),
                    why: format!("an effect outside the world: {effect}"),
                    kept: None,
                }),
                _ => {}
            }
        }
    }

    /// Kills at every event, then power losses at every event.
    fn recording(&mut self, recording: &Recording, how: &str) -> Result<(), Error> {
        let boot_id = recovery::system::Host::this().boot_id;
        let mut moments = moments(&recording.base, &recording.events);
        let mut most = self.limits.most_images;
        if !how.is_empty() {
            most = self.limits.most_after_failed_sync;
            // The recording before the failure was tried already.
            let failed = |e: &Event| matches!(e, Event::SyncFailed { .. });
            let failed_at = recording.events.iter().position(failed).unwrap_or(recording.events.len());
            moments.retain(|m| m.at > failed_at);
            moments = evenly(moments, most);
        }
        let chosen = evenly((0..moments.len()).collect(), self.limits.most_kills);
        let kills = chosen.iter().map(|&index| &moments[index]).map(|m| Case {
            tree: m.model.everything(),
            moment: format!("{how}killed after event {}", m.at),
            facts: m.facts.clone(),
            shown: None,
            is_kill: true,
        });
        let mut views: Vec<Option<Objects>> = vec![None; moments.len()];
        let shown = self.try_all(&kills.collect::<Vec<_>>())?;
        chosen.into_iter().zip(shown).for_each(|(index, shown)| views[index] = shown);
        if self.is_over() || most == 0 {
            return Ok(());
        }
        // Of the moments at which a disk is possible, the last has the most facts acknowledged.
        let mut cases: Vec<Case> = Vec::new();
        let mut known: HashMap<u64, usize> = HashMap::new();
        let mut seeds = self.random.clone();
        let detail = self.limits.detail_of(moments.len(), most);
        for (index, moment) in moments.iter().enumerate() {
            // A file that is being written may already have its next content.
            let next = (index + 2).min(views.len() - 1);
            let since = &views[moment.acknowledged_at.min(index)..=next];
            // An error that a kill showed is reported already.
            let shown = (how.is_empty() && since.iter().all(Option::is_some))
                .then(|| Arc::new(Shown::of(&since.iter().flatten().collect::<Vec<_>>())));
            disks(&moment.model, &detail, &mut seeds, &mut |tree| {
                let fingerprint = tree.fingerprint();
                let case = Case {
                    tree,
                    moment: format!("{how}power loss after event {}", moment.at),
                    facts: moment.facts.clone(),
                    shown: shown.clone(),
                    is_kill: false,
                };
                match known.get(&fingerprint) {
                    Some(&at) => cases[at] = case,
                    None => {
                        known.insert(fingerprint, cases.len());
                        cases.push(case);
                    }
                }
            });
        }
        let mut cases = self.chosen(cases, most);
        cases.iter_mut().for_each(|case| case.tree = case.tree.after_reboot(&boot_id));
        self.try_all(&cases)?;
        if how.is_empty() {
            if !self.is_over() && self.which == Which::All {
                self.power_losses_in_a_row(&moments, &boot_id)?;
            }
            for moment in evenly(moments, self.limits.power_losses_after_kills) {
                if self.is_over() {
                    break;
                }
                self.power_loss_after_kill(&moment, &boot_id)?;
                self.power_loss_after_second_try(&moment, &boot_id)?;
            }
        }
        Ok(())
    }

    /// See [`crate::nested`].
    fn power_losses_in_a_row(&mut self, moments: &[Moment], boot_id: &str) -> Result<(), Error> {
        let starts: Vec<Random> = (0..self.limits.chains).map(|_| self.random.fork()).collect();
        (self.progress)(Step::Planned(starts.len()));
        let (base, place, progress) = (&self.base, self.place, self.progress);
        let results = parallel_map(&starts, self.limits.workers, |worker, start| {
            let world = place.join(format!("worker-{worker}"));
            let followed = follow(&world, base, moments, boot_id, start.clone());
            progress(Step::Tried);
            Some(followed)
        });
        for followed in results.into_iter().flatten() {
            self.report.images += followed.tried;
            if let Some((case, why)) = followed.failed {
                self.fail(0, &case, why)?;
            }
        }
        Ok(())
    }

    /// Kills at this moment, recovers, and only then cuts the power: nothing that was shown may vanish.
    fn power_loss_after_kill(&mut self, moment: &Moment, boot_id: &str) -> Result<(), Error> {
        let world = self.place.join("killed");
        moment.model.everything().restore(&world)?;
        let how = format!("killed after event {}, recovered, ", moment.at);
        let recorder = Arc::new(Recorder::in_memory(&world));
        let disk = recovery::durable::Disk::observed(recorder.clone());
        let view = match crate::recovering::recover(&world, disk) {
            Ok(view) => view,
            Err(why) => {
                let case = Case {
                    tree: moment.model.everything(),
                    moment: how,
                    facts: moment.facts.clone(),
                    shown: None,
                    is_kill: true,
                };
                return self.fail(0, &case, why);
            }
        };
        let mut model = moment.model.clone();
        recorder.take().iter().for_each(|event| model.play(event));
        let mut cases = Vec::new();
        let detail = self.limits.detail_of(1, self.limits.most_after_kill);
        disks(&model, &detail, &mut self.random, &mut |tree| {
            cases.push(Case {
                tree: tree.after_reboot(boot_id),
                moment: format!("{how}then power loss"),
                facts: moment.facts.clone(),
                shown: Some(Arc::new(Shown::of(&[&view.objects()]))),
                is_kill: false,
            });
        });
        let cases = self.chosen(cases, self.limits.most_after_kill);
        self.try_all(&cases)?;
        Ok(())
    }

    /// Kills at this moment, lets another process run the operation again, and then cuts the power: the
    /// unsynced part of the first run must not destroy the acknowledged part of the second.
    fn power_loss_after_second_try(&mut self, moment: &Moment, boot_id: &str) -> Result<(), Error> {
        let world = self.place.join("again");
        let orders = Orders { may_be_refused: true, ..self.orders.clone() };
        let second = self.player.record(self.operation, &moment.model.everything(), &world, &orders)?;
        let (mut model, mut facts) = (moment.model.clone(), moment.facts.clone());
        for event in &second.events {
            model.play(event);
            if let Event::Acknowledged(fact) = event {
                facts.insert(fact.key(), fact.clone());
            }
        }
        let mut cases = Vec::new();
        let detail = self.limits.detail_of(1, self.limits.most_after_kill);
        disks(&model, &detail, &mut self.random, &mut |tree| {
            let moment = format!("killed after event {}, done again, then power loss", moment.at);
            cases.push(Case {
                tree: tree.after_reboot(boot_id),
                moment,
                facts: facts.clone(),
                shown: None,
                is_kill: false,
            });
        });
        let cases = self.chosen(cases, self.limits.most_after_kill);
        self.try_all(&cases)?;
        Ok(())
    }

    /// Returns at most `most` of the cases; see [`Limits::seed`].
    fn chosen(&mut self, cases: Vec<Case>, most: usize) -> Vec<Case> {
        if self.limits.seed.is_none() || cases.len() <= most {
            return evenly(cases, most);
        }
        let (mut left, mut wanted) = (cases.len(), most);
        let mut is_chosen = |_: &Case| {
            let is_chosen = self.random.below(left) < wanted;
            left -= 1;
            wanted -= usize::from(is_chosen);
            is_chosen
        };
        cases.into_iter().filter(|case| is_chosen(case)).collect()
    }

    fn fail(&mut self, image: usize, case: &Case, why: String) -> Result<(), Error> {
        let (operation, moment) = (self.operation.name.to_owned(), case.moment.clone());
        let wanted = self.limits.keep.as_ref().filter(|_| self.report.failures.len() < MOST_KEPT);
        let kept = match wanted {
            Some(folder) => Some(keep(folder, &operation, &self.base, case, &why)?),
            None => None,
        };
        self.report.failures.push(Failure { operation, image, moment, why, kept });
        Ok(())
    }

    /// Tries disks in parallel; returns the view of each that was tried.
    fn try_all(&mut self, cases: &[Case]) -> Result<Vec<Option<Objects>>, Error> {
        let first = self.number + 1;
        self.number += cases.len();
        let keys: Vec<u64> = cases.iter().map(Case::key).collect();
        let mut wanted: Vec<usize> = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            // Kills are always tried: other disks are compared with them.
            let is_chosen = match self.which {
                Which::All => true,
                Which::One(number) => case.is_kill || first + index == number,
            };
            if is_chosen && !self.seen.contains_key(&keys[index]) {
                self.seen.insert(keys[index], None);
                wanted.push(index);
            }
        }
        (self.progress)(Step::Planned(wanted.len()));
        let stop = AtomicBool::new(false);
        let (base, place, progress) = (&self.base, self.place, self.progress);
        let stop_at_first = self.limits.stop_at_first;
        let results = parallel_map(&wanted, self.limits.workers, |worker, &index| {
            if stop_at_first && stop.load(Ordering::SeqCst) {
                return None;
            }
            let world = place.join(format!("worker-{worker}"));
            let result = judge(&world, base, &cases[index], Recorder::of_effects(&world));
            if result.is_err() {
                stop.store(true, Ordering::SeqCst);
            }
            progress(Step::Tried);
            Some(result.map(|judged| judged.objects))
        });
        for (index, result) in wanted.into_iter().zip(results) {
            let Some(result) = result else { continue };
            self.report.images += 1;
            match result {
                Ok(objects) => {
                    self.seen.insert(keys[index], Some(objects));
                }
                Err(why) => self.fail(first + index, &cases[index], why)?,
            }
        }
        Ok(keys.iter().map(|key| self.seen.get(key).cloned().flatten()).collect())
    }
}

/// Returns at most `most` items at equal distances, including the first and the last.
fn evenly<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let len = all.len();
    if len <= most {
        return all;
    }
    let mut wanted = (0..most).map(|i| i * (len - 1) / (most - 1).max(1)).peekable();
    let chosen = all.into_iter().enumerate().filter(|(at, _)| wanted.next_if_eq(at).is_some());
    chosen.map(|(_, item)| item).collect()
}
