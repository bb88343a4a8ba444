//! Commands that are given to a daemon: the same output and the same exit status as without it.

use std::process::Stdio;

use serde_json::json;

use crate::common::Ran;
use crate::crash::scene::wait_for;
use crate::http::client::Served;

impl Served {
    /// Runs a command by the socket, or by address and token.
    fn forwarded(&self, by_socket: bool, words: &[&str]) -> Ran {
        let mut command = self.scene.place.bare_command();
        if by_socket {
            command.arg("--socket").arg(self.scene.place.state().join("daemon/admin.sock"));
        } else {
            command.arg(format!("--url=http://{}", self.address));
            command.arg("--token-file").arg(self.scene.place.state().join("daemon/admin.token"));
        }
        Ran::of(command.args(words))
    }
}

/// Commands that read, and changes that can be repeated with the same result; `!` as the first word: only
/// with --json.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["health"],
    &["health", "--nagios"],
    &["findings"],
    &["queue", "status"],
    &["queue", "metrics"],
    &["queue", "wal"],
    &["jobs", "list"],
    &["jobs", "list", "--status", "failed"],
    &["jobs", "list", "--status", "nonsense"],
    &["jobs", "show", "bad"],
    &["jobs", "show", "gone"],
    &["jobs", "output", "bad"],
    &["jobs", "output", "bad", "--follow"],
    &["jobs", "failed"],
    &["jobs", "metrics"],
    &["jobs", "cancel", "bad"],
    &["jobs", "prune", "--dry-run"],
    &["cleanup", "state"],
    &["cleanup", "queue"],
    &["cleanup", "resuming"],
    &["cleanup", "completed"],
    &["cleanup", "archive", "list"],
    &["cleanup", "start", "gone"],
    &["startup", "detection"],
    &["startup", "cleanup-log"],
    &["startup", "history"],
    &["startup", "log"],
    &["locks", "active"],
    &["locks", "recovered"],
    &["locks", "inspect", "web"],
    &["locks", "detect-stale", "--release"],
    &["release", "gone"],
    &["release", "web"],
    &["orphans", "candidates"],
    &["orphans", "cleanup-log"],
    &["orphans", "cleanup", "--plan", "gone"],
    &["recovery", "phases"],
    &["recovery", "metrics"],
    &["recovery", "history"],
    &["recover"],
    &["webhooks", "pending"],
    &["webhooks", "recovered"],
    &["webhooks", "log"],
    &["retry", "webhook", "gone"],
    &["retry", "cleanup", "gone"],
    &["retry", "phase", "gone"],
    &["skip", "gone"],
    &["skip", "locks", "--dry-run"],
    &["orphans", "empty-trash", "--dry-run"],
    &["resume", "gone"],
    &["resume", "bad", "--dry-run"],
    &["repair", "--dry-run"],
    &["why", "job:bad"],
    &["why", "lock:web"],
    &["why", "nonsense"],
    &["why", "orphan:gone"],
    &["why", "volume:gone"],
    &["audit"],
    // The variables of a client's shell do not go through a daemon.
    &["submit", "--dry-run", "--id", "x", "--export", "none", "--", "true"],
    &["submit", "--id", "bad", "--", "true"],
    &["nonsense"],
    &["explain", "job-crashed"],
];

/// The text without what changes from one second to the next: how long ago something was, and the width of that.
fn ageless(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        match word.trim_matches(|c: char| !c.is_alphanumeric()) {
            "ago" => {
                // The number and its unit.
                words.truncate(words.len() - 2);
                words.push("AGE");
            }
            "now" => words.push("AGE"),
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// No variable of this shell is sent, so a command that asks for it is refused, not silently changed.
#[test]
fn variables_are_not_sent_to_a_daemon() {
    let served = Served::new();
    for which in ["all", "LANG", "all,LANG"] {
        let refused = served.forwarded(false, &["--json", "submit", "--export", which, "--", "true"]);
        assert_eq!(refused.ends_with(2).error()["code"], "export-not-sent", "{which}");
    }
    served.forwarded(false, &["submit", "--export", "none", "--", "true"]).ends_with(0);
}

#[test]
fn every_command_answers_the_same_through_a_daemon() {
    let served = Served::new();
    served.submit(&json!({ "id": "bad", "command": ["sh", "-c", "echo oh; exit 1"], "repository": "web" }));
    served.wait_for("bad", "failed");
    wait_for("the lock to be given back", || {
        served.get("/api/admin/locks/active").is(200).json()["total"] == 0
    });
    for words in COMMANDS {
        for json in [true, false] {
            let words: Vec<&str> =
                json.then_some("--json").into_iter().chain(words.iter().copied()).collect();
            let here = served.scene.run(&words);
            for by_socket in [true, false] {
                let there = served.forwarded(by_socket, &words);
                assert_eq!(there.status, here.status, "{words:?}: {}\n{}", there.stderr, here.stderr);
                if json {
                    assert_eq!(there.stdout, here.stdout, "{words:?}");
                } else {
                    assert_eq!(ageless(&there.stdout), ageless(&here.stdout), "{words:?}");
                }
                assert_eq!(
                    there.stderr.lines().count(),
                    here.stderr.lines().count(),
                    "{words:?}: {}",
                    there.stderr
                );
            }
        }
    }
}

#[test]
fn input_is_read_where_the_command_is_given() {
    let served = Served::new();
    let file = served.scene.place.write("jobs.jsonl", "{\"id\":\"a\",\"command\":[\"true\"]}\nnonsense\n");
    let ran =
        served.forwarded(false, &["submit", "--json", "--from", file.to_str().unwrap()]).ends_with(3).json();
    assert_eq!((&ran["submitted"][0]["job_id"], &ran["errors"][0]["line"]), (&json!("a"), &json!(2)));
    served.wait_for("a", "succeeded");
    let trail = served.get("/api/admin/audit?object=job:a&action=submit").is(200).json();
    let entry = &trail["entries"][0];
    assert!(entry["terminal"].as_str().unwrap().starts_with("http 127.0.0.1:"), "{entry}");
    // This command needs agreement, and there is nobody to ask.
    served.hold("held", "web");
    served.forwarded(true, &["release", "web", "--force"]).ends_with(16);
    served.forwarded(true, &["release", "web"]).ends_with(11);
    served.forwarded(true, &["release", "web", "--force", "--yes"]).ends_with(0);
    served.cancel("held");
}

#[test]
fn what_is_followed_ends_when_its_token_counts_no_more() {
    let served = Served::showing_viewers_the_output();
    served.submit(&json!({ "id": "long", "command": ["sh", "-c", "echo begun; sleep 600"] }));
    let (place, seen) = (&served.scene.place, served.scene.place.path("seen"));
    let viewer = place.write("viewer.token", &served.token("viewer"));
    let mut follow = place.bare_command();
    follow.args(["--url", &format!("http://{}", served.address), "--token-file", viewer.to_str().unwrap()]);
    follow.args(["jobs", "output", "-f", "long"]).stderr(Stdio::null());
    let mut follow = follow.stdout(std::fs::File::create(&seen).unwrap()).spawn().unwrap();
    wait_for("the output to come", || std::fs::read_to_string(&seen).unwrap() == "begun\n");
    assert!(follow.try_wait().unwrap().is_none());
    served.scene.json(&["token", "rotate", "viewer"], 0);
    wait_for("the follower to be sent away", || follow.try_wait().unwrap().is_some());
    assert_eq!(follow.wait().unwrap().code(), Some(130));
    served.cancel("long");
}

#[test]
fn a_daemon_that_cannot_be_asked_has_its_exit_status() {
    let served = Served::new();
    let place = &served.scene.place;
    let token = place.state().join("daemon/admin.token");
    let run = |words: &[&str]| Ran::of(place.bare_command().arg("--json").args(words));
    let token_file = format!("--token-file={}", token.display());
    assert_eq!(
        run(&["--url", "http://127.0.0.1:1", &token_file, "status"]).ends_with(14).error()["code"],
        "daemon-unreachable"
    );
    run(&["--socket", "/nowhere/at.all", "status"]).ends_with(14);
    let url = format!("--url=http://{}", served.address);
    let wrong = place.write("wrong.token", &"0".repeat(64));
    assert_eq!(
        run(&[&url, &format!("--token-file={}", wrong.display()), "status"]).ends_with(17).error()["code"],
        "not-authorised"
    );
    run(&[&url, "--token-file=/nowhere", "status"]).ends_with(17);
    run(&[&url, "status"]).ends_with(2);
    run(&["--url=ftp://x", &token_file, "status"]).ends_with(2);
    let viewer = format!("--token-file={}", place.state().join("daemon/viewer.token").display());
    run(&[&url, &viewer, "jobs", "list"]).ends_with(0);
    assert_eq!(run(&[&url, &viewer, "submit", "--", "true"]).ends_with(17).error()["code"], "not-authorised");
    assert_eq!(served.get("/api/jobs").is(200).json()["total"], 0);
    // A command that works where it is given is not run elsewhere.
    for words in [&["work", "--once"][..], &["lock", "web", "--", "true"], &["init"], &["demo"]] {
        run(&[&[url.as_str(), token_file.as_str()], words].concat()).ends_with(2);
    }
}

#[test]
fn consent_is_to_the_question_that_was_asked() {
    let served = Served::new();
    let place = &served.scene.place;
    std::fs::create_dir_all(place.state().join("jobs/ghost/sub")).unwrap();
    for words in [&["scan"][..], &["orphans", "cleanup", "--yes"]] {
        let mut command = place.command();
        Ran::of(command.env("RECOVERYCTL_ORPHANS_GRACE", "0s").args(words)).ends_with(0);
    }
    let trashed = || std::fs::read_dir(place.state().join("orphans/trash")).unwrap().count();
    assert_eq!(trashed(), 1);
    let ask = |agreed: &str| {
        let asked = json!({ "operation": "orphans empty-trash", "request": {}, "agreed": [agreed] });
        let reply = served.ask("POST", "/api/admin/command", Some(&format!("{asked}\n"))).is(200);
        String::from_utf8_lossy(&reply.body).into_owned()
    };
    // Something else was in the trash when it was agreed to.
    let told = ask("delete 2 folders for good (1.0 MiB)?");
    let question = told.find("delete 1 folder").map(|at| &told[at..]).unwrap_or_else(|| panic!("{told}"));
    let question = &question[..=question.find('?').unwrap()];
    assert_eq!(trashed(), 1, "{told}");
    ask(question);
    assert_eq!(trashed(), 0);
}
