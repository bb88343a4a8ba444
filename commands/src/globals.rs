//! The flags that every command takes.

use std::path::PathBuf;

use clap::Args;

use crate::paint::ColorChoice;

/// Flags of every command, before or after its word.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The state directory [env: RECOVERYCTL_STATE_DIR]
    ///
    /// Without it: the configured one, else /var/lib/recoveryctl for root and the XDG state folder
    /// (~/.local/state/recoveryctl) otherwise.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The configuration file [env: RECOVERYCTL_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print exactly one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Tell more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: ColorChoice,
    /// Answer yes to every question
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Show what would be done and change nothing
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// Why it is done, for the audit trail
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Read the state directory itself, also where its daemon could be asked
    #[arg(long, global = true, conflicts_with_all = ["url", "socket"])]
    pub(crate) direct: bool,
    /// Ask the daemon at this address, http://HOST:PORT, instead of the state directory
    #[arg(long, global = true, value_name = "URL", conflicts_with = "socket")]
    pub(crate) url: Option<String>,
    /// Ask the daemon behind this unix socket instead of the state directory
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// With --url: the file that holds the token to show
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long to wait for a lock, such as 30s [default: 10s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration_text)]
    pub(crate) lock_wait: Option<String>,
}

/// Checked here for the message of a wrong flag, read with the other layers.
fn duration_text(text: &str) -> Result<String, recovery::state::BadUnit> {
    recovery::state::parse_duration(text).map(|_| text.to_owned())
}
