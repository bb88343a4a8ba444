//! Phase `filesystem`: moves the workspace into the trash and deletes it there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{CleanupPhaseName, Step, StepWhat, TAKE};
use super::work::{Halt, StepResult, Work};
use crate::archive::{ArchiveSource, CannotKeep, Judged, KeepOutcome, KeepRequest, keep_noted};
use crate::durable::tree::{Progress, TakeError, TreeIdentity, remove_tree, take_into_trash};
use crate::findings::Object;
use crate::state::names::encode;

const PHASE: CleanupPhaseName = CleanupPhaseName::Filesystem;
const ARCHIVE: &str = "archive";
const DELETE: &str = "delete";
const WORK_STAYS: &str = "git work may be lost, so the workspace stays";

impl Work<'_> {
    pub(super) fn remove_files(&mut self) -> Result<(), Halt> {
        self.plan_files()?;
        self.archive_work()?;
        self.take()?;
        self.delete()
    }

    /// Notes the workspace's identity. An earlier plan stays valid: the name may belong to another folder by
    /// now.
    fn plan_files(&mut self) -> Result<(), Halt> {
        if !self.record.phase_mut(PHASE).steps.is_empty() {
            return Ok(());
        }
        let dir = &self.cleaner.dir;
        let name = encode(&self.record.cleanup_id).map_err(|e| Halt::Failed(e.to_string()))?;
        let folder = self.workspace()?;
        let Some(identity) = TreeIdentity::of(&folder)? else { return Ok(()) };
        let trash = dir.paths.cleanup_trash().join(&name);
        let to = dir.paths.cleanup_archive().join(&name);
        self.record.phase_mut(PHASE).steps = vec![
            Step::new(ARCHIVE, StepWhat::Archive { folder: folder.clone(), to }),
            Step::new(TAKE, StepWhat::Take { folder, identity, trash: trash.clone() }),
            Step::new(DELETE, StepWhat::Delete { trash }),
        ];
        Ok(self.save()?)
    }

    pub(super) fn workspace(&self) -> Result<PathBuf, Halt> {
        let paths = self.cleaner.dir.paths.job(&self.record.job_id.to_string());
        paths.map(|p| p.workspace).map_err(|e| Halt::Failed(e.to_string()))
    }

    /// Archives the git work right before the workspace is taken, at each try: the workspace may have changed
    /// since the last one.
    fn archive_work(&mut self) -> Result<(), Halt> {
        let Some(take) = self.step(PHASE, TAKE).filter(|s| s.done_at.is_none()) else { return Ok(()) };
        let StepWhat::Take { folder, .. } = take.what.clone() else { return Ok(()) };
        self.check_not_seen_in_use(&folder)?;
        let name = encode(&self.record.cleanup_id).map_err(|e| Halt::Failed(e.to_string()))?;
        let steps = &mut self.record.phase_mut(PHASE).steps;
        match steps.iter_mut().find(|s| s.step == ARCHIVE) {
            Some(step) => step.done_at = None,
            // A record of an earlier version, which saw no repository.
            None => {
                let to = self.cleaner.dir.paths.cleanup_archive().join(&name);
                steps.insert(0, Step::new(ARCHIVE, StepWhat::Archive { folder: folder.clone(), to }));
            }
        }
        self.intend(PHASE, &[ARCHIVE.to_owned()])?;
        self.keep_work(&folder, None)
    }

    /// Archives changes made in the trash, or between the first look and the rename, and work whose archive
    /// is gone. Work that is still kept is not copied twice; of a half-deleted folder only the rest can be
    /// kept.
    fn archive_in_trash(&mut self, trash: &Path, is_begun: bool) -> Result<(), Halt> {
        let (dir, judged) = (&self.cleaner.dir, self.judged());
        let holds = match is_begun {
            false => judged.still_holds(dir, trash),
            true => judged.lacks_an_archive(dir, trash).map(|lacks| !lacks).map_err(CannotKeep::from),
        };
        match holds {
            Ok(true) => Ok(()),
            Ok(false) => {
                let was = self.workspace()?;
                self.keep_work(trash, Some(&was))
            }
            Err(why) => {
                self.record.phase_mut(PHASE).is_work_at_risk = true;
                Err(Halt::Failed(format!("{WORK_STAYS}: {why}")))
            }
        }
    }

    fn judged(&self) -> Judged {
        self.step(PHASE, ARCHIVE).map(|step| step.judged.clone()).unwrap_or_default()
    }

    fn keep_work(&mut self, folder: &Path, was: Option<&Path>) -> Result<(), Halt> {
        let name = encode(&self.record.cleanup_id).map_err(|e| Halt::Failed(e.to_string()))?;
        let request = KeepRequest {
            folder,
            was,
            archive_id: &name,
            source: ArchiveSource::Cleanup,
            object: Object::job(&self.record.job_id).to_string(),
            rules: &self.cleaner.settings.keep,
            stop: self.cleaner.stop,
        };
        // Only a successful judgement leaves a note: the next try would trust the note of a failed one.
        let kept = keep_noted(&self.cleaner.dir, &request, &self.judged()).map(|(kept, judged)| {
            let steps = &mut self.record.phase_mut(PHASE).steps;
            if let Some(step) = steps.iter_mut().find(|s| s.step == ARCHIVE) {
                step.judged = judged;
            }
            kept
        });
        match kept {
            Ok(KeepOutcome::NoGit) => self.record_result(PHASE, ARCHIVE, StepResult::Done("no_git")),
            Ok(KeepOutcome::Proven) => {
                self.record_result(PHASE, ARCHIVE, StepResult::Done("nothing_uncommitted"))
            }
            Ok(kept @ KeepOutcome::Archived { .. }) => {
                let notes = &mut self.record.phase_mut(PHASE).notes;
                notes.extend(kept.told().filter(|note| !notes.contains(note)));
                self.record_result(PHASE, ARCHIVE, StepResult::Done("archived"))
            }
            Err(CannotKeep::Stopped) => Err(Halt::Stopped),
            Err(why) => {
                let is_at_risk = !why.is_needed();
                self.record.phase_mut(PHASE).is_work_at_risk = is_at_risk;
                let stays = if is_at_risk { WORK_STAYS } else { "the workspace stays" };
                let told = format!("{stays}: {why}");
                self.record_result(PHASE, ARCHIVE, StepResult::Failed(told.clone()))?;
                Err(match why {
                    why if why.is_needed() => Halt::InUse(told),
                    why if why.may_pass() => Halt::Failed(told),
                    _ => Halt::Park(told),
                })
            }
        }
    }

    fn take(&mut self) -> Result<(), Halt> {
        let Some(step) = self.step(PHASE, TAKE).filter(|s| s.done_at.is_none()) else { return Ok(()) };
        let StepWhat::Take { folder, identity, trash } = step.what.clone() else { return Ok(()) };
        let name = TAKE.to_owned();
        if let Err(halt) = self.check_unused(&folder) {
            self.plan_again(&folder, identity)?;
            return Err(halt);
        }
        let dir = &self.cleaner.dir;
        dir.disk.ensure_dir(&dir.paths.cleanup_trash())?;
        // The intent is on disk before the rename, so that a folder in the trash always has a step that
        // continues it.
        self.intend(PHASE, &[name])?;
        match take_into_trash(&dir.disk, &folder, &trash, identity) {
            Ok(true) => self.record_result(PHASE, TAKE, StepResult::Done("taken"))?,
            Ok(false) => self.record_result(PHASE, TAKE, StepResult::Done("already_gone"))?,
            // The folder that has the name now was made after the plan, which was made when the job was over:
            // it is another folder, so the job's workspace is gone.
            Err(TakeError::Replaced { .. }) => {
                self.record_result(PHASE, TAKE, StepResult::Done("replaced"))?;
            }
            Err(error) => {
                let why = told(&error);
                self.record_result(PHASE, TAKE, StepResult::Failed(why.clone()))?;
                return Err(Halt::Failed(why));
            }
        }
        self.let_go();
        Ok(())
    }

    /// Plans the archive again: the users of the files may change them, so their git work is kept again when
    /// nobody uses them any more.
    fn plan_again(&mut self, folder: &Path, identity: TreeIdentity) -> Result<(), Halt> {
        if TreeIdentity::of(folder)? == Some(identity) {
            self.record.phase_mut(PHASE).steps.clear();
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), Halt> {
        let Some(step) = self.step(PHASE, DELETE).filter(|s| s.done_at.is_none()) else { return Ok(()) };
        let (StepWhat::Delete { trash }, is_begun) = (step.what.clone(), step.begun_at.is_some()) else {
            return Ok(());
        };
        // A process may have entered the folder between the look and the rename.
        self.check_unused(&trash)?;
        // Git work is judged before the intent to delete: after it, the folder may be incomplete, and an
        // incomplete folder must not be judged as if it were whole.
        self.archive_in_trash(&trash, is_begun)?;
        self.intend(PHASE, &[DELETE.to_owned()])?;
        let progress = Entries { gone: AtomicU64::new(0), stop: self.cleaner.stop };
        let removed = remove_tree(&self.cleaner.dir.disk, &trash, &progress)?;
        let phase = self.record.phase_mut(PHASE);
        phase.items_done += removed.entries;
        phase.items_total = phase.items_done + removed.kept_total;
        self.record.bytes_freed += removed.bytes;
        if removed.is_complete() {
            return self.record_result(PHASE, DELETE, StepResult::Done("deleted"));
        }
        if removed.stopped {
            return Err(Halt::Stopped);
        }
        let why = removed.kept_in_words(&trash);
        self.record_result(PHASE, DELETE, StepResult::Failed(why.clone()))?;
        Err(Halt::Failed(why))
    }
}

fn told(error: &TakeError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

struct Entries<'a> {
    gone: AtomicU64,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl Progress for Entries<'_> {
    fn removed(&self, entries: u64, _: u64) {
        self.gone.store(entries, Ordering::Relaxed);
    }

    fn stop(&self) -> bool {
        (self.stop)()
    }
}
