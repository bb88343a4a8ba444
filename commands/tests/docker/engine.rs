//! An engine that lives as long as this test process, below a temporary folder.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::common::{Place, Ran, skipped};

/// An engine, started by the script that CI uses too.
pub struct Engine {
    folder: PathBuf,
    address: String,
}

fn script() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/docker-engine")
}

fn can_run() -> bool {
    let has = |program: &str| {
        ["/usr/sbin", "/usr/bin", "/bin"].iter().any(|f| std::path::Path::new(f).join(program).exists())
    };
    rustix::process::geteuid().is_root() && has("dockerd") && has("busybox") && has("docker")
}

/// Tests that kill or crowd an engine take turns: two engines at a time are enough for a small machine.
static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Runs a test with an engine of its own, or says why it cannot.
pub fn with_engine(test: impl FnOnce(&Engine)) {
    if !can_run() {
        assert!(std::env::var_os("RECOVERYCTL_TESTS_MUST_RUN").is_none(), "no Docker engine can be started");
        return skipped("it needs root, dockerd and a static busybox");
    }
    let turn = &TURNS[NEXT.fetch_add(1, Ordering::Relaxed) % TURNS.len()];
    let _turn = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let engine = Engine::start();
    test(&engine);
}

impl Engine {
    fn start() -> Engine {
        let folder = tempfile::Builder::new().prefix("rcd-").tempdir().unwrap().keep();
        let own = std::process::id().to_string();
        let output = Command::new(script())
            .arg("start")
            .arg(&folder)
            .arg(own)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "the engine does not start");
        let address = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Engine { folder, address }
    }

    /// `kill`, `again`: see the script.
    pub fn word(&self, word: &str) {
        let ended =
            Command::new(script()).arg(word).arg(&self.folder).stdout(Stdio::null()).status().unwrap();
        assert!(ended.success(), "{word}");
    }

    /// The engine's own client.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("/usr/bin/docker").args(["-H", &self.address]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A running container.
    pub fn container(&self, name: &str, labels: &[String]) -> String {
        let mut arguments = vec!["run", "-d", "--network", "none", "--name", name];
        labels.iter().for_each(|label| arguments.extend(["--label", label.as_str()]));
        arguments.extend(["recoveryctl-test", "/bin/sleep", "1000"]);
        self.docker(&arguments)
    }

    /// A container that was never started.
    pub fn created(&self, name: &str, labels: &[String]) -> String {
        let mut arguments = vec!["create", "--network", "none", "--name", name];
        labels.iter().for_each(|label| arguments.extend(["--label", label.as_str()]));
        arguments.extend(["recoveryctl-test", "/bin/sleep", "1000"]);
        self.docker(&arguments)
    }

    /// A network, or a volume.
    pub fn make(&self, kind: &str, name: &str, labels: &[String]) {
        let mut arguments = vec![kind, "create"];
        labels.iter().for_each(|label| arguments.extend(["--label", label.as_str()]));
        arguments.push(name);
        self.docker(&arguments);
    }

    /// Names of what is there: of containers, networks or volumes.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let format = if kind == "container" { "{{.Names}}" } else { "{{.Name}}" };
        let all = if kind == "container" { vec!["-a"] } else { vec![] };
        let text = self.docker(&[&[kind, "ls"], all.as_slice(), &["--format", format]].concat());
        let own = ["bridge", "host", "none"];
        let mut names: Vec<String> =
            text.lines().filter(|n| kind != "network" || !own.contains(n)).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// How often the engine says that it destroyed each thing since a moment, by name or id.
    pub fn destroyed_since(&self, since: &str) -> Vec<String> {
        let until = self.now();
        let format = "{{.Type}} {{.Actor.ID}}";
        let text = self.docker(&[
            "events",
            "--since",
            since,
            "--until",
            &until,
            "--filter",
            "event=destroy",
            "--format",
            format,
        ]);
        text.lines().map(str::to_owned).collect()
    }

    /// The time as events count it.
    pub fn now(&self) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
    }

    /// The binary with this engine and little patience.
    pub fn command(&self, place: &Place) -> Command {
        let mut command = place.command();
        command
            .env("RECOVERYCTL_DOCKER_HOST", &self.address)
            .env("RECOVERYCTL_DOCKER_STOP_TIMEOUT", "0s")
            .env("RECOVERYCTL_ORPHANS_GRACE", "0s")
            .env("RECOVERYCTL_CLEANUP_PAUSE", "50ms");
        command
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn run(&self, place: &Place, arguments: &[&str]) -> Ran {
        Ran::of(self.command(place).args(arguments))
    }

    pub fn json(&self, place: &Place, arguments: &[&str]) -> Value {
        Ran::of(self.command(place).arg("--json").args(arguments)).json()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(&self.folder).stdout(Stdio::null()).status();
    }
}

/// The labels of a job's objects, as it is told them.
pub fn labels(place: &Place, job: &str) -> Vec<String> {
    let text = std::fs::read_to_string(place.state().join("state.json")).unwrap();
    let identity: Value = serde_json::from_str(&text).unwrap();
    let state = identity["state_id"].as_str().unwrap();
    vec![format!("io.recoveryctl.job={job}"), format!("io.recoveryctl.state={state}")]
}

/// The labels of the same job of another state directory.
pub fn strange_labels(job: &str) -> Vec<String> {
    vec![
        format!("io.recoveryctl.job={job}"),
        "io.recoveryctl.state=00000000-0000-7000-8000-000000000000".to_owned(),
    ]
}
