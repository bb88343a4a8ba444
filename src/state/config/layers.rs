//! The layers of the configuration, and for every key the layer that set it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::key::Key;
use super::keys::KEYS;
use super::origin::{ENVIRONMENT_PREFIX, Origin};
use super::settings::Settings;
use super::value::Given;
use super::webhook_keys::SECRET_KEYS;
use crate::state::suggest::closest;

impl Key {
    /// The variable that sets it.
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|k| k.name == name)
    }
}

/// The settings, and where each comes from.
#[derive(Debug, Clone)]
pub struct Configuration {
    settings: Settings,
    origins: BTreeMap<&'static str, Origin>,
}

impl Configuration {
    /// The keys whose values differ from those in `before`, in the order of the table. A secret file counts as
    /// unchanged if only its content differs.
    pub fn changed_since(&self, before: &Configuration) -> Vec<&'static str> {
        let (now, then) = (&self.settings, &before.settings);
        let is_other = |key: &&Key| match key.name {
            // Values of these keys are not shown, so they are compared directly.
            "webhooks.secrets" => now.webhooks.secrets != then.webhooks.secrets,
            "webhooks.endpoints" => now.webhooks.endpoints != then.webhooks.endpoints,
            _ => (key.show)(now) != (key.show)(then),
        };
        KEYS.iter().filter(is_other).map(|key| key.name).collect()
    }

    /// The lowest layer; see [`Settings::with_defaults`].
    pub fn with_defaults(state_dir: Option<PathBuf>, workers: usize) -> Configuration {
        Configuration { settings: Settings::with_defaults(state_dir, workers), origins: BTreeMap::new() }
    }

    /// Applies the file's text. `path` is only named, not read.
    ///
    /// # Errors
    /// With the line: invalid TOML, an unknown key or a wrong value.
    pub fn apply_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let line_of = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
        let table = DeTable::parse(text).map_err(|e| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(e.span().map_or(0, |s| s.start)),
            message: e.message().to_owned(),
        })?;
        let origin = |at| Origin::File { path: path.to_owned(), line: line_of(at) };
        self.apply_table("", table.get_ref(), &origin)
    }

    fn apply_table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        origin: &dyn Fn(usize) -> Origin,
    ) -> Result<(), ConfigError> {
        // The map is sorted by name; errors should come in the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = format!("{prefix}{}", key.get_ref());
            let origin_here = origin(key.span().start);
            match (Key::named(&name), value.get_ref()) {
                (Some(key), value) => self.set(key, &Given::Toml(value), origin_here)?,
                (None, DeValue::Table(inner)) if is_table(&name) => {
                    self.apply_table(&format!("{name}."), inner, origin)?;
                }
                (None, _) => return Err(unknown_key(name, origin_here)),
            }
        }
        Ok(())
    }

    /// Applies variables. Unknown and empty ones are skipped.
    ///
    /// # Errors
    /// With the variable's name, for a wrong value.
    pub fn apply_environment<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), ConfigError> {
        let given: Vec<(N, V)> = variables.into_iter().filter(|(_, v)| !v.as_ref().is_empty()).collect();
        for key in KEYS {
            // Every command begins with this: a name is made only where one of its length is given.
            let may_be = |n: &&(N, V)| n.0.as_ref().len() == ENVIRONMENT_PREFIX.len() + key.name.len();
            for (given, value) in given.iter().filter(may_be) {
                let name = key.variable();
                if given.as_ref() == name.as_str() {
                    self.set(key, &Given::Text(value.as_ref()), Origin::Environment { name })?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Applies one flag.
    pub fn apply_flag(&mut self, key: &str, flag: &str, value: &OsStr) -> Result<(), ConfigError> {
        let origin = Origin::Flag { name: flag.to_owned() };
        match Key::named(key) {
            Some(key) => self.set(key, &Given::Text(value), origin),
            None => Err(unknown_key(key.to_owned(), origin)),
        }
    }

    fn set(&mut self, key: &Key, given: &Given<'_>, origin: Origin) -> Result<(), ConfigError> {
        if let Err(expected) = (key.set)(&mut self.settings, given) {
            let secret = SECRET_KEYS.contains(&key.name);
            let found = if secret { "something else".to_owned() } else { given.describe() };
            return Err(ConfigError::BadValue { origin, key: key.name, expected, found });
        }
        self.origins.insert(key.name, origin);
        Ok(())
    }

    /// Checks that the settings fit together; call it once all layers are applied.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self.settings.contradiction() {
            Some((key, why)) => Err(ConfigError::Contradiction { origin: self.origin(key), key, why }),
            None => Ok(()),
        }
    }

    /// The settings as they are after the layers applied so far.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where a key's value comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// Whether some key lies in this table.
fn is_table(name: &str) -> bool {
    KEYS.iter().any(|k| k.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn unknown_key(key: String, origin: Origin) -> ConfigError {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    // The most common mistakes are the right key in the wrong table, then a misspelt key.
    let same_word = KEYS.iter().find(|k| last(k.name) == last(&key)).map(|k| k.name);
    let tables = KEYS.iter().filter_map(|k| k.name.rsplit_once('.')).map(|(table, _)| table);
    let suggestion =
        same_word.or_else(|| closest(&key, KEYS.iter().map(|k| k.name))).or_else(|| closest(&key, tables));
    ConfigError::UnknownKey { origin, key, suggestion }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::config::OnCrash;

    fn empty() -> Configuration {
        Configuration::with_defaults(Some("/default".into()), 2)
    }

    fn file(text: &str) -> Result<Configuration, ConfigError> {
        let mut configuration = empty();
        configuration.apply_file(Path::new("/etc/c.toml"), text)?;
        configuration.check().map(|()| configuration)
    }

    fn message(text: &str) -> String {
        file(text).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn layers_later_wins_and_is_named() {
        let mut c = file("lock_wait = '1s'\n\n[jobs]\nheartbeat = \"5s\"\non_crash = 'fail'\n").unwrap();
        c.apply_environment([("RECOVERYCTL_LOCK_WAIT", "2s"), ("RECOVERYCTL_JOB_ID", "x"), ("HOME", "/")])
            .unwrap();
        c.apply_flag("jobs.heartbeat", "--heartbeat", OsStr::new("7s")).unwrap();
        assert_eq!(c.settings().lock_wait, Duration::from_secs(2));
        assert_eq!(c.settings().jobs.heartbeat, Duration::from_secs(7));
        assert_eq!(c.settings().jobs.on_crash, OnCrash::Fail);
        assert_eq!(c.origin("lock_wait").to_string(), "RECOVERYCTL_LOCK_WAIT");
        assert_eq!(c.origin("jobs.heartbeat").to_string(), "--heartbeat");
        assert_eq!(c.origin("jobs.on_crash"), Origin::File { path: "/etc/c.toml".into(), line: 5 });
        assert_eq!(c.origin("recovery.tries"), Origin::Default);
    }

    #[test]
    fn defaults_round_trip() {
        let defaults = empty();
        for key in KEYS {
            let mut other = empty();
            let shown = (key.show)(defaults.settings());
            other.apply_environment([(key.variable(), shown.clone())]).unwrap();
            assert_eq!(other.origin(key.name), Origin::Environment { name: key.variable() });
            if key.name == "daemon.listen" {
                // A user who names the usual address wants that one, and no daemon without it.
                assert_eq!(other.settings().daemon.listen, Some(shown));
                continue;
            }
            assert_eq!(other.settings(), defaults.settings(), "{}", key.name);
        }
    }

    #[test]
    fn unknown_key_names_line_and_suggestion() {
        for (text, line, suggestion) in [
            ("\n[jobs]\nhartbeat = '1s'", 3, Some("jobs.heartbeat")),
            ("heartbeat = '1s'", 1, Some("jobs.heartbeat")),
            ("[job]\nheartbeat = '1s'", 1, Some("jobs")),
            ("[jobs.heart]\nbeat = '1s'", 1, None),
            ("completely_else = 1", 1, None),
        ] {
            let Err(ConfigError::UnknownKey { origin, suggestion: found, .. }) = file(text) else {
                panic!("{text}");
            };
            assert_eq!(origin, Origin::File { path: "/etc/c.toml".into(), line }, "{text}");
            if suggestion.is_some() {
                assert_eq!(found, suggestion, "{text}");
            }
        }
    }

    #[test]
    fn wrong_value_names_line_and_accepted_values() {
        let wrong = message("[daemon]\nworkers = 'four'");
        assert_eq!(
            wrong,
            "/etc/c.toml:2: daemon.workers must be a whole number from 1 to 4096, but is \"four\""
        );
        assert!(message("lock_wait = 10").contains("must be a duration in quotes"));
        assert!(message("state_dir = 'here'").contains("an absolute path"));
        assert!(message("jobs = 3").contains("unknown key 'jobs'"));
        assert!(message("[jobs]\nheartbeat = '0s'").contains("above zero"));
        assert!(message("[queue]\nsegment_bytes = 1").contains("4KiB"));
        assert!(message("[jobs\n").starts_with("/etc/c.toml:1: "));
        let twice = message("lock_wait = '1s'\nlock_wait = '2s'");
        assert!(twice.starts_with("/etc/c.toml:2: "), "{twice}");
    }

    #[test]
    fn contradicting_settings_are_refused() {
        let wrong = message("[jobs]\nheartbeat = '3m'");
        assert!(wrong.contains("jobs.stale_after contradicts"), "{wrong}");
        let wrong = message("[jobs]\ndead_after = '1m'\n");
        assert!(wrong.starts_with("/etc/c.toml:2: jobs.dead_after"), "{wrong}");
    }

    #[test]
    fn sizes_and_commands_in_two_forms() {
        let c = file("[queue]\nsegment_bytes = 8388608").unwrap();
        assert_eq!(c.settings().queue.segment_bytes, 8 << 20);
        let c = file("[queue]\nsegment_bytes = '8MiB'").unwrap();
        assert_eq!(c.settings().queue.segment_bytes, 8 << 20);
        for text in ["command = 'a \"b c\"'", "command = ['a', 'b c']"] {
            let c = file(&format!("[import.claude_batch_server]\n{text}")).unwrap();
            assert_eq!(c.settings().import.command, ["a", "b c"]);
        }
        assert!(message("[import.claude_batch_server]\ncommand = []").contains("a command"));
    }
}
