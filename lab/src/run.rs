//! One operation through the laboratory: recorded, every disk made, each recovered and checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::Error;
use crate::check::check;
use crate::event::Event;
use crate::facts::Fact;
use crate::image::{Detail, Random, disks};
use crate::model::Model;
use crate::operations::Operation;
use crate::play::{Orders, Player, Recording};
use crate::tree::Tree;

/// How much to try.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How fine.
    pub detail: Detail,
    /// Whether each sync is made to fail once.
    pub failing_syncs: bool,
    /// At most so many disks of each of those recordings.
    pub most_after_failed_sync: usize,
    /// At most so many disks of one recording, evenly taken from all.
    pub most_images: usize,
    /// After so many of the kills, evenly taken, recovery is recorded too and the power cut after it.
    pub power_losses_after_kills: usize,
    /// At most so many disks of each of those.
    pub most_after_kill: usize,
    /// Stop an operation at its first failure.
    pub stop_at_first: bool,
    /// How many disks are tried side by side.
    pub workers: usize,
}

impl Limits {
    /// For every run of the tests.
    #[must_use]
    pub fn bounded() -> Limits {
        Limits {
            detail: Detail::BOUNDED,
            failing_syncs: false,
            most_after_failed_sync: 2,
            most_images: 60,
            power_losses_after_kills: 2,
            most_after_kill: 8,
            stop_at_first: false,
            workers: 2,
        }
    }

    /// As [`Limits::bounded`], for this operation: some write paths are those of a log whose sync failed, and
    /// one operation is enough to take them.
    #[must_use]
    pub fn bounded_for(operation: &Operation) -> Limits {
        Limits { failing_syncs: operation.name == "submit", ..Limits::bounded() }
    }

    /// Everything.
    #[must_use]
    pub fn full() -> Limits {
        Limits {
            detail: Detail::FULL,
            failing_syncs: true,
            most_after_failed_sync: 150,
            most_images: usize::MAX,
            power_losses_after_kills: usize::MAX,
            most_after_kill: 400,
            stop_at_first: false,
            workers: 2,
        }
    }
}

/// Which disks to try.
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
    /// So many more disks will be tried.
    Planned(usize),
    /// One was.
    Tried,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The operation.
    pub operation: String,
    /// The number of the disk, with which it can be tried again.
    pub image: usize,
    /// How the disk came about.
    pub moment: String,
    /// What does not hold.
    pub why: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} image {} ({}): {}", self.operation, self.image, self.moment, self.why)
    }
}

/// What came of an operation.
#[derive(Debug, Default)]
pub struct Report {
    /// Effects recorded.
    pub effects: u64,
    /// Different disks tried.
    pub images: u64,
    /// Syncs that were made to fail.
    pub faults: u64,
    /// What does not hold.
    pub failures: Vec<Failure>,
    /// The places in the source whose write paths were taken, `file:line`.
    pub sites: BTreeSet<String>,
}

/// One disk to try.
struct Case {
    tree: Tree,
    moment: String,
    facts: BTreeMap<String, Fact>,
    /// What recovery may show; `None` for anything that fits the facts.
    shown: Option<Arc<Shown>>,
    /// Nothing is lost: other disks are compared with it.
    is_kill: bool,
}

type Objects = BTreeMap<String, String>;

/// The states that each thing may be in, by what kills left at the moments in question.
#[derive(Debug, PartialEq, Eq, Hash, Default)]
struct Shown(BTreeMap<String, BTreeSet<Option<String>>>);

impl Shown {
    fn of(views: &[&Objects]) -> Shown {
        let mut shown = Shown::default();
        for name in views.iter().flat_map(|view| view.keys()) {
            if !shown.0.contains_key(name) {
                let states = views.iter().map(|view| view.get(name).cloned()).collect();
                shown.0.insert(name.clone(), states);
            }
        }
        shown
    }

    fn allows(&self, objects: &Objects) -> Result<(), String> {
        let names: BTreeSet<&String> = self.0.keys().chain(objects.keys()).collect();
        for name in names {
            let (found, allowed) = (objects.get(name), self.0.get(name));
            let fits = match allowed {
                Some(states) => states.contains(&found.cloned()),
                None => found.is_none(),
            };
            if !fits {
                return Err(format!(
                    "{name} is {found:?}; since the last acknowledgement it can only have been {allowed:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Records an operation and tries it.
///
/// # Errors
/// When the laboratory itself fails; what does not hold is in the report.
pub fn run_operation(
    player: &Player,
    operation: &Operation,
    orders: &Orders,
    limits: &Limits,
    which: Which,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Report, Error> {
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
        random: Random::new(0x5eed_0001),
    };
    crate::mutations::switch_on(orders.mutation.as_deref().unwrap_or_default())?;
    let recording = player.record(operation, &base, &recorded, orders)?;
    run.note(&recording);
    run.recording(&recording, "")?;
    let syncs = recording.syncs();
    if limits.failing_syncs && !run.is_over() {
        for failing_sync in 1..=syncs {
            let orders = Orders { failing_sync, ..orders.clone() };
            let recording = player.record(operation, &base, &recorded, &orders)?;
            run.report.faults += 1;
            run.note_sites(&recording);
            run.recording(&recording, &format!("sync {failing_sync} failed, "))?;
        }
    }
    Ok(run.report)
}

/// In memory where that can be: a hundred thousand disks are written.
fn scratch() -> Result<tempfile::TempDir, Error> {
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
    /// What was there before the operation, without and with a reboot since.
    base: [Tree; 2],
    progress: &'a (dyn Fn(Step) + Sync),
    place: &'a Path,
    /// What was shown by disks that were tried, by what they are and what must hold on them.
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
                Event::Outside { effect } => self.report.failures.push(Failure {
                    operation: self.operation.name.to_owned(),
                    image: 0,
                    moment: "recording".to_owned(),
                    why: format!("an effect outside the world: {effect}"),
                }),
                _ => {}
            }
        }
    }

    /// Kills at every event, then power losses at every event.
    fn recording(&mut self, recording: &Recording, how: &str) -> Result<(), Error> {
        let boot_id = recovery::system::Host::this().boot_id;
        let mut moments = moments(recording);
        let mut most = self.limits.most_images;
        if !how.is_empty() {
            most = self.limits.most_after_failed_sync;
            // Before the failure it is the recording that was tried already.
            let failed = |e: &Event| matches!(e, Event::SyncFailed { .. });
            let failed_at = recording.events.iter().position(failed).unwrap_or(recording.events.len());
            moments.retain(|m| m.at > failed_at);
            moments = evenly(moments, most);
        }
        let kills = moments.iter().map(|m| Case {
            tree: m.model.everything(),
            moment: format!("{how}killed after event {}", m.at),
            facts: m.facts.clone(),
            shown: None,
            is_kill: true,
        });
        let views = self.try_all(&kills.collect::<Vec<_>>())?;
        if self.is_over() {
            return Ok(());
        }
        // The last moment at which a disk is possible is the one with the most acknowledged.
        let mut cases: Vec<Case> = Vec::new();
        let mut known: HashMap<u64, usize> = HashMap::new();
        let mut seeds = self.random.clone();
        for (index, moment) in moments.iter().enumerate() {
            // What is being written now may be there as it will be when it is written.
            let next = (index + 2).min(views.len() - 1);
            let since = &views[moment.acknowledged_at.min(index)..=next];
            // What a kill showed wrong is a failure already.
            let shown = (how.is_empty() && since.iter().all(Option::is_some))
                .then(|| Arc::new(Shown::of(&since.iter().flatten().collect::<Vec<_>>())));
            disks(&moment.model, &self.limits.detail, &mut seeds, &mut |tree| {
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
        let mut cases = evenly(cases, most);
        cases.iter_mut().for_each(|case| case.tree = case.tree.after_reboot(&boot_id));
        self.try_all(&cases)?;
        if how.is_empty() {
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

    /// Killed at this moment, recovered, and only then the power loss: nothing that was shown may vanish.
    fn power_loss_after_kill(&mut self, moment: &Moment, boot_id: &str) -> Result<(), Error> {
        let world = self.place.join("killed");
        moment.model.everything().restore(&world)?;
        let how = format!("killed after event {}, recovered, ", moment.at);
        let recorder = std::sync::Arc::new(crate::record::Recorder::in_memory(&world));
        let disk = recovery::durable::Disk::observed(recorder.clone());
        let view = match crate::recovering::recover(&world, disk) {
            Ok(view) => view,
            Err(why) => {
                self.fail(0, &how, why);
                return Ok(());
            }
        };
        let mut model = moment.model.clone();
        recorder.take().iter().for_each(|event| model.play(event));
        let mut cases = Vec::new();
        disks(&model, &self.limits.detail, &mut self.random, &mut |tree| {
            cases.push(Case {
                tree: tree.after_reboot(boot_id),
                moment: format!("{how}then power loss"),
                facts: moment.facts.clone(),
                shown: Some(Arc::new(Shown::of(&[&view.objects()]))),
                is_kill: false,
            });
        });
        self.try_all(&evenly(cases, self.limits.most_after_kill))?;
        Ok(())
    }

    /// Killed at this moment, done again by another process, and then the power loss: what the first one left
    /// unsynced must not take with it what the second acknowledged.
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
        disks(&model, &self.limits.detail, &mut self.random, &mut |tree| {
            let moment = format!("killed after event {}, done again, then power loss", moment.at);
            cases.push(Case {
                tree: tree.after_reboot(boot_id),
                moment,
                facts: facts.clone(),
                shown: None,
                is_kill: false,
            });
        });
        self.try_all(&evenly(cases, self.limits.most_after_kill))?;
        Ok(())
    }

    fn fail(&mut self, image: usize, moment: &str, why: String) {
        let operation = self.operation.name.to_owned();
        self.report.failures.push(Failure { operation, image, moment: moment.to_owned(), why });
    }

    /// Tries disks side by side; what each showed, where it was tried.
    fn try_all(&mut self, cases: &[Case]) -> Result<Vec<Option<Objects>>, Error> {
        let first = self.number + 1;
        self.number += cases.len();
        let keys: Vec<u64> = cases.iter().map(Case::key).collect();
        let mut wanted: Vec<usize> = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            // What was killed is always looked at: other disks are compared with it.
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
        let (next, stop) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results: Mutex<Vec<(usize, Result<Objects, String>)>> = Mutex::default();
        std::thread::scope(|scope| {
            for worker in 0..self.limits.workers.max(1) {
                let world: PathBuf = self.place.join(format!("worker-{worker}"));
                let (next, stop, results, wanted) = (&next, &stop, &results, &wanted);
                let base = &self.base;
                let (progress, stop_at_first) = (self.progress, self.limits.stop_at_first);
                scope.spawn(move || {
                    loop {
                        let turn = next.fetch_add(1, Ordering::SeqCst);
                        let Some(&index) = wanted.get(turn) else { return };
                        if stop_at_first && stop.load(Ordering::SeqCst) > 0 {
                            return;
                        }
                        let result = judge(&world, base, &cases[index]);
                        stop.fetch_add(usize::from(result.is_err()), Ordering::SeqCst);
                        results
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push((index, result));
                        progress(Step::Tried);
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.sort_by_key(|(index, _)| *index);
        for (index, result) in results {
            self.report.images += 1;
            match result {
                Ok(view) => {
                    self.seen.insert(keys[index], Some(view));
                }
                Err(why) => {
                    let moment = cases[index].moment.clone();
                    self.fail(first + index, &moment, why);
                }
            }
        }
        Ok(keys.iter().map(|key| self.seen.get(key).cloned().flatten()).collect())
    }
}

impl Case {
    /// What it is and what must hold on it.
    fn key(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        self.tree.hash(&mut hasher);
        format!("{:?}", self.facts).hash(&mut hasher);
        self.shown.hash(&mut hasher);
        hasher.finish()
    }
}

/// At most so many of them, at equal distances; the first and the last are among them.
fn evenly<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let len = all.len();
    if len <= most {
        return all;
    }
    let mut wanted = (0..most).map(|i| i * (len - 1) / (most - 1).max(1)).peekable();
    let chosen = all.into_iter().enumerate().filter(|(at, _)| wanted.next_if_eq(at).is_some());
    chosen.map(|(_, item)| item).collect()
}

fn judge(world: &Path, base: &[Tree; 2], case: &Case) -> Result<Objects, String> {
    let objects = check(world, base, &case.tree, &case.facts)?.objects();
    case.shown.as_ref().map_or(Ok(()), |shown| shown.allows(&objects))?;
    Ok(objects)
}

/// The disk and what is acknowledged after one event of a recording.
struct Moment {
    /// The event's number.
    at: usize,
    model: Model,
    facts: BTreeMap<String, Fact>,
    /// The place among the moments of the last acknowledgement.
    acknowledged_at: usize,
}

fn moments(recording: &Recording) -> Vec<Moment> {
    let mut model = Model::new(&recording.base);
    let mut facts = BTreeMap::new();
    let mut moments: Vec<Moment> = Vec::new();
    let mut acknowledged_at = 0;
    // What is said before anything is changed holds from the beginning.
    let first = |e: &&Event| !matches!(e, Event::Changed { .. } | Event::Page { .. });
    for event in recording.events.iter().take_while(first) {
        if let Event::Acknowledged(fact) = event {
            facts.insert(fact.key(), fact.clone());
        }
    }
    moments.push(Moment { at: 0, model: model.clone(), facts: facts.clone(), acknowledged_at });
    for (number, event) in recording.events.iter().enumerate() {
        model.play(event);
        match event {
            Event::Acknowledged(fact) => {
                facts.insert(fact.key(), fact.clone());
                acknowledged_at = moments.len();
            }
            Event::Changed { .. } | Event::Page { .. } | Event::SyncFailed { .. } => {}
            _ => continue,
        }
        let at = number + 1;
        moments.push(Moment { at, model: model.clone(), facts: facts.clone(), acknowledged_at });
    }
    moments
}
