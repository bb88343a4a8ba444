//! An actor: starts a process, waits for it or kills it, and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::sandbox::{Ran, status_of, text_of};
use crate::{Sandbox, Seed, witness};

/// The shared knowledge of all actors.
#[derive(Debug, Default)]
pub(super) struct Known {
    acknowledged: Mutex<Vec<Vec<String>>>,
    cancelled: Mutex<BTreeSet<String>>,
    most_jobs: usize,
    complaints: Mutex<Vec<String>>,
    kills: AtomicU64,
    runs: AtomicU64,
}

impl Known {
    /// Nothing yet; jobs are submitted until there are about so many.
    pub(super) fn up_to(most_jobs: usize) -> Known {
        Known { most_jobs, ..Known::default() }
    }

    fn is_full(&self) -> bool {
        lock(&self.acknowledged).iter().map(Vec::len).sum::<usize>() >= self.most_jobs
    }

    pub(super) fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    pub(super) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// The ids that were printed, those of one process together and in their order.
    pub(super) fn acknowledged(&self) -> Vec<Vec<String>> {
        lock(&self.acknowledged).clone()
    }

    /// Jobs whose cancellation was acknowledged.
    pub(super) fn cancelled(&self) -> BTreeSet<String> {
        lock(&self.cancelled).clone()
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        lock(&self.complaints).clone()
    }

    fn complain(&self, what: String) {
        lock(&self.complaints).push(what);
    }

    fn some_job(&self, seed: &mut Seed) -> Option<String> {
        let all = lock(&self.acknowledged);
        let ids = all.get(seed.below(all.len()))?;
        ids.get(seed.below(ids.len())).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(super) struct Actor<'a> {
    place: &'a Sandbox,
    known: &'a Known,
    seed: Seed,
    number: usize,
}

const REPOSITORIES: [&str; 3] = ["web", "core", "docs"];

impl<'a> Actor<'a> {
    pub(super) fn new(place: &'a Sandbox, known: &'a Known, seed: Seed, number: usize) -> Actor<'a> {
        Actor { place, known, seed, number }
    }

    /// One process, from its start to its end, natural or not.
    pub(super) fn act(&mut self) {
        if self.number < 2 {
            let life = Duration::from_millis(300 + self.seed.below(2_500) as u64);
            self.run(&["daemon", "--workers", "3"], Some(life));
            return;
        }
        // A process that is killed is killed early or late; most are not killed.
        let life = self.seed.once_in(3).then(|| Duration::from_micros(self.seed.below(60_000) as u64));
        // Jobs beyond what can be run afterwards would only wait.
        let submissions = if self.known.is_full() { 7 } else { 0 };
        match submissions + self.seed.below(14 - submissions) {
            0..=4 => self.submit(life),
            5 | 6 => self.submit_many(life),
            7 => self.cancel(life),
            8 => self.resume(life),
            9 => drop(self.run(&["recover"], life)),
            10 => drop(self.run(&["work", "--once", "--workers", "2"], life)),
            11 => {
                let repository = *self.seed.one_of(&REPOSITORIES);
                drop(self.run(&["release", repository], life));
            }
            12 => self.hold_a_lock(life),
            _ => drop(self.run(&["jobs", "list"], life)),
        }
    }

    fn script(&mut self) -> String {
        let work = match self.seed.below(8) {
            0 => "sleep 0.4",
            1 => "exit 3",
            2 => "kill -9 $PPID; sleep 0.1",
            3 => "kill -9 $$",
            _ => ":",
        };
        witness::script(self.place, work)
    }

    fn submit(&mut self, life: Option<Duration>) {
        let script = self.script();
        let policy = *self.seed.one_of(&["hold", "requeue", "fail"]);
        let mut arguments = vec!["submit", "--on-crash", policy, "--max-attempts", "4"];
        if self.seed.once_in(2) {
            arguments.extend(["--repo", *self.seed.one_of(&REPOSITORIES)]);
        }
        let name = format!("n{}", self.seed.number());
        if self.seed.once_in(3) {
            arguments.extend(["--id", &name]);
        }
        arguments.extend(["--", "/bin/sh", "-c", &script]);
        let ran = self.run(&arguments, life);
        self.remember(&ran);
    }

    fn submit_many(&mut self, life: Option<Duration>) {
        let script = self.script();
        let count = 1 + self.seed.below(8);
        let line = json!({ "command": ["/bin/sh", "-c", script], "on_crash": "requeue", "max_attempts": 4 });
        let path = self.place.root().join(format!("batch-{}-{}", self.number, self.seed.number()));
        let text: String = (0..count).map(|_| format!("{line}\n")).collect();
        if fs::File::create(&path).and_then(|mut f| f.write_all(text.as_bytes())).is_ok() {
            let ran = self.run(&["submit", "--from", &path.display().to_string()], life);
            self.remember(&ran);
        }
        let _ = fs::remove_file(path);
    }

    /// Remembers each complete line that the process printed: it is a promise, whether the process was killed
    /// afterwards or not.
    fn remember(&self, ran: &Ran) {
        let whole = ran.stdout.rfind('\n').map_or("", |end| &ran.stdout[..end]);
        let ids: Vec<String> = whole.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
        if !ids.is_empty() {
            lock(&self.known.acknowledged).push(ids);
        }
    }

    fn cancel(&mut self, life: Option<Duration>) {
        let Some(id) = self.known.some_job(&mut self.seed) else { return };
        let ran = self.run(&["jobs", "cancel", &id], life);
        if ran.status == 0 && ran.stdout.contains("cancelled") {
            lock(&self.known.cancelled).insert(id);
        }
    }

    fn resume(&mut self, life: Option<Duration>) {
        let Some(id) = self.known.some_job(&mut self.seed) else { return };
        drop(self.run(&["resume", &id], life));
    }

    /// A command under a lock, which notices when another one holds it too.
    fn hold_a_lock(&mut self, life: Option<Duration>) {
        let repository = *self.seed.one_of(&REPOSITORIES);
        let script = format!(
            "cd {}; mkdir held-{repository} 2>/dev/null || exit 0; rmdir held-{repository}",
            self.place.root().display()
        );
        drop(self.run(&["lock", repository, "--wait", "200ms", "--", "/bin/sh", "-c", &script], life));
    }

    /// Runs the process; with a `life`, it is killed with SIGKILL at its end.
    fn run(&mut self, arguments: &[&str], life: Option<Duration>) -> Ran {
        self.known.runs.fetch_add(1, Ordering::Relaxed);
        match self.try_run(arguments, life) {
            Ok(ran) => {
                if ran.stderr.contains("panicked") || ran.status == HANGS {
                    self.known.complain(format!("{arguments:?}: status {}: {}", ran.status, ran.stderr));
                }
                ran
            }
            Err(e) => {
                self.known.complain(format!("{arguments:?} cannot be run: {e}"));
                Ran { stdout: String::new(), stderr: String::new(), status: -999 }
            }
        }
    }

    fn try_run(&mut self, arguments: &[&str], life: Option<Duration>) -> std::io::Result<Ran> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = self.place.command();
        command.args(["--lock-wait", "30s"]).args(arguments).process_group(0).stdin(Stdio::null());
        command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let mut child = command.spawn()?;
        let status = self.wait(&mut child, life)?;
        Ok(Ran { stdout: text_of(&mut stdout)?, stderr: text_of(&mut stderr)?, status })
    }

    fn wait(&self, child: &mut Child, life: Option<Duration>) -> std::io::Result<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status_of(status));
            }
            if life.is_some_and(|life| begun.elapsed() >= life) {
                child.kill()?;
                self.known.kills.fetch_add(1, Ordering::Relaxed);
                return Ok(status_of(child.wait()?));
            }
            if begun.elapsed() > Duration::from_secs(90) {
                child.kill()?;
                child.wait()?;
                return Ok(HANGS);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// The status of a process that did not end on its own.
const HANGS: i32 = -998;
