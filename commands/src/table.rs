//! Columns for people: as wide as what is in them, measured as a terminal shows it.

use unicode_width::UnicodeWidthStr;

use crate::paint::{Paint, Tone};

/// A cell: text in a tone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
        Cell { text: printable(text.as_ref()), tone }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::toned(text, Tone::Plain)
    }
}

/// A table with a heading.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table. A heading that begins with `>` aligns its column to the right.
    pub(crate) fn new(heading: &[&'static str]) -> Table {
        Table { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, a cell a column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.heading.len(), "a cell a column");
        self.rows.push(cells.into());
    }

    /// Its lines, each with its line feed; none when it has no rows.
    pub(crate) fn render(&self, paint: Paint) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let heading: Vec<Cell> =
            self.heading.iter().map(|h| Cell::toned(h.trim_start_matches('>'), Tone::Strong)).collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&heading).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| lines.iter().map(|line| line[column].width()).max().unwrap_or(0))
            .collect();
        lines.iter().map(|line| self.render_line(line, &widths, paint)).collect()
    }

    fn render_line(&self, cells: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        let mut gap = 0;
        for ((cell, width), heading) in cells.iter().zip(widths).zip(&self.heading) {
            let fill = width - cell.width();
            let before = if heading.starts_with('>') { fill } else { 0 };
            if cell.width() > 0 {
                // Blanks wait for the next text, so that no line ends with them.
                line.extend(std::iter::repeat_n(' ', gap + before));
                line.push_str(&paint.tone(cell.tone, &cell.text));
                gap = fill - before + 2;
            } else {
                gap += width + 2;
            }
        }
        line.push('\n');
        line
    }
}

/// The text without what a terminal would obey instead of show.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::ColorChoice;

    fn plain() -> Paint {
        Paint::for_stream(ColorChoice::Never, &std::io::stdout())
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_script() {
        let mut table = Table::new(&["NAME", ">SIZE", "STATE"]);
        table.row(["日本".into(), "7".into(), Cell::toned("fine", Tone::Good)]);
        table.row(["a".into(), "".into(), "lost".into()]);
        table.row(["bc".into(), "12345".into(), "".into()]);
        assert_eq!(
            table.render(plain()),
            "NAME   SIZE  STATE\n日本      7  fine\na            lost\nbc    12345\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(&["NAME"]);
        table.row(["a\x1b[31mb\nc".into()]);
        assert_eq!(table.render(plain()), "NAME\na\\u{1b}[31mb\\nc\n");
    }

    #[test]
    fn without_rows_there_is_no_heading() {
        assert_eq!(Table::new(&["NAME"]).render(plain()), "");
    }
}
