//! A supervisor and its command as processes of their own, whose effects are in the same recording.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use recovery::durable::Disk;
use recovery::jobs::{
    CommandRecord, CommandRequest, HeldRepository, RepositoryLocker, RepositoryRefused, RepositoryRequest,
    SuperviseSettings, Supervised, SupervisorHooks, exec_command, supervise,
};
use recovery::locks::{LockGrant, acquire_for_job};
use recovery::queue::Claim;
use recovery::state::StateDir;
use recovery::system::{Confinement, ProcessIdentity, end_process, signal_process};
use rustix::process::Signal;

use super::Stage;
use crate::Error;
use crate::play::PLAY;
use crate::record::Recorder;
use crate::recovering;

/// The program that is a supervisor, but for which job and claim.
pub(super) fn program(stage: &Stage) -> Vec<OsString> {
    let place = [stage.world().as_os_str(), stage.events.as_os_str(), stage.bug.as_ref()];
    let own: [&OsStr; 3] = ["/proc/self/exe".as_ref(), PLAY.as_ref(), "supervise".as_ref()];
    own.into_iter().chain(place).map(OsStr::to_owned).collect()
}

fn command(stage: &Stage, job: &str, claim: Claim) -> Command {
    let program = program(stage);
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).args(["--job", job, "--claim", &claim.to_string()]).stdin(Stdio::null());
    command
}

/// Lets a supervisor of its own process run a claimed job to its end.
pub(super) fn run_job(stage: &Stage, job: &str, claim: Claim) -> Result<(), Error> {
    let output = command(stage, job, claim).output()?;
    match output.status.code() {
        Some(0) => Ok(()),
        other => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("the supervisor of {job} ended with {other:?}: {said}").into())
        }
    }
}

/// The command of a job that [`kill_at_work`] can wait for.
pub(super) fn endless() -> Vec<String> {
    ["sh", "-c", "echo begun; exec sleep 60"].map(str::to_owned).to_vec()
}

/// Starts a job whose command is [`endless`]; its supervisor, when the command has begun.
fn begun(stage: &Stage, job: &str, claim: Claim) -> Result<Child, Error> {
    let paths = stage.dir()?.paths.job(job)?;
    let mut supervisor = command(stage, job, claim).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = Instant::now();
    while std::fs::read(paths.output()).ok().is_none_or(|text| text.is_empty()) {
        if begun.elapsed() > Duration::from_secs(20) || supervisor.try_wait()?.is_some() {
            return Err(format!("the command of {job} does not begin").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(supervisor)
}

/// Starts a job whose command is [`endless`], and sends its supervisor SIGTERM, as a shutdown does.
pub(super) fn interrupt(stage: &Stage, job: &str, claim: Claim) -> Result<(), Error> {
    let mut supervisor = begun(stage, job, claim)?;
    let process = ProcessIdentity::of(supervisor.id()).ok_or("the supervisor is gone")?;
    signal_process(process, Signal::TERM)?;
    match supervisor.wait()?.success() {
        true => Ok(()),
        false => Err(format!("the supervisor of {job} did not record the end").into()),
    }
}

/// Starts a job whose command is [`endless`], and kills its supervisor when the command has begun; the
/// command goes on.
pub(super) fn kill_supervisor(stage: &Stage, job: &str, claim: Claim) -> Result<ProcessIdentity, Error> {
    let paths = stage.dir()?.paths.job(job)?;
    let mut supervisor = begun(stage, job, claim)?;
    supervisor.kill()?;
    supervisor.wait()?;
    let record = CommandRecord::read(&paths.command())?;
    Ok(record.whole().ok_or("the command has not recorded itself")?.command)
}

/// As [`kill_supervisor`], and the command too.
pub(super) fn kill_at_work(stage: &Stage, job: &str, claim: Claim) -> Result<(), Error> {
    let command = kill_supervisor(stage, job, claim)?;
    if !end_process(command, 10_000)? {
        return Err(format!("the command of {job} does not end").into());
    }
    Ok(())
}

/// `WORLD EVENTS MUTATION`: where, and into which recording.
fn surroundings(arguments: &[OsString]) -> Result<(PathBuf, StateDir), Error> {
    let [world, events, bug] = arguments.get(..3).ok_or("an argument is missing")? else {
        return Err("an argument is missing".into());
    };
    let world = PathBuf::from(world);
    crate::seeded_bugs::switch_on(bug.to_str().unwrap_or_default())?;
    let disk = match events.is_empty() {
        true => Disk::real(),
        false => Disk::observed(Arc::new(Recorder::to_file(&world, Path::new(events), 0)?)),
    };
    let dir = recovering::open(&world, disk)?;
    Ok((world, dir))
}

/// `WORLD EVENTS MUTATION --job ID --claim SEQ`
pub(crate) fn supervise_as_told(arguments: &[OsString]) -> Result<ExitCode, Error> {
    let (_, dir) = surroundings(arguments)?;
    let text = |at: usize| arguments.get(at).and_then(|a| a.to_str()).ok_or("an argument is missing");
    let (job, claim) = (text(4)?.parse()?, text(6)?.parse()?);
    let mut trampoline: Vec<OsString> = vec!["/proc/self/exe".into(), PLAY.into(), "exec-command".into()];
    trampoline.extend_from_slice(&arguments[..3]);
    let settings = SuperviseSettings {
        kill_grace: Duration::from_millis(300),
        heartbeat: Duration::from_millis(20),
        // After a kill here, no process would remove the control group.
        cgroup: false,
        output_limit: 64 << 10,
        ..SuperviseSettings::new(job, claim, trampoline)
    };
    match supervise(
        &dir,
        &settings,
        &SupervisorHooks { gate: &Gate, notice: &|_| {}, host_is_ending: &|| None },
    )? {
        Supervised::Ended { .. } | Supervised::GivenBack { .. } => Ok(ExitCode::SUCCESS),
        lost @ (Supervised::ClaimLost { .. } | Supervised::NotStarted { .. }) => {
            Err(format!("{lost:?}").into())
        }
    }
}

/// `WORLD EVENTS MUTATION --job ID --attempt N --claim SEQ --supervisor PID --reports -- COMMAND…`
pub(crate) fn exec_as_told(arguments: &[OsString]) -> Result<ExitCode, Error> {
    let (_, dir) = surroundings(arguments)?;
    let text = |at: usize| arguments.get(at).and_then(|a| a.to_str()).ok_or("an argument is missing");
    let request = CommandRequest {
        job: text(4)?.parse()?,
        attempt: text(6)?.parse()?,
        claim: text(8)?.parse()?,
        supervisor: text(10)?.parse()?,
        cgroup: None,
        confinement: Confinement::default(),
        reports: true,
        command: arguments.get(13..).unwrap_or_default().to_vec(),
    };
    let why = exec_command(&dir, &request);
    Ok(ExitCode::from(u8::try_from(why.exit_code()).unwrap_or(1)))
}

struct Gate;

struct Held(LockGrant);

impl RepositoryLocker for Gate {
    fn take(
        &self,
        dir: &StateDir,
        request: &RepositoryRequest<'_>,
    ) -> Result<Box<dyn HeldRepository>, RepositoryRefused> {
        acquire_for_job(dir, request.repository, request.job, request.attempt, request.claim, request.wait)
            .map(|grant| Box::new(Held(grant)) as Box<dyn HeldRepository>)
            .map_err(|e| RepositoryRefused { why: e.to_string() })
    }
}

impl HeldRepository for Held {
    fn lock_id(&self) -> &str {
        &self.0.lock_id
    }

    fn token(&self) -> u64 {
        self.0.token.get()
    }

    fn give_back(self: Box<Self>) -> Result<(), String> {
        self.0.release().map_err(|e| e.to_string())
    }
}
