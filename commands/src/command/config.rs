//! `config show|check`: the settings, their origins, and whether all of them are valid.

use clap::{Args, Subcommand};
use recovery::state::config::{KEYS, NO_DOCKER, Origin};
use recovery::state::suggest::closest;
use recovery::system::docker::{AddressSource, FoundEngine};
use serde::Serialize;

use crate::configuration::our_variables;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use recovery::operations::settings::delivering;
use recovery::operations::settings::docker_client;

/// Variables with our prefix that are no settings: two that name files, and those that jobs get.
const OTHER_VARIABLES: [&str; 6] = [
    "RECOVERYCTL_CONFIG",
    "RECOVERYCTL_JOB_ID",
    "RECOVERYCTL_ATTEMPT",
    "RECOVERYCTL_WORKSPACE",
    "RECOVERYCTL_CHECKPOINT",
    "RECOVERYCTL_RESUMED",
];

/// Show or check the configuration
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    word: ConfigWord,
}

#[derive(Debug, Subcommand)]
enum ConfigWord {
    /// Show every setting and where it comes from
    Show,
    /// Check file and variables; exits with 3 when a variable of ours is no setting
    Check,
}

pub(crate) fn cmd_config(context: &mut Context, args: &ConfigArgs) -> Result<Ending, CliError> {
    match args.word {
        ConfigWord::Show => show(context),
        ConfigWord::Check => check(context),
    }
}

#[derive(Debug, Serialize)]
struct ShowReport {
    /// The configuration file's path.
    file: Option<String>,
    file_read: bool,
    settings: Vec<Setting>,
    total: usize,
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Setting {
    key: &'static str,
    value: String,
    origin: Origin,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    variable: String,
    about: &'static str,
}

fn show(context: &mut Context) -> Result<Ending, CliError> {
    let loaded = context.configuration()?;
    let configuration = &loaded.configuration;
    let setting = |key: &'static recovery::state::config::Key| Setting {
        key: key.name,
        value: (key.show)(configuration.settings()),
        origin: configuration.origin(key.name),
        detail: None,
        variable: key.variable(),
        about: key.about,
    };
    let mut settings: Vec<Setting> = KEYS.iter().map(setting).collect();
    let engine = settings.iter_mut().find(|s| s.key == "docker.host" && s.origin == Origin::Default);
    if let Some(engine) = engine {
        found_engine(engine, docker_client(|name| std::env::var_os(name)).find());
    }
    let report = ShowReport {
        file: loaded.file.as_ref().map(|f| f.display().to_string()),
        file_read: loaded.file_read,
        total: settings.len(),
        settings,
        next_cursor: None,
    };
    context.output.report(&report, |text| {
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for setting in &report.settings {
            let faint = if setting.origin == Origin::Default { Tone::Faint } else { Tone::Plain };
            let origin = Cell::toned(describe(&setting.origin), faint);
            table.row([setting.key.into(), Cell::from(&setting.value), origin]);
        }
        text.table(&table);
    });
    for (key, detail) in report.settings.iter().filter_map(|s| Some((s.key, s.detail.as_ref()?))) {
        context.output.warning(&format!("{key}: {detail}"));
    }
    if let (Some(file), false) = (&report.file, report.file_read) {
        context.output.hint(&format!("there is no {file}; settings may be put there"));
    }
    Ok(Ending::Done)
}

/// Notes which engine was found, and what named it.
fn found_engine(setting: &mut Setting, found: FoundEngine) {
    let origin = |source| match source {
        AddressSource::Variable(name) => Origin::Environment { name: name.to_owned() },
        AddressSource::Context { name, chosen_by } => Origin::DockerContext { name, chosen_by },
        AddressSource::UsualPlace => Origin::Found,
    };
    (setting.value, setting.origin, setting.detail) = match found {
        FoundEngine::At(hosts, source) => (hosts.join(","), origin(source), None),
        FoundEngine::NotInstalled => (NO_DOCKER.to_owned(), Origin::Found, None),
        FoundEngine::Unknown(why, source) => ("unknown".to_owned(), origin(source), Some(why)),
    };
}

/// `file /etc/…:3`, `env RECOVERYCTL_…`, `flag --…`, `default`.
fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File { .. } => format!("file {origin}"),
        Origin::Environment { .. } => format!("env {origin}"),
        Origin::Flag { .. } => format!("flag {origin}"),
        Origin::DockerContext { .. } => format!("docker context {origin}"),
        Origin::Found => "found".to_owned(),
    }
}

#[derive(Debug, Serialize)]
struct CheckReport {
    file: Option<String>,
    file_read: bool,
    unknown_variables: Vec<UnknownVariable>,
}

#[derive(Debug, Serialize)]
struct UnknownVariable {
    name: String,
    suggestion: Option<String>,
}

fn check(context: &mut Context) -> Result<Ending, CliError> {
    delivering(context.settings()?)?;
    let loaded = context.configuration()?;
    let (file, file_read) = (loaded.file.as_ref().map(|f| f.display().to_string()), loaded.file_read);
    let report = CheckReport { file, file_read, unknown_variables: unknown_variables() };
    context.output.report(&report, |text| match (&report.file, report.file_read) {
        (Some(file), true) => text.line(format!("{file} is in order")),
        (Some(file), false) => text.line(format!("there is no {file}; defaults hold")),
        (None, _) => text.line("no configuration file; defaults hold"),
    });
    for unknown in &report.unknown_variables {
        let meant = unknown.suggestion.as_ref().map_or_else(String::new, |s| format!("; did you mean {s}?"));
        context.output.warning(&format!("{} sets nothing{meant}", unknown.name));
    }
    Ok(if report.unknown_variables.is_empty() { Ending::Done } else { Ending::Degraded })
}

fn unknown_variables() -> Vec<UnknownVariable> {
    let settings: Vec<String> = KEYS.iter().map(recovery::state::config::Key::variable).collect();
    let known = |name: &str| settings.iter().any(|s| s == name) || OTHER_VARIABLES.contains(&name);
    let names = our_variables().into_iter().map(|(name, _)| name.to_string_lossy().into_owned());
    names
        .filter(|name| !known(name))
        .map(|name| {
            let suggestion = closest(&name, settings.iter().map(String::as_str)).map(str::to_owned);
            UnknownVariable { name, suggestion }
        })
        .collect()
}
