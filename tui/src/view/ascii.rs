//! The last look at a frame before it goes to the terminal: with `--ascii`, or where the locale has no UTF-8,
//! nothing but ASCII is left.

use ratatui::buffer::Buffer;

/// The sign that stands for another.
fn plain(symbol: &str) -> &'static str {
    match symbol {
        "│" | "├" | "┤" => "|",
        "─" | "┬" | "┴" => "-",
        "└" | "┌" | "┐" | "┘" | "┼" => "+",
        "█" | "■" => "#",
        "░" | "·" | "•" => ".",
        "…" => "~",
        "▸" | "›" | "»" | "→" | "▶" => ">",
        "‹" | "←" => "<",
        "✓" => "+",
        "✗" | "×" => "x",
        "↑" | "▲" => "^",
        "↓" | "▼" => "v",
        "–" => "-",
        _ => "?",
    }
}

pub(crate) fn make_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let sign = plain(cell.symbol());
            cell.set_symbol(sign);
        }
    }
}
