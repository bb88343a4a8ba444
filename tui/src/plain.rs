//! A picture as plain text: for `--once`, for the normal screen at the end, for logs.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use crate::message::{Ask, Message};
use crate::model::Model;
use crate::source::Source;
use crate::text::width;
use crate::update::update;
use crate::view::{SMALLEST, Theme, draw};

/// The screen of a terminal of the model's size.
pub fn picture(model: &Model, theme: Theme) -> Buffer {
    let (columns, rows) = model.size;
    let never = "the backend in memory does not fail";
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect(never);
    terminal.draw(|frame| draw(frame, model, theme)).expect(never);
    terminal.backend().buffer().clone()
}

/// Reads all that is on the screen, once.
pub fn read_once(model: &mut Model, source: &mut dyn Source) {
    // A result may show what else must be read.
    let mut read: Vec<Ask> = Vec::new();
    while let Some(ask) = model.wanted().into_iter().find(|ask| !read.contains(ask)) {
        let message = match source.read(&ask) {
            Ok(answer) => Message::Answer(answer),
            Err(why) => Message::Trouble(ask.clone(), why),
        };
        drop(update(model, message));
        read.push(ask);
    }
}

/// The lines of a picture without colours and without blanks at their ends; ends with a line feed.
pub fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let (mut line, mut x) = (String::new(), 0);
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide character covers the cell behind it.
            x += u16::try_from(width(symbol)).unwrap_or(1).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The result of a recovery: the overview at this width, as high as it needs to be, without the bottom line.
pub(crate) fn picture_text(model: &Model, columns: u16, ascii: bool) -> String {
    let mut model = model.clone();
    model.overlays.clear();
    model.view = crate::views::View::Overview;
    let rows = u16::try_from(model.list().order.len() + 16).unwrap_or(u16::MAX).min(100);
    model.size = (columns.clamp(SMALLEST.0, 200), rows);
    let text = text_of(&picture(&model, Theme { colors: false, ascii }));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.pop();
    // Tabs mean nothing there.
    lines.remove(1);
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}
