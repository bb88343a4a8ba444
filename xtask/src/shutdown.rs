//! The part that shuts real file systems down, both at the same time.

use std::sync::Mutex;

use recovery_lab::shutdown::{Extent, Kind, SAMPLE, Tried, try_file_system};
use recovery_lab::table::Row;
use recovery_lab::{Error, Player};

use crate::crash_lab::Context;
use crate::real_binary::row;

pub(crate) fn shut_down(context: &Context<'_>) -> Result<Vec<Row>, Error> {
    let (operation, mutation) = context.operation_and_mutation();
    let operations = match operation {
        Some(name) => vec![name],
        None if context.is_full() => Vec::new(),
        None => SAMPLE.map(str::to_owned).to_vec(),
    };
    let extent = Extent { moments: if context.is_full() { u64::MAX } else { 4 }, operations, mutation };
    let (player, bar): (&Player, _) = (&context.player, &context.bar);
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
    let (extent, progress) = (&extent, &progress);
    let tried: Vec<(Kind, Result<Tried, Error>)> = std::thread::scope(|scope| {
        let begin = |kind| (kind, scope.spawn(move || try_file_system(player, kind, extent, progress)));
        let threads: Vec<_> = Kind::ALL.into_iter().map(begin).collect();
        let end = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("the laboratory panicked".into()))
        };
        threads.into_iter().map(|(kind, thread)| (kind, end(thread))).collect()
    });
    let mut rows = Vec::new();
    for (kind, tried) in tried {
        match tried? {
            Tried::Rows(tallies) => rows.extend(tallies.iter().map(|tally| row(context, tally))),
            Tried::Skipped(why) => rows.push(Row {
                operation: format!("power losses of {}", kind.name()),
                skipped: Some(why),
                ..Row::default()
            }),
        }
    }
    Ok(rows)
}
