//! Phase `cidx`: the workspace's code index, by the tool that made it.

use std::path::Path;

use super::record::{PhaseName, Step, StepWhat};
use super::work::{Halt, StepResult, Work};
use crate::archive::{ArchiveSource, CannotKeep, KeepRequest, has_work_below, keep_noted};
use crate::durable::tree::TreeIdentity;
use crate::state::names::encode;
use crate::system::{Tool, ToolEnd, is_installed, run_tool};

const PHASE: PhaseName = PhaseName::Cidx;
const UNINSTALL: &str = "uninstall";
/// Marks the index tool's processes: a second run waits for the first one's.
const MARK: &str = "RECOVERYCTL_CLEANUP";

impl Work<'_> {
    pub(super) fn remove_index(&mut self) -> Result<(), Halt> {
        let folder = self.workspace()?;
        let index = folder.join(&self.cleaner.settings.index_folder);
        if self.step(PHASE, UNINSTALL).is_none() {
            // A link is none: the tool would work where it leads.
            let is_there = std::fs::symlink_metadata(&index).is_ok_and(|m| m.is_dir());
            let Some(identity) = TreeIdentity::of(&folder)?.filter(|_| is_there) else {
                return Ok(()); // Nothing to remove.
            };
            let phase = self.record.phase_mut(PHASE);
            phase.steps = vec![Step::new(UNINSTALL, StepWhat::Uninstall { folder, identity })];
            phase.items_total = 1;
            self.save()?;
        }
        let Some(step) = self.step(PHASE, UNINSTALL).filter(|s| s.done_at.is_none()) else { return Ok(()) };
        let StepWhat::Uninstall { folder, identity } = step.what.clone() else { return Ok(()) };
        if TreeIdentity::of(&folder)? != Some(identity) {
            let note = "the workspace was removed before the tool had done its work";
            return self.uninstalled("already_gone", Some(note.to_owned()));
        }
        // Its own containers may have it mounted: the tool ends them.
        self.check_no_job_in(&folder)?;
        // Without the tool it goes with the files.
        if is_installed(&self.cleaner.settings.index_command, &folder) {
            self.keep_what_the_index_has(&folder)?;
        }
        self.intend(PHASE, &[UNINSTALL.to_owned()])?;
        let settings = &self.cleaner.settings;
        let tool = Tool {
            command: &settings.index_command,
            folder: &folder,
            time_limit: settings.index_timeout,
            mark: (MARK, &self.record.cleanup_id),
            stop: self.cleaner.stop,
        };
        let ran = run_tool(&tool).map_err(|e| Halt::Failed(format!("the index tool cannot be run: {e}")))?;
        let why = match ran.end {
            ToolEnd::Absent => {
                let name = settings.index_command.first().map_or("the index tool", String::as_str);
                let note = format!("{name} is not installed: the index goes with the files");
                return self.uninstalled("tool_absent", Some(note));
            }
            ToolEnd::Exited(0) => return self.uninstalled("uninstalled", printed(&ran.output)),
            ToolEnd::Exited(status) => format!("the index tool ended with exit status {status}"),
            ToolEnd::Signaled(signal) => format!("the index tool was ended by signal {signal}"),
            ToolEnd::TimedOut => {
                format!("the index tool took longer than {} s", settings.index_timeout.as_secs_f64())
            }
            ToolEnd::Stopped => return Err(Halt::Stopped),
        };
        let why = printed(&ran.output).map_or(why.clone(), |text| format!("{why}; {text}"));
        self.settle(PHASE, UNINSTALL, StepResult::Failed(why.clone()))?;
        Err(Halt::Failed(why))
    }

    /// The index may lie in a working tree and have files of it that are changed, or that git does not ignore. The tool
    /// removes them before the workspace is judged, so all work is kept before, in an archive that no other replaces.
    fn keep_what_the_index_has(&mut self, folder: &Path) -> Result<(), Halt> {
        let name = encode(&self.record.cleanup_id).map_err(|e| Halt::Failed(e.to_string()))?;
        let request = KeepRequest {
            folder,
            // What is left after a try that failed must not take the place of what was there before.
            was: Some(folder),
            archive_id: &format!("{name}.index"),
            source: ArchiveSource::Cleanup,
            object: format!("job:{}", self.record.job_id),
            rules: &self.cleaner.settings.keep,
            stop: self.cleaner.stop,
        };
        let (dir, settings) = (&self.cleaner.dir, &self.cleaner.settings);
        let before = self.step(PHASE, UNINSTALL).map(|step| step.judged.clone()).unwrap_or_default();
        let kept = || {
            if !has_work_below(dir, &request, &settings.index_folder)? || before.still_holds(dir, folder)? {
                return Ok(None);
            }
            keep_noted(dir, &request, &before).map(Some)
        };
        match kept() {
            Ok(None) => Ok(()),
            Ok(Some((kept, judged))) => {
                let phase = self.record.phase_mut(PHASE);
                phase.notes.extend(kept.told());
                if let Some(step) = phase.steps.iter_mut().find(|step| step.step == UNINSTALL) {
                    step.judged = judged;
                }
                Ok(())
            }
            Err(CannotKeep::Stopped) => Err(Halt::Stopped),
            Err(why) => {
                let told = format!("git work may be lost with the index, so it stays: {why}");
                self.record.phase_mut(PHASE).is_work_at_risk = !why.is_needed();
                Err(match why {
                    why if why.is_needed() => Halt::InUse(told),
                    why if why.may_pass() => Halt::Failed(told),
                    _ => Halt::Park(told),
                })
            }
        }
    }

    fn uninstalled(&mut self, how: &'static str, note: Option<String>) -> Result<(), Halt> {
        let phase = self.record.phase_mut(PHASE);
        phase.items_done = phase.items_total;
        phase.notes.extend(note);
        self.settle(PHASE, UNINSTALL, StepResult::Done(how))
    }
}

fn printed(output: &str) -> Option<String> {
    let text = output.trim();
    (!text.is_empty()).then(|| format!("it printed: {text}"))
}
