//! The table that a benchmark prints.

/// What is wanted of a ratio or a count.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    Exactly(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Target::AtLeast(t) => value >= t,
            Target::AtMost(t) => value <= t,
            Target::Exactly(t) => (value - t).abs() < 1e-9,
        }
    }

    fn text(self) -> String {
        match self {
            Target::AtLeast(t) => format!(">= {t}"),
            Target::AtMost(t) => format!("<= {t}"),
            Target::Exactly(t) => format!("= {t}"),
        }
    }
}

/// Prints the heading.
pub fn heading(title: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    println!("\n{title} (load average at the start {load})\n");
    println!("| what | ours | floor | value | target | |");
    println!("| --- | --- | --- | --- | --- | --- |");
}

/// Prints one measured line; `value` is what the target speaks of.
pub fn row(what: &str, ours: &str, floor: &str, value: f64, target: Target) {
    let verdict = if target.is_met(value) { "ok" } else { "MISS" };
    let shown = if value < 0.1 { format!("{value:.3}") } else { format!("{value:.2}") };
    println!("| {what} | {ours} | {floor} | {shown} | {} | {verdict} |", target.text());
}

/// Prints a line about something that could not be measured here.
pub fn not_measured(what: &str, why: &str) {
    println!("| {what} | not measured: {why} | | | | |");
}
