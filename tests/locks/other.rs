//! Other processes: this test binary again, in one of the roles of `role`.

use super::bench::{Bench, LONG, REPOSITORY, job, open, take};
use recovery::locks::{JobLiveness, LockGrant, acquire_for_job, run_under};
use recovery::state::StateDir;
use recovery::system::{Presence, ProcessIdentity, presence};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

pub(crate) struct Other {
    pub(crate) child: Child,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Other {
    pub(crate) fn start(bench: &Bench, role: &[&str]) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "locks::other::role", "--ignored", "--nocapture"])
            .env("LOCKS_TEST_ROLE", role.join("\n"))
            .env("LOCKS_TEST_STATE", bench.dir.paths.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Other { child, output }
    }

    /// What the other process says after `word`.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "ended before it said {word}");
            if let Some(rest) = line.trim().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // What a failed test leaves must not run on; after a wait both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "what the other tests' child processes run"]
pub(crate) fn role() {
    let role = std::env::var("LOCKS_TEST_ROLE").unwrap();
    let dir = open(Path::new(&std::env::var("LOCKS_TEST_STATE").unwrap()));
    let words: Vec<&str> = role.split('\n').collect();
    match words[0] {
        "hold" => hold(take(&dir, LONG).unwrap()),
        "hold-job" => {
            let claim = words[2].parse().unwrap();
            hold(acquire_for_job(&dir, REPOSITORY, &job(words[1]), 1, claim, LONG).unwrap());
        }
        "run" => {
            let command: Vec<OsString> = words[1..].iter().map(OsString::from).collect();
            let ran = run_under(&dir, REPOSITORY, &command, LONG, &|_, _| JobLiveness::Unknown, &|_| {});
            std::process::exit(ran.unwrap().status);
        }
        "contend" => contend(&dir, Path::new(words[1])),
        other => panic!("unknown role {other}"),
    }
}

/// Holds until the standard input ends, then gives back.
fn hold(grant: LockGrant) {
    println!("\nheld {} {}", grant.lock_id, grant.token);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    grant.release().unwrap();
}

/// Takes and gives back until the standard input ends; notes every grant, and any second holder.
fn contend(dir: &StateDir, folder: &Path) {
    let (stop, this) = (folder.join("stop"), ProcessIdentity::this());
    println!("\nready");
    while !stop.exists() {
        let grant = take(dir, LONG).unwrap();
        let owner = folder.join("owner");
        let before = std::fs::read_to_string(&owner).unwrap_or_default();
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap();
        if let Some((pid, start)) = before.split_once(' ') {
            let other = ProcessIdentity { pid: pid.parse().unwrap(), start_time: start.parse().unwrap() };
            if presence(other) == Presence::Alive {
                log.write_all(b"second holder\n").unwrap();
            }
        }
        std::fs::write(&owner, format!("{} {}", this.pid, this.start_time)).unwrap();
        log.write_all(format!("{}\n", grant.token).as_bytes()).unwrap();
        std::fs::write(&owner, "").unwrap();
        grant.release().unwrap();
    }
}
