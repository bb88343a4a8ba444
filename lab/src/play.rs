//! The processes of an operation: the laboratory's program, started again to play them, so that recovery
//! finds them dead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use recovery::queue::{JobStatus, Queue};

use crate::Error;
use crate::event::Event;
use crate::facts::Fact;
use crate::operations::{self, Operation, Stage, supervisor};
use crate::record::Recorder;
use crate::recovering::with_causes;
use crate::tree::Tree;

/// The first argument that makes the program play.
pub(crate) const PLAY: &str = "play-a-process-of-the-laboratory";

/// A process that records nothing for that long hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// How to play an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    /// The number of the sync that fails, counted from 1 in each process; 0 for none. The operation is then
    /// tried again.
    pub failing_sync: u64,
    /// A fault of the library that is switched on.
    pub bug: Option<String>,
    /// Whether the operation may be refused, because it was begun before.
    pub may_be_refused: bool,
}

/// Starts processes that play.
#[derive(Debug, Clone)]
pub struct Player {
    program: PathBuf,
}

/// A disk, and an operation's effects on it.
#[derive(Debug)]
pub struct Recording {
    pub(crate) base: Tree,
    pub(crate) events: Vec<Event>,
}

impl Player {
    /// A program whose `main` calls [`play`] with its arguments.
    pub fn new(program: &Path) -> Player {
        Player { program: program.to_owned() }
    }

    /// Plays the operation's preparation in an empty world.
    pub(crate) fn prepare(&self, operation: &Operation, world: &Path) -> Result<Tree, Error> {
        Tree::default().restore(world)?;
        self.start(&["prepare".into(), operation.name.into(), world.into()], world, &|| 0)?;
        Tree::read(world)
    }

    /// Records the operation on a prepared world.
    pub(crate) fn record(
        &self,
        operation: &Operation,
        base: &Tree,
        world: &Path,
        orders: &Orders,
    ) -> Result<Recording, Error> {
        base.restore(world)?;
        let events = world.with_extension("events");
        let _ = std::fs::remove_file(&events);
        let recorded = || std::fs::metadata(&events).map_or(0, |file| file.len());
        self.start(&run_arguments(operation, world, &events, orders), world, &recorded)?;
        let events = Event::read_all(&events)?;
        let ended = events.iter().rev().find_map(|e| match e {
            Event::Ended { error } => Some(error.clone()),
            _ => None,
        });
        match ended {
            Some(Some(error)) if orders.failing_sync == 0 && !orders.may_be_refused => {
                Err(format!("{}: {error}", operation.name).into())
            }
            None => Err(format!("{}: its process did not come to its end", operation.name).into()),
            _ => Ok(Recording { base: base.clone(), events }),
        }
    }

    /// Begins the operation on a world that is prepared, recorded to `events`.
    pub(crate) fn begin(
        &self,
        operation: &Operation,
        world: &Path,
        events: &Path,
        orders: &Orders,
    ) -> Result<Child, Error> {
        let mut command = Command::new(&self.program);
        command.arg(PLAY).args(run_arguments(operation, world, events, orders)).stdin(Stdio::null());
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Runs a process to its end, and ends the processes that it leaves in that world: an operation that
    /// fails half way leaves a job's command running, and on its disks recovery would rightly find the job
    /// alive.
    fn start(&self, arguments: &[OsString], world: &Path, progress: &dyn Fn() -> u64) -> Result<(), Error> {
        let mut said = tempfile::tempfile()?;
        let mut process = Command::new(&self.program)
            .arg(PLAY)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            .spawn()?;
        let status = crate::sandbox::wait_while_it_works(&mut process, PATIENCE, progress)?;
        crate::sandbox::end_all_at(world);
        if status.success() {
            return Ok(());
        }
        let said = crate::sandbox::text_of(&mut said)?;
        Err(format!("{arguments:?} ended with {status}: {said}").into())
    }
}

fn run_arguments(operation: &Operation, world: &Path, events: &Path, orders: &Orders) -> Vec<OsString> {
    let fail = orders.failing_sync.to_string();
    let bug = orders.bug.clone().unwrap_or_default();
    vec!["run".into(), operation.name.into(), world.into(), events.into(), fail.into(), bug.into()]
}

/// Plays, when the arguments (without the program's name) say so; else `None`.
pub fn play(arguments: &[OsString]) -> Option<ExitCode> {
    let (first, rest) = arguments.split_first()?;
    if first != PLAY {
        return None;
    }
    Some(match play_role(rest) {
        Ok(code) => code,
        Err(error) => {
            // There is no other way to report to the process that started this one.
            #[allow(clippy::print_stderr)]
            {
                eprintln!("{}", with_causes(error.as_ref()));
            }
            ExitCode::from(9)
        }
    })
}

fn play_role(arguments: &[OsString]) -> Result<ExitCode, Error> {
    let text = |at: usize| -> Result<&str, Error> {
        arguments.get(at).and_then(|a| a.to_str()).ok_or_else(|| "an argument is missing".into())
    };
    let world = |at: usize| -> Result<PathBuf, Error> { Ok(PathBuf::from(text(at)?)) };
    match text(0)? {
        "prepare" => {
            let operation = operations::find(text(1)?)?;
            (operation.prepare)(&Stage::unrecorded(&world(2)?))?;
            Ok(ExitCode::SUCCESS)
        }
        "run" => {
            let (events, failing_sync) = (world(3)?, text(4)?.parse()?);
            run(operations::find(text(1)?)?, &world(2)?, &events, failing_sync, text(5)?)
        }
        "supervise" => supervisor::supervise_as_told(&arguments[1..]),
        "exec-command" => supervisor::exec_as_told(&arguments[1..]),
        other => Err(format!("no such role: {other}").into()),
    }
}

/// After a failed sync: the state visible now must not vanish.
fn show(stage: &Stage) -> Result<(), Error> {
    // Opening is refused while the log is unusable: then nothing is shown.
    let Ok(queue) = Queue::open(&stage.dir()?) else { return Ok(()) };
    let any = JobStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>();
    queue.state().jobs().for_each(|job| stage.acknowledge(Fact::job(&job.id.to_string(), 1, &any)));
    Ok(())
}

fn run(
    operation: &Operation,
    world: &Path,
    events: &Path,
    failing_sync: u64,
    bug: &str,
) -> Result<ExitCode, Error> {
    crate::seeded_bugs::switch_on(bug)?;
    let recorder = Arc::new(Recorder::to_file(world, events, failing_sync)?);
    let stage = Stage::recorded(world, events, recorder.clone(), bug);
    let mut result = (operation.run)(&stage);
    if result.is_err() && failing_sync != 0 {
        // A caller that gets an error tries again.
        result = (operation.run)(&stage);
    }
    if failing_sync != 0 {
        show(&stage)?;
    }
    let error = result.err().map(|e| with_causes(e.as_ref()));
    recorder.note(Event::Ended { error });
    Ok(ExitCode::SUCCESS)
}
