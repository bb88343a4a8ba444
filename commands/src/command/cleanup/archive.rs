//! `cleanup archive list|show|restore|prune`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use recovery::archive::{
    Archive, ArchiveForm, ArchiveRetention, Repository, RestoreError, archive, archives, outlived,
    remove_audited, restore,
};
use recovery::audit::{Entry, Trail};
use recovery::findings::Object;
use recovery::report::cleanup::ArchiveList;
use recovery::state::{StateDir, human, parse_size};
use schemars::JsonSchema;
use serde::Serialize;

use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::table::{Cell, Table};
use recovery::operations::settings::archive_retention;

/// Look at, unpack or remove the git work that was kept of workspaces that went
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    word: ArchiveWord,
}

#[derive(Debug, Subcommand)]
enum ArchiveWord {
    /// Show the archives, the newest first
    List(PageArgs),
    /// Show what is in an archive, and why
    Show(ShowArgs),
    /// Unpack an archive into a new folder
    Restore(RestoreArgs),
    /// Remove archives for good: those that no rule keeps, of all or of those that are named
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The archive
    #[arg(value_name = "ID")]
    archive: String,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// The archive
    #[arg(value_name = "ID")]
    archive: String,
    /// The folder, which must not be there yet [default: the archive's id, here]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Without ids and rules, those of the configuration hold: cleanup.archive_keep and cleanup.archive_bytes. A daemon
/// applies them after each of its scans for orphans. With ids and rules, those of the ids go that no rule keeps.
#[derive(Debug, Args)]
struct PruneArgs {
    /// These archives
    #[arg(value_name = "ID")]
    archives: Vec<String>,
    /// Keep those that were made within so many days
    #[arg(long, value_name = "N")]
    keep_days: Option<u32>,
    /// Keep the newest, and of the others those that fit into so many bytes beside what is kept
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    keep_bytes: Option<u64>,
}

impl ArchiveArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.word, ArchiveWord::Restore(_) | ArchiveWord::Prune(_))
    }
}

pub(crate) fn cmd_archive(context: &mut Context, args: &ArchiveArgs) -> Result<Ending, CliError> {
    match &args.word {
        ArchiveWord::List(page) => list(context, page),
        ArchiveWord::Show(args) => show(context, args),
        ArchiveWord::Restore(args) => unpack(context, args),
        ArchiveWord::Prune(args) => prune(context, args),
    }
}

fn list(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let report = ArchiveList::read(&dir, &page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        if report.archives.is_empty() {
            return text.line("nothing was kept");
        }
        let mut table = Table::new(&["ARCHIVE", "OF", ">SIZE", "MADE", "WHAT"]);
        for archive in &report.archives {
            let what: Vec<&str> = archive.repositories.iter().map(|r| r.path.as_str()).collect();
            let what = if archive.form == ArchiveForm::Bundles {
                "bundles and patches".to_owned()
            } else {
                what.join(", ")
            };
            table.row([
                Cell::from(&archive.archive_id),
                Cell::from(archive.object.clone().unwrap_or_default()),
                Cell::from(human::size(archive.bytes)),
                Cell::from(human::ago(now, archive.made_at)),
                Cell::from(what),
            ]);
        }
        text.table(&table);
        text.gap();
        text.line(format!("{} in all, {}", report.total, human::size(report.bytes_total)));
    });
    Ok(Ending::Done)
}

fn find(dir: &StateDir, id: &str) -> Result<Archive, CliError> {
    archive(dir, id)?.ok_or_else(|| {
        CliError::new(ErrorKind::NotFound, format!("there is no archive '{id}'"))
            .code("no-such-archive")
            .hint("recoveryctl cleanup archive list")
    })
}

fn show(context: &mut Context, args: &ShowArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let archive = find(&dir, &args.archive)?;
    context.output.report(&archive, |text| {
        text.fields(&[
            ("archive", Some(archive.archive_id.clone())),
            ("of", archive.object.clone()),
            ("was in", archive.folder.as_ref().map(|folder| folder.display().to_string())),
            ("made", Some(archive.made_at.to_string())),
            (
                "size",
                Some(format!("{}, {}", human::size(archive.bytes), human::count(archive.entries, "entry"))),
            ),
            ("file", Some(archive.path.display().to_string())),
        ]);
        for repository in &archive.repositories {
            text.gap();
            text.line(told(repository));
            repository.deleted.iter().for_each(|name| text.line(format!("  deleted: {name}")));
        }
    });
    if archive.form == ArchiveForm::Tar {
        context.output.hint(&format!("recoveryctl cleanup archive restore {} --to DIR", archive.archive_id));
    }
    Ok(Ending::Done)
}

fn told(repository: &Repository) -> String {
    let what = if repository.whole { "all of it" } else { "files" };
    let head = repository.head.as_ref().map(|head| format!(" (commit {head})")).unwrap_or_default();
    format!("{}{head}: {what}: {}", repository.path, repository.why)
}

/// What was unpacked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ArchiveRestored")]
pub(crate) struct RestoredReport {
    archive_id: String,
    path: PathBuf,
    entries: u64,
    bytes: u64,
    dry_run: bool,
}

fn unpack(context: &mut Context, args: &RestoreArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let found = find(&dir, &args.archive)?;
    let to = args.to.clone().unwrap_or_else(|| PathBuf::from(&found.archive_id));
    let Some(path) =
        context.folder().map(|folder| folder.join(&to)).or_else(|| to.is_absolute().then_some(to))
    else {
        return Err(CliError::new(ErrorKind::Usage, "the folder must be named by an absolute path"));
    };
    let dry_run = context.is_dry_run();
    let mut report = RestoredReport {
        archive_id: found.archive_id.clone(),
        path,
        entries: found.entries,
        bytes: found.bytes,
        dry_run,
    };
    if dry_run && report.path.symlink_metadata().is_ok() {
        return Err(RestoreError::Taken { path: report.path }.into());
    }
    if !dry_run {
        let (actor, trail) = (context.actor(), Trail::open(&dir)?);
        let restored = restore(&dir.disk, &found, &report.path)?;
        (report.entries, report.bytes) = (restored.entries, restored.bytes);
        let object = Object::Archive(found.archive_id.to_string());
        let detail = format!("to {}", report.path.display());
        trail.record(&Entry::done(dir.clock.now(), &actor, "cleanup archive restore", object, detail))?;
    }
    context.output.report(&report, |text| {
        let word = if dry_run { "would be unpacked" } else { "was unpacked" };
        let (id, to, size) = (&report.archive_id, report.path.display(), human::size(report.bytes));
        text.line(format!("{id} {word} into {to}: {}, {size}", human::count(report.entries, "entry")));
    });
    Ok(Ending::Done)
}

/// One archive by its name, more by their number.
fn names_of(archives: &[Archive]) -> String {
    match archives {
        [one] => format!("archive {}", one.archive_id),
        more => format!("{} archives", more.len()),
    }
}

/// What was removed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ArchivePruned")]
pub(crate) struct PrunedReport {
    removed: Vec<RemovedArchive>,
    bytes_freed: u64,
    dry_run: bool,
}

/// An archive that is gone, or would go.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RemovedArchive {
    archive_id: String,
    object: Option<String>,
    bytes: u64,
}

fn prune(context: &mut Context, args: &PruneArgs) -> Result<Ending, CliError> {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let dir = context.state_dir()?;
    let configured = archive_retention(&context.settings()?.cleanup);
    let given = ArchiveRetention {
        keep_ms: args.keep_days.map(|days| i64::from(days) * DAY_MS),
        keep_bytes: args.keep_bytes,
    };
    let rules = if given == ArchiveRetention::default() { configured } else { given };
    let named = args.archives.iter().map(|id| find(&dir, id)).collect::<Result<Vec<_>, _>>()?;
    let going = if !named.is_empty() && given == ArchiveRetention::default() {
        named
    } else {
        let mut going = outlived(&archives(&dir)?, rules, dir.clock.now());
        going.retain(|archive| named.is_empty() || named.iter().any(|n| n.archive_id == archive.archive_id));
        going
    };
    let dry_run = context.is_dry_run();
    let bytes_freed: u64 = going.iter().map(|archive| archive.bytes).sum();
    if !dry_run && !going.is_empty() {
        let size = human::size(bytes_freed);
        context.confirm(&format!("remove git work of {} for good ({size})?", names_of(&going)))?;
        let actor = context.actor();
        going.iter().try_for_each(|archive| remove_audited(&dir, archive, &actor))?;
    }
    let removed = going
        .into_iter()
        .map(|a| RemovedArchive { archive_id: a.archive_id, object: a.object, bytes: a.bytes })
        .collect();
    let report = PrunedReport { removed, bytes_freed, dry_run };
    context.output.report(&report, |text| {
        let act = if dry_run { "would be removed" } else { "removed" };
        for archive in &report.removed {
            text.line(format!("{}: {act}, {}", archive.archive_id, human::size(archive.bytes)));
        }
        text.line(format!("{} {act}, {}", report.removed.len(), human::size(report.bytes_freed)));
    });
    let is_without_rule = args.archives.is_empty() && rules == ArchiveRetention::default();
    if is_without_rule {
        context.output.hint("no rule says which may go: give ids, --keep-days or --keep-bytes");
    }
    Ok(Ending::Done)
}
