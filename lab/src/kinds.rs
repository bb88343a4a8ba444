//! Finds the bytes of a state directory that cannot be read.

use std::ops::Range;
use std::path::Path;

use recovery::durable::is_temporary_name;
use recovery::durable::log::{Item, Scan, SegmentHeader};

/// Returns the bytes of a file that are no part of its format and not zeros: they must not get lost.
pub(crate) fn unreadable(path: &Path, content: &[u8]) -> Vec<Range<usize>> {
    let is_temporary = path.file_name().is_some_and(is_temporary_name);
    let inside_quarantine = path.starts_with("state/quarantine");
    if is_temporary || inside_quarantine || !path.starts_with("state") {
        return Vec::new();
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let found = if name.ends_with(".json") {
        let is_json = serde_json::from_slice::<serde_json::Value>(content).is_ok();
        (!is_json).then_some(0..content.len()).into_iter().collect()
    } else if name.starts_with("snapshot-") && name.ends_with(".log") {
        damaged_lines(content, 0)
    } else if name.ends_with(".log") && name.len() == 24 {
        damaged_lines(content, SegmentHeader::parse(content).map_or(0, |(_, len)| len))
    } else {
        Vec::new()
    };
    found.into_iter().filter(|range| content[range.clone()].iter().any(|&b| b != 0)).collect()
}

fn damaged_lines(content: &[u8], start: usize) -> Vec<Range<usize>> {
    Scan::new(&content[start..], start as u64)
        .filter_map(|item| match item {
            Item::Damaged { offset, len } | Item::Torn { offset, len } => {
                let from = usize::try_from(offset).ok()?;
                Some(from..from + usize::try_from(len).ok()?)
            }
            Item::Record { .. } => None,
        })
        .collect()
}
