//! `explain`, `completions` and `man`: what can be known offline.

use crate::common::Place;

#[test]
fn every_code_that_is_listed_is_explained() {
    let place = Place::new();
    let list = place.run(["explain", "--json"]).ends_with(0).json();
    let codes = list["codes"].as_array().unwrap();
    assert_eq!(list["total"], codes.len());
    let table = place.run(["explain"]).ends_with(0).stdout;
    for entry in codes {
        let code = entry["code"].as_str().unwrap();
        assert!(table.contains(code), "{code}");
        let text = place.run(["explain", code]).ends_with(0).stdout;
        for part in [code, entry["title"].as_str().unwrap(), "What it means", "What to do"] {
            assert!(text.contains(part), "{code}: {part}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 90) && !text.contains('{'), "{text}");
        assert_eq!(&place.run(["--json", "explain", code]).ends_with(0).json(), entry);
    }
}

#[test]
fn an_unknown_code_is_not_found_but_guessed() {
    let error = Place::new().run(["explain", "lock_holder_gon", "--json"]).ends_with(5).error();
    assert_eq!(error["code"], "unknown-code");
    assert_eq!(error["hint"], "did you mean 'lock-holder-gone'?");
}

#[test]
fn each_shell_gets_its_script() {
    let place = Place::new();
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef recoveryctl"), ("fish", "complete -c")] {
        let script = place.run(["completions", shell]).ends_with(0).stdout;
        assert!(script.contains(part) && script.contains("explain"), "{shell}");
        assert_eq!(place.run(["completions", shell, "--json"]).json()["script"], script);
    }
    place.run(["completions", "cobol"]).ends_with(2);
}

#[test]
fn there_is_a_manual_page_a_command() {
    let place = Place::new();
    assert!(place.run(["man"]).ends_with(0).stdout.contains(".TH recoveryctl 1"));
    let folder = place.path("man");
    let error = place.run(["man", "man", "--json"]).ends_with(5).error();
    assert!(error["message"].as_str().unwrap().contains("man: it is no folder"), "{error}");
    place.write("man/other", "kept");
    let report = place.run(["man", "man", "--json"]).ends_with(0).json();
    let pages: Vec<&str> = report["pages"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    for (page, says) in [
        ("recoveryctl.1", "EXIT STATUS"),
        ("recoveryctl-submit.1", "max\\-attempts"),
        ("recoveryctl-jobs-output.1", "recoveryctl jobs output"),
    ] {
        assert!(pages.contains(&page), "{pages:?}");
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.to_uppercase().contains(&says.to_uppercase()), "{page}: {text}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.join(page)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o644);
    }
    assert!(!pages.iter().any(|p| p.contains("supervise") || p.contains("-help")), "{pages:?}");
}
