//! The part of the laboratory that shuts real file systems down.

use std::sync::Mutex;

use recovery_lab::Error;
use recovery_lab::shutdown::{Extent, Kind, SAMPLE, Tried, try_file_system};
use recovery_lab::table::Row;

use crate::crash_lab::Context;
use crate::real_binary::row;

pub(crate) fn shut_down(context: &Context<'_>) -> Result<(), Error> {
    let (operation, bug) = context.operation_and_bug();
    let operations = match operation {
        Some(name) => vec![name],
        None if context.is_full() => Vec::new(),
        None => SAMPLE.map(str::to_owned).to_vec(),
    };
    let moments = match (context.is_every(), context.is_full()) {
        (true, _) => u64::MAX,
        (_, true) => 8,
        _ => 4,
    };
    let extent = Extent { moments, operations, bug };
    let (player, bar) = (&context.player, &context.bar);
    let last = Mutex::new(Vec::new());
    let progress = |name: &str, moments: u64| {
        let mut begun = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !begun.iter().any(|known| known == name) {
            begun.push(name.to_owned());
            bar.inc_length(moments);
            bar.set_message(name.to_owned());
        }
        bar.inc(1);
    };
    for kind in Kind::ALL {
        let finished = |tally: &_| context.finished(row(context, tally));
        match try_file_system(player, kind, &extent, &progress, &finished)? {
            Tried::Rows(_) => {}
            Tried::Skipped(why) => context.finished(Row {
                operation: format!("power losses of {}", kind.name()),
                skipped: Some(why),
                ..Row::default()
            }),
        }
    }
    Ok(())
}
