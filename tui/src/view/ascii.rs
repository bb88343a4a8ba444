//! The last pass over a frame before it goes to the terminal: with `--ascii`, or where the locale has no
//! UTF-8, everything is made ASCII.

use ratatui::buffer::Buffer;

/// The replacement of a sign.
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
