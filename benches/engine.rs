//! Fifty orphaned containers among fifty of a job that waits and fifty of strangers, against a bare loop of the
//! same calls of the engine.
//!
//! The engine is one of our own (`.ci/docker-engine`), the containers were made and never started. The floor asks
//! as often for the version and the lists, and removes as many containers, eight at a time. Rounds are
//! interleaved; medians are compared.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use recovery::locks::JobLiveness;
use recovery::orphans::{OrphanKind, OrphanSettings, Request, ScanContext, execute, scan};
use recovery::queue::{Actor, Queue};
use recovery::state::StateDir;
use recovery::system::docker::{EngineChoice, EngineSettings, LABEL_JOB, LABEL_STATE};
use support::table::{Target, heading, not_measured, row};
use support::{library, time};

const EACH: usize = 50;
const ROUNDS: usize = 5;
const PARALLEL: usize = 8;

fn main() {
    heading("50 orphaned containers among 150");
    let place = support::workplace();
    // A socket's path must be short.
    let folder = tempfile::Builder::new().prefix("rcd-").tempdir().expect("a folder").keep();
    match start(&folder) {
        Ok(host) => measured(place.path(), &host),
        Err(why) => not_measured("find and remove them", &why),
    }
    let _ = Command::new(script()).arg("stop").arg(&folder).stdout(Stdio::null()).status();
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/docker-engine")
}

fn start(folder: &Path) -> Result<String, String> {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/sbin/dockerd").exists() {
        return Err("it needs root and dockerd".to_owned());
    }
    let own = std::process::id().to_string();
    let output =
        Command::new(script()).arg("start").arg(folder).arg(own).output().map_err(|e| e.to_string())?;
    let address = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(address) } else { Err("the engine does not start".to_owned()) }
}

fn measured(place: &Path, host: &str) {
    let dir = library::queue_of(&place.join("state"), 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    runtime.block_on(stand_by(host, &dir));
    for _ in 0..ROUNDS {
        runtime.block_on(make(host, "orphan", &|n| labels(&dir, &format!("gone-{n}"))));
        ours.push(our_time(&dir, host));
        runtime.block_on(make(host, "orphan", &|n| labels(&dir, &format!("gone-{n}"))));
        floor.push(runtime.block_on(bare(host)));
    }
    let (ours, floor) = (support::median(&ours), support::median(&floor));
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    row("find and remove them", &time(ours), &time(floor), ratio, Target::AtMost(1.3));
}

fn labels(dir: &StateDir, job: &str) -> Vec<(&'static str, String)> {
    vec![(LABEL_JOB, job.to_owned()), (LABEL_STATE, dir.identity.state_id.to_string())]
}

/// Those of a job that waits, and strangers'.
async fn stand_by(host: &str, dir: &StateDir) {
    let queue = Queue::open(dir).expect("a queue");
    let waits = queue.state().jobs().next().expect("a job").id.to_string();
    make(host, "live", &|_| labels(dir, &waits)).await;
    make(host, "strange", &|_| Vec::new()).await;
}

fn connected(host: &str) -> Docker {
    Docker::connect_with_unix(host, 120, API_DEFAULT_VERSION).expect("a connection")
}

async fn make(host: &str, name: &str, labels: &dyn Fn(usize) -> Vec<(&'static str, String)>) {
    let docker = connected(host);
    let one = |n: usize| {
        let named = bollard::query_parameters::CreateContainerOptions {
            name: Some(format!("{name}-{n}")),
            ..Default::default()
        };
        let labels = labels(n).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let body = bollard::models::ContainerCreateBody {
            image: Some("recoveryctl-test".to_owned()),
            cmd: Some(vec!["/bin/true".to_owned()]),
            labels: Some(labels),
            host_config: Some(bollard::models::HostConfig {
                network_mode: Some("none".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let docker = docker.clone();
        async move { docker.create_container(Some(named), body).await.expect("a container") }
    };
    futures_util::stream::iter((0..EACH).map(one)).buffer_unordered(PARALLEL).collect::<Vec<_>>().await;
}

fn our_time(dir: &StateDir, host: &str) -> Duration {
    let engine = EngineSettings {
        host: host.to_owned(),
        stop_timeout: Duration::ZERO,
        parallel: PARALLEL,
        ..EngineSettings::default()
    };
    let settings = OrphanSettings {
        engine: EngineChoice::At(vec![engine]),
        grace: Duration::ZERO,
        ..OrphanSettings::new(Actor::default())
    };
    let liveness = |_: &recovery::queue::JobId, _: recovery::queue::Claim| JobLiveness::Unknown;
    let mut queue = Queue::open(dir).expect("a queue");
    let begun = Instant::now();
    let world = ScanContext::look(dir, &settings, &queue).expect("a look");
    let plan = scan(&world, &liveness, &[OrphanKind::Container], Vec::new()).expect("a plan");
    assert_eq!(plan.candidates.len(), EACH);
    drop(world);
    let request = Request { plan_id: Some(plan.plan_id), ..Request::default() };
    let done = execute(dir, &mut queue, &settings, &liveness, &request, &mut |_, _| ()).expect("an end");
    let took = begun.elapsed();
    assert_eq!(done.removed.len(), EACH);
    took
}

async fn listed(docker: &Docker) -> Vec<String> {
    let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
    let containers = docker.list_containers(Some(options)).await.expect("containers");
    docker.list_networks(Some(ListNetworksOptions::default())).await.expect("networks");
    docker.list_volumes(Some(ListVolumesOptions::default())).await.expect("volumes");
    let is_orphan = |c: &bollard::models::ContainerSummary| {
        c.names.as_ref().is_some_and(|names| names.iter().any(|name| name.starts_with("/orphan-")))
    };
    containers.into_iter().filter(is_orphan).filter_map(|c| c.id).collect()
}

async fn bare(host: &str) -> Duration {
    let begun = Instant::now();
    let mut ids = Vec::new();
    let mut docker = connected(host);
    for _ in 0..2 {
        docker = connected(host).negotiate_version().await.expect("a version");
        ids = listed(&docker).await;
    }
    assert_eq!(ids.len(), EACH);
    let removals = ids.iter().map(|id| {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        docker.remove_container(id, Some(options))
    });
    let ended: Vec<_> = futures_util::stream::iter(removals).buffer_unordered(PARALLEL).collect().await;
    assert!(ended.iter().all(Result::is_ok));
    begun.elapsed()
}
