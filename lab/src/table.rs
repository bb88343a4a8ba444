//! The table of a run of the laboratory; every part adds its rows, each as it is finished.

use std::fmt::Write as _;

/// One operation, or one kind of fault, with the numbers of its tries.
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
    /// Number of failed conditions.
    pub failures: u64,
    /// Why nothing was tried, when it was not.
    pub skipped: Option<String>,
    /// An error of the laboratory itself, because of which not everything was tried.
    pub broken_off: Option<String>,
}

const HEAD: [&str; 6] = ["operation", "effects", "crash images", "kill points", "faults", "failures"];
/// As wide as most of the values below.
const WIDTHS: [usize; 6] = [36, 7, 12, 11, 9, 8];

/// The table's first two lines, as Markdown.
pub fn head() -> String {
    let border = |(column, width): (usize, &usize)| {
        format!("| {}{} ", "-".repeat(width - 1), if column == 0 { '-' } else { ':' })
    };
    let borders: String = WIDTHS.iter().enumerate().map(border).collect();
    format!("{}\n{borders}|", in_columns(&HEAD.map(str::to_owned)))
}

impl Row {
    /// Its line in the table.
    pub fn line(&self) -> String {
        in_columns(&cells(self))
    }

    /// A row for an error of the laboratory itself.
    pub fn broken_off(operation: impl Into<String>, why: &dyn std::fmt::Display) -> Row {
        Row { operation: operation.into(), broken_off: Some(why.to_string()), ..Row::default() }
    }

    /// The sum of others.
    pub fn sum(rows: &[Row]) -> Row {
        let mut sum = Row { operation: "all".to_owned(), ..Row::default() };
        for row in rows {
            sum.effects += row.effects;
            sum.images += row.images;
            sum.kill_points += row.kill_points;
            sum.faults += row.faults;
            sum.failures += row.failures;
        }
        sum
    }
}

fn in_columns(cells: &[String]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        let _ = match column {
            0 => write!(text, "| {cell:<width$} "),
            _ => write!(text, "| {cell:>width$} "),
        };
    }
    text + "|"
}

/// Operations that were not tried, or not completely, with the reason.
pub fn not_tried(rows: &[Row]) -> Vec<String> {
    let told = |row: &Row| match (&row.skipped, &row.broken_off) {
        (Some(why), _) => Some(format!("SKIPPED {}: {why}", row.operation)),
        (_, Some(why)) => Some(format!("BROKEN OFF {}: {why}", row.operation)),
        _ => None,
    };
    rows.iter().filter_map(told).collect()
}

/// All rows in columns, with a sum, as Markdown.
pub fn render(rows: &[Row]) -> String {
    let mut text = head() + "\n";
    for row in rows.iter().chain([&Row::sum(rows)]) {
        let _ = writeln!(text, "{}", row.line());
    }
    for line in not_tried(rows) {
        let _ = writeln!(text, "\n{line}");
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let number = |n: u64| if n == 0 { "-".to_owned() } else { grouped(n) };
    let mut cells = vec![row.operation.clone()];
    cells.extend([row.effects, row.images, row.kill_points, row.faults].map(number));
    cells.push(match (&row.skipped, &row.broken_off) {
        (Some(_), _) => "skipped".to_owned(),
        (_, Some(_)) => "broken off".to_owned(),
        _ => row.failures.to_string(),
    });
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
    fn the_columns_are_summed_and_what_was_not_tried_says_why() {
        let row = Row { operation: "submit".into(), effects: 7, images: 1234, ..Row::default() };
        let skipped = Row { operation: "xfs".into(), skipped: Some("no loop".into()), ..Row::default() };
        let broken_off = Row::broken_off("daemon", &"no room");
        let text = render(&[row.clone(), row, skipped, broken_off]);
        assert!(
            text.lines().any(|l| l.starts_with("| all") && l.contains("2,468") && l.contains("14")),
            "{text}"
        );
        assert!(text.contains("SKIPPED xfs: no loop"), "{text}");
        assert!(text.contains("BROKEN OFF daemon: no room"), "{text}");
        assert!(text.lines().any(|l| l.starts_with("| daemon") && l.contains("broken off")), "{text}");
    }
}
