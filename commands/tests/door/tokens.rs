//! Token files that the daemon did not make admit nobody, and a finding reports them.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use super::{STRANGER, give, is_root};
use crate::http::client::Served;

/// The same token in a file that is wrong in some way.
fn spoil(served: &Served, what: &str) {
    let state = served.scene.place.state();
    let (file, token) = (state.join("daemon/admin.token"), served.token("admin"));
    let other = state.join("daemon/other");
    let set = |mode| {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    match what {
        "gone" => std::fs::remove_file(&file).unwrap(),
        "readable" => set(0o640),
        "writable" => set(0o620),
        "another user's" => give(&file, (STRANGER, STRANGER), 0o600),
        "a second name" => std::fs::hard_link(&file, &other).unwrap(),
        "a link" => {
            std::fs::rename(&file, &other).unwrap();
            symlink(&other, &file).unwrap();
        }
        "a pipe" => {
            std::fs::remove_file(&file).unwrap();
            recovery::durable::Disk::real().create_fifo(&file).unwrap();
        }
        "a folder" => {
            std::fs::remove_file(&file).unwrap();
            std::fs::create_dir(&file).unwrap();
        }
        "too long" => std::fs::write(&file, format!("{token}\n{token}\n")).unwrap(),
        other => panic!("{other}"),
    }
}

/// Removes the second file, beside the token file, that makes the token file wrong.
fn tidy(served: &Served) {
    let _ = std::fs::remove_file(served.scene.place.state().join("daemon/other"));
}

fn finding(served: &Served) -> Option<Value> {
    let listed = served.scene.json(&["findings", "--code", "token-not-believed"], 0);
    listed["findings"].as_array().unwrap().first().cloned()
}

#[test]
fn token_that_is_not_as_the_daemon_made_it_counts_for_nobody_until_it_is_rotated() {
    let root = is_root();
    let served = Served::new();
    assert_eq!(finding(&served), None);
    let all = [
        "gone",
        "readable",
        "writable",
        "another user's",
        "a second name",
        "a link",
        "a pipe",
        "a folder",
        "too long",
    ];
    for what in all.into_iter().filter(|what| root || *what != "another user's") {
        let token = served.token("admin");
        spoil(&served, what);
        let bearer = format!("Bearer {token}");
        let asked = served.ask_with("GET", "/api/jobs", None, &[("Authorization", &bearer)]);
        asked.problem(401, "not-authorised");
        let told = finding(&served).unwrap_or_else(|| panic!("{what} is not told"));
        assert_eq!(
            (told["object"].as_str(), told["severity"].as_str()),
            (Some("token:admin"), Some("warning")),
            "{told}"
        );
        // The command that it suggests works.
        let next = told["next"].as_str().unwrap();
        let words: Vec<&str> = next.strip_prefix("recoveryctl ").unwrap().split(' ').collect();
        served.scene.run(&words).ends_with(0);
        tidy(&served);
        served.get("/api/jobs").is(200);
        assert_ne!(served.token("admin"), token, "{what}");
        assert_eq!(finding(&served), None, "{what}");
    }
}

#[test]
fn daemon_that_starts_makes_new_tokens_in_the_place_of_those_that_it_does_not_believe() {
    let root = is_root();
    for what in
        ["another user's", "a link", "a folder"].into_iter().filter(|what| root || *what != "another user's")
    {
        let served = Served::new();
        let token = served.token("admin");
        spoil(&served, what);
        let Served { daemon, scene, .. } = served;
        assert_eq!(daemon.terminate(), Some(0));
        let served = Served::with(scene, 1);
        let bearer = format!("Bearer {token}");
        served
            .ask_with("GET", "/api/jobs", None, &[("Authorization", &bearer)])
            .problem(401, "not-authorised");
        served.get("/api/jobs").is(200);
    }
}

/// The daemon trusts the folder that it opened, not the one that has its path by now.
#[test]
fn tokens_of_a_folder_that_takes_the_place_of_the_daemons_are_not_believed() {
    let served = Served::new();
    let folder = served.scene.place.state().join("daemon");
    let chosen = "ab".repeat(32);
    std::fs::rename(&folder, served.scene.place.path("moved")).unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // A daemon whose lock is gone ends.
    std::fs::hard_link(served.scene.place.path("moved/daemon.lock"), folder.join("daemon.lock")).unwrap();
    let put = |file: &Path| {
        std::fs::write(file, &chosen).unwrap();
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    put(&folder.join("admin.token"));
    let bearer = format!("Bearer {chosen}");
    let asked = || served.ask_with("GET", "/api/admin/health", None, &[("Authorization", &bearer)]);
    asked().problem(401, "not-authorised");
    std::fs::remove_dir_all(&folder).unwrap();
    symlink(served.scene.place.path("moved"), &folder).unwrap();
    put(&served.scene.place.path("moved/admin.token"));
    asked().problem(401, "not-authorised");
}
