//! `queue wal`: the log on disk, segment by segment.

use clap::Args;
use recovery::report::queue::WalStatus;
use recovery::state::human;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Show the write-ahead log: its segments, and whether every record reads well
///
/// Reads all of it. Ends with 3 when something is damaged or missing.
#[derive(Debug, Args)]
pub(crate) struct WalArgs {}

pub(crate) fn wal(context: &mut Context, _args: &WalArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let queue = context.queue_to_look(&dir)?;
    let report = WalStatus::read(&dir, &queue)?;
    let clean = report.damaged_records == 0 && report.missing.is_empty();
    context.output.report(&report, |text| render(text, &report, clean));
    if !clean {
        context.output.hint("recoveryctl recover mends the log and keeps what cannot be read in quarantine");
    }
    Ok(if clean { Ending::Done } else { Ending::Degraded })
}

fn render(text: &mut Text, report: &WalStatus, clean: bool) {
    let (tone, word) = if clean { (Tone::Good, "CLEAN") } else { (Tone::Bad, "DAMAGED") };
    text.toned(tone, word);
    let missing: Vec<String> =
        report.missing.iter().map(|(first, last)| format!("{first} to {last}")).collect();
    let snapshot = match report.snapshot_seq {
        0 => "none yet".to_owned(),
        seq => {
            format!("up to record {seq}, {} since", human::count(report.records_since_checkpoint, "record"))
        }
    };
    text.fields(&[
        ("last record", Some(report.last_seq.to_string())),
        ("synced", report.synced_seq.map(|seq| format!("up to record {seq}"))),
        ("snapshot", Some(snapshot)),
        ("size", Some(human::size(report.bytes))),
        (
            "half written",
            (report.torn_bytes > 0).then(|| format!("{} at the end", human::size(report.torn_bytes))),
        ),
        ("missing", (!missing.is_empty()).then(|| missing.join(", "))),
    ]);
    if report.segments.is_empty() {
        return;
    }
    text.gap();
    let mut table = Table::new(&["SEGMENT", ">FIRST", ">LAST", ">RECORDS", ">SIZE", ">DAMAGED"]);
    for segment in &report.segments {
        let tone = if segment.damaged_records > 0 { Tone::Bad } else { Tone::Plain };
        table.row([
            Cell::from(&segment.file),
            Cell::from(segment.first_seq.to_string()),
            Cell::from(segment.last_seq.to_string()),
            Cell::from(segment.records.to_string()),
            Cell::from(human::size(segment.bytes)),
            Cell::toned(segment.damaged_records.to_string(), tone),
        ]);
    }
    text.table(&table);
}
