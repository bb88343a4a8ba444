//! The log: in which form events are logged, with which fields, and where the lines are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recovery::logging::{JobLog, Level, LogLine, events};
use recovery::queue::JobStatus;

use crate::crash::scene::{Daemon, Scene, wait_for};
use crate::webhooks::receiver::{Receiver, Reply};

const WEBHOOKS: &str = "[webhooks]\nretry = [\"100ms\", \"100ms\"]\n";

/// A daemon whose standard error goes to `said`.
fn daemon(scene: &Scene, options: &[&str], filter: Option<&str>) -> Daemon {
    let mut command = scene.place.command();
    let said = std::fs::File::create(scene.place.path("said")).unwrap();
    command.args(["daemon", "--listen", "none", "--workers", "2"]).args(options);
    command.stdout(Stdio::null()).stderr(said);
    command.envs(filter.map(|filter| ("RECOVERYCTL_LOG", filter)));
    Daemon { child: command.spawn().unwrap() }.ready_in(&scene.place.state())
}

fn said(scene: &Scene) -> String {
    std::fs::read_to_string(scene.place.path("said")).unwrap()
}

fn lines_of(path: &Path) -> Vec<LogLine> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The kinds of events that a job's log has.
fn kinds(scene: &Scene, id: &str) -> BTreeSet<String> {
    log_of(scene, id).lines.into_iter().filter_map(|line| line.event).collect()
}

fn log_of(scene: &Scene, id: &str) -> JobLog {
    serde_json::from_value(scene.json(&["jobs", "log", id], 0)).unwrap()
}

/// A job that ends, with a repository and a callback that is retried; one that crashes; one whose repository is taken.
fn play(scene: &Scene) -> Receiver {
    let asked = AtomicU32::new(0);
    let receiver = Receiver::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Status(503),
        _ => Reply::Status(200),
    });
    scene.submit("ends", &["--repo", "web", "--callback", &receiver.url("/x")], "exit 3");
    scene.submit("crashes", &[], "echo > $W/crashes; sleep 600");
    wait_for("the callback to arrive", || receiver.count() == 2);
    scene.wait_for_witness("crashes");
    scene.kill_all_of("crashes");
    scene.wait_for_status("crashes", JobStatus::Crashed);
    receiver
}

const OF_END: [&str; 6] = [
    events::JOB_STARTED,
    events::COMMAND_STARTED,
    events::LOCK_GRANTED,
    events::COMMAND_ENDED,
    events::JOB_ENDED,
    events::DELIVERY_RETRIED,
];

#[test]
fn log_of_a_job_has_what_daemon_and_supervisor_said_in_order() {
    let scene = Scene::new();
    scene.place.write("config.toml", WEBHOOKS);
    let _daemon = daemon(&scene, &[], None);
    let _receiver = play(&scene);
    wait_for("all lines", || OF_END.iter().all(|kind| kinds(&scene, "ends").contains(*kind)));
    wait_for("the delivery's line", || kinds(&scene, "ends").contains(events::DELIVERED));
    let log = log_of(&scene, "ends");
    assert!(log.lines.is_sorted_by_key(|line| line.at), "{log:#?}");
    let by: BTreeSet<&str> = log.lines.iter().map(|line| line.process.as_str()).collect();
    assert_eq!(by, BTreeSet::from(["daemon", "supervisor"]));
    let ended = log.lines.iter().find(|line| line.event.as_deref() == Some(events::JOB_ENDED)).unwrap();
    assert_eq!((ended.level, ended.field("repository")), (Level::Info, Some("web")), "{ended:?}");
    assert_eq!((&ended.fields["exit_code"], &ended.fields["attempt"]), (&3.into(), &1.into()));
    let crashed = log_of(&scene, "crashes");
    let crashed =
        crashed.lines.iter().find(|line| line.event.as_deref() == Some(events::JOB_CRASHED)).unwrap();
    assert_eq!(crashed.level, Level::Warn, "{crashed:?}");

    let text = scene.run(&["jobs", "log", "ends"]).ends_with(0).stdout;
    assert_eq!(text.lines().count(), log_of(&scene, "ends").lines.len(), "{text}");
    assert!(
        text.contains("job ends ended: failed, exit status 3") && text.contains("  supervisor["),
        "{text}"
    );
    let _holder =
        crate::common::Background::start(scene.place.command().args(["lock", "kept", "--", "sleep", "600"]));
    wait_for("the lock", || scene.place.state().join("locks/kept.lock.json").exists());
    scene.submit("silent", &["--repo", "kept"], "true");
    let none = scene.run(&["jobs", "log", "silent"]).ends_with(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("nothing was said"), "{none:?}");
    scene.run(&["jobs", "log", "nobody"]).ends_with(5);
}

#[test]
fn text_has_a_line_for_each_event_with_the_job() {
    let scene = Scene::new();
    scene.place.write("config.toml", WEBHOOKS);
    let _daemon = daemon(&scene, &[], None);
    let _receiver = play(&scene);
    let wanted = [
        ("INFO", "job ends started, attempt 1"),
        ("INFO", "job ends ended: failed, exit status 3"),
        ("INFO", "job crashes started, attempt 1"),
        ("WARN", "job crashes crashed"),
        ("WARN", "job.ended did not arrive at http://127.0.0.1"),
        ("INFO", "job.ended was delivered to http://127.0.0.1"),
        ("INFO", "ready: process "),
        ("INFO", "the recovery completed"),
    ];
    let is_said = |(level, part): &(&str, &str)| {
        said(&scene).lines().any(|line| line.split(' ').nth(1) == Some(level) && line.contains(part))
    };
    wait_for("all lines", || wanted.iter().all(is_said));
    assert!(!said(&scene).contains('\x1b') && !said(&scene).contains("DEBUG"), "{}", said(&scene));
}

#[test]
fn json_lines_are_the_lines_that_are_kept() {
    let scene = Scene::new();
    scene.place.write("config.toml", WEBHOOKS);
    let daemon = daemon(&scene, &["--log-format", "json"], None);
    let _receiver = play(&scene);
    wait_for("the last line", || said(&scene).contains("\"delivered\""));
    assert_eq!(daemon.terminate(), Some(0));
    let (here, kept) =
        (lines_of(&scene.place.path("said")), lines_of(&scene.place.state().join("daemon/daemon.log")));
    // Lines from before the state directory is open are not kept.
    assert!(here.ends_with(&kept) && kept.len() > 8, "{here:#?}\n{kept:#?}");
    assert!(here.iter().all(|line| line.v == 1 && line.process == "daemon"));
    assert_eq!(here.last().unwrap().event.as_deref(), Some(events::DAEMON_ENDS));
    let known: BTreeSet<&str> = events::ALL.iter().map(|kind| kind.name).collect();
    assert!(here.iter().filter_map(|line| line.event.as_deref()).all(|kind| known.contains(kind)));
}

/// The fields of a datagram without values of several lines.
fn fields_of(datagram: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(datagram).unwrap();
    text.lines().filter_map(|line| line.split_once('=').map(|(k, v)| (k.into(), v.into()))).collect()
}

/// A journal that takes what comes, until it is dropped.
struct Journal {
    path: std::path::PathBuf,
    taken: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Journal {
    fn start(path: std::path::PathBuf) -> Journal {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (taken, over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (to, is_over) = (taken.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while !is_over.load(Ordering::SeqCst) {
                if let Ok(n) = socket.recv(&mut bytes) {
                    to.lock().unwrap().push(fields_of(&bytes[..n]));
                }
            }
        });
        Journal { path, taken, over, thread: Some(thread) }
    }

    /// The first event of this kind about this job.
    fn find(&self, event: &str, job: &str) -> Option<BTreeMap<String, String>> {
        let is = |fields: &BTreeMap<String, String>, name: &str, value: &str| {
            fields.get(name).is_some_and(|v| v == value)
        };
        let taken = self.taken.lock().unwrap();
        taken.iter().find(|fields| is(fields, "EVENT", event) && is(fields, "JOB_ID", job)).cloned()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        std::fs::remove_file(&self.path).unwrap();
    }
}

#[test]
fn journal_gets_fields_and_message_ids() {
    let scene = Scene::new();
    scene.place.write("config.toml", WEBHOOKS);
    let path = scene.place.path("journal");
    let journal = Journal::start(path.clone());
    let options = ["--log-format", "journal", "--journal-socket", path.to_str().unwrap()];
    let _daemon = daemon(&scene, &options, None);
    let _receiver = play(&scene);
    wait_for("the lines", || {
        journal.find(events::JOB_CRASHED, "crashes").is_some()
            && journal.find(events::DELIVERED, "ends").is_some()
            && journal.find(events::JOB_ENDED, "ends").is_some()
    });
    let crashed = journal.find(events::JOB_CRASHED, "crashes").unwrap();
    assert_eq!((&*crashed["PRIORITY"], &*crashed["SYSLOG_IDENTIFIER"]), ("4", "recoveryctl"));
    assert_eq!(crashed["MESSAGE_ID"], events::message_id(events::JOB_CRASHED).simple().to_string());
    let ended = journal.find(events::JOB_ENDED, "ends").unwrap();
    assert_eq!((&*ended["REPOSITORY"], &*ended["PRIORITY"]), ("web", "6"), "{ended:?}");
    // Without the journal, the line is still written.
    drop(journal);
    scene.submit("after", &[], "true");
    wait_for("the text", || said(&scene).contains("job after ended: succeeded"));
}

#[test]
fn filter_says_what_is_said() {
    let scene = Scene::new();
    let daemon = daemon(&scene, &[], Some("error,recovery::daemon::told=info"));
    scene.submit("a", &[], "true");
    wait_for("the end", || said(&scene).contains("job a ended"));
    assert_eq!(daemon.terminate(), Some(0));
    assert!(said(&scene).lines().all(|line| line.contains(" job a ")), "{}", said(&scene));
    // A supervisor gets the same filter.
    let by_supervisor =
        log_of(&scene, "a").lines.into_iter().filter(|line| line.process == "supervisor").count();
    assert_eq!(by_supervisor, 0);

    let mut command = scene.place.command();
    command.env("RECOVERYCTL_LOG", "recovery=loud").args(["work", "--once"]);
    let refused = crate::common::Ran::of(&mut command).ends_with(2);
    assert!(refused.stderr.contains("RECOVERYCTL_LOG: "), "{refused:?}");
}

#[test]
fn other_commands_are_silent_unless_asked() {
    let scene = Scene::new();
    let ran = scene.run(&["submit", "--id", "a", "--", "true"]).ends_with(0);
    assert_eq!(ran.stderr, "");
    let mut command = scene.place.command();
    command.env("RECOVERYCTL_LOG", "debug").args(["submit", "--id", "b", "--", "true"]);
    let told = crate::common::Ran::of(&mut command).ends_with(0);
    assert!(told.stderr.contains("DEBUG job b was submitted"), "{told:?}");
    let ran = scene.run(&["-q", "work", "--once"]).ends_with(0);
    assert_eq!(ran.stderr, "");
    let kept = lines_of(&scene.place.state().join("daemon/daemon.log"));
    assert!(kept.iter().any(|line| line.process == "work" && line.field("job_id") == Some("a")), "{kept:#?}");
}

#[test]
fn start_that_the_host_refuses_is_told_with_its_finding() {
    let scene = Scene::new();
    // Where the supervisors' log is to be opened, there is a folder.
    let _daemon = daemon(&scene, &[], None);
    std::fs::create_dir(scene.place.state().join("daemon/supervisors.log")).unwrap();
    scene.submit("a", &[], "true");
    wait_for("the refusal", || said(&scene).contains("no job is started: "));
    let kept = lines_of(&scene.place.state().join("daemon/daemon.log"));
    let held = kept.iter().find(|line| line.event.as_deref() == Some(events::STARTS_HELD)).unwrap();
    assert_eq!(
        (held.level, held.field("finding_code")),
        (Level::Warn, Some("host-cannot-start")),
        "{held:?}"
    );
    let returned = kept.iter().filter(|line| line.event.as_deref() == Some(events::JOB_RETURNED));
    assert!(returned.filter(|line| line.field("job_id") == Some("a")).count() > 0, "{kept:#?}");
    std::fs::remove_dir(scene.place.state().join("daemon/supervisors.log")).unwrap();
    wait_for("the end of it", || said(&scene).contains("not held any more"));
}

#[test]
fn what_fails_in_every_round_is_told_now_and_then() {
    let scene = Scene::new();
    let _daemon = daemon(&scene, &[], None);
    // Requests to try a phase again, which the daemon looks for ten times a second, cannot be read.
    let requests = scene.place.state().join("recovery/requests");
    let _ = std::fs::remove_dir(&requests);
    std::fs::write(&requests, "").unwrap();
    wait_for("three lines", || {
        said(&scene).matches("requests to try a phase again cannot be read").count() >= 3
    });
    std::fs::remove_file(&requests).unwrap();
    wait_for("the end of it", || said(&scene).contains(" failures: requests to try a phase again"));
    let told = said(&scene).matches("requests to try a phase again cannot be read").count();
    let over = said(&scene);
    let failures = over.split("over after ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let failures: usize = failures.parse().unwrap();
    assert!(told <= failures.ilog2() as usize + 3, "{told} lines for {failures} failures: {over}");
}

/// Returns every line in the state directory's logs, and on standard error.
fn all_said(scene: &Scene) -> String {
    let daemon = scene.place.state().join("daemon");
    let logs = ["daemon.log", "supervisors.log"].map(|name| daemon.join(name));
    let texts = logs.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default());
    texts.chain([said(scene)]).collect()
}

#[test]
fn no_secret_is_said_at_any_level() {
    let scene = Scene::new();
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    scene.place.write("config.toml", &format!("{WEBHOOKS}secrets = ['{key}']\n"));
    let asked = AtomicU32::new(0);
    let receiver = Receiver::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let mut command = scene.place.command();
    let stderr = std::fs::File::create(scene.place.path("said")).unwrap();
    command.args(["-v", "daemon", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(stderr);
    command.env("RECOVERYCTL_LOG", "trace").env("SOME_PASSWORD", "hunter2-of-the-daemon");
    let daemon = Daemon { child: command.spawn().unwrap() }.ready_in(&scene.place.state());
    let info = crate::crash::scene::read_json(&scene.place.state().join("daemon/daemon.json"));
    let address = info["address"].as_str().unwrap();

    let url = receiver.url("/hook").replace("http://", "http://ana:hunter2-of-the-url@")
        + "?key=hunter2-of-the-query";
    let job = serde_json::json!({
        "id": "secretive",
        "command": ["sh", "-c", "echo $TOKEN; exit 1", "hunter2-of-the-argument"],
        "env": { "TOKEN": "hunter2-of-the-job" },
        "repository": "web",
        "callbacks": [{ "url": url, "headers": { "authorization": "Bearer hunter2-of-the-header" }, "body": "hunter2-of-the-body" }],
    })
    .to_string();
    let token = std::fs::read_to_string(scene.place.state().join("daemon/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let shown = [("Authorization", bearer.as_str()), ("Idempotency-Key", "hunter2-of-the-key")];
    let reply = crate::http::client::exchange(
        address,
        "POST",
        "/api/jobs?x=hunter2-of-the-target",
        Some(&job),
        &shown,
    );
    assert!(reply.is_some());
    let reply = crate::http::client::exchange(address, "POST", "/api/jobs", Some(&job), &shown).unwrap();
    assert_eq!(reply.status, 201, "{reply:?}");
    let wrong = [("Authorization", "Bearer hunter2-of-a-stranger")];
    crate::http::client::exchange(address, "GET", "/api/jobs", None, &wrong).unwrap().is(401);
    wait_for("the callback to arrive", || receiver.count() == 2);
    wait_for("its line", || said(&scene).contains("was delivered to"));
    let under_lock = ["lock", "other", "--", "true", "hunter2-under-a-lock"];
    let mut lock = scene.place.command();
    let lock = crate::common::Ran::of(lock.env("RECOVERYCTL_LOG", "trace").args(under_lock)).ends_with(0);
    assert!(lock.stderr.contains("the lock of repository other is granted"), "{lock:?}");
    assert_eq!(daemon.terminate(), Some(0));

    let all = all_said(&scene) + &lock.stderr;
    for part in [
        "job secretive ended",
        "\"command-ended\"",
        "lock-granted",
        "job.ended did not arrive",
        "POST /api/jobs",
    ] {
        assert!(all.contains(part), "{part} is missing: {all}");
    }
    let own = std::fs::read_to_string(scene.place.state().join("daemon/viewer.token")).unwrap();
    for secret in ["hunter2", &key["whsec_".len()..], token.trim(), own.trim()] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[test]
fn page_on_the_log_names_every_kind_and_its_id() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/log.md")).unwrap();
    let rows = events::ALL
        .iter()
        .map(|kind| format!("| `{}` | {} | `{}` |", kind.name, kind.meaning, kind.message_id().simple()));
    let missing: Vec<String> = rows.filter(|row| !page.lines().any(|line| line == row)).collect();
    assert!(missing.is_empty(), "docs/log.md lacks:\n{}", missing.join("\n"));
}

/// A kind without an entry in the table would have no meaning and no `MESSAGE_ID`; a kind that is never
/// logged is not allowed either.
#[test]
fn kinds_are_all_said_and_said_by_their_constants() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    let mut folders = vec![root.join("src"), root.join("commands/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("logging/events.rs") {
                sources.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let constants = events::ALL.iter().map(|kind| kind.name.to_uppercase().replace('-', "_"));
    let unsaid: Vec<String> =
        constants.filter(|name| !sources.contains(&format!("events::{name}"))).collect();
    assert!(unsaid.is_empty(), "nobody says {unsaid:?}");
    assert!(!sources.contains("event = \""), "an event is named by its constant");
}
