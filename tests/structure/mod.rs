//! How the source is built: layers, circles, lengths, what is public. The layers are those of the table in
//! `ARCHITECTURE.md`.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::{Crate, Module, named, offers, rust_files};

const LONGEST: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of the table of layers, the top one first: the folders of `src/` that each names.
fn layers() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("src/ ")).skip(1);
    let table = table.take_while(|line| line.starts_with("  "));
    let folders = |line: &str| {
        let words = line.split_whitespace().take_while(|word| word.ends_with('/'));
        words.map(|word| word.trim_end_matches('/').to_owned()).collect::<Vec<_>>()
    };
    let all: Vec<Vec<String>> = table.map(folders).filter(|folders| !folders.is_empty()).collect();
    assert!(all.len() > 5, "no table of layers in ARCHITECTURE.md");
    all
}

/// Layers on the same line do not use each other.
#[test]
fn layers_arrows_go_down_only() {
    let layers = layers();
    let library = Crate::read(&root().join("src"));
    let layer_of = |folder: &str| layers.iter().position(|line| line.iter().any(|name| name == folder));
    let folders: BTreeSet<&String> = library.modules().filter_map(|module| module.first()).collect();
    let unknown: Vec<_> = folders.iter().filter(|folder| layer_of(folder).is_none()).collect();
    assert!(unknown.is_empty(), "not in the table of layers in ARCHITECTURE.md: {unknown:?}");
    let mut wrong = Vec::new();
    for module in library.modules().filter(|module| !module.is_empty()) {
        for (target, what) in library.uses(module) {
            let Some(other) = target.first().filter(|other| **other != module[0]) else { continue };
            if layer_of(other) <= layer_of(&module[0]) {
                wrong.push(format!("{} uses {what} of {}", module.join("/"), target.join("/")));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that go up:\n{}", wrong.join("\n"));
}

#[test]
fn files_form_no_circle() {
    for folder in ["src", "commands/src", "tui/src"] {
        let sources = Crate::read(&root().join(folder));
        let uses: BTreeMap<&Module, BTreeMap<Module, String>> =
            sources.modules().map(|module| (module, sources.uses(module))).collect();
        let mut lines = Vec::new();
        for circle in circles_in(&uses) {
            lines.push(format!("{} files:", circle.len()));
            for module in &circle {
                let inner = uses[module].iter().filter(|(target, _)| circle.contains(target));
                lines.extend(inner.map(|(target, what)| {
                    format!("  {} uses {what} of {}", module.join("/"), target.join("/"))
                }));
            }
        }
        assert!(lines.is_empty(), "{folder}: files in circles\n{}", lines.join("\n"));
    }
}

/// Returns the sets of files in which each leads to every other.
fn circles_in<'a>(uses: &BTreeMap<&'a Module, BTreeMap<Module, String>>) -> Vec<Vec<&'a Module>> {
    let modules: Vec<&'a Module> = uses.keys().copied().collect();
    let place = |module: &Module| modules.binary_search(&module).ok();
    let next: Vec<Vec<usize>> =
        modules.iter().map(|module| uses[module].keys().filter_map(place).collect()).collect();
    let reached: Vec<Vec<bool>> = (0..modules.len()).map(|from| reached_from(from, &next)).collect();
    let mut done = vec![false; modules.len()];
    let mut circles = Vec::new();
    for one in 0..modules.len() {
        if reached[one][one] && !done[one] {
            let circle: Vec<usize> =
                (0..modules.len()).filter(|&other| reached[one][other] && reached[other][one]).collect();
            circle.iter().for_each(|&other| done[other] = true);
            circles.push(circle.into_iter().map(|other| modules[other]).collect());
        }
    }
    circles
}

fn reached_from(from: usize, next: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; next.len()];
    let mut open = next[from].clone();
    while let Some(place) = open.pop() {
        if !std::mem::replace(&mut reached[place], true) {
            open.extend(&next[place]);
        }
    }
    reached
}

/// The table of findings is exported as a whole.
const OFFERED_WHOLE: &str = "src/findings/catalogue";

/// Rustc finds what is `pub` and not exported (`unreachable_pub`); this test finds what is exported and used
/// by nobody.
#[test]
fn pub_functions_are_used_by_other_crates() {
    let named: BTreeSet<String> = ["commands", "tui", "lab", "xtask", "tests", "benches"]
        .iter()
        .flat_map(|folder| texts(folder))
        .flat_map(|(_, text)| named(&text))
        .collect();
    let offers: Vec<_> = texts("src").into_iter().map(|(name, text)| (name, offers(&text))).collect();
    let renamed: Vec<_> = offers.iter().flat_map(|(_, (_, renamed))| renamed).collect();
    let mut unused = Vec::new();
    for (file, (names, _)) in offers.iter().filter(|(file, _)| !file.starts_with(OFFERED_WHOLE)) {
        let of_nobody = names.iter().filter(|name| {
            let others = renamed.iter().filter(|(first, _)| first == *name).map(|(_, other)| other);
            !others.chain([*name]).any(|name| named.contains(name))
        });
        unused.extend(of_nobody.map(|name| format!("{file}: {name}")));
    }
    assert!(unused.is_empty(), "`pub`, and named by no other crate, so `pub(crate)`:\n{}", unused.join("\n"));
}

/// The files below a folder, by their names from the root.
fn texts(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    rust_files(&root().join(folder), &mut files);
    let name = |file: &Path| file.strip_prefix(root()).unwrap().display().to_string();
    files.iter().map(|file| (name(file), std::fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for folder in ["src", "commands", "tui", "lab", "xtask", "tests", "benches"] {
        for (name, text) in texts(folder) {
            let lines = text.lines().count();
            if lines > LONGEST {
                long.push(format!("{name}: {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "files of more than {LONGEST} lines:\n{}", long.join("\n"));
}

/// CONTRIBUTING.md must name existing files, because the next maintainer relies on its list.
#[test]
fn contributing_names_files_that_are_there() {
    let page = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| word.contains('/') && !word.contains(['<', '…', ' ', ':', '$']);
    let mut count = 0;
    for path in quoted.filter(is_path).filter(|path| !path.starts_with('/')) {
        assert!(root().join(path).exists(), "CONTRIBUTING.md names {path}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}
