//! The view as plain text, for the normal screen and for logs.

use std::convert::Infallible;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::model::Model;
use crate::view::{Theme, draw};

/// What the view shows at a width, without colours, as high as it needs to be; ends with a line feed.
#[must_use]
pub fn final_text(model: &Model, columns: u16) -> String {
    let rows = model.snapshot().map_or(2, |s| {
        let findings = s.all_findings().count() + s.degraded_resources().count();
        // Header, titles, selected phase, two headings, footer; twice the phases: see the layout.
        s.phases.len() * 2 + findings.min(60) * 2 + 14
    });
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(200);
    render(model, columns.clamp(crate::view::SMALLEST.0, 200), rows).unwrap_or_else(|never| match never {})
}

fn render(model: &Model, columns: u16, rows: u16) -> Result<String, Infallible> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows))?;
    terminal.draw(|frame| draw(frame, model, Theme { colors: false }))?;
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    let mut empty_lines = 0;
    for y in 0..rows {
        let mut line = String::new();
        let mut x = 0;
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide character covers the cell behind it.
            x += u16::try_from(crate::text::width(symbol)).unwrap_or(1).max(1);
        }
        let line = line.trim_end();
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        text.push_str(&"\n".repeat(std::mem::take(&mut empty_lines)));
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}
