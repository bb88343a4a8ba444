//! What an import changes besides the queue: nothing in a dry run, and never anything in the workspace.

use std::io;
use std::path::Path;

use super::error::ImportError;
use super::report::shown;
use crate::durable::replace;
use crate::queue::JobId;
use crate::state::StateDir;
use crate::system::{Presence, ProcessIdentity, descendants, end_process, presence, process_table};

/// How long a killed process may take to end, in milliseconds.
const END_WAIT_MS: u64 = 5_000;
/// How often the import searches for processes that were started while others were being ended.
const END_ROUNDS: usize = 10;

/// The effects on a state directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effects<'a> {
    pub(super) dir: &'a StateDir,
    pub(super) dry_run: bool,
}

impl Effects<'_> {
    /// Keeps a copy in quarantine, only once however often this is called; returns its path.
    pub(super) fn keep(
        &self,
        path: &Path,
        bytes: &[u8],
        reason: &str,
    ) -> Result<Option<String>, ImportError> {
        if self.dry_run {
            return Ok(None);
        }
        let at = self.dir.clock.now().to_string();
        // A name that is not text could not be written into the quarantine's note.
        let named = shown(path);
        let kept = self.dir.quarantine().keep(Path::new(&named), None, bytes, reason, &at)?;
        Ok(Some(shown(&kept)))
    }

    /// Writes the output that only the job's record holds to its place in the state directory.
    pub(super) fn write_output(&self, id: &JobId, text: &str) -> Result<(), ImportError> {
        if self.dry_run {
            return Ok(());
        }
        let paths = self.dir.paths.job(&id.to_string())?;
        self.dir.disk.ensure_dir(&paths.workspace)?;
        self.dir.ensure_attempts(&paths)?;
        let mut text = text.to_owned();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(replace(&self.dir.disk, &paths.output(), text.as_bytes())?)
    }

    /// Ends a job's script and everything that it started.
    pub(super) fn end_script(&self, script: ProcessIdentity) -> Result<(), io::Error> {
        if self.dry_run {
            return Ok(());
        }
        let table = process_table();
        let leads = table.iter().any(|p| p.identity == script && p.session == script.pid);
        // The script is ended first, so that it starts nothing more and writes no exit line.
        for process in descendants(&table, script) {
            end(process)?;
        }
        for _ in 0..END_ROUNDS {
            let table = if leads { process_table() } else { Vec::new() };
            let left: Vec<_> = table.iter().filter(|p| p.session == script.pid).collect();
            if left.is_empty() {
                break;
            }
            left.into_iter().try_for_each(|p| end(p.identity))?;
        }
        Ok(())
    }
}

fn end(process: ProcessIdentity) -> Result<(), io::Error> {
    if end_process(process, END_WAIT_MS)? || presence(process) == Presence::Gone {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not go", process.pid)))
}
