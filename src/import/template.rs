//! The template of the command that runs a taken-over job: a line in shell quoting with placeholders.
//!
//! The line is split into words first and the placeholders are replaced afterwards, inside the words and
//! in one pass: what a prompt holds (blanks, quotes, `{title}`) stays one argument, as it is.

/// The placeholders that exist.
const PLACEHOLDERS: [&str; 5] = ["prompt", "title", "repository", "workspace", "id"];

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A quote is not closed.
    #[error("the command template '{0}' has an unclosed quote")]
    Quoting(String),
    /// The template names no program.
    #[error("the command template is empty")]
    Empty,
    /// A placeholder does not exist.
    #[error("the command template names '{{{name}}}'; known are {{{}}}", PLACEHOLDERS.join("}, {"))]
    Unknown {
        /// Its name, without the braces.
        name: String,
    },
}

/// The values of the placeholders.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    /// The job's prompt.
    pub prompt: &'a str,
    /// Its title.
    pub title: &'a str,
    /// The name of its repository.
    pub repository: &'a str,
    /// Its own copy of the repository.
    pub workspace: &'a str,
    /// Its id.
    pub id: &'a str,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "prompt" => self.prompt,
            "title" => self.title,
            "repository" => self.repository,
            "workspace" => self.workspace,
            "id" => self.id,
            _ => return None,
        })
    }
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    words: Vec<Vec<Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl CommandTemplate {
    /// Splits a line as a shell would, without any expansion, and checks it.
    pub fn parse(line: &str) -> Result<CommandTemplate, TemplateError> {
        let words = shlex::split(line).ok_or_else(|| TemplateError::Quoting(line.to_owned()))?;
        CommandTemplate::from_words(&words)
    }

    /// Checks a template that is already split, as the configuration holds it.
    pub fn from_words(words: &[String]) -> Result<CommandTemplate, TemplateError> {
        if words.first().is_none_or(String::is_empty) {
            return Err(TemplateError::Empty);
        }
        let words = words.iter().map(|w| parts(w)).collect::<Result<_, _>>()?;
        Ok(CommandTemplate { words })
    }

    /// Returns the command for one job. NUL, which no argument can hold, is left out.
    pub(crate) fn command(&self, values: &Values<'_>) -> Vec<String> {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(name) => values.get(name).unwrap_or_default().replace('\0', ""),
        };
        self.words.iter().map(|word| word.iter().map(fill).collect()).collect()
    }
}

impl Default for CommandTemplate {
    fn default() -> CommandTemplate {
        let text = |t: &str| vec![Part::Text(t.to_owned())];
        let words = vec![text("claude"), text("--print"), vec![Part::Placeholder("prompt".to_owned())]];
        CommandTemplate { words }
    }
}

/// Splits a word at its placeholders. Braces around anything but a name (`{"a":1}`, `{}`) are plain text.
fn parts(word: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        match after.find('}').map(|end| &after[..end]).filter(|name| is_name(name)) {
            Some(name) if PLACEHOLDERS.contains(&name) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Placeholder(name.to_owned()));
                rest = &after[name.len() + 1..];
            }
            Some(name) => return Err(TemplateError::Unknown { name: name.to_owned() }),
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'_> = Values {
        prompt: "fix 'it' \"now\" {title} $(rm -rf ~)\nplease",
        title: "a title",
        repository: "web ui",
        workspace: "/srv/jobs/7",
        id: "7",
    };

    fn command(template: &str) -> Vec<String> {
        CommandTemplate::parse(template).unwrap().command(&VALUES)
    }

    #[test]
    fn template_prompt_is_one_argument() {
        let usual = "claude --print {prompt}";
        assert_eq!(command(usual), ["claude", "--print", VALUES.prompt]);
        assert_eq!(CommandTemplate::default(), CommandTemplate::parse(usual).unwrap());
    }

    #[test]
    fn template_replaces_inside_words() {
        let line = "run --dir={workspace}/src '--name={id}: {title}' {repository}{id} ''";
        assert_eq!(command(line), ["run", "--dir=/srv/jobs/7/src", "--name=7: a title", "web ui7", ""]);
    }

    #[test]
    fn template_keeps_other_braces() {
        assert_eq!(command(r#"x '{"a":{"b":1}}' {} { "#), ["x", r#"{"a":{"b":1}}"#, "{}", "{"]);
        assert_eq!(command("x '{{prompt}'"), ["x", &format!("{{{}", VALUES.prompt)]);
    }

    #[test]
    fn template_invalid_is_refused() {
        let unknown = |name: &str| Err(TemplateError::Unknown { name: name.to_owned() });
        assert_eq!(CommandTemplate::parse("claude {promt}"), unknown("promt"));
        assert_eq!(CommandTemplate::parse("claude {Prompt}"), unknown("Prompt"));
        assert_eq!(CommandTemplate::parse("  "), Err(TemplateError::Empty));
        assert_eq!(CommandTemplate::parse("''"), Err(TemplateError::Empty));
        assert!(matches!(CommandTemplate::parse("claude 'x"), Err(TemplateError::Quoting(_))));
    }

    #[test]
    fn template_drops_nul() {
        let values = Values { prompt: "a\0b", ..VALUES };
        assert_eq!(CommandTemplate::default().command(&values)[2], "ab");
    }
}
