//! Engines that are found as the docker client finds them, and what is found in one without a label of ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::engine::{Engine, labels, with_engine};
use crate::common::{Place, Ran, skipped, skipped_by_the_machine, until};

/// The binary with no word of an operator about the engine, and these variables.
fn client(place: &Place, variables: &[(&str, &str)]) -> Command {
    let mut command = place.command();
    command.env_remove("RECOVERYCTL_DOCKER_HOST").env("XDG_RUNTIME_DIR", place.path("run"));
    command.env("RECOVERYCTL_DOCKER_STOP_TIMEOUT", "0s").env("RECOVERYCTL_CLEANUP_PAUSE", "50ms");
    command.envs(variables.iter().copied());
    command
}

fn json_of(mut command: Command, arguments: &[&str]) -> Value {
    Ran::of(command.arg("--json").args(arguments)).json()
}

/// What `config show` says of the engine.
fn shown(command: Command) -> Value {
    let report = json_of(command, &["config", "show"]);
    let settings = report["settings"].as_array().unwrap();
    settings.iter().find(|s| s["key"] == "docker.host").unwrap().clone()
}

/// The engine as a context of the docker client in this home.
fn use_context(place: &Place, engine: &Engine, name: &str) {
    for words in [
        &["context", "create", name, "--docker", &format!("host={}", engine.address())][..],
        &["context", "use", name][..],
    ] {
        let mut docker = Command::new("/usr/bin/docker");
        docker.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", place.path(""));
        assert!(docker.output().unwrap().status.success(), "docker {words:?}");
    }
}

fn ended_job(command: impl Fn() -> Command, id: &str, options: &[&str]) {
    let submit =
        [&["submit", "--id", id, "--auto-cleanup"], options, &["--", "sh", "-c", "echo x > file"]].concat();
    Ran::of(command().args(submit)).ends_with(0);
    Ran::of(command().args(["work", "--once"]));
}

#[test]
fn engine_of_a_context_is_asked_before_files_go() {
    with_engine(|engine| {
        let place = Place::new();
        use_context(&place, engine, "rootless");
        Ran::of(client(&place, &[]).arg("init")).ends_with(0);
        let engine_shown = shown(client(&place, &[]));
        assert_eq!(engine_shown["value"], engine.address(), "{engine_shown}");
        let origin = &engine_shown["origin"];
        assert_eq!(
            (&origin["from"], &origin["name"]),
            (&json!("docker_context"), &json!("rootless")),
            "{origin}"
        );
        assert!(origin["chosen_by"].as_str().unwrap().ends_with(".docker/config.json"), "{origin}");
        ended_job(|| client(&place, &[]), "web", &[]);
        engine.container("web-1", &labels(&place, "web"));
        let report = json_of(client(&place, &[]), &["cleanup", "run"]);
        assert_eq!(report["completed"], 1, "{report}");
        assert!(engine.names("container").is_empty() && !place.state().join("jobs/web").exists());
        // A job that was given its own address is asked about at that address.
        let given = format!("DOCKER_HOST=unix://{}", place.path("nobody.sock").display());
        ended_job(|| client(&place, &[]), "own", &["--env", &given]);
        let report = json_of(client(&place, &[]), &["cleanup", "run"]);
        let error =
            report["cleanups"][0]["phases"][1]["error"].as_str().unwrap_or_else(|| panic!("{report}"));
        assert!(error.contains("nobody.sock"), "{error}");
        assert!(place.state().join("jobs/own/file").exists());
    });
}

#[test]
fn sockets_of_rootless_engines_and_variables_name_the_engine() {
    let place = Place::new();
    let host = ("DOCKER_HOST", "tcp://engine.example:2375");
    let found = shown(client(&place, &[host]));
    assert_eq!(
        (&found["value"], &found["origin"]["name"]),
        (&json!(host.1), &json!("DOCKER_HOST")),
        "{found}"
    );
    std::fs::create_dir_all(place.path("run/podman")).unwrap();
    let sockets: Vec<PathBuf> = ["run/docker.sock", "run/podman/podman.sock"].map(|p| place.path(p)).into();
    let _bound: Vec<_> =
        sockets.iter().map(|path| std::os::unix::net::UnixListener::bind(path).unwrap()).collect();
    let found = shown(client(&place, &[]));
    let value = found["value"].as_str().unwrap();
    assert!(sockets.iter().all(|path| value.contains(&format!("unix://{}", path.display()))), "{found}");
    assert_eq!(found["origin"]["from"], "found", "{found}");
    // The operator's setting overrides all of them.
    let mut command = client(&place, &[host]);
    command.env("RECOVERYCTL_DOCKER_HOST", "none");
    assert_eq!(shown(command)["value"], "none");
}

#[test]
fn engine_that_is_nowhere_to_be_found_is_not_absent() {
    if !Path::new("/usr/bin/docker").exists() {
        return skipped("no docker client is installed");
    }
    let usual = ["/var/run/docker.sock", "/run/podman/podman.sock"];
    if usual.iter().any(|path| Path::new(path).exists()) {
        return skipped_by_the_machine("it has an engine of its own");
    }
    let place = Place::new();
    ended_job(|| client(&place, &[]), "a", &[]);
    let report = json_of(client(&place, &[]), &["cleanup", "run"]);
    let cleanup = &report["cleanups"][0];
    assert_eq!(cleanup["status"], "waiting", "{report}");
    let error = cleanup["phases"][1]["error"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(error.contains("is not known") && error.contains("docker.host"), "{error}");
    assert!(place.state().join("jobs/a/file").exists());
    let state = json_of(client(&place, &[]), &["cleanup", "state"]);
    assert_eq!(state["findings"][0]["code"], "cleanup-waiting", "{state}");
    assert_eq!(shown(client(&place, &[]))["value"], "unknown");
    let kept = json_of(client(&place, &[]), &["jobs", "prune", "--keep-days", "0"]);
    assert_eq!(kept["kept"][0]["code"], "job-cleanup-pending", "{kept}");
    // The operator's setting is the way out.
    let mut command = client(&place, &[]);
    command.env("RECOVERYCTL_DOCKER_HOST", "none");
    assert_eq!(json_of(command, &["cleanup", "run"])["completed"], 1);
    assert!(!place.state().join("jobs/a").exists());
}

/// Starts a container with options of its own.
fn container(engine: &Engine, name: &str, options: &[&str]) {
    let head = ["run", "-d", "--network", "none", "--name", name];
    engine.docker(&[&head[..], options, &["recoveryctl-test", "/bin/sleep", "1000"]].concat());
}

#[test]
fn living_container_with_the_workspace_mounted_keeps_the_files_whatever_its_labels_say() {
    with_engine(|engine| {
        let place = Place::new();
        let workspace = place.state().join("jobs/a");
        for (name, label) in [("plain", None), ("other", Some("io.recoveryctl.job=b"))] {
            ended_job(|| engine.command(&place), "a", &[]);
            let mount = format!("{}:/w", workspace.display());
            let label: Vec<&str> = label.into_iter().flat_map(|label| ["--label", label]).collect();
            container(engine, name, &[&["-v", &mount], label.as_slice()].concat());
            let report = engine.json(&place, &["cleanup", "run"]);
            let error =
                report["cleanups"][0]["phases"][1]["error"].as_str().unwrap_or_else(|| panic!("{report}"));
            assert!(error.contains(&format!("container {name} (running)")), "{error}");
            assert!(workspace.join("file").exists());
            assert_eq!(engine.names("container"), [name]);
            engine.docker(&["rm", "-f", name]);
            until("the files to go", || {
                engine.run(&place, &["cleanup", "run"]);
                !workspace.exists()
            });
            engine.json(&place, &["jobs", "prune", "--keep-days", "0"]);
        }
    });
}

#[test]
fn what_tools_name_after_the_workspace_goes_with_the_job() {
    with_engine(|engine| {
        let place = Place::new();
        ended_job(|| engine.command(&place), "a", &[]);
        let workspace = place.state().join("jobs/a");
        let folder = format!("com.docker.compose.project.working_dir={}", workspace.join("app").display());
        let compose = ["--label", "com.docker.compose.project=shop"];
        container(engine, "shop-web-1", &[&compose[..], &["--label", &folder]].concat());
        for kind in ["network", "volume"] {
            engine.make(kind, &format!("shop-{kind}"), &["com.docker.compose.project=shop".to_owned()]);
        }
        let editor = format!("devcontainer.local_folder={}", workspace.display());
        container(engine, "editor", &["--label", &editor]);
        let session = ["--label", "org.testcontainers.sessionId=1"];
        let mount = format!("{}:/w", workspace.display());
        container(engine, "tested", &[&session[..], &["-v", &mount]].concat());
        container(engine, "reaper", &session);
        container(engine, "bystander", &["--label", "org.testcontainers.sessionId=2"]);
        engine.make("network", "other-net", &["com.docker.compose.project=other".to_owned()]);
        let report = engine.json(&place, &["cleanup", "run"]);
        assert_eq!(report["completed"], 1, "{report}");
        assert_eq!(engine.names("container"), ["bystander"]);
        assert_eq!((engine.names("network"), engine.names("volume")), (vec!["other-net".to_owned()], vec![]));
        assert!(!workspace.exists());
    });
}
