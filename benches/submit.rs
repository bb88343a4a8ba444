//! Submitting a job to a queue of 1,000,000 against submitting it to a queue of 10.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use recovery::queue::append;
use recovery::state::StateDir;
use support::floor::alternate;
use support::table::{Target, heading, not_measured, row};
use support::{library, median, time};

const FEW: usize = 10;
const MANY: usize = 1_000_000;

fn main() {
    heading("Submitting to 1,000,000 queued jobs (ours) and to 10 (floor)");
    let place = support::workplace();
    let few = library::queue_of(&place.path().join("few"), FEW);
    let many = library::queue_of(&place.path().join("many"), MANY);
    compare("the library's append", 2_000, || submit(&many), || submit(&few));
    match support::binary() {
        Ok(binary) => {
            let run = |dir: &StateDir| submit_with(&binary, dir.paths.root());
            compare("recoveryctl submit, the whole process", 200, || run(&many), || run(&few));
        }
        Err(why) => not_measured("recoveryctl submit, the whole process", &why),
    }
}

/// Value: median time with many jobs over that with few.
fn compare(what: &str, operations: usize, many: impl FnMut(), few: impl FnMut()) {
    let (many, few) = alternate(operations, many, few);
    let (many, few) = (median(&many), median(&few));
    row(what, &time(many), &time(few), many.as_secs_f64() / few.as_secs_f64(), Target::AtMost(1.2));
}

fn submit(dir: &StateDir) {
    append(dir, &library::actor(), &[library::submission()]).expect("an append");
}

fn submit_with(binary: &Path, root: &Path) {
    let mut command = Command::new(binary);
    command.arg("--state-dir").arg(root).args(["submit", "--", "true"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the binary starts");
    assert!(status.success(), "submit ended with {status}");
}
