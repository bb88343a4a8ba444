//! The picture in the README: a real frame of the dashboard over a state directory that really crashed.
#![allow(clippy::disallowed_methods)] // It damages files, and writes a document.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use recovery::daemon::running_daemon;
use recovery::durable::Disk;
use recovery::queue::{JobStatus, Queue};
use recovery::state::{Clock, StateDir};
use recovery::system::{end_process, marked_processes};
use recovery_tui::view::Theme;
use recovery_tui::{Directory, Model, OperationSource, Setting, View, picture, read_once, svg};

/// The variable with the job's id, which jobs have in their environment.
const JOB_ID: &str = "RECOVERYCTL_JOB_ID";
const STATE_DIR: &str = "RECOVERYCTL_STATE_DIR";
/// The variable in the environment of everything that runs for the picture.
const MARK: &str = "RECOVERY_PICTURE";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where it is written
    #[arg(long, default_value = "docs/images/tui.svg")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match draw(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            crate::crash_lab::tell(&e.to_string());
            ExitCode::FAILURE
        }
    }
}

fn draw(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("there is no workspace")?;
    let place = tempfile::tempdir()?;
    let stage = Stage { binary: built(root)?, state: place.path().join("state"), mark: MARK.to_owned() };
    let dir = stage.crash()?;
    let setting = Setting {
        program: "recoveryctl".to_owned(),
        source: "/var/lib/recoveryctl".to_owned(),
        read_only: false,
        is_recovering: false,
    };
    let mut model = Model::new(setting, View::Overview, (96, 26), dir.clock.now());
    read_once(&mut model, &mut OperationSource::new(Directory::with_defaults(dir)));
    let out = root.join(&arguments.out);
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(out, svg(&picture(&model, Theme { colors: true, ascii: false })))?;
    Ok(())
}

/// Builds the program.
fn built(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    if !build.args(["build", "--quiet", "--bin", "recoveryctl"]).current_dir(root).status()?.success() {
        return Err("recoveryctl cannot be built".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("debug/recoveryctl"))
}

/// The folder in which it happens; what was started there is ended when this is dropped.
struct Stage {
    binary: PathBuf,
    state: PathBuf,
    mark: String,
}

impl Stage {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).env("RECOVERYCTL_STATE_DIR", &self.state).env(&self.mark, &self.state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Result<(), Box<dyn Error>> {
        self.command(words).status()?;
        Ok(())
    }

    /// Kills a busy server and two of its jobs, damages a lock's file, and recovers.
    fn crash(&self) -> Result<StateDir, Box<dyn Error>> {
        self.run(&["init"])?;
        let dir = StateDir::open(&self.state, Disk::real(), Clock::system())?;
        let mut daemon = self.command(&["daemon", "--workers", "5"]).spawn()?;
        until(|| Ok(running_daemon(&dir)?.is_some()))?;
        for (id, repository) in
            [("build", "web"), ("nightly", "api"), ("render", "assets"), ("index", "search")]
        {
            self.run(&["submit", "--id", id, "--repo", repository, "--", "sleep", "600"])?;
        }
        for n in 0..9 {
            self.run(&["submit", "--id", &format!("deploy-{n}"), "--repo", "web", "--", "true"])?;
        }
        until(|| Ok(Queue::open(&dir)?.state().running().len() == 4))?;
        let sentinel = |id: &str| dir.paths.job(id).map(|paths| paths.sentinel());
        let read = |id: &str| Ok::<_, Box<dyn Error>>(recovery::jobs::Sentinel::read(&sentinel(id)?)?);
        until(|| Ok(["nightly", "render"].iter().all(|id| read(id).is_ok_and(|s| s.whole().is_some()))))?;
        daemon.kill()?;
        daemon.wait()?;
        for id in ["nightly", "render"] {
            if let Some(sentinel) = read(id)?.whole() {
                end_process(sentinel.supervisor, 5_000)?;
            }
            let (job, state) = (format!("{JOB_ID}={id}"), format!("{STATE_DIR}={}", self.state.display()));
            for process in marked_processes(&[&job, &state], None).0 {
                end_process(process, 5_000)?;
            }
        }
        std::fs::write(dir.paths.lock("search")?.metadata, "{\"version\":1,\"reposi")?;
        self.run(&["recover"])?;
        until(|| Ok(Queue::open(&dir)?.state().jobs().any(|j| j.status == JobStatus::Crashed)))?;
        Ok(dir)
    }
}

fn until(mut is_so: impl FnMut() -> Result<bool, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > Duration::from_secs(30) {
            return Err("it does not come about".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mark = format!("{}={}", self.mark, self.state.display());
        for process in marked_processes(&[&mark], None).0 {
            let _ = end_process(process, 5_000);
        }
    }
}
