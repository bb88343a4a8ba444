//! Reads git's settings that name places. They are read here, not by git, which would obey them.

use std::os::fd::BorrowedFd;

use super::tips::small;

/// Extensions that do not change the format of what is read here.
const EXTENSIONS: [&str; 6] =
    ["noop", "noop-v1", "partialclone", "preciousobjects", "worktreeconfig", "relativeworktrees"];

/// `[section "sub"] key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// In small letters, as is the key.
    pub(super) section: String,
    pub(super) sub: Option<Vec<u8>>,
    pub(super) key: String,
    pub(super) value: Vec<u8>,
}

/// All settings of a repository, or of a linked working tree's folder.
pub(super) fn settings_of(folder: BorrowedFd<'_>) -> Result<Vec<Setting>, String> {
    let mut found = Vec::new();
    for name in [c"config", c"config.worktree"] {
        let Some(content) = small(folder, name)? else { continue };
        let strange = || format!("its {} cannot be understood", name.to_string_lossy());
        found.extend(Parser { rest: &content }.all().ok_or_else(strange)?);
    }
    for setting in &found {
        let says_version = setting.section == "core" && setting.key == "repositoryformatversion";
        if says_version && !matches!(&*setting.value, b"0" | b"1") {
            return Err("it is of a later format".to_owned());
        }
        match (setting.section.as_str(), setting.key.as_str()) {
            ("include" | "includeif", _) => return Err("its settings include others".to_owned()),
            ("extensions", "objectformat" | "refstorage" | "compatobjectformat") => {
                return Err("it has a format that only git itself reads".to_owned());
            }
            // An extension with a subsection is not one that git knows.
            ("extensions", key) if setting.sub.is_some() || !EXTENSIONS.contains(&key) => {
                return Err(format!("it has the extension {key}, which is not known here"));
            }
            ("lfs", "storage") => return Err("it keeps LFS objects elsewhere".to_owned()),
            _ => {}
        }
    }
    Ok(found)
}

/// Returns the configured place of large files, even when other settings are not understood.
pub(super) fn large_files_setting(folder: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let content = small(folder, c"config").ok().flatten()?;
    let mut found = Parser { rest: &content }.all()?.into_iter();
    found.rfind(|s| (s.section.as_str(), s.key.as_str()) == ("lfs", "storage")).map(|s| s.value)
}

/// Returns where the working tree is, if the settings say so.
pub(super) fn work_tree_setting(folder: BorrowedFd<'_>) -> Result<Option<Vec<u8>>, String> {
    let mut found = settings_of(folder)?.into_iter();
    Ok(found.rfind(|s| (s.section.as_str(), s.key.as_str()) == ("core", "worktree")).map(|s| s.value))
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn while_is(&mut self, is: impl Fn(u8) -> bool) -> Vec<u8> {
        let end = self.rest.iter().position(|byte| !is(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_vec()
    }

    fn small_word(&mut self) -> Option<String> {
        let word = self.while_is(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        (!word.is_empty()).then(|| String::from_utf8_lossy(&word).to_ascii_lowercase())
    }

    fn all(mut self) -> Option<Vec<Setting>> {
        self.rest = self.rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.rest);
        let (mut section, mut sub, mut found) = (String::new(), None, Vec::new());
        loop {
            self.while_is(|byte| byte.is_ascii_whitespace());
            match self.peek() {
                None => return Some(found),
                Some(b'#' | b';') => drop(self.while_is(|byte| byte != b'\n')),
                Some(b'[') => (section, sub) = self.head()?,
                Some(_) => {
                    let key = self.small_word()?;
                    self.while_is(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
                    let value = match self.peek() {
                        Some(b'=') => {
                            self.next();
                            self.value()?
                        }
                        None | Some(b'\n' | b'#' | b';') => Vec::new(),
                        Some(_) => return None,
                    };
                    found.push(Setting { section: section.clone(), sub: sub.clone(), key, value });
                }
            }
        }
    }

    fn head(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        self.next();
        let name = self.small_word()?;
        self.while_is(|byte| matches!(byte, b' ' | b'\t'));
        let mut sub = None;
        if self.peek() == Some(b'"') {
            self.next();
            let mut text = Vec::new();
            loop {
                match self.next()? {
                    b'"' => break,
                    b'\n' => return None,
                    b'\\' => text.push(self.next()?),
                    byte => text.push(byte),
                }
            }
            sub = Some(text);
        }
        if self.next()? != b']' {
            return None;
        }
        // The older form: [section.sub]
        if let (None, Some((section, below))) = (&sub, name.split_once('.')) {
            return Some((section.to_owned(), Some(below.as_bytes().to_vec())));
        }
        Some((name, sub))
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        self.while_is(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let (mut value, mut blanks, mut is_quoted) = (Vec::new(), Vec::new(), false);
        loop {
            let byte = match self.next() {
                None | Some(b'\n') if is_quoted => return None,
                None | Some(b'\n') => return Some(value),
                Some(b'#' | b';') if !is_quoted => {
                    self.while_is(|byte| byte != b'\n');
                    continue;
                }
                Some(b'"') => {
                    is_quoted = !is_quoted;
                    value.append(&mut blanks);
                    continue;
                }
                Some(byte @ (b' ' | b'\t' | b'\r')) if !is_quoted => {
                    blanks.push(byte);
                    continue;
                }
                Some(b'\\') => match self.next()? {
                    b'\n' => continue,
                    b'\r' if self.peek() == Some(b'\n') => {
                        self.next();
                        continue;
                    }
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'b' => 8,
                    byte @ (b'"' | b'\\') => byte,
                    _ => return None,
                },
                Some(byte) => byte,
            };
            value.append(&mut blanks);
            value.push(byte);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests write their own settings.
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn settings_unknown_format_is_error() {
        let place = tempfile::tempdir().unwrap();
        let folder = crate::durable::tree::open_top(place.path()).unwrap();
        for (text, is_known) in [
            ("[core]\nrepositoryformatversion = 1\n[extensions]\nworktreeConfig = true\nnoop=1", true),
            ("[core]\nrepositoryformatversion = 2", false),
            ("[extensions]\nneverHeardOf = true", false),
            ("[extensions \"noop\"]\nnoop = true", false),
            ("[extensions]\nobjectFormat = sha256", false),
        ] {
            std::fs::write(place.path().join("config"), text).unwrap();
            assert_eq!(settings_of(folder.as_fd()).is_ok(), is_known, "{text}");
        }
    }

    #[test]
    fn settings_match_git() {
        let read = |text: &str| -> Option<Vec<String>> {
            let all = Parser { rest: text.as_bytes() }.all()?;
            let shown = |s: Setting| {
                let sub = s.sub.map(|sub| format!("/{}", String::from_utf8_lossy(&sub)));
                format!(
                    "{}{}.{}={}",
                    s.section,
                    sub.unwrap_or_default(),
                    s.key,
                    String::from_utf8_lossy(&s.value)
                )
            };
            Some(all.into_iter().map(shown).collect())
        };
        for (text, found) in [
            ("", &[][..]),
            ("[core]\n\tbare = false # why\n", &["core.bare=false"]),
            ("[Remote \"A b\"] URL=\"/a b\"c ; x\r\nfetch", &["remote/A b.url=/a bc", "remote/A b.fetch="]),
            ("[remote \"a\\\"b\\\\\"]\nurl = x\\\ny\\tz", &["remote/a\"b\\.url=xy\tz"]),
            ("[remote.Origin]\r\n  url =  a  b  \r\n", &["remote/origin.url=a  b"]),
            ("# [a]\n;\n[url \"x\"]insteadOf=y", &["url/x.insteadof=y"]),
        ] {
            assert_eq!(
                read(text).as_deref(),
                Some(found.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().as_slice())
            );
        }
        for text in
            ["[core", "[core]\na b", "[core]\na = \"b\n", "[core]\na = \\q\n", "[x \"y\n\"]", "[core]\n= 1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
