//! Phase `cidx`: the workspace's code index, removed by the tool that made it.
//!
//! The tool obeys files of the workspace, so it gets only the rights of their author: it runs as the owner of
//! the workspace and the index, in the folder that was noted, with an environment of its own. The tool is a
//! program of the machine (`tools.path`), or one configured by its absolute path; never one of the workspace.

use std::ffi::{CStr, OsString};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, fstat, statat};

use super::record::{CleanupPhaseName, Step, StepWhat};
use super::work::{Halt, StepResult, Work};
use crate::archive::{ArchiveSource, CannotKeep, KeepRequest, has_work_below, keep_noted};
use crate::durable::tree::{Go, TreeIdentity, Unread, Visitor, open_folder, open_top, walk};
use crate::findings::Object;
use crate::state::human;
use crate::state::names::encode;
use crate::system::docker::EngineChoice;
use crate::system::{Author, NoProgram, Tool, ToolEnd, base_environment_of, run_tool};

const PHASE: CleanupPhaseName = CleanupPhaseName::Cidx;
const UNINSTALL: &str = "uninstall";
/// The variable that marks the index tool's processes: a second run waits for those of the first.
const MARK: &str = "RECOVERYCTL_CLEANUP";

impl Work<'_> {
    pub(super) fn remove_index(&mut self) -> Result<(), Halt> {
        let folder = self.workspace()?;
        let index = folder.join(&self.cleaner.settings.index_folder);
        if self.step(PHASE, UNINSTALL).is_none() {
            // A link does not count: the tool would work at the link's target.
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
        // The index's own containers may mount the workspace: the tool ends them.
        self.check_no_job_in(&folder)?;
        let settings = &self.cleaner.settings;
        let program = match self.tool(&folder) {
            Ok(program) => program,
            // Without the tool, the index is deleted with the files.
            Err(why) if why.is_absent() => {
                let note =
                    format!("the index tool is not installed, so the index goes with the files: {why}");
                return self.uninstalled("tool_absent", Some(note));
            }
            Err(why) => return Err(self.tool_failed(format!("the index tool cannot be run: {why}"))?),
        };
        self.keep_what_the_index_has(&folder)?;
        self.intend(PHASE, &[UNINSTALL.to_owned()])?;
        let opened = match opened(&folder, identity) {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                let note = "the workspace was exchanged before the tool had done its work";
                return self.uninstalled("already_gone", Some(note.to_owned()));
            }
            Err(e) => return Err(Halt::Failed(format!("{} cannot be opened: {e}", folder.display()))),
        };
        let author = author_of(&opened, &settings.index_folder)
            .map_err(|e| Halt::Failed(format!("whose the index is cannot be told: {e}")))?;
        let state_id = self.cleaner.dir.identity.state_id;
        let tool = Tool {
            program: &program,
            arguments: settings.index_command.get(1..).unwrap_or_default(),
            folder: opened.as_fd(),
            environment: &self.tool_environment(author),
            account: author.account(true),
            time_limit: settings.index_timeout,
            mark: (MARK, &format!("{state_id}/{}", self.record.cleanup_id)),
            stop: self.cleaner.stop,
        };
        let ran = match run_tool(&tool) {
            Ok(ran) => ran,
            Err(e) => return Err(self.tool_failed(format!("the index tool cannot be run: {e}"))?),
        };
        let why = match ran.end {
            ToolEnd::Exited(0) => return self.uninstalled("uninstalled", printed(&ran.output)),
            ToolEnd::Exited(status) => format!("the index tool ended with exit status {status}"),
            ToolEnd::Signaled(signal) => format!("the index tool was ended by signal {signal}"),
            ToolEnd::TimedOut => {
                format!("the index tool took longer than {}", human::span(settings.index_timeout))
            }
            ToolEnd::Stopped => return Err(Halt::Stopped),
        };
        let why = printed(&ran.output).map_or(why.clone(), |text| format!("{why}; {text}"));
        Err(self.tool_failed(why)?)
    }

    fn tool_failed(&mut self, why: String) -> Result<Halt, Halt> {
        self.record_result(PHASE, UNINSTALL, StepResult::Failed(why.clone()))?;
        Ok(Halt::Failed(why))
    }

    fn tool(&self, folder: &Path) -> Result<PathBuf, NoProgram> {
        let settings = &self.cleaner.settings;
        let name = settings.index_command.first().map_or("", String::as_str);
        settings.keep.tools.find(name, Some(folder))
    }

    /// Returns the machine's data about the user, the search path, and the engine that the next phase uses.
    fn tool_environment(&self, author: Author) -> Vec<(OsString, OsString)> {
        let settings = &self.cleaner.settings;
        let own = rustix::process::geteuid().as_raw();
        let mut environment = base_environment_of(author.account(false).map_or(own, |account| account.uid));
        environment.retain(|(name, _)| name != "PATH");
        environment.push(("PATH".into(), settings.keep.tools.variable()));
        if let EngineChoice::At(engines) = &settings.engine
            && let Some(engine) = engines.first()
        {
            environment.push(("DOCKER_HOST".into(), engine.host.clone().into()));
        }
        environment
    }

    /// Keeps the git work in the index folder. The index may lie in a working tree and hold changed or
    /// unignored files of it. The tool removes them before the workspace is judged, so all work is kept
    /// first, in an archive that no other replaces.
    fn keep_what_the_index_has(&mut self, folder: &Path) -> Result<(), Halt> {
        let name = encode(&self.record.cleanup_id).map_err(|e| Halt::Failed(e.to_string()))?;
        let request = KeepRequest {
            folder,
            // After a failed try, the archive of the rest must not replace the archive of what was there
            // before.
            was: Some(folder),
            archive_id: &format!("{name}.index"),
            source: ArchiveSource::Cleanup,
            object: Object::job(&self.record.job_id).to_string(),
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
        self.record_result(PHASE, UNINSTALL, StepResult::Done(how))
    }
}

/// Opens the folder that was noted; `None` when its name belongs to another folder by now.
fn opened(folder: &Path, noted: TreeIdentity) -> std::io::Result<Option<OwnedFd>> {
    match open_top(folder) {
        Ok(opened) => Ok((TreeIdentity::of_open(&opened)? == noted).then_some(opened)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Returns the possible author of a workspace and of anything in its index.
fn author_of(workspace: &OwnedFd, index: &Path) -> Result<Author, Unread> {
    struct Owners(Author);
    impl Visitor for Owners {
        fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
            let found = fstat(folder).map_err(|e| Unread::new(path, e))?;
            self.0 = self.0.and(Author::of(&found));
            Ok(Go::In)
        }

        fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
            if let Ok(found) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                self.0 = self.0.and(Author::of(&found));
                return Ok(());
            }
            Err(Unread::new(path, ErrorKind::NotFound))
        }
    }
    let found = fstat(workspace).map_err(|e| Unread::new(Path::new(""), e))?;
    let mut owners = Owners(Author::of(&found));
    // A link does not count.
    match open_folder(workspace.as_fd(), index) {
        Ok(folder) => walk(folder.as_fd(), &mut owners)?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(Unread::new(index, e)),
    }
    Ok(owners.0)
}

fn printed(output: &str) -> Option<String> {
    let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = output.trim().chars().filter(is_shown).collect();
    (!text.is_empty()).then(|| format!("it printed: {text}"))
}
