//! An engine that lives as long as this test process, below a temporary folder.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptions, EventsOptions, ListContainersOptions, ListNetworksOptions, ListVolumesOptions,
    StartContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::TryStreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::common::{Place, Ran, skipped};

/// An engine, started by the script that CI uses too.
pub struct Engine {
    folder: PathBuf,
    address: String,
    runtime: Runtime,
    client: Docker,
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

/// Tests that kill or fill an engine take turns: two engines at a time are enough for a small machine.
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
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let client = Docker::connect_with_unix(&address, 120, API_DEFAULT_VERSION).unwrap();
        let client = runtime.block_on(client.negotiate_version()).unwrap();
        Engine { folder, address, runtime, client }
    }

    /// Runs the script with `kill` or `again`: see there.
    pub fn word(&self, word: &str) {
        let ended =
            Command::new(script()).arg(word).arg(&self.folder).stdout(Stdio::null()).status().unwrap();
        assert!(ended.success(), "{word}");
    }

    /// Runs the engine's own client, with a process for each call, where it matters what people type.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("/usr/bin/docker").args(["-H", &self.address]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A running container.
    #[track_caller]
    pub fn container(&self, name: &str, labels: &[String]) {
        self.created(name, labels);
        let start = self.client.start_container(name, None::<StartContainerOptions>);
        self.runtime.block_on(start).unwrap();
    }

    /// A container that was never started.
    #[track_caller]
    pub fn created(&self, name: &str, labels: &[String]) {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let body = ContainerCreateBody {
            image: Some("recoveryctl-test".to_owned()),
            cmd: Some(vec!["/bin/sleep".to_owned(), "1000".to_owned()]),
            labels: Some(by_name(labels)),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..Default::default() }),
            ..Default::default()
        };
        self.runtime.block_on(self.client.create_container(Some(options), body)).unwrap();
    }

    /// A network, or a volume.
    #[track_caller]
    pub fn make(&self, kind: &str, name: &str, labels: &[String]) {
        let (name, labels) = (name.to_owned(), Some(by_name(labels)));
        let made = match kind {
            "network" => {
                let request = NetworkCreateRequest { name, labels, ..Default::default() };
                self.runtime.block_on(self.client.create_network(request)).map(drop)
            }
            _ => {
                let request = VolumeCreateRequest { name: Some(name), labels, ..Default::default() };
                self.runtime.block_on(self.client.create_volume(request)).map(drop)
            }
        };
        made.unwrap();
    }

    /// Names of what is there: of containers, networks or volumes.
    #[track_caller]
    pub fn names(&self, kind: &str) -> Vec<String> {
        let client = &self.client;
        let listed = self.runtime.block_on(async {
            Ok::<Vec<String>, bollard::errors::Error>(match kind {
                "container" => {
                    let all = ListContainersOptions { all: true, ..Default::default() };
                    let found = client.list_containers(Some(all)).await?.into_iter();
                    let names = found.filter_map(|c| c.names?.into_iter().next());
                    names.map(|name| name.trim_start_matches('/').to_owned()).collect()
                }
                "network" => {
                    let found = client.list_networks(None::<ListNetworksOptions>).await?.into_iter();
                    let own = ["bridge", "host", "none"];
                    found.filter_map(|n| n.name).filter(|name| !own.contains(&name.as_str())).collect()
                }
                _ => {
                    let found = client.list_volumes(None::<ListVolumesOptions>).await?.volumes;
                    found.into_iter().flatten().map(|v| v.name).collect()
                }
            })
        });
        let mut names = listed.unwrap();
        names.sort();
        names
    }

    /// Returns how often the engine says that it destroyed each thing since a moment, by kind and name or id.
    #[track_caller]
    pub fn destroyed_since(&self, since: &str) -> Vec<String> {
        let filters = HashMap::from([("event".to_owned(), vec!["destroy".to_owned()])]);
        let options =
            EventsOptions { since: Some(since.to_owned()), until: Some(self.now()), filters: Some(filters) };
        let events: Vec<_> = self.runtime.block_on(self.client.events(Some(options)).try_collect()).unwrap();
        let told =
            |event: bollard::models::EventMessage| Some(format!("{} {}", event.typ?, event.actor?.id?));
        events.into_iter().filter_map(told).collect()
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

fn by_name(labels: &[String]) -> HashMap<String, String> {
    let pairs = labels.iter().map(|label| label.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
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
