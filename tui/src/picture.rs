//! A frame as a picture: an SVG with the terminal's text in a fixed font, for documents.

use std::fmt::Write;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::text::width;

/// The size of a cell, in the picture's units.
const CELL: (usize, usize) = (8, 17);
const MARGIN: usize = 12;
const INK: &str = "#d7dae0";
const PAPER: &str = "#1c2027";

/// The colours of the picture; on a terminal they are the terminal's own.
fn color(color: Color) -> &'static str {
    match color {
        Color::Red => "#ef6b73",
        Color::Green => "#8fc77c",
        Color::Yellow => "#e5c07b",
        Color::Cyan => "#63c0cf",
        Color::Magenta => "#c991e1",
        _ => INK,
    }
}

/// Draws it.
pub fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let (across, down) = (columns * CELL.0 + 2 * MARGIN, rows * CELL.1 + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {across} {down}\" width=\"{across}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <rect width=\"{across}\" height=\"{down}\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let cell = &buffer[(x, y)];
            let (style, begin) = ((cell.fg, cell.modifier), x);
            let mut text = String::new();
            while x < buffer.area.width && (buffer[(x, y)].fg, buffer[(x, y)].modifier) == style {
                let symbol = buffer[(x, y)].symbol();
                text.push_str(symbol);
                x += u16::try_from(width(symbol)).unwrap_or(1).max(1);
            }
            run(&mut svg, (usize::from(begin), usize::from(y)), usize::from(x - begin), style, &text);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text of one style.
fn run(
    svg: &mut String,
    (x, y): (usize, usize),
    cells: usize,
    (fg, modifier): (Color, Modifier),
    text: &str,
) {
    let (left, top) = (MARGIN + x * CELL.0, MARGIN + y * CELL.1);
    let is_reversed = modifier.contains(Modifier::REVERSED);
    if is_reversed {
        let (across, down) = (cells * CELL.0, CELL.1);
        let fill = color(fg);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{across}\" height=\"{down}\" fill=\"{fill}\"/>"
        );
    }
    let blanks = text.chars().take_while(|c| *c == ' ').count();
    let shown = text.trim();
    if shown.is_empty() {
        return;
    }
    let (left, base) = (left + blanks * CELL.0, top + 13);
    let fill = if is_reversed { PAPER } else { color(fg) };
    let weight = if modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let faint = if modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
    let length = width(shown) * CELL.0;
    let text = shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{base}\" fill=\"{fill}\" textLength=\"{length}\" xml:space=\"preserve\"{weight}{faint}>{text}</text>"
    );
}
