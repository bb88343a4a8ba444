//! `tui`: the terminal dashboard.

use std::sync::Arc;

use clap::Args;
use recovery::startup::StartedBy;
use recovery_tui::view::SMALLEST;
use recovery_tui::{
    DirectorySource, End, Model, Options, Runner, Setting, Sources, View, picture, read_once, run, text_of,
};
use serde::Serialize;

use crate::context::Context;
use crate::dashboard::{OwnCommands, Signals, has_terminal, theme};
use crate::error::{CliError, Ending, ErrorKind};
use crate::working::recovering;

/// Watch and steer everything in the terminal: what is wrong, what is happening, what to press
///
/// Works on the state directory, with or without a daemon. ? shows the keys. Whatever it changes it asks
/// about first, showing the command that does the same.
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

impl TuiArgs {
    /// Whether it wants a terminal; a picture can be had from afar.
    pub(crate) fn is_live(&self) -> bool {
        !self.once
    }
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

/// `--once --json`.
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
    let dir = context.state_dir()?;
    let settings = recovering(context, StartedBy::Recover, false)?;
    let setting = Setting {
        program: "recoveryctl".to_owned(),
        source: dir.paths.root().display().to_string(),
        read_only: args.read_only || context.is_dry_run(),
        is_recovering: false,
    };
    let theme = theme(&context.output, args.ascii);
    if args.once {
        let size = args.size.or_else(size_of_terminal).unwrap_or((80, 24));
        let mut model = Model::new(setting, args.view, size, dir.clock.now());
        read_once(&mut model, &mut DirectorySource::new(dir, settings));
        let text = text_of(&picture(&model, theme));
        let picture = Picture { columns: size.0, rows: size.1, text };
        context.output.report(&picture, |text| text.raw(&picture.text));
        return Ok(Ending::Done);
    }
    let signals = Signals::catch(&context.interruption)?;
    let loaded = context.configuration()?;
    let runner: Arc<dyn Runner> = Arc::new(OwnCommands {
        state_dir: dir.paths.root().to_owned(),
        config: loaded.file.clone().filter(|_| loaded.file_read),
    });
    let options =
        Options { setting, theme, view: args.view, mouse: args.mouse, clock: dir.clock.clone(), own: None };
    let stop = || signals.have_come();
    let sources: Sources = Arc::new(move || Box::new(DirectorySource::new(dir.clone(), settings.clone())));
    let end = run(std::io::stdout(), &sources, &runner, options, &stop);
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
