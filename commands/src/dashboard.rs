//! The dashboard's surroundings: how it is drawn here, how it runs commands, which signals end it.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use recovery_tui::Runner;
use recovery_tui::message::Ran;
use recovery_tui::view::Theme;
use signal_hook::consts::{SIGHUP, SIGQUIT};

use crate::error::{CliError, ErrorKind};
use crate::internal::own_program;
use crate::interruption::Interruption;
use crate::output::Output;

/// Whether there is a terminal to show it on, and to take keys from.
pub(crate) fn has_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Returns how the dashboard is drawn: colours as everywhere else; ASCII where it is requested, or where the
/// locale has no UTF-8.
pub(crate) fn theme(output: &Output, ascii: bool) -> Theme {
    Theme { colors: output.has_colors(), ascii: ascii || !has_utf8(|name| std::env::var(name).ok()) }
}

/// Whether the locale has UTF-8, by the first of the variables that is set, as in the C library.
fn has_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Runs commands as processes of their own: what the dashboard shows is what is run, with the same checks and
/// the same entry in the audit trail. Each is in a process group of its own: it goes on when the terminal is
/// closed.
pub(crate) struct OwnCommands {
    /// The words before each command: which daemon is asked.
    pub(crate) options: Vec<String>,
    /// Which state directory and which configuration are meant.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
}

impl Runner for OwnCommands {
    fn run(&self, words: &[String]) -> Ran {
        let mut command = Command::new(own_program());
        command
            .args(&self.options)
            .args(words)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Standard input stays the terminal, for the audit trail; nothing reads from it.
        command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        match command.output() {
            Ok(output) => {
                let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.push_str(&String::from_utf8_lossy(&output.stderr));
                Ran { status: output.status.code().unwrap_or(-1), text }
            }
            Err(e) => Ran { status: -1, text: format!("recoveryctl cannot be started: {e}") },
        }
    }
}

/// The signals that end the dashboard in order, so that the terminal is given back.
pub(crate) struct Signals {
    interruption: Interruption,
    hung_up: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
}

impl Signals {
    /// Takes them over.
    pub(crate) fn catch(interruption: &Interruption) -> Result<Signals, CliError> {
        interruption.catch();
        let flag = |signal| {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal, Arc::clone(&flag)).map(|_| flag)
        };
        let caught = |e| CliError::new(ErrorKind::Failed, format!("cannot handle signals: {e}"));
        let (hung_up, quit) = (flag(SIGHUP).map_err(caught)?, flag(SIGQUIT).map_err(caught)?);
        Ok(Signals { interruption: interruption.clone(), hung_up, quit })
    }

    /// Whether one of them came.
    pub(crate) fn have_come(&self) -> bool {
        self.error().is_some()
    }

    /// Returns the error to end with, when one of them has come.
    pub(crate) fn error(&self) -> Option<CliError> {
        let gone = |text| Some(CliError::new(ErrorKind::Terminated, text));
        match () {
            () if self.hung_up.load(Ordering::SeqCst) => gone("the terminal was closed"),
            () if self.quit.load(Ordering::SeqCst) => gone("asked to end by SIGQUIT"),
            () => self.interruption.requested(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_ascii() {
        let with = |name: &'static str, value: &'static str| {
            has_utf8(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with("LANG", "en_US.UTF-8") && with("LC_ALL", "C.utf8") && with("LC_CTYPE", "de_DE.UTF-8"));
        assert!(!with("LANG", "C") && !with("LANG", "") && !with("OTHER", "C.UTF-8"));
        let both = |asked: &str| match asked {
            "LC_ALL" => Some("C".to_owned()),
            _ => Some("en_US.UTF-8".to_owned()),
        };
        assert!(!has_utf8(both), "LC_ALL counts first");
    }
}
