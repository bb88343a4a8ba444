//! `init`, and the state directories that every command refuses.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Place, Ran, is_untouched};

#[test]
fn made_once_and_then_found() {
    let place = Place::new();
    let first = place.run(["init", "--json"]).ends_with(0).json();
    assert_eq!((&first["created"], &first["layout"]), (&true.into(), &3.into()));
    let second = place.run(["init", "--json"]).ends_with(0).json();
    assert_eq!((&second["created"], &second["state_id"]), (&false.into(), &first["state_id"]));
    assert!(place.run(["init"]).ends_with(0).stdout.contains("is a state directory already"));
    assert_eq!(fs::metadata(place.state()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_dry_run_makes_nothing() {
    let place = Place::new();
    let ran = place.run(["init", "--dry-run"]).ends_with(0);
    assert!(ran.stdout.starts_with("would make a state directory in "), "{}", ran.stdout);
    assert!(!place.state().exists());
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let place = Place::new();
    place.write("state/thesis.txt", "years of work");
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in [&["init", "--json"][..], &["init", "--json", "--dry-run"]] {
        let error = place.run(arguments).ends_with(1).error();
        assert_eq!(error["code"], "folder-not-empty");
        assert!(error["message"].as_str().unwrap().contains("thesis.txt"), "{error}");
    }
    assert_eq!(fs::read_dir(place.state()).unwrap().count(), 1);
}

#[test]
fn a_file_is_no_state_directory() {
    let place = Place::new();
    place.write("state", "");
    let ran = place.run(["init"]).ends_with(10);
    assert!(ran.stderr.contains("is not a folder") && ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert_eq!(fs::read(place.state()).unwrap(), b"");
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let place = Place::new();
    fs::create_dir(place.state()).unwrap();
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = place.run(["init", "--json"]).ends_with(12).error();
    assert_eq!(error["code"], "state-directory-exposed");
    assert!(error["hint"].as_str().unwrap().contains("chmod go-w"), "{error}");
    assert!(is_untouched(&place.state()));
}

#[test]
fn lost_and_damaged_identities_and_later_layouts_are_told_apart() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let identity = place.state().join("state.json");
    let id = fs::read_to_string(&identity).unwrap();

    fs::write(&identity, id.replace("\"layout\":3", "\"layout\":99")).unwrap();
    assert_eq!(place.run(["init", "--json"]).ends_with(12).error()["code"], "layout-newer");

    fs::write(&identity, &id[..10]).unwrap();
    let error = place.run(["init", "--json"]).ends_with(15).error();
    assert!(error["hint"].as_str().unwrap().contains("recoveryctl recover"), "{error}");
    assert_eq!(error["causes"].as_array().unwrap().len(), 1, "{error}");

    place.write("state/queue/log/some.log", "a record");
    fs::remove_file(&identity).unwrap();
    assert_eq!(place.run(["init", "--json"]).ends_with(15).error()["code"], "state-identity-lost");
    assert!(!identity.exists());
}

#[test]
fn without_home_and_name_there_is_none() {
    if rustix::process::getuid().is_root() {
        return; // Root's default needs no home.
    }
    let place = Place::new();
    Ran::of(place.bare_command().env_remove("HOME").arg("init")).ends_with(10);
}
