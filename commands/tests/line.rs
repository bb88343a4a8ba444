//! One line for each repository: waiting `lock` commands and queued jobs are served in the order in which
//! they came, whatever is killed meanwhile.
#![allow(clippy::print_stdout, unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::process::{Child, Stdio};

use recovery::queue::{Job, JobStatus};
use serde_json::{Value, json};

use crate::crash::scene::{Daemon, Scene, wait_for};

/// Each grant is witnessed by a file of its own, named by its fencing number; a second holder finds the
/// folder of the first.
const WITNESSED: &str = "set -C; echo $NAME > $W/grant.$RECOVERYCTL_LOCK_TOKEN || echo twice >> $W/overlap; \
                         mkdir $W/inside || echo $NAME >> $W/overlap; \
                         sleep 0.05; rmdir $W/inside; [ -n \"$RECOVERYCTL_LOCK_ID\" ] && [ $RECOVERYCTL_REPOSITORY = web ]";

/// A process that waits, or works, in `lock web -- …`.
struct Waiter {
    name: String,
    child: Child,
}

impl Waiter {
    fn start(scene: &Scene, name: &str, script: &str) -> Waiter {
        let mut command = scene.place.command();
        command.args(["lock", "web", "--wait", "5m", "--", "sh", "-c", script]);
        command.env("W", scene.place.path("witness")).env("NAME", name);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Waiter { name: name.to_owned(), child }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn end(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.kill();
    }
}

fn submit(scene: &Scene, name: &str, options: &[&str]) {
    let variable = format!("NAME={name}");
    let options = [&["--repo", "web", "--env", &variable][..], options].concat();
    scene.submit(name, &options, WITNESSED);
}

/// Returns the names of those that wait for `web`.
fn waiting(scene: &Scene) -> Vec<String> {
    let lock = scene.json(&["locks", "inspect", "web"], 0)["locks"][0].clone();
    let line = lock["waiting_line"].as_array().unwrap();
    assert!(line.iter().zip(1..).all(|(place, n)| place["position"] == n), "{lock:#}");
    lock["waiting"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
}

fn join(scene: &Scene, name: &str) -> Waiter {
    let waiter = Waiter::start(scene, name, WITNESSED);
    let shown = format!("process:{}", waiter.child.id());
    wait_for("the ticket", || waiting(scene).contains(&shown));
    waiter
}

/// The grants' names in the order of their fencing numbers.
fn granted(scene: &Scene) -> Vec<String> {
    let folder = std::fs::read_dir(scene.place.path("witness")).unwrap().flatten();
    let number = |name: &str| name.strip_prefix("grant.").and_then(|n| n.parse::<u64>().ok());
    let mut grants: Vec<(u64, String)> = folder
        .filter_map(|e| Some((number(e.file_name().to_str()?)?, std::fs::read_to_string(e.path()).ok()?)))
        .collect();
    grants.sort();
    grants.into_iter().map(|(_, name)| name.trim().to_owned()).collect()
}

/// Returns what the queue's log says: the reason for an order.
fn told(scene: &Scene) -> String {
    let segments = std::fs::read_dir(scene.dir().paths.queue_log()).unwrap().flatten().map(|e| e.path());
    let mut segments: Vec<_> = segments.filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    segments.sort();
    segments.iter().map(|p| String::from_utf8_lossy(&std::fs::read(p).unwrap()).replace('\0', "")).collect()
}

/// Whether starting a job has failed so often that it had to pause.
fn has_paused(scene: &Scene, job: &Job) -> bool {
    let of_job = format!("\"job\":\"{}\"", job.id);
    told(scene)
        .lines()
        .any(|l| l.contains(&of_job) && l.contains("\"not_before\"") && l.contains("\"failed_start\":true"))
}

/// Keeps `web` until its gate is opened.
fn closed(scene: &Scene) -> Waiter {
    let holder =
        Waiter::start(scene, "holder", "echo x > $W/held; until [ -e $W/open ]; do sleep 0.02; done");
    scene.wait_for_witness("held");
    holder
}

#[test]
fn tickets_and_jobs_are_served_in_one_order_and_urgent_jobs_first() {
    let scene = Scene::new();
    let holder = closed(&scene);
    let _daemon = scene.daemon(4);
    submit(&scene, "first", &[]);
    let second = join(&scene, "second");
    submit(&scene, "third", &[]);
    let fourth = join(&scene, "fourth");
    submit(&scene, "fifth", &[]);
    submit(&scene, "urgent", &["--priority", "5"]);
    submit(&scene, "later", &["--priority", "-5"]);
    let pid = |waiter: &Waiter| format!("process:{}", waiter.child.id());
    let line = ["urgent", "first", &pid(&second), "third", &pid(&fourth), "fifth", "later"];
    assert_eq!(waiting(&scene), line);
    let why = scene.json(&["why", "lock:web"], 0);
    assert_eq!((&why["lock"]["waiting"], &why["verdict"]), (&json!(line), &json!("live")), "{why:#}");
    scene.open_gate("open");
    assert_eq!((second.end(), fourth.end()), (0, 0));
    scene.wait_for_status("later", JobStatus::Succeeded);
    let order = ["urgent", "first", "second", "third", "fourth", "fifth", "later"];
    assert_eq!(granted(&scene), order, "{}", told(&scene));
    assert_eq!(scene.witnessed("overlap"), [""; 0]);
    assert_eq!(holder.end(), 0);
}

/// No process is there to start the queued job, so it delays nobody.
#[test]
fn without_a_scheduler_queued_jobs_hold_nobody_up() {
    let scene = Scene::new();
    submit(&scene, "queued", &[]);
    scene.place.run(["lock", "web", "--wait", "0s", "--", "true"]).ends_with(0);
    let daemon = scene.daemon(1);
    scene.wait_for_status("queued", JobStatus::Succeeded);
    daemon.signal_group(rustix::process::Signal::TERM);
    submit(&scene, "another", &[]);
    scene.place.run(["lock", "web", "--wait", "0s", "--", "true"]).ends_with(0);
}

#[test]
fn request_that_cannot_wait_does_not_overtake_those_that_wait() {
    let scene = Scene::new();
    let holder = closed(&scene);
    let first = join(&scene, "first");
    let ran = scene.place.run(["--json", "lock", "web", "--wait", "0s", "--", "true"]).ends_with(11);
    let message = ran.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains(&format!("process {}", first.child.id())) && message.contains("ticket"),
        "{message}"
    );
    scene.open_gate("open");
    assert_eq!((holder.end(), first.end()), (0, 0));
}

/// Tells the seed of a run that failed: `LINE_SEED` repeats it.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("LINE_SEED={}\n", self.0));
        }
    }
}

/// Waiters and daemons are killed at random while the line moves; those that are left are served in order.
#[test]
fn the_order_is_kept_under_random_kills() {
    let mut seed: u64 = std::env::var("LINE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        u64::from(std::process::id()) << 20
            | u64::try_from(recovery::state::Clock::system().now().as_millis()).unwrap() & 0xFFFFF
            | 1
    });
    let _named = Seed(seed);
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..3 {
        let scene = Scene::new();
        let holder = closed(&scene);
        let mut daemon: Option<Daemon> = Some(scene.daemon(3));
        let mut came: Vec<String> = Vec::new();
        let mut waiters: Vec<Waiter> = Vec::new();
        for n in 0..8 {
            let name = format!("n{n}");
            if random(2) == 0 || n < 2 {
                waiters.push(join(&scene, &name));
            } else {
                submit(&scene, &name, &[]);
            }
            came.push(name);
        }
        // Some die while all wait: they are known to have no grant.
        let mut dead: Vec<String> = Vec::new();
        for _ in 0..random(3) {
            let victim = usize::try_from(random(waiters.len() as u64)).unwrap();
            let mut victim = waiters.swap_remove(victim);
            victim.kill();
            dead.push(victim.name.clone());
        }
        scene.open_gate("open");
        // Others die at any moment, with their commands going on, or in the instant of the grant.
        for _ in 0..random(4) {
            std::thread::sleep(std::time::Duration::from_millis(random(120)));
            match (random(3), waiters.is_empty()) {
                (0, false) => {
                    let victim = usize::try_from(random(waiters.len() as u64)).unwrap();
                    waiters.swap_remove(victim).kill();
                }
                _ => {
                    daemon.take().unwrap().kill();
                    daemon = Some(scene.daemon(3));
                }
            }
        }
        let jobs_left = || {
            let jobs = scene.json(&["jobs", "list"], 0);
            let is_over = |j: &Value| !matches!(j["status"].as_str(), Some("queued" | "running"));
            jobs["jobs"].as_array().unwrap().iter().filter(|j| !is_over(j)).count()
        };
        wait_for("all jobs to be over", || jobs_left() == 0);
        for waiter in waiters.drain(..) {
            let name = waiter.name.clone();
            assert_eq!(waiter.end(), 0, "{name}");
            assert!(granted(&scene).contains(&name), "{name} was served");
        }
        wait_for("the last command to end", || !scene.witness("inside").exists());
        let granted = granted(&scene);
        assert_eq!(scene.witnessed("overlap"), [""; 0], "{granted:?}");
        // Two daemons in a row died between a job's claim and its start: the job pauses, and others go before
        // it.
        let paused: Vec<String> = scene
            .queue()
            .state()
            .jobs()
            .filter(|j| has_paused(&scene, j))
            .map(|j| j.id.to_string())
            .collect();
        let stays = |name: &&String| granted.contains(name) && !paused.contains(name);
        let in_order: Vec<&String> = came.iter().filter(stays).collect();
        let in_line: Vec<&String> = granted.iter().filter(stays).collect();
        assert_eq!(in_line, in_order, "came {came:?}, died {dead:?}\n{}", told(&scene));
        assert!(dead.iter().all(|name| !granted.contains(name)));
        drop(holder);
    }
}
