//! Colours: a few tones with a meaning, and whether they are used at all.

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always, even with NO_COLOR.
    Always,
    /// Never.
    Never,
}

/// What a piece of text says beside its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
}

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For a stream, by the user's choice.
    pub(crate) fn for_stream(choice: ColorChoice, stream: &impl IsTerminal) -> Paint {
        Paint { on: wanted(choice, stream.is_terminal(), |name| std::env::var_os(name)) }
    }

    /// As somebody else has decided.
    pub(crate) fn fixed(on: bool) -> Paint {
        Paint { on }
    }

    /// Whether it paints.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// The text in a tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted(choice: ColorChoice, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let forbidden = variable("NO_COLOR").is_some_and(|v| !v.is_empty());
            let dumb = variable("TERM").is_some_and(|v| v == "dumb");
            terminal && !forbidden && !dumb
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_colours_unless_somebody_objects() {
        let given = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| OsString::from(value))
        };
        assert!(wanted(ColorChoice::Auto, true, |_| None));
        assert!(wanted(ColorChoice::Auto, true, given("NO_COLOR", "")));
        assert!(!wanted(ColorChoice::Auto, true, given("NO_COLOR", "1")));
        assert!(!wanted(ColorChoice::Auto, true, given("TERM", "dumb")));
        assert!(!wanted(ColorChoice::Auto, false, |_| None));
        assert!(!wanted(ColorChoice::Never, true, |_| None));
        assert!(wanted(ColorChoice::Always, false, given("NO_COLOR", "1")));
    }
}
