//! Reads from their text what the files of a crate say about each other: imports, paths, definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module, by its path from the crate's root.
pub(super) type Module = Vec<String>;

/// One file.
#[derive(Debug, Default)]
struct Source {
    /// What it imports, by the name that it has here.
    imports: Vec<Import>,
    /// Paths with two or more names in its code.
    paths: BTreeSet<Vec<String>>,
    /// The items that it defines.
    defined: BTreeSet<String>,
}

#[derive(Debug)]
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// The modules of a crate.
pub(super) struct Crate {
    sources: BTreeMap<Module, Source>,
}

impl Crate {
    /// Reads all files below a folder; the tests in them are left out.
    pub(super) fn read(root: &Path) -> Crate {
        let mut files = Vec::new();
        rust_files(root, &mut files);
        let sources = files.into_iter().filter_map(|file| {
            let below = file.strip_prefix(root).ok()?.with_extension("");
            let mut module: Module = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            let text = std::fs::read_to_string(&file).ok()?;
            let is_of_tests = module.last().is_some_and(|name| name.ends_with("tests") || name == "samples");
            (!is_of_tests).then(|| (module, Source::of(&without_tests(&tokens(&text)))))
        });
        Crate { sources: sources.collect() }
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.sources.keys()
    }

    /// The files that a file uses something of, with what.
    pub(super) fn uses(&self, module: &Module) -> BTreeMap<Module, String> {
        let source = &self.sources[module];
        let mut found = BTreeMap::new();
        let mut add = |target: Option<Module>, what: String| {
            if let Some(target) = target.filter(|target| target != module) {
                found.entry(target).or_insert(what);
            }
        };
        for import in &source.imports {
            let Some(path) = self.absolute(module, &import.path) else { continue };
            // A parent that re-exports what its children define does not use it.
            let is_offered = import.is_public && path.starts_with(module);
            if !is_offered && import.name != "*" {
                add(self.definition_of(&path, 0), import.path.join("::"));
            } else if !is_offered {
                add(self.sources.contains_key(&path).then(|| path.clone()), import.path.join("::"));
            }
        }
        for path in &source.paths {
            let imported = source.imports.iter().find(|import| import.name == path[0]);
            let whole = match imported {
                Some(import) => import.path.iter().chain(&path[1..]).cloned().collect(),
                None => path.clone(),
            };
            let target = self.absolute(module, &whole).and_then(|path| self.definition_of(&path, 0));
            add(target, path.join("::"));
        }
        found
    }

    /// From the crate's root; `None` for what is another crate's.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (mut base, mut rest) = match path[0].as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (module.clone(), &path[1..]),
            "super" => (module.clone(), path),
            first => {
                let mut child = module.clone();
                child.push(first.to_owned());
                if !self.sources.contains_key(&child) {
                    return None;
                }
                (child, &path[1..])
            }
        };
        while rest.first().is_some_and(|name| name == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The file in which something is defined: offers of parents are followed.
    fn definition_of(&self, path: &[String], depth: usize) -> Option<Module> {
        if self.sources.contains_key(path) {
            return Some(path.to_vec());
        }
        let length = (0..=path.len()).rev().find(|&n| self.sources.contains_key(&path[..n]))?;
        let (module, name) = (path[..length].to_vec(), &path[length]);
        let source = &self.sources[&module];
        if depth < 8 && !source.defined.contains(name) {
            let named = source.imports.iter().find(|import| import.name == *name);
            if let Some(import) = named {
                let offered = self.absolute(&module, &import.path)?;
                let whole: Module = offered.into_iter().chain(path[length + 1..].iter().cloned()).collect();
                return self.definition_of(&whole, depth + 1);
            }
            let all = source.imports.iter().filter(|import| import.name == "*");
            for offered in all.filter_map(|import| self.absolute(&module, &import.path)) {
                if self.sources.get(&offered).is_some_and(|of| of.defined.contains(name)) {
                    return Some(offered);
                }
            }
        }
        Some(module)
    }
}

pub(super) fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl Source {
    fn of(tokens: &[String]) -> Source {
        let mut source = Source::default();
        let mut at = 0;
        let mut is_public = false;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "use" => {
                    let end = (at..tokens.len()).find(|&n| tokens[n] == ";").unwrap_or(tokens.len());
                    import(&tokens[at + 1..end], &[], is_public, &mut source.imports);
                    at = end;
                }
                "pub" => {
                    is_public = true;
                    at += 1;
                    if tokens.get(at).is_some_and(|token| token == "(") {
                        at = (at..tokens.len()).find(|&n| tokens[n] == ")").unwrap_or(tokens.len()) + 1;
                    }
                    continue;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "macro_rules" | "mod" => {
                    let name = tokens.get(at + 1).filter(|token| *token != "!").or(tokens.get(at + 2));
                    source.defined.extend(name.cloned());
                }
                token if is_name(token) => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(at + 1).is_some_and(|next| next == "::")
                        && tokens.get(at + 2).is_some_and(|next| is_name(next))
                    {
                        at += 2;
                        path.push(tokens[at].clone());
                    }
                    if path.len() > 1 {
                        source.paths.insert(path);
                    }
                }
                _ => {}
            }
            is_public = false;
            at += 1;
        }
        source
    }
}

/// The names behind `pub fn`, `pub const` and `pub static` of a file, but those of methods; and the names of
/// others that it offers by another name, with that.
pub(super) fn offers(text: &str) -> (Vec<String>, Vec<(String, String)>) {
    let tokens = without_tests(&tokens(text));
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| words.contains(&token.as_str()));
    let (mut names, mut depth) = (Vec::new(), 0);
    for at in 0..tokens.len() {
        depth += i32::from(is(at, &["{"])) - i32::from(is(at, &["}"]));
        if depth == 0 && is(at, &["pub"]) && is(at + 1, &["fn", "const", "static", "unsafe"]) {
            let name = (at + 1..).find(|&n| !is(n, &["fn", "const", "static", "unsafe", "mut"]));
            names.extend(name.and_then(|n| tokens.get(n).cloned()));
        }
    }
    let imports = Source::of(&tokens).imports.into_iter().filter(|import| import.is_public);
    let renamed = imports.filter_map(|import| Some((import.path.last()?.clone(), import.name)));
    (names, renamed.filter(|(path, name)| path != name).collect())
}

/// What a file, with its tests, imports or names in a path.
pub(super) fn named(text: &str) -> BTreeSet<String> {
    let source = Source::of(&tokens(text));
    let imported = source.imports.into_iter().flat_map(|import| import.path);
    imported.chain(source.paths.into_iter().flatten()).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The leaves of a tree of imports.
fn import(tokens: &[String], before: &[String], is_public: bool, found: &mut Vec<Import>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => {}
            "{" => {
                let mut depth = 0;
                let mut begin = at + 1;
                for n in at..tokens.len() {
                    match tokens[n].as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    if (depth == 1 && tokens[n] == ",") || depth == 0 {
                        if begin < n {
                            import(&tokens[begin..n], &path, is_public, found);
                        }
                        begin = n + 1;
                    }
                    if depth == 0 {
                        return;
                    }
                }
            }
            "*" => return found.push(Import { path, name: "*".to_owned(), is_public }),
            "as" => {
                let name = tokens.get(at + 1).cloned().unwrap_or_default();
                return found.push(Import { path, name, is_public });
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    if !path.is_empty() {
        found.push(Import { path, name, is_public });
    }
}

/// Names, `::` and single signs; comments, texts and numbers are left out.
fn tokens(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let first = bytes[at];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |n| n + 2);
        } else if let Some(hashes) = raw_text(rest) {
            let begin = rest.find('"').unwrap_or(0) + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            at += rest[begin..].find(&end).map_or(rest.len(), |n| begin + n + end.len());
        } else if first == b'"' {
            at += 1;
            while at < bytes.len() && bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at += 1;
        } else if first == b'\'' {
            at += character(rest);
        } else if first.is_ascii_alphabetic() || first == b'_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            at += end;
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if first.is_ascii_punctuation() {
                tokens.push(char::from(first).to_string());
            }
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    tokens
}

/// How many signs of `#` a raw text has that begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.bytes().take_while(|byte| *byte == b'#').count();
    behind[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a character, or of the sign of a lifetime.
fn character(rest: &str) -> usize {
    let mut signs = rest.char_indices().skip(1);
    match (signs.next(), signs.next()) {
        (Some((_, '\\')), _) => rest[3..].find('\'').map_or(rest.len(), |n| n + 4),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Without the items below `#[cfg(test)]` and its like.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let starts = |at: usize, text: &[&str]| {
        tokens.len() >= at + text.len() && text.iter().zip(&tokens[at..]).all(|(a, b)| a == b)
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts(at, &["#", "[", "cfg", "(", "test"])
            || starts(at, &["#", "[", "cfg", "(", "all", "(", "test"])
        {
            while starts(at, &["#", "["]) {
                at = behind(tokens, at + 1, "[", "]");
            }
            while at < tokens.len() && tokens[at] != ";" && tokens[at] != "{" {
                at += 1;
            }
            at = if starts(at, &["{"]) { behind(tokens, at, "{", "}") } else { at + 1 };
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The place behind the bracket that closes the one at `at`.
fn behind(tokens: &[String], mut at: usize, open: &str, close: &str) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        depth += i32::from(tokens[at] == open) - i32::from(tokens[at] == close);
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}
