//! Torture: many processes work on one state directory at once, each is killed at some moment, and at the end
//! everything that was acknowledged is there, once.
//!
//! The plan (the actors and their kills) follows from the seed; the timing is up to the machine. Two daemons
//! fight for the directory all the time; submitters, recoveries, cancels, resumes, releases, lock holders and
//! `work` come and go between them.

mod actor;
mod verdict;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Sandbox, Seed, Tally, witness};
use actor::{Actor, Known};

/// How to torture.
#[derive(Debug, Clone, Copy)]
pub struct Ordeal {
    /// The plan follows from it.
    pub seed: u64,
    pub length: Duration,
    /// Number of processes at once, in addition to the two daemons.
    pub actors: usize,
}

/// Tortures one state directory. `progress` is called with the part of the time that is over.
pub fn torture(binary: &Path, ordeal: Ordeal, progress: &(dyn Fn(Duration) + Sync)) -> io::Result<Tally> {
    let mut tally = Tally::new("torture");
    let place = Sandbox::new(binary)?;
    place.configure("[jobs]\nkill_grace = \"200ms\"\nheartbeat = \"200ms\"\n")?;
    place.run(["init"])?.expect(0).map_err(io::Error::other)?;
    let known = Known::up_to(24 + 4 * usize::try_from(ordeal.length.as_secs()).unwrap_or(60));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..ordeal.actors + 2 {
            let (place, known) = (&place, &known);
            let seed = Seed::new(ordeal.seed ^ (number as u64).wrapping_mul(0x9e37_79b9));
            scope.spawn(move || {
                let mut actor = Actor::new(place, known, seed, number);
                while begun.elapsed() < ordeal.length {
                    actor.act();
                    if number == 0 {
                        progress(begun.elapsed().min(ordeal.length));
                    }
                }
            });
        }
    });
    tally.kills = known.kills();
    tally.faults = known.runs();
    tally.failures.extend(known.complaints());
    tally.note(&format!("seed {}", ordeal.seed), verdict::at_the_end(&place, &known));
    tally.note("witnesses", witness::check_all(&place));
    Ok(tally)
}
