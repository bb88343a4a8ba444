//! `man [DIR]`: the manual pages, made from the same definition as the help.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;
use recovery::durable::{Disk, replace};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};

/// Print the manual page, or write one a command into a folder
///
/// To read it: recoveryctl man | man -l -
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// An existing folder; pages of the same names are replaced
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// `definition` is the command line's.
pub(crate) fn cmd_man(
    context: &mut Context,
    args: &ManArgs,
    definition: clap::Command,
) -> Result<Ending, CliError> {
    let Some(folder) = &args.folder else {
        let page = render(&definition)?;
        let page = String::from_utf8_lossy(&page);
        context.output.report(&json!({ "page": page }), |text| text.raw(&page));
        return Ok(Ending::Done);
    };
    if !folder.is_dir() {
        let message = format!("the manual pages cannot go to {}: it is no folder", folder.display());
        return Err(CliError::new(ErrorKind::NotFound, message).hint("make it with mkdir first"));
    }
    let mut pages = Vec::new();
    pages_of(definition, "", &mut pages)?;
    let disk = Disk::real();
    for (name, page) in &pages {
        let path = folder.join(name);
        replace(&disk, &path, page)?;
        // Manual pages are not part of our state: everybody may read them.
        disk.set_mode(&path, 0o644)?;
    }
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let report = json!({ "folder": folder.display().to_string(), "pages": names });
    context.output.report(&report, |text| {
        text.line(format!("{} manual pages are in {}", names.len(), folder.display()));
    });
    Ok(Ending::Done)
}

/// One page for the program and one for each command that is shown in the help.
fn pages_of(command: clap::Command, above: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), CliError> {
    let name = if above.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{above}-{}", command.get_name())
    };
    let shown = name.replacen('-', " ", name.matches('-').count());
    let mut command = command.display_name(name.clone()).bin_name(shown);
    command.build();
    pages.push((format!("{name}.1"), render(&command)?));
    let below: Vec<clap::Command> =
        command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").cloned().collect();
    below.into_iter().try_for_each(|c| pages_of(c, &name, pages))
}

fn render(command: &clap::Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    let written = Man::new(command.clone()).render(&mut page);
    written
        .map_err(|e| CliError::new(ErrorKind::Failed, format!("the manual page could not be made: {e}")))?;
    Ok(page)
}
