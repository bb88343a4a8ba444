//! The dashboard on a real terminal (tmux, on a socket of its own), over real state directories: a recovery is
//! watched and a phase skipped, locks released, jobs resumed, orphans removed; and however it ends, the terminal
//! is as it was.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests make files of their own.

mod afar;
mod afar_steers;
mod ends;
mod looks;
mod once;
mod recovers;
mod steers;
mod tmux;
mod understood;

use crate::common;
use crate::common::{Background, Place, until};
use serde_json::Value;

/// A place with a state directory and, in it, a job that ended with status 3.
fn with_a_failed_job() -> Place {
    let place = Place::new();
    place.run(["submit", "--id", "broken", "--", "sh", "-c", "echo it broke; exit 3"]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    assert_eq!(status_of(&place, "broken"), "failed");
    place
}

fn status_of(place: &Place, job: &str) -> String {
    let shown = place.run(["jobs", "show", job, "--json"]).ends_with(0).json();
    shown["status"].as_str().unwrap().to_owned()
}

fn json(place: &Place, words: &[&str]) -> Value {
    place.run(words.iter().copied().chain(["--json"])).json()
}

/// A lock of the repository whose holder was killed with SIGKILL, its command too.
fn leave_a_stale_lock(place: &Place, repository: &str) {
    let mut command = place.command();
    command.args(["lock", repository, "--", "sh", "-c", "echo $$ > pid; exec sleep 600"]);
    let mut holder = Background::start(&mut command);
    let pid = place.path("pid");
    let read = || std::fs::read_to_string(&pid).ok()?.trim().parse::<u64>().ok();
    until("the lock is held", || read().is_some());
    let held = common::Foreign::of(read().unwrap());
    holder.kill();
    held.kill();
    let lock = json(place, &["locks", "inspect", repository]);
    assert_eq!(lock["locks"][0]["verdict"], "stale", "{lock}");
}
