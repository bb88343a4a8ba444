//! Folders above the state directory, the configuration and the token files that another user can change.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{STRANGER, give, is_root};
use crate::common::{Place, Ran, skipped_by_the_machine};
use crate::crash::scene::{Scene, wait_for};

/// What runs as a user without an account.
fn as_stranger(command: &mut Command, program: &Path, arguments: &[&str]) -> Ran {
    let user = format!("--reuid={STRANGER}");
    let group = format!("--regid={STRANGER}");
    Ran::of(command.args([&user, &group, "--clear-groups"]).arg(program).args(arguments))
}

/// The folders `a/b` in a place, in which there may be a state directory, and the command line for it.
struct Above {
    place: Place,
    a: PathBuf,
    b: PathBuf,
}

impl Above {
    fn new() -> Above {
        let place = Place::new();
        let (a, b) = (place.path("a"), place.path("a/b"));
        std::fs::create_dir_all(&b).unwrap();
        Above { place, a, b }
    }

    fn run(&self, state: &Path, arguments: &[&str]) -> Ran {
        Ran::of(self.place.command().env("RECOVERYCTL_STATE_DIR", state).args(arguments))
    }

    /// Asserts that every command refuses the state directory, with the folder named, and that `remedy` is what to
    /// type.
    #[track_caller]
    fn is_refused(&self, state: &Path, folder: &Path, remedy: &str) {
        let all =
            [&["--json", "status"][..], &["--json", "submit", "--", "true"], &["--json", "work", "--once"]];
        let daemon = ["--json", "daemon", "--listen", "none"];
        for arguments in all.into_iter().chain([&daemon[..], &["--json", "recover"], &["--json", "init"]]) {
            let error = self.run(state, arguments).ends_with(12).error();
            assert_eq!(error["code"], "path-exposed", "{arguments:?}: {error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!("{} ", folder.display())), "{arguments:?}: {error}");
            let hints = error["hint"].as_str().unwrap();
            assert!(hints.contains(&format!("{remedy} {}", folder.display())), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn folder_above_that_others_may_write_is_refused_until_it_is_closed() {
    let above = Above::new();
    let state = above.b.join("state");
    above.run(&state, &["init"]).ends_with(0);
    for mode in [0o777, 0o707, 0o757] {
        for folder in [&above.a, &above.b] {
            give_mode(folder, mode);
            above.is_refused(&state, folder, "chmod go-w");
            // The command that it suggests works.
            assert!(Command::new("chmod").arg("go-w").arg(folder).status().unwrap().success());
            above.run(&state, &["status"]).ends_with(0);
        }
    }
    // Nothing is made where it would be refused.
    give_mode(&above.b, 0o777);
    let other = above.b.join("other/state");
    for arguments in [&["init"][..], &["init", "--dry-run"], &["submit", "--", "true"]] {
        above.run(&other, arguments).ends_with(12);
    }
    assert!(!above.b.join("other").exists());
    // In a sticky folder nobody can replace what is not theirs.
    give_mode(&above.b, 0o1777);
    above.run(&other, &["init"]).ends_with(0);
}

fn give_mode(folder: &Path, mode: u32) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn folder_above_that_belongs_to_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let above = Above::new();
    let state = above.b.join("state");
    above.run(&state, &["init"]).ends_with(0);
    for mode in [0o755, 0o700, 0o1777] {
        for folder in [&above.a, &above.b] {
            give(folder, (STRANGER, STRANGER), mode);
            above.is_refused(&state, folder, "chown root");
            give(folder, (0, 0), 0o755);
        }
    }
    above.run(&state, &["status"]).ends_with(0);
    // Outside of a user namespace, the account `nobody` is like any other.
    give(&above.a, (65_534, 65_534), 0o755);
    above.is_refused(&state, &above.a, "chown root");
    give(&above.a, (0, 0), 0o755);
    // A sticky folder of root is accepted; what another user has made in it is not.
    give(&above.a, (0, 0), 0o1777);
    above.run(&state, &["status"]).ends_with(0);
    give(&above.b, (STRANGER, 0), 0o755);
    above.is_refused(&state, &above.b, "chown root");
    give(&above.b, (0, 0), 0o755);
    let link = above.a.join("link");
    symlink(&above.b, &link).unwrap();
    above.run(&link.join("state"), &["status"]).ends_with(0);
    std::os::unix::fs::lchown(&link, Some(STRANGER), None).unwrap();
    above.is_refused(&link.join("state"), &link, "chown root");
}

/// The folder may also lie on another disk, behind a link of the operator.
#[test]
fn folder_of_its_own_that_others_can_change_is_refused() {
    let above = Above::new();
    let state = above.b.join("state");
    above.run(&state, &["init"]).ends_with(0);
    for name in ["jobs", "queue/log", "locks", "daemon"] {
        give_mode(&state.join(name), 0o757);
        above.is_refused(&state, &state.join(name), "chmod go-w");
        give_mode(&state.join(name), 0o700);
    }
    let elsewhere = above.place.path("disk/archive");
    std::fs::create_dir_all(&elsewhere).unwrap();
    symlink(&elsewhere, state.join("cleanup/archive")).unwrap();
    above.run(&state, &["status"]).ends_with(0);
    give_mode(&above.place.path("disk"), 0o777);
    above.is_refused(&state, &above.place.path("disk"), "chmod go-w");
    give_mode(&above.place.path("disk"), 0o755);
    give_mode(&elsewhere, 0o777);
    above.is_refused(&state, &state.join("cleanup/archive"), "chmod go-w");
}

#[test]
fn group_of_others_is_refused_and_a_list_that_names_another_user_too() {
    if !is_root() {
        return;
    }
    let above = Above::new();
    let state = above.b.join("state");
    above.run(&state, &["init"]).ends_with(0);
    give(&above.b, (0, STRANGER), 0o775);
    above.is_refused(&state, &above.b, "chmod go-w");
    give(&above.b, (0, STRANGER), 0o755);
    above.run(&state, &["status"]).ends_with(0);
    // An access control list gives a user the right to write: the mode's group bits are its mask.
    let entry = |tag: u16, rights: u16, id: u32| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries = [
        entry(1, 7, none),
        entry(2, 7, STRANGER),
        entry(4, 5, none),
        entry(0x10, 7, none),
        entry(0x20, 5, none),
    ];
    let list = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    let name = "system.posix_acl_access";
    if rustix::fs::setxattr(&above.b, name, &list, rustix::fs::XattrFlags::empty()).is_err() {
        return skipped_by_the_machine("the file system has no access control lists");
    }
    give(&above.b, (0, 0), 0o775);
    above.is_refused(&state, &above.b, "chmod go-w");
    give_mode(&above.b, 0o755);
    above.run(&state, &["status"]).ends_with(0);
}

#[test]
fn link_on_the_way_leads_through_the_folders_that_it_names() {
    let above = Above::new();
    let state = above.b.join("state");
    above.run(&state, &["init"]).ends_with(0);
    let own = above.place.path("own");
    std::fs::create_dir(&own).unwrap();
    symlink(&above.b, own.join("link")).unwrap();
    let by_link = own.join("link/state");
    above.run(&by_link, &["status"]).ends_with(0);
    give_mode(&above.a, 0o777);
    above.is_refused(&by_link, &above.a, "chmod go-w");
    give_mode(&above.a, 0o755);
    give_mode(&own, 0o777);
    above.is_refused(&by_link, &own, "chmod go-w");
    above.run(&state, &["status"]).ends_with(0);
}

#[test]
fn ordinary_user_is_refused_what_others_can_change_and_not_what_is_roots() {
    if !is_root() {
        return;
    }
    let above = Above::new();
    let program = above.place.program_for_all();
    let state = above.b.join("theirs/state");
    give(&above.b.join(""), (0, 0), 0o1777);
    let run = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.env("RECOVERYCTL_STATE_DIR", &state).env("RECOVERYCTL_DOCKER_HOST", "none");
        as_stranger(&mut command, &program, arguments)
    };
    run(&["init"]).ends_with(0);
    run(&["submit", "--", "true"]).ends_with(0);
    run(&["work", "--once"]).ends_with(0);
    give(&above.b.join("theirs"), (STRANGER + 1, STRANGER), 0o755);
    let error = run(&["--json", "status"]).ends_with(12).error();
    assert_eq!(error["code"], "path-exposed", "{error}");
    give(&above.b.join("theirs"), (STRANGER, STRANGER), 0o777);
    assert_eq!(run(&["--json", "status"]).ends_with(12).error()["code"], "path-exposed");
}

/// Where the machine's owner of the folders above has no number in the container, nobody in it can change
/// them.
#[test]
fn container_of_an_ordinary_user_works_below_folders_whose_owner_it_does_not_have() {
    let above = Above::new();
    let state = above.b.join("state");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(env!("CARGO_BIN_EXE_recoveryctl"));
    let known = above.place.command();
    command.env_clear().envs(known.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("RECOVERYCTL_STATE_DIR", &state);
    if !Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .status()
        .is_ok_and(|s| s.success())
    {
        return skipped_by_the_machine("no user namespace can be made");
    }
    // When root makes the namespace, root has its number in it, and the stranger's is missing.
    if rustix::process::geteuid().is_root() {
        give(&above.a, (STRANGER, STRANGER), 0o755);
        above.run(&state, &["init"]).ends_with(12);
    }
    Ran::of(command.args(["init"])).ends_with(0);
}

#[test]
fn daemon_that_runs_goes_on_with_its_jobs_and_admits_nobody() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\n");
    let folder = scene.place.path("");
    let served = crate::http::client::Served::started(scene, 1);
    let wait = ["sh", "-c", "until test -e go; do sleep 0.05; done"];
    served.submit(&serde_json::json!({ "id": "waits", "command": wait }));
    served.submit(&serde_json::json!({ "id": "next", "command": ["true"] }));
    served.wait_for("waits", "running");
    give_mode(&folder, 0o777);
    served.get("/api/jobs").problem(401, "not-authorised");
    served.over_socket("GET", "/api/jobs").problem(423, "path-exposed");
    std::fs::write(served.scene.job_file("waits", "go"), "").unwrap();
    let ended = served.scene.job_file("next", "exit.json");
    wait_for("the next job to have run", || ended.exists());
    give_mode(&folder, 0o755);
    served.wait_for("next", "succeeded");
}

#[test]
fn configuration_that_others_can_write_is_refused_by_root_and_the_daemon() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let folder = place.path("etc");
    let config = place.write("etc/config.toml", "");
    let run = |arguments: &[&str]| {
        Ran::of(place.command().arg("--json").arg("--config").arg(&config).args(arguments))
    };
    let daemon = ["daemon", "--listen", "none", "--workers", "0"];
    let words = [&["work", "--once"][..], &["status"]];
    let guarded = if rustix::process::geteuid().is_root() { &words[..] } else { &words[..1] };
    let refused = |path: &Path| {
        for arguments in guarded {
            let error = run(arguments).ends_with(12).error();
            assert_eq!(error["code"], "path-exposed", "{error}");
            assert!(
                error["hint"].as_str().unwrap().contains(&format!("chmod go-w {}", path.display())),
                "{error}"
            );
        }
    };
    give_mode(&config, 0o666);
    refused(&config);
    give_mode(&config, 0o644);
    give_mode(&folder, 0o777);
    refused(&folder);
    give_mode(&folder, 0o755);
    for arguments in words {
        run(arguments).ends_with(0);
    }
    // The usage is wrong, but nothing is refused.
    run(&daemon).ends_with(2);
    // A device keeps nothing that is written to it.
    Ran::of(place.command().args(["--config", "/dev/null", "status"])).ends_with(0);
}

#[test]
fn reload_refuses_a_configuration_that_others_can_write() {
    let scene = Scene::new();
    let config =
        scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\nhosts = [\"one.example\"]\n");
    let served = crate::http::client::Served::started(scene, 1);
    let answers = |host: &str| {
        let reply = crate::http::client::exchange(&served.address, "GET", "/livez", None, &[("Host", host)]);
        reply.unwrap().status
    };
    let reload = || {
        let pid = rustix::process::Pid::from_raw(i32::try_from(served.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    std::fs::write(&config, "[daemon]\nhosts = [\"two.example\"]\n").unwrap();
    give_mode(&config, 0o666);
    reload();
    // The configuration is not taken over: what is submitted meanwhile goes through the loop that checks for
    // the signal.
    let id = served.submit(&serde_json::json!({ "command": ["true"] }));
    served.wait_for(&id, "succeeded");
    assert_eq!((answers("one.example"), answers("two.example")), (200, 421));
    give_mode(&config, 0o644);
    reload();
    wait_for("the new name", || answers("two.example") == 200);
}

#[test]
fn token_file_and_socket_of_a_client_are_its_own() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\n");
    let served = crate::http::client::Served::started(scene, 1);
    let place = &served.scene.place;
    let token = place.write("given/token", &served.token("admin"));
    let url = format!("--url=http://{}", served.address);
    let by_token = |token: &Path| {
        Ran::of(place.bare_command().args(["--json", &url, "--token-file"]).arg(token).arg("status"))
    };
    by_token(&token).ends_with(0);
    give_mode(&token, 0o666);
    assert_eq!(by_token(&token).ends_with(12).error()["code"], "path-exposed");
    give_mode(&token, 0o600);
    give_mode(&place.path("given"), 0o777);
    assert_eq!(by_token(&token).ends_with(12).error()["code"], "path-exposed");
    // A link in a folder of others to the daemon's own socket.
    let link = place.path("given/socket");
    symlink(place.state().join("daemon/admin.sock"), &link).unwrap();
    let by_socket =
        |socket: &Path| Ran::of(place.bare_command().arg("--json").arg("--socket").arg(socket).arg("status"));
    assert_eq!(by_socket(&link).ends_with(12).error()["code"], "path-exposed");
    give_mode(&place.path("given"), 0o755);
    by_socket(&link).ends_with(0);
}
