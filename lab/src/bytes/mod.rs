//! Bad bytes: every file of a state directory is damaged, byte by byte and cut by cut. Recovery must not
//! panic, hang or use unbounded memory, must lose nothing but the content of the damaged bytes, and must keep
//! those in quarantine.

mod base;
mod check;
pub mod damage;
pub mod folders;
pub mod parsers;

use std::io;
use std::path::{Path, PathBuf};

use crate::{Sandbox, Seed, Tally};
use damage::Damage;

/// How many damages are tried.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    /// Each of [`damage::every`] for small files, many at random for large ones.
    All {
        /// Seed of the random choices.
        seed: u64,
    },
    /// How many damages of each kind of file are tried, at random.
    Sample {
        /// Seed of the choice.
        seed: u64,
        /// How many of each file.
        damages: usize,
    },
}

/// Files up to this size are damaged at every byte, in the whole run.
const SMALL: usize = 4096;
/// Damages of a larger one.
const AT_RANDOM: usize = 2000;

/// Damages the files of a state directory one by one; returns a row for each kind. `progress` is called with
/// each damage.
pub fn try_files(binary: &Path, extent: Extent, progress: &dyn Fn()) -> io::Result<Vec<Tally>> {
    let place = Sandbox::new(binary)?;
    base::make(&place)?;
    let control = check::control(&place).map_err(io::Error::other)?;
    let mut rows: Vec<Tally> = Vec::new();
    for (kind, file) in base::files(&place)? {
        let name = format!("bytes: {kind}");
        if rows.last().is_none_or(|row| row.operation != name) {
            rows.push(Tally::new(name));
        }
        let Some(row) = rows.last_mut() else { continue };
        let content = std::fs::read(place.base().join("state").join(&file))?;
        for damage in damages(&content, extent, &file) {
            row.faults += 1;
            let what = format!("{} {damage}", file.display());
            let outcome = check::damaged(&place, &control, &file, &damage.of(&content));
            row.note(&what, outcome);
            progress();
        }
    }
    Ok(rows)
}

fn damages(content: &[u8], extent: Extent, file: &Path) -> Vec<Damage> {
    let own = |seed: u64| Seed::new(seed ^ u64::from(crc_of(file)));
    match extent {
        Extent::All { .. } if content.len() <= SMALL => damage::every(content),
        Extent::All { seed } => {
            let mut seed = own(seed);
            (0..AT_RANDOM).map(|_| damage::random(content, &mut seed)).collect()
        }
        Extent::Sample { seed, damages } => {
            let mut seed = own(seed);
            (0..damages).map(|_| damage::random(content, &mut seed)).collect()
        }
    }
}

/// A number of its own for each file.
fn crc_of(file: &Path) -> u32 {
    file.as_os_str().as_encoded_bytes().iter().fold(5381, |h: u32, b| h.wrapping_mul(33) ^ u32::from(*b))
}

/// A file's path in the state directory, for people.
pub(crate) type StateFile = PathBuf;
