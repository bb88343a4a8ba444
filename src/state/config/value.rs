//! A value as a layer gives it, and its conversion to each kind of setting.
//!
//! Variables and flags are text; a TOML value has a type, and a wrong one is an error even where its text
//! would be valid, so that a file means the same to every reader of TOML.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::ENVIRONMENT_PREFIX;
use super::settings::{Export, NO_DOCKER, OnCrash, OnUnsupervised};
use crate::state::units::{parse_duration, parse_size};
use crate::system::{Limit, SearchPath};

/// A value that was given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// By a variable or a flag.
    Text(&'a OsStr),
    /// By the file.
    Toml(&'a DeValue<'a>),
}

/// The accepted values, for an error.
pub(super) type Expected = &'static str;

impl Given<'_> {
    /// The given value, for an error.
    pub(super) fn describe(&self) -> String {
        match self {
            Given::Text(text) => format!("'{}'", text.display()),
            Given::Toml(DeValue::String(text)) => format!("\"{text}\""),
            Given::Toml(DeValue::Integer(number)) => number.to_string(),
            Given::Toml(value) => format!("a value of type {}", value.type_str()),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Given::Text(text) => text.to_str(),
            Given::Toml(value) => value.as_str(),
        }
    }

    fn integer(&self) -> Option<u64> {
        match self {
            Given::Text(text) => text.to_str()?.parse().ok(),
            Given::Toml(value) => {
                let number = value.as_integer()?;
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
        }
    }

    /// Texts: a list, or one text separated by commas; `none` is the empty list.
    pub(super) fn items(&self) -> Option<Vec<String>> {
        match self {
            Given::Toml(DeValue::Array(items)) => {
                items.iter().map(|i| i.get_ref().as_str().map(str::to_owned)).collect()
            }
            _ => match self.text()? {
                "none" => Some(Vec::new()),
                text => Some(text.split(',').map(|t| t.trim().to_owned()).collect()),
            },
        }
    }

    /// Yes or no.
    pub(super) fn flag(&self) -> Result<bool, Expected> {
        let text = || match self.text() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        match self {
            Given::Toml(DeValue::Boolean(flag)) => Ok(*flag),
            Given::Toml(_) => Err("true or false"),
            Given::Text(_) => text().ok_or("true or false"),
        }
    }

    /// A time that may be zero.
    pub(super) fn wait(&self) -> Result<Duration, Expected> {
        self.text().and_then(|t| parse_duration(t).ok()).ok_or("a duration in quotes, such as \"30s\"")
    }

    /// A time above zero.
    pub(super) fn interval(&self) -> Result<Duration, Expected> {
        let interval = self.text().and_then(|t| parse_duration(t).ok()).filter(|d| !d.is_zero());
        interval.ok_or("a duration above zero in quotes, such as \"30s\"")
    }

    /// A whole number in a range, which `expected` describes.
    pub(super) fn count(&self, range: RangeInclusive<u64>, expected: Expected) -> Result<u64, Expected> {
        self.integer().filter(|n| range.contains(n)).ok_or(expected)
    }

    /// Bytes in a range, which `expected` describes.
    pub(super) fn size(&self, range: RangeInclusive<u64>, expected: Expected) -> Result<u64, Expected> {
        let bytes = self.integer().or_else(|| parse_size(self.text()?).ok());
        bytes.filter(|n| range.contains(n)).ok_or(expected)
    }

    /// A folder. The file may be read from any working directory, so a path in it must be absolute.
    pub(super) fn folder(&self) -> Result<PathBuf, Expected> {
        match self {
            Given::Text(text) if text.is_empty() => Err("a path"),
            Given::Text(text) => Ok(PathBuf::from(text)),
            Given::Toml(value) => {
                let path = value.as_str().map(Path::new).filter(|p| p.is_absolute());
                path.map(Path::to_owned).ok_or("an absolute path in quotes")
            }
        }
    }

    /// An address to listen on, or `none`.
    pub(super) fn listen(&self) -> Result<String, Expected> {
        let is_address = |t: &&str| *t == "none" || t.parse::<std::net::SocketAddr>().is_ok();
        let address = self.text().filter(is_address);
        address.map(str::to_owned).ok_or("an address with a port, such as \"127.0.0.1:9797\", or \"none\"")
    }

    /// A path of plain names, or `none`.
    pub(super) fn base_path(&self) -> Result<Option<String>, Expected> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let is_name = |name: &str| !["", ".", ".."].contains(&name) && name.chars().all(is_plain);
        let is_path = |text: &str| text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_name));
        match self.text() {
            Some("none" | "/" | "") => Ok(None),
            Some(text) if is_path(text.strip_suffix('/').unwrap_or(text)) => {
                Ok(Some(text.strip_suffix('/').unwrap_or(text).to_owned()))
            }
            _ => Err("a path of letters, digits, '-', '.', '_' and '~', such as \"/recovery\", or \"none\""),
        }
    }

    /// The address of an engine.
    pub(super) fn docker_host(&self) -> Result<String, Expected> {
        let known = |h: &&str| ["unix://", "tcp://", "http://"].iter().any(|scheme| h.starts_with(scheme));
        let host = self.text().filter(|h| *h == NO_DOCKER || known(h));
        host.map(str::to_owned).ok_or("an address, such as \"unix:///var/run/docker.sock\", or \"none\"")
    }

    /// The name of an entry of a folder.
    pub(super) fn file_name(&self) -> Result<PathBuf, Expected> {
        let name = self.text().map(Path::new).filter(|p| p.file_name().is_some_and(|n| n == p.as_os_str()));
        name.map(Path::to_owned).ok_or("the name of a folder, without '/'")
    }

    /// Patterns for names.
    pub(super) fn patterns(&self) -> Result<Vec<String>, Expected> {
        let expected = "patterns that each have {job_id}, such as \"cidx-{job_id}-*\"";
        let patterns = self.command().map_err(|_| expected)?;
        let all_fit = patterns.iter().all(|p| p.matches("{job_id}").count() == 1);
        if all_fit { Ok(patterns) } else { Err(expected) }
    }

    /// A policy for crashed jobs.
    pub(super) fn on_crash(&self) -> Result<OnCrash, Expected> {
        let word = self.text();
        let found = OnCrash::WORDS.iter().find(|(name, _)| Some(*name) == word);
        found.map(|(_, policy)| *policy).ok_or("\"hold\", \"requeue\" or \"fail\"")
    }

    /// A policy for jobs without their supervisor.
    pub(super) fn on_orphan(&self) -> Result<OnUnsupervised, Expected> {
        let word = self.text();
        let found = OnUnsupervised::WORDS.iter().find(|(name, _)| Some(*name) == word);
        found.map(|(_, policy)| *policy).ok_or("\"adopt\" or \"end\"")
    }

    /// Yes or no.
    pub(super) fn switch(&self) -> Result<bool, Expected> {
        let given = match self {
            Given::Text(text) => text.to_str().and_then(|t| t.parse().ok()),
            Given::Toml(value) => value.as_bool(),
        };
        given.ok_or("true or false")
    }

    /// Variables of jobs: names, and `NAME=VALUE`. This program's own variables are refused, because they
    /// identify the job.
    pub(super) fn variables(&self) -> Result<Vec<String>, Expected> {
        let expected =
            "a list of names and NAME=VALUE, such as [\"TZ\", \"EDITOR=vi\"], none of them RECOVERYCTL_*";
        let fits = |item: &String| {
            let name = item.split_once('=').map_or(item.as_str(), |(name, _)| name);
            !name.is_empty() && !name.starts_with(ENVIRONMENT_PREFIX) && !item.contains('\0')
        };
        self.items().filter(|items| items.iter().all(fits)).ok_or(expected)
    }

    /// Which of the submitter's variables are recorded with a job.
    pub(super) fn export(&self) -> Result<Export, Expected> {
        self.text().ok_or(Export::FORMS)?.parse()
    }

    /// A mode mask, in octal, as text: TOML would read 0022 otherwise.
    pub(super) fn octal(&self) -> Result<u32, Expected> {
        let mask = self.text().and_then(|text| u32::from_str_radix(text, 8).ok());
        mask.filter(|mask| *mask <= 0o777).ok_or("an octal number in quotes, such as \"022\"")
    }

    /// Limits of resources.
    pub(super) fn limits(&self) -> Result<Vec<Limit>, Expected> {
        let expected = "a list of NAME=SOFT or NAME=SOFT:HARD, such as [\"nofile=4096\", \"core=unlimited\"]";
        let limits = self.items().and_then(|items| items.iter().map(|item| item.parse().ok()).collect());
        limits.ok_or(expected)
    }

    /// A command whose program is not searched for in the folder in which it runs.
    pub(super) fn tool(&self) -> Result<Vec<String>, Expected> {
        let expected = "a command whose program is a name or an absolute path, such as \"cidx uninstall\"";
        let is_relative = |program: &str| program.contains('/') && !program.starts_with('/');
        let words = self.command().map_err(|_| expected)?;
        let is_good = words.first().is_some_and(|program| !program.is_empty() && !is_relative(program));
        if is_good { Ok(words) } else { Err(expected) }
    }

    /// Folders in which programs are searched for: a list, or one text with colons between them.
    pub(super) fn search_path(&self) -> Result<SearchPath, Expected> {
        let folders: Option<Vec<PathBuf>> = match self {
            Given::Toml(DeValue::Array(folders)) => {
                folders.iter().map(|folder| folder.get_ref().as_str().map(PathBuf::from)).collect()
            }
            _ => self.text().map(|text| text.split(':').map(PathBuf::from).collect()),
        };
        let expected = "a list of absolute folders, such as [\"/usr/local/bin\", \"/usr/bin\", \"/bin\"]";
        folders.and_then(SearchPath::new).ok_or(expected)
    }

    /// Words of a command: a text that is split as a shell does, or a list of texts.
    pub(super) fn command(&self) -> Result<Vec<String>, Expected> {
        let words = match self {
            Given::Toml(DeValue::Array(words)) => {
                words.iter().map(|w| w.get_ref().as_str().map(str::to_owned)).collect()
            }
            _ => self.text().and_then(shlex::split),
        };
        words.filter(|w: &Vec<String>| !w.is_empty()).ok_or("a command as text or as a list of words")
    }
}
