//! `queue wal`: the log on disk, segment by segment.

use recovery::operations::queue::WalStatusRequest;
use recovery::report::queue::WalStatus;
use recovery::state::human;

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for WalStatusRequest {
    fn show(&self, report: &WalStatus, text: &mut Text) {
        render(text, report, is_clean(report));
    }

    fn remark(&self, report: &WalStatus, output: &mut Output) {
        if !is_clean(report) {
            output.hint("recoveryctl recover repairs the log and keeps what cannot be read in quarantine");
        }
    }
}

fn is_clean(report: &WalStatus) -> bool {
    report.damaged_records == 0 && report.missing.is_empty()
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
