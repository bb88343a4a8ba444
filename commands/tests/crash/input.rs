//! Input that is wrong, and names that are odd.

use recovery::queue::JobStatus;

use crate::common::{Place, is_untouched};
use crate::crash::scene::Scene;

#[test]
fn a_state_directory_that_is_none() {
    let place = Place::new();
    for command in [&["status"][..], &["recover"], &["jobs", "list"], &["queue", "wal"], &["work", "--once"]]
    {
        let ran = place.run([&["--json"], command].concat()).ends_with(10);
        assert_eq!(ran.error()["exit"], 10);
        assert!(!place.state().exists(), "{command:?} made a state directory");
    }
    place.write("state", "a file");
    for command in [&["status"][..], &["submit", "--", "true"], &["recover"], &["daemon"]] {
        let ran = place.run([&["--json"], command].concat());
        assert!(matches!(ran.status, 1 | 2 | 10 | 12), "{command:?}: {ran:?}");
        ran.error();
        assert_eq!(std::fs::read_to_string(place.state()).unwrap(), "a file");
    }
}

#[test]
fn jobs_that_are_none() {
    let scene = Scene::new();
    for word in ["show", "output", "cancel"] {
        scene.json(&["jobs", word, "nobody"], 5);
    }
    for id in ["../x", "..", ".", "a/b", "", "/etc/passwd", "x\u{0301}/../y"] {
        for word in ["show", "output", "cancel"] {
            let ran = scene.place.run(["--json", "jobs", word, id]);
            assert!(matches!(ran.status, 2 | 5), "jobs {word} {id:?}: {ran:?}");
        }
        let ran = scene.place.run(["--json", "submit", "--id", id, "--", "true"]);
        assert!(matches!(ran.status, 2 | 5), "submit {id:?}: {ran:?}");
        ran.error();
    }
    assert!(is_untouched(&scene.place.state().join("jobs")));
    assert_eq!(scene.queue().state().jobs().len(), 0);
    scene.json(&["run", "nobody"], 5);
}

#[test]
fn commands_that_are_none() {
    let scene = Scene::new();
    for arguments in [&["submit"][..], &["submit", "--"], &["submit", "--", ""], &["run"], &["work"]] {
        assert_eq!(scene.run(arguments).status, 2, "{arguments:?}");
    }
    scene.json(&["submit", "--id", "a", "--", "true"], 0);
    let twice = scene.place.run(["--json", "submit", "--id", "a", "--", "true"]);
    assert!(matches!(twice.status, 1 | 2 | 12), "{twice:?}");
    assert_eq!(scene.queue().state().jobs().len(), 1);
}

#[test]
fn bad_lines_are_told_by_number_and_the_good_ones_go_in() {
    let scene = Scene::new();
    let lines = concat!(
        "{\"id\":\"one\",\"command\":[\"true\"]}\n",
        "no json\n",
        "\n",
        "{\"id\":\"../x\",\"command\":[\"true\"]}\n",
        "{\"id\":\"five\",\"command\":[]}\n",
        "{\"id\":\"six\",\"command\":[\"true\"],\"unknown\":1}\n",
        "{\"id\":\"seven\",\"command\":[\"true\"]}"
    );
    let file = scene.place.write("jobs.jsonl", lines);
    let ran = scene.place.run(["submit".as_ref(), "--from".as_ref(), file.as_os_str()]).ends_with(3);
    assert_eq!(ran.stdout, "one\nseven\n");
    for number in [2, 4, 5, 6] {
        assert!(ran.stderr.contains(&format!("line {number}")), "{number}: {}", ran.stderr);
    }
    let all: Vec<&std::ffi::OsStr> =
        vec!["submit".as_ref(), "--all-or-nothing".as_ref(), "--from".as_ref(), file.as_os_str()];
    let ran = scene.place.run(all);
    assert_ne!(ran.status, 0);
    assert_eq!(scene.queue().state().jobs().len(), 2);
}

#[test]
fn odd_names_of_repositories() {
    let scene = Scene::new();
    let long = "r".repeat(300);
    let odd = ["with space", "a/b/../c", "..", "späße \u{1f980}", "-dash", ".lock", "%2e", &long];
    let mut accepted = Vec::new();
    for (number, name) in odd.iter().enumerate() {
        let id = format!("job-{number}");
        let repository = format!("--repo={name}");
        let ran = scene.place.run(["submit", "--id", &id, &repository, "--", "true"]);
        assert!(matches!(ran.status, 0 | 2), "{name:?}: {ran:?}");
        if ran.status == 0 {
            accepted.push(id);
        }
    }
    scene.work();
    for id in &accepted {
        assert_eq!(scene.status(id), JobStatus::Succeeded, "{id}");
    }
    println!("accepted: {accepted:?}");
    assert!(accepted.len() >= 7, "{accepted:?}");
    let locks = scene.json(&["locks", "inspect"], 0);
    assert_eq!(locks["total"], accepted.len(), "two names met: {locks}");
    assert!(!scene.place.path("locks").exists() && !scene.place.path("c.lock").exists());
    assert_eq!(scene.recover().status, 0);
}
