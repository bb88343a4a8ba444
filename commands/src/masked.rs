//! A command line for the audit trail: what was asked for, and no secret.
//!
//! Only the values of options that are known to hold none are shown; every other value, and everything but
//! the program's name behind `--`, is `…`. A new option is masked until it is entered here.

use std::ffi::OsString;
use std::path::Path;

/// The longest line, in characters.
const LONGEST: usize = 200;
const MASK: &str = "…";

/// Options without a value.
const FLAGS: &[&str] = &[
    "--json",
    "--quiet",
    "-q",
    "--verbose",
    "-v",
    "-vv",
    "-vvv",
    "--yes",
    "--dry-run",
    "--force",
    "--fresh",
    "--all-or-nothing",
    "--all",
    "--once",
    "--release",
    "--auto-cleanup",
    "--rehearse",
    "--tui",
    "--keep",
    "--read-only",
    "--direct",
    "--exit-code",
];

/// Options whose value is no secret.
const OPEN: &[&str] = &[
    "--id",
    "--repo",
    "--export",
    "--priority",
    "--timeout",
    "--on-crash",
    "--max-attempts",
    "--from",
    "--wait",
    "--lock-wait",
    "--limit",
    "--cursor",
    "--skip",
    "--assume-dead",
    "--workers",
    "--listen",
    "--socket",
    "--keep-days",
    "--keep-last",
    "--plan",
    "--kind",
    "--status",
    "--color",
    "--log-format",
];

/// Options that the trail tells in a place of their own, or that say nothing of the act.
const LEFT_OUT: &[&str] = &["--reason", "--state-dir", "--config", "--url", "--token-file"];

/// The arguments behind the program's name.
pub(crate) fn masked_line(arguments: &[OsString]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = rest.next() {
        if argument == "--" {
            words.push("--".to_owned());
            if let Some(program) = rest.next() {
                words.push(
                    Path::new(&*program).file_name().map_or(MASK.into(), |n| n.to_string_lossy().into()),
                );
            }
            if rest.next().is_some() {
                words.push(MASK.to_owned());
            }
            break;
        }
        if !argument.starts_with('-') || argument == "-" {
            words.push(positional(&argument));
            continue;
        }
        let (name, joined) = argument.split_once('=').map_or((&*argument, None), |(n, v)| (n, Some(v)));
        if FLAGS.contains(&name) && joined.is_none() {
            words.push(name.to_owned());
            continue;
        }
        let value = joined.map(str::to_owned).or_else(|| rest.next().map(Into::into));
        match () {
            () if LEFT_OUT.contains(&name) => {}
            () if OPEN.contains(&name) => words.extend([name.to_owned(), value.unwrap_or_default()]),
            () => words.extend([name.to_owned(), MASK.to_owned()]),
        }
    }
    shortened(&words.join(" "))
}

/// An address may hold a password, an assignment a secret.
fn positional(word: &str) -> String {
    if word.contains("://") {
        return recovery::queue::masked_url(word);
    }
    word.split_once('=').map_or_else(|| word.to_owned(), |(name, _)| format!("{name}={MASK}"))
}

fn shortened(line: &str) -> String {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}{MASK}", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        masked_line(&shlex::split(line).unwrap().into_iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_may_be_a_secret_is_masked_and_the_rest_is_told() {
        assert_eq!(
            masked("submit --repo web --env TOKEN=abc --json -- /usr/bin/deploy --password abc"),
            "submit --repo web --env … --json -- deploy …"
        );
        assert_eq!(masked("--state-dir /s submit --env=TOKEN=abc -- make"), "submit --env … -- make");
        assert_eq!(masked("release web --force --reason 'the key is abc'"), "release web --force");
        assert_eq!(
            masked("webhooks test https://ana:abc@host/x"),
            format!("webhooks test {}", recovery::queue::masked_url("https://ana:abc@host/x"))
        );
        assert_eq!(masked("submit --some-new-option abc TOKEN=abc"), "submit --some-new-option … TOKEN=…");
        assert!(!masked("webhooks test https://ana:abc@host/x").contains("abc"));
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_has_one_line() {
        let line = masked_line(&[OsString::from("é".repeat(500)), OsString::from("a\nb")]);
        assert!(line.chars().count() == LONGEST + 1 && !line.contains('\n'));
    }
}
