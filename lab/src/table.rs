//! The table that a run of the laboratory ends with; every part of it adds its rows.

use std::fmt::Write as _;

/// One operation, or one kind of fault, and what was tried with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// What was done.
    pub operation: String,
    /// Effects on the disk that were recorded.
    pub effects: u64,
    /// Different crash images that were recovered and checked.
    pub images: u64,
    /// Points at which a process was killed.
    pub kill_points: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// What did not hold.
    pub failures: u64,
    /// Why nothing was tried, when it was not.
    pub skipped: Option<String>,
}

/// All rows in columns, with a sum, as Markdown.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let mut sum = Row { operation: "all".to_owned(), ..Row::default() };
    for row in rows {
        sum.effects += row.effects;
        sum.images += row.images;
        sum.kill_points += row.kill_points;
        sum.faults += row.faults;
        sum.failures += row.failures;
    }
    let head = ["operation", "effects", "crash images", "kill points", "faults", "failures"];
    let mut lines: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().chain([&sum]).map(cells));
    let widths: Vec<usize> =
        (0..head.len()).map(|i| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let _ = write!(text, "| {}{} ", "-".repeat(width - 1), if column == 0 { '-' } else { ':' });
            }
            text.push_str("|\n");
        }
    }
    for row in rows {
        if let Some(why) = &row.skipped {
            let _ = writeln!(text, "\nSKIPPED {}: {why}", row.operation);
        }
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let number = |n: u64| if n == 0 { "-".to_owned() } else { grouped(n) };
    let mut cells = vec![row.operation.clone()];
    cells.extend([row.effects, row.images, row.kill_points, row.faults].map(number));
    cells.push(if row.skipped.is_some() { "skipped".to_owned() } else { row.failures.to_string() });
    cells
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_summed_and_a_skipped_part_says_why() {
        let row = Row { operation: "submit".into(), effects: 7, images: 1234, ..Row::default() };
        let skipped = Row { operation: "xfs".into(), skipped: Some("no loop".into()), ..Row::default() };
        let text = render(&[row.clone(), row, skipped]);
        assert!(
            text.lines().any(|l| l.starts_with("| all") && l.contains("2,468") && l.contains("14")),
            "{text}"
        );
        assert!(text.contains("SKIPPED xfs: no loop"), "{text}");
    }
}
