//! `tui`: the terminal dashboard.

use std::sync::Arc;

use clap::Args;
use recovery::state::Clock;
use recovery_tui::action::quoted;
use recovery_tui::message::{Answer, Ask};
use recovery_tui::view::{SMALLEST, Theme};
use recovery_tui::{
    Directory, End, Model, OperationSource, Options, Runner, Setting, Source, Sources, Trouble, View,
    picture, read_once, run, text_of,
};
use serde::Serialize;

use crate::context::Context;
use crate::dashboard::{OwnCommands, Signals, has_terminal, theme};
use crate::error::{CliError, Ending, ErrorKind};
use crate::remote::WatchedDaemon;

/// Watch and steer everything in the terminal: what is wrong, what is happening, what to press
///
/// Works on the state directory, with or without a daemon, or with --url or --socket on a daemon elsewhere. ? shows the
/// keys. Whatever it changes it asks about first, showing the command that does the same.
#[derive(Debug, Args)]
pub(crate) struct TuiArgs {
    /// Change nothing: only look
    #[arg(long)]
    read_only: bool,
    /// Print one picture as text and end
    #[arg(long)]
    once: bool,
    /// Draw with ASCII only [default: where the locale has no UTF-8]
    #[arg(long)]
    ascii: bool,
    /// Take the mouse: wheel and click select, and the terminal selects text with Shift only
    #[arg(long, conflicts_with = "once")]
    mouse: bool,
    /// The view to begin with
    #[arg(long, value_name = "NAME", default_value = "overview", value_parser = view)]
    view: View,
    /// With --once: so large, such as 120x40 [default: as the terminal, else 80x24]
    #[arg(long, value_name = "COLUMNSxROWS", requires = "once", value_parser = size)]
    size: Option<(u16, u16)>,
}

fn view(name: &str) -> Result<View, String> {
    View::named(name).ok_or_else(|| {
        let names: Vec<String> = View::ALL.iter().map(|v| v.title().to_lowercase()).collect();
        format!("one of: {}", names.join(", "))
    })
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parsed = text.split_once('x').and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
    parsed
        .filter(|&(columns, rows)| {
            (SMALLEST.0..=500).contains(&columns) && (SMALLEST.1..=500).contains(&rows)
        })
        .ok_or_else(|| format!("columns and rows, from {}x{} to 500x500", SMALLEST.0, SMALLEST.1))
}

/// The document of `--once --json`.
#[derive(Debug, Serialize)]
struct Picture {
    columns: u16,
    rows: u16,
    text: String,
}

pub(crate) fn cmd_tui(context: &mut Context, args: &TuiArgs) -> Result<Ending, CliError> {
    if !args.once {
        usable(context)?;
    }
    let asked = match is_elsewhere(context) {
        true => Asked::daemon(context)?,
        false => Asked::directory(context)?,
    };
    let setting = Setting {
        program: asked.program(),
        source: asked.name.clone(),
        read_only: args.read_only || context.is_dry_run(),
        is_recovering: false,
    };
    let theme = theme(&context.output, args.ascii);
    if args.once {
        return once(context, args, setting, theme, &asked);
    }
    let signals = Signals::catch(&context.interruption)?;
    let options =
        Options { setting, theme, view: args.view, mouse: args.mouse, clock: asked.clock, own: None };
    let stop = || signals.have_come();
    let end = run(std::io::stdout(), &asked.sources, &asked.runner, options, &stop);
    match (signals.error(), end) {
        (Some(signal), _) => Err(signal),
        (None, Ok(End::Lost)) => Err(CliError::new(ErrorKind::Terminated, "the terminal is gone")),
        (None, Ok(_)) => Ok(Ending::Done),
        (None, Err(e)) => {
            let message = format!("the terminal cannot be used: {e}");
            Err(CliError::new(ErrorKind::Failed, message).code("terminal").hint("recoveryctl status"))
        }
    }
}

fn is_elsewhere(context: &Context) -> bool {
    context.globals().url.is_some() || context.globals().socket.is_some()
}

/// What is shown, and who runs commands.
struct Asked {
    name: String,
    /// The options that name it in a command.
    options: Vec<String>,
    clock: Clock,
    sources: Sources,
    runner: Arc<dyn Runner>,
}

impl Asked {
    /// Shows the state directory, with or without a daemon.
    fn directory(context: &mut Context) -> Result<Asked, CliError> {
        let dir = context.state_dir()?;
        let site = context.operation()?.site().clone();
        let loaded = context.configuration()?;
        let root = dir.paths.root();
        let mut environment = vec![("RECOVERYCTL_STATE_DIR", root.to_owned())];
        let config = loaded.file.clone().filter(|_| loaded.file_read);
        environment.extend(config.map(|file| ("RECOVERYCTL_CONFIG", file)));
        let (name, clock) = (root.display().to_string(), dir.clock.clone());
        let sources: Sources =
            Arc::new(move || Box::new(OperationSource::new(Directory::new(dir.clone(), site.clone()))));
        let runner = Arc::new(OwnCommands { options: Vec::new(), environment });
        Ok(Asked { name, options: Vec::new(), clock, sources, runner })
    }

    /// Shows a daemon elsewhere. It need not run yet.
    fn daemon(context: &Context) -> Result<Asked, CliError> {
        let globals = context.globals();
        let daemon = WatchedDaemon::named(globals)?;
        let name = daemon.name();
        let file = globals.token_file.as_ref().filter(|_| globals.url.is_some());
        let url = globals.url.as_ref().map(std::path::PathBuf::from);
        let given = [("--url", url.as_ref()), ("--socket", globals.socket.as_ref()), ("--token-file", file)];
        let mut options = Vec::new();
        for (option, value) in given {
            let Some(value) = value else { continue };
            let text = value.to_str().ok_or_else(|| {
                CliError::new(ErrorKind::Usage, format!("'{}' is no UTF-8", value.display()))
            })?;
            options.extend([option.to_owned(), text.to_owned()]);
        }
        daemon.follow()?;
        let runner = Arc::new(OwnCommands { options: options.clone(), environment: Vec::new() });
        let sources: Sources = Arc::new(move || match daemon.another() {
            Ok(daemon) => Box::new(OperationSource::new(daemon)),
            Err(e) => Box::new(NoSource(e.message())),
        });
        Ok(Asked { name, options, clock: Clock::system(), sources, runner })
    }

    /// Returns how its commands begin.
    fn program(&self) -> String {
        let words = std::iter::once("recoveryctl".to_owned()).chain(self.options.iter().cloned());
        quoted(&words.collect::<Vec<_>>())
    }
}

/// Stands for a source that could not be made.
struct NoSource(String);

impl Source for NoSource {
    fn read(&mut self, _ask: &Ask) -> Result<Answer, Trouble> {
        Err(Trouble::NotRead(self.0.clone()))
    }

    fn stamp(&mut self) -> u64 {
        0
    }
}

/// Prints one picture. When the source does not answer, there is none.
fn once(
    context: &mut Context,
    args: &TuiArgs,
    setting: Setting,
    theme: Theme,
    asked: &Asked,
) -> Result<Ending, CliError> {
    let size = args.size.or_else(size_of_terminal).unwrap_or((80, 24));
    let mut model = Model::new(setting, args.view, size, asked.clock.now());
    read_once(&mut model, &mut *(asked.sources)());
    if let Some(why) = model.lost() {
        let hint = "without --url and --socket the state directory is asked itself";
        return Err(CliError::new(ErrorKind::DaemonUnreachable, why.to_owned()).hint(hint));
    }
    let text = text_of(&picture(&model, theme));
    let picture = Picture { columns: size.0, rows: size.1, text };
    context.output.report(&picture, |text| text.raw(&picture.text));
    Ok(Ending::Done)
}

/// Says in one line what to do where the dashboard cannot be shown.
fn usable(context: &Context) -> Result<(), CliError> {
    let why = match () {
        () if context.output.is_json() => "is no document",
        () if !has_terminal() => "needs a terminal (over SSH: ssh -t HOST recoveryctl tui)",
        () if std::env::var_os("TERM").is_none_or(|t| t.is_empty() || t == "dumb") => {
            "needs a terminal that can move its cursor, and TERM says that this one cannot"
        }
        () => return Ok(()),
    };
    let message = format!(
        "the dashboard {why}; one picture as text: recoveryctl tui --once, in a few lines: recoveryctl status"
    );
    Err(CliError::new(ErrorKind::Usage, message).code("no-terminal"))
}

fn size_of_terminal() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    let (columns, rows) = (size.ws_col, size.ws_row);
    (columns >= SMALLEST.0 && rows >= SMALLEST.1).then_some((columns, rows))
}
