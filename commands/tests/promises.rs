//! The page on security names a test for each promise.

use std::path::Path;

/// All sources of tests below a folder, with their paths.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_promise_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut tests = Vec::new();
    sources(&root.join("tests"), &mut tests);
    sources(&root.join("commands/tests"), &mut tests);
    let mut promises = 0;
    let mut inside = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        inside = line.starts_with('|') && (inside || cells.last() == Some(&"test"));
        let Some(named) = cells.last().filter(|cell| inside && cell.contains("::")) else { continue };
        promises += 1;
        for test in named.split(", ").map(|test| test.trim_matches('`')) {
            let (folder, name) = test.split_once("::").unwrap();
            let is_it = |(path, text): &(String, String)| {
                (path.contains(&format!("/{folder}/")) || path.ends_with(&format!("/{folder}.rs")))
                    && text.contains(&format!("#[test]\nfn {name}() {{"))
            };
            assert!(tests.iter().any(is_it), "no test {test} for: {}", cells[0]);
        }
    }
    assert!(promises > 20, "{promises} promises");
}
