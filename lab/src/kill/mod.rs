//! Kill anywhere: the real binary is killed with SIGKILL at its n-th system call, for every n; then recovery
//! runs twice, waiting jobs are run, and the promises are checked from outside.

mod check;
mod scenario;
pub mod tracer;

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::{Sandbox, Seed, Tally};
pub use scenario::{Scenario, scenarios};
use tracer::{Plan, Traced};

/// How many points of a scenario are tried.
#[derive(Debug, Clone, Copy)]
pub enum Points {
    /// Every system call.
    All,
    /// This many, at random.
    Sample {
        /// Seed of the choice.
        seed: u64,
        points: usize,
    },
}

/// Tries one scenario. `progress` is called with the number of points done and in all.
///
/// # Errors
/// When the laboratory itself cannot work here: no place to write, no permission to trace.
pub fn try_scenario(
    binary: &Path,
    scenario: &Scenario,
    points: Points,
    progress: &dyn Fn(usize, usize),
) -> io::Result<Tally> {
    let mut tally = Tally::new(format!("kill: {}", scenario.name));
    let place = Sandbox::new(binary)?;
    scenario.base(&place)?;
    let whole = traced(&place, scenario, None)?;
    place.wait_until_nobody_works().map_err(io::Error::other)?;
    tally.note("undisturbed", check::all(&place, scenario, &whole));
    tally.effects = whole.calls;
    let numbers = numbers(points, whole.calls);
    for (done, &number) in numbers.iter().enumerate() {
        place.end_all();
        place.back_to_base()?;
        let outside = check::outside(&place)?;
        let traced = traced(&place, scenario, Some(number))?;
        let at = format!("{} killed at call {number} ({})", scenario.name, call(&traced));
        let checked = place.wait_until_nobody_works().and_then(|()| {
            check::unchanged_outside(&place, &outside)?;
            check::all(&place, scenario, &traced)
        });
        tally.kills += u64::from(traced.killed_in.is_some());
        tally.note(&at, checked);
        progress(done + 1, numbers.len());
    }
    Ok(tally)
}

/// A state with something of everything, for other parts: see [`Scenario::base`].
pub(crate) fn base_with_everything(place: &Sandbox) -> io::Result<()> {
    match scenarios().first() {
        Some(scenario) => scenario.base(place),
        None => Err(io::Error::other("there is no scenario")),
    }
}

fn traced(place: &Sandbox, scenario: &Scenario, kill_at: Option<u64>) -> io::Result<Traced> {
    let is_enough = scenario.is_enough.map(|enough| move || enough(place));
    let is_enough = is_enough.as_ref().map(|f| f as &(dyn Fn() -> bool + Sync));
    let plan = Plan { target: scenario.target, kill_at, is_enough, patience: Duration::from_secs(60) };
    tracer::run(place, &(scenario.arguments)(place), &plan)
}

fn numbers(points: Points, calls: u64) -> Vec<u64> {
    let count = usize::try_from(calls).unwrap_or(usize::MAX);
    match points {
        Points::Sample { seed, points } if points < count => {
            let mut seed = Seed::new(seed);
            let (mut left, mut wanted) = (count, points);
            let mut is_chosen = |_: &u64| {
                let is_chosen = seed.below(left) < wanted;
                left -= 1;
                wanted -= usize::from(is_chosen);
                is_chosen
            };
            (1..=calls).filter(|number| is_chosen(number)).collect()
        }
        _ => (1..=calls).collect(),
    }
}

fn call(traced: &Traced) -> String {
    let text = traced.killed_in.as_deref().unwrap_or("it ended before");
    text.split(' ').next().map_or_else(String::new, |n| format!("system call {}", n.trim()))
}
