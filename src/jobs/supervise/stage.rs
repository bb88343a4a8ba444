//! Before the command starts: moves the previous attempt's files away, and determines what to run.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::settings::{SuperviseError, SuperviseSettings};
use super::start_report::ReportReader;
use crate::durable::{Disk, DiskError, IoContext};
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::keeper::OutputPipe;
use crate::jobs::marks;
use crate::jobs::sentinel::Sentinel;
use crate::queue::{Claim, Job, JobSpec};
use crate::state::{JobPaths, LINKED, StateDir};

/// What an attempt runs, and where.
pub(super) struct AttemptPlan {
    pub(super) spec: JobSpec,
    /// Program and arguments of this attempt.
    pub(super) command: Vec<String>,
    pub(super) folder: PathBuf,
    /// It continues from a checkpoint.
    pub(super) resumed: bool,
    /// The control group that the command is to join.
    pub(super) cgroup: Option<PathBuf>,
}

impl AttemptPlan {
    pub(super) fn of(job: &Job, paths: &JobPaths) -> Result<AttemptPlan, SuperviseError> {
        let spec = job.spec().map_err(|source| SuperviseError::Spec { job: job.id.clone(), source })?;
        let resumed = job.attempt > 1 && !job.run_state().fresh && paths.has_checkpoint();
        let other = spec.resume_command.as_ref().filter(|_| resumed);
        let command = other.unwrap_or(&spec.command).clone();
        let folder = spec.cwd.clone().unwrap_or_else(|| paths.workspace.clone());
        Ok(AttemptPlan { spec, command, folder, resumed, cgroup: None })
    }

    /// The process that will become the command, and the pipe for its report if it does not.
    pub(super) fn process(
        &self,
        dir: &StateDir,
        paths: &JobPaths,
        job: &Job,
        settings: &SuperviseSettings,
        output: &OutputPipe,
    ) -> Result<(Command, ReportReader), DiskError> {
        let Some((program, first)) = settings.trampoline.split_first() else {
            let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
            return Err(DiskError {
                action: "find the trampoline of",
                path: paths.workspace.clone(),
                source,
            });
        };
        let end = || output.end_of_command().context("make a pipe for", &paths.output());
        let (report, reported) = ReportReader::pipe().context("make a pipe beside", &paths.output())?;
        let mut process = Command::new(program);
        process
            .args(first)
            .args(self.arguments(job, settings.claim))
            .current_dir(&self.folder)
            .env_remove(marks::RESUMED)
            .env_remove(marks::ROLE)
            // The process that started this one may have been given a lock.
            .env_remove(marks::LOCK_ID)
            .env_remove(marks::LOCK_TOKEN)
            .env_remove(marks::REPOSITORY)
            .envs(&self.spec.env)
            .envs(marks::environment(dir, paths, &job.id, job.attempt, self.resumed))
            .stdin(Stdio::from(reported))
            .stdout(end()?)
            .stderr(end()?);
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        Ok((process, report))
    }

    fn arguments(&self, job: &Job, claim: Claim) -> Vec<OsString> {
        let named = [
            ("--job", job.id.to_string()),
            ("--attempt", job.attempt.to_string()),
            ("--claim", claim.to_string()),
            ("--supervisor", std::process::id().to_string()),
        ];
        let named = named.into_iter().flat_map(|(name, value)| [name.into(), value.into()]);
        let group = self.cgroup.iter().flat_map(|group| ["--cgroup".into(), group.as_os_str().to_owned()]);
        named
            .chain(group)
            .chain(["--reports".into(), "--".into()])
            .chain(self.command.iter().map(OsString::from))
            .collect()
    }
}

/// Makes the job's own folder, with links to the attempt's files for people who look for them there. Its name is
/// not synced, because neither is its content until the job syncs it.
pub(super) fn make_workspace(disk: &Disk, paths: &JobPaths) -> Result<(), DiskError> {
    match disk.create_dir(&paths.workspace) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && is_folder(&paths.workspace) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(std::io::Error::from(ErrorKind::NotADirectory)).context("work in", &paths.workspace);
        }
        made => made?,
    }
    let Some(folder) = paths.attempts.file_name() else { return Ok(()) };
    for name in LINKED {
        let target = Path::new("../../attempts").join(folder).join(name);
        // The links are a convenience: the job may have something else there, or may not permit them.
        let _ = disk.create_link(&target, &paths.workspace.join(name));
    }
    Ok(())
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// Moves the files of an earlier attempt to `<n>/` beside them. It may be killed at any point and run again: the
/// sentinel, which names the attempt, moves last.
pub(super) fn clear_away(disk: &Disk, paths: &JobPaths, job: &Job, claim: Claim) -> Result<(), DiskError> {
    let sentinel = Sentinel::read(&paths.sentinel())?;
    let exit = ExitRecord::read(&paths.exit())?;
    // When the log was lost, the number of a claim is given again.
    let is_ours = sentinel.whole().is_some_and(|s| s.claim == claim && s.attempt == job.attempt);
    if is_ours {
        return Ok(());
    }
    let named = sentinel.whole().map(|s| s.attempt).or_else(|| exit.whole().map(|e| e.attempt));
    let folder = paths.attempt(named.unwrap_or_else(|| job.attempt.saturating_sub(1)));
    let mut leaving = vec![paths.output(), paths.exit(), paths.command()];
    if job.run_state().fresh {
        leaving.push(paths.checkpoint());
    }
    leaving.push(paths.sentinel());
    for file in leaving {
        move_into(disk, &file, &folder, claim)?;
    }
    Ok(())
}

fn move_into(disk: &Disk, file: &Path, folder: &Path, claim: Claim) -> Result<(), DiskError> {
    let (Some(name), Some(home)) = (file.file_name(), file.parent()) else { return Ok(()) };
    if std::fs::symlink_metadata(file).is_err() {
        return Ok(());
    }
    disk.ensure_dir(folder)?;
    let moved = disk.rename(file, &folder.join(name), false);
    match moved {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            // Never overwrite a kept file.
            let mut other = name.to_owned();
            other.push(format!(".{claim}"));
            disk.rename(file, &folder.join(other), true)?;
        }
        other => other?,
    }
    disk.sync_dir(folder)?;
    disk.sync_dir(home)
}
