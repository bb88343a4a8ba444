//! `cleanup archive list|show|restore|prune`.

use clap::{Args, Subcommand};
use recovery::archive::{Archive, ArchiveForm, Repository};
use recovery::operations::cleanup::{
    ArchiveListRequest, PruneArchives, PrunedReport, RestoreArchive, RestoredReport, ShowArchive,
};
use recovery::report::cleanup::ArchiveList;
use recovery::state::{Clock, human};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Look at, unpack or remove the git work that was kept of workspaces that went
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    word: ArchiveWord,
}

#[derive(Debug, Subcommand)]
enum ArchiveWord {
    List(ArchiveListRequest),
    Show(ShowArchive),
    Restore(RestoreArchive),
    Prune(PruneArchives),
}

pub(crate) fn cmd_archive(context: &mut Context, args: &ArchiveArgs) -> Result<Ending, CliError> {
    match &args.word {
        ArchiveWord::List(request) => operate(context, request),
        ArchiveWord::Show(request) => operate(context, request),
        ArchiveWord::Restore(request) => operate(context, request),
        ArchiveWord::Prune(request) => operate(context, request),
    }
}

impl Show for ArchiveListRequest {
    fn show(&self, report: &ArchiveList, text: &mut Text) {
        let now = Clock::system().now();
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
    }
}

impl Show for ShowArchive {
    fn show(&self, archive: &Archive, text: &mut Text) {
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
    }

    fn remark(&self, archive: &Archive, output: &mut Output) {
        if archive.form == ArchiveForm::Tar {
            output.hint(&format!("recoveryctl cleanup archive restore {} --to DIR", archive.archive_id));
        }
    }
}

fn told(repository: &Repository) -> String {
    let what = if repository.whole { "all of it" } else { "files" };
    let head = repository.head.as_ref().map(|head| format!(" (commit {head})")).unwrap_or_default();
    format!("{}{head}: {what}: {}", repository.path, repository.why)
}

impl Show for RestoreArchive {
    fn show(&self, report: &RestoredReport, text: &mut Text) {
        let word = if report.dry_run { "would be unpacked" } else { "was unpacked" };
        let (id, to, size) = (&report.archive_id, report.path.display(), human::size(report.bytes));
        text.line(format!("{id} {word} into {to}: {}, {size}", human::count(report.entries, "entry")));
    }
}

impl Show for PruneArchives {
    fn show(&self, report: &PrunedReport, text: &mut Text) {
        let act = if report.dry_run { "would be removed" } else { "removed" };
        for archive in &report.removed {
            text.line(format!("{}: {act}, {}", archive.archive_id, human::size(archive.bytes)));
        }
        text.line(format!("{} {act}, {}", report.removed.len(), human::size(report.bytes_freed)));
    }
}
