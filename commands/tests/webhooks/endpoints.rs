//! Endpoints that misbehave in every way: the right outcome, the right finding, and nobody else delayed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use recovery::webhooks::{AttemptRetention, DeliveryLog};

use super::office::Office;
use super::receiver::{Receiver, Reply, fixtures};
use crate::common::{skipped, skipped_by_the_machine};
use crate::crash::scene::wait_for;

const QUICK: &str = "retry = ['50ms', '50ms']\ntimeout = '700ms'\nbreaker_failures = 100";

#[test]
fn one_that_hangs_delays_nobody_else() {
    let (hangs, kind) = (Receiver::start(|_| Reply::Hang), Receiver::kind());
    // Longer than a test waits for anything: the others do not wait for its end.
    let office = Office::new("retry = ['50ms']\ntimeout = '1h'\nbreaker_failures = 100");
    office.one("hangs", &hangs.url("/"));
    let _daemon = office.scene.daemon(1);
    wait_for("the attempt that hangs", || hangs.count() == 1);
    for n in 0..20 {
        office.one(&format!("kind-{n}"), &kind.url("/"));
    }
    wait_for("the others", || kind.count() == 20);
    assert_eq!(hangs.count(), 1);
    assert!(office.log("hangs").is_empty(), "its attempt is over: {:?}", office.log("hangs"));
}

#[test]
fn one_that_hangs_is_given_its_time_limit_and_parked() {
    let hangs = Receiver::start(|_| Reply::Hang);
    let office = Office::new("retry = ['50ms']\ntimeout = '700ms'\nbreaker_failures = 100");
    office.one("hangs", &hangs.url("/"));
    let _daemon = office.scene.daemon(1);
    office.wait_for_outcomes("hangs", &["retry", "parked"]);
    let log = office.log("hangs");
    assert!(log[0]["error"].as_str().unwrap().contains("no answer in time"), "{log:?}");
    assert!(log[0]["duration_ms"].as_u64().unwrap() >= 650, "{log:?}");
    office.finds("webhook-parked");
}

/// More receivers hang than there are slots, each at its own endpoint.
#[test]
fn many_that_hang_delay_the_others_by_seconds_and_not_by_the_time_limit() {
    let (hang, kind): (Vec<_>, _) =
        ((0..60).map(|_| Receiver::start(|_| Reply::Hang)).collect(), Receiver::kind());
    // Longer than a test waits for anything: the healthy one does not wait for the end of any attempt.
    let office = Office::new("retry = ['300d']\ntimeout = '1h'\nper_endpoint = 1");
    for (n, receiver) in hang.iter().enumerate() {
        office.one(&format!("hangs-{n}"), &receiver.url("/"));
        office.one(&format!("behind-{n}"), &receiver.url("/"));
    }
    let _daemon = office.scene.daemon(1);
    wait_for("the first attempts that hang", || hang.iter().filter(|r| r.count() > 0).count() >= 32);
    office.one("kind", &kind.url("/"));
    wait_for("the healthy one", || kind.count() == 1);
    for receiver in &hang {
        assert!(receiver.count() <= 1, "one at a time an endpoint: {:?}", receiver.requests());
    }
    let in_flight = office.json(&["webhooks", "pending", "--status", "in_flight"]);
    assert!(in_flight["total"].as_u64().unwrap() > 32, "{in_flight}");
}

#[test]
fn one_that_closes_is_tried_again_and_then_parked() {
    let closes = Receiver::start(|_| Reply::Close);
    let office = Office::new(QUICK);
    office.one("closes", &closes.url("/"));
    let _daemon = office.scene.daemon(1);
    office.wait_for_outcomes("closes", &["retry", "retry", "parked"]);
    assert_eq!(office.delivery("closes")["status"], "parked");
    assert_eq!(closes.by_id().len(), 1, "every attempt has the same id");
}

#[test]
fn one_that_answers_500_for_a_while_gets_it_in_the_end() {
    let seen = AtomicU32::new(0);
    let moody = Receiver::start(move |_| {
        if seen.fetch_add(1, Ordering::SeqCst) < 2 { Reply::Status(500) } else { Reply::Status(204) }
    });
    let office = Office::new(QUICK);
    office.one("moody", &moody.url("/"));
    let _daemon = office.scene.daemon(1);
    office.wait_for_outcomes("moody", &["retry", "retry", "delivered"]);
    assert_eq!(office.log("moody")[0]["status_code"], 500);
    assert!(office.pending().is_empty());
    let requests = moody.requests();
    assert!(requests.iter().all(|r| r.body == requests[0].body && r.id() == requests[0].id()));
}

#[test]
fn retry_after_is_honoured_for_the_whole_endpoint() {
    let seen = AtomicU32::new(0);
    let busy = Receiver::start(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::With(429, "retry-after", "2".to_owned()),
        _ => Reply::Status(200),
    });
    let office = Office::new("retry = ['1ms']");
    office.one("first", &busy.url("/1"));
    let _daemon = office.scene.daemon(1);
    wait_for("the first attempt", || busy.count() == 1);
    office.one("second", &busy.url("/2"));
    wait_for("both", || busy.count() == 3);
    let requests = busy.requests();
    for later in &requests[1..] {
        let waited = later.at - requests[0].at;
        assert!(waited >= Duration::from_millis(1900), "{} came after {waited:?}", later.path);
    }
}

/// No other delivery to the endpoint is sent before that time, whatever happens to the sender meanwhile.
#[test]
fn retry_after_holds_over_a_kill_a_reload_and_a_compaction() {
    let busy = Receiver::start(|_| Reply::With(429, "retry-after", "3600".to_owned()));
    let (kind, office) = (Receiver::kind(), Office::new("retry = ['1ms']\nkeep_entries = 0"));
    let witness = |name: &str| {
        let before = kind.count();
        office.one(name, &kind.url("/"));
        wait_for("the witness", || kind.count() > before);
    };
    office.one("first", &busy.url("/1"));
    let daemon = office.scene.daemon(1);
    wait_for("the first attempt", || office.delivery("first")["status"] == "waiting");
    daemon.kill();
    office.one("second", &busy.url("/2"));
    let daemon = office.scene.daemon(1);
    witness("after-a-kill");
    let ops = format!(
        "[webhooks]\nretry = ['1ms']\nkeep_entries = 0\n[[webhooks.endpoints]]\nname = 'ops'\n\
         url = '{}'\nevents = ['job.ended']\n",
        kind.url("/ops")
    );
    office.scene.place.write("config.toml", &ops);
    let pid = rustix::process::Pid::from_child(&daemon.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let told = || kind.requests().iter().any(|r| r.path == "/ops");
    let mut ends = (0..).map(|n| format!("end-{n}"));
    wait_for("the reload", || {
        // A newly configured endpoint receives the ends from then on.
        office.ended(ends.next().into_iter(), &|_| recovery::queue::Callback::to(kind.url("/")));
        told()
    });
    daemon.kill();
    let mut log = DeliveryLog::open(&office.scene.dir()).unwrap();
    assert!(log.compact(&|_| true, AttemptRetention { keep: Duration::ZERO, entries: 0 }).unwrap());
    drop(log);
    let daemon = office.scene.daemon(1);
    witness("after-a-compaction");
    assert_eq!(busy.count(), 1);
    let (first, second) = (office.delivery("first"), office.delivery("second"));
    assert_eq!(second["status"], "pending");
    assert!(second["next_try_at"].is_string() && second["next_try_at"] == first["next_try_at"], "{second}");
    let pending = office.json(&["webhooks", "pending"]);
    let endpoints = pending["by_endpoint"].as_array().unwrap();
    let line = endpoints.iter().find(|e| busy.url("/").starts_with(e["endpoint"].as_str().unwrap()));
    assert_eq!(line.unwrap()["not_before"], second["next_try_at"], "{pending}");
    assert_eq!(office.json(&["webhooks", "log"])["total"], 0, "what is kept for that is not shown");

    // An operator's request to try one of them now is obeyed, also by the next daemon.
    daemon.kill();
    let id = first["delivery_id"].as_str().unwrap().to_owned();
    office.scene.run(&["retry", "webhook", &id]).ends_with(0);
    assert!(office.delivery("second")["next_try_at"].is_null());
    let _daemon = office.scene.daemon(1);
    wait_for("the attempt that was asked for", || busy.count() > 1);
}

#[test]
fn what_is_gone_refused_or_moved_is_parked_at_once() {
    let refuses = Receiver::start(|r| match r.path.as_str() {
        "/gone" => Reply::Status(410),
        "/bad" => Reply::Status(400),
        "/unwanted" => Reply::With(500, "webhook-delivery", "abort-message".to_owned()),
        _ => Reply::With(302, "location", "/elsewhere".to_owned()),
    });
    let office = Office::new("retry = ['10s']\nper_endpoint = 4");
    for name in ["gone", "bad", "moved", "unwanted"] {
        office.one(name, &refuses.url(&format!("/{name}")));
    }
    assert_eq!(office.deliver()["parked"], 4);
    for name in ["gone", "bad", "moved", "unwanted"] {
        assert_eq!(office.outcomes(name), ["parked"], "{name}");
    }
    assert!(refuses.requests().iter().all(|r| r.path != "/elsewhere"), "redirects are not followed");
    assert!(office.delivery("moved")["last_error"].as_str().unwrap().contains("302"));
    office.finds("webhook-parked");
}

#[test]
fn an_answer_without_an_end_is_not_read() {
    let talks = Receiver::start(|_| Reply::Long(1 << 50));
    let office = Office::new("");
    office.one("long", &talks.url("/"));
    assert_eq!(office.deliver()["delivered"], 1);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_unless_it_is_configured() {
    let secure = Receiver::with_tls(|_| Reply::Status(200));
    let office = Office::new("retry = ['300d']");
    office.one("secure", &secure.url("/"));
    assert_eq!(office.deliver()["retried"], 1);
    let error = office.log("secure")[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(secure.count(), 0, "nothing is said before the certificate is checked");

    let trusting = Office::new(&format!("ca_file = '{}'", fixtures().join("localhost.pem").display()));
    trusting.one("secure", &secure.url("/"));
    assert_eq!(trusting.deliver()["delivered"], 1, "{:?}", trusting.log("secure"));
}

#[test]
fn no_tls_where_https_is_asked_for() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-nobody\r\n");
        }
    });
    let office = Office::new("retry = ['300d']");
    office.one("plain", &format!("https://{address}/"));
    assert_eq!(office.deliver()["retried"], 1);
}

#[test]
fn a_name_that_does_not_resolve_is_tried_again() {
    let office = Office::new(QUICK);
    office.one("nowhere", "http://nobody.invalid/");
    let _daemon = office.scene.daemon(1);
    office.wait_for_outcomes("nowhere", &["retry", "retry", "parked"]);
    assert!(office.log("nowhere")[0]["status_code"].is_null());
}

#[test]
fn an_address_that_is_denied_is_not_called_by_number_or_by_name() {
    let receiver = Receiver::kind();
    let port = receiver.address.port();
    let office = Office::new("deny = ['127.0.0.0/8', '::1']");
    let names = ["localhost", "127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"];
    for (n, name) in names.iter().enumerate() {
        office.one(&format!("denied-{n}"), &format!("http://{name}:{port}/"));
    }
    office.one("metadata", "http://169.254.169.254/latest/meta-data/");
    assert_eq!(office.deliver()["parked"], 7);
    assert_eq!(receiver.count(), 0);
    for (n, name) in names.iter().enumerate() {
        assert_eq!(office.outcomes(&format!("denied-{n}")), ["refused"], "{name}");
    }
    let why = office.delivery("metadata")["last_error"].as_str().unwrap().to_owned();
    assert!(why.contains("webhooks.allow"), "it names the setting: {why}");
    office.finds("webhook-refused");

    office.scene.place.write("config.toml", "[webhooks]\nallow = ['127.0.0.0/8']\n");
    office.scene.run(&["retry", "webhook", "--all-parked"]).ends_with(0);
    // [::1] and the metadata address are still not allowed.
    assert_eq!(office.deliver()["parked"], 2);
    assert!(receiver.count() >= 5);
}

#[test]
fn ipv6_is_spoken() {
    let answers = |_: &super::receiver::Request| Reply::Status(200);
    let Ok(receiver) = Receiver::on("::1".parse().unwrap(), None, answers) else {
        return skipped_by_the_machine("this machine has no IPv6");
    };
    let office = Office::new("");
    office.one("six", &receiver.url("/"));
    assert_eq!(office.deliver()["delivered"], 1);
    assert_eq!(receiver.requests()[0].headers["host"], receiver.address.to_string());
}

#[test]
fn a_dead_endpoint_is_probed_seldom_and_the_others_go_on() {
    // Nobody listens there, and no other test is given this port: one that was free a moment ago may soon be
    // that of another test's receiver.
    let dead = "http://127.0.0.1:1/";
    let kind = Receiver::kind();
    let office = Office::new(
        "retry = ['1ms', '1ms', '1ms', '1ms', '1ms']\nbreaker_failures = 3\nbreaker_pause = '1h'\nbreaker_pause_max = '1h'",
    );
    office.ended((0..50).map(|n| format!("dead-{n}")), &|_| recovery::queue::Callback::to(dead));
    let daemon = office.scene.daemon(1);
    wait_for("the circuit to open", || {
        office.findings().iter().any(|(code, _)| code == "webhook-circuit-open")
    });
    office.one("kind", &kind.url("/"));
    wait_for("the others", || kind.count() == 1);
    let tried = |office: &Office| office.json(&["webhooks", "log"])["total"].as_u64().unwrap();
    let before = tried(&office);
    assert!(before <= 5, "{before} attempts");
    let pending = office.json(&["webhooks", "pending"]);
    let line = pending["by_endpoint"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| dead.starts_with(e["endpoint"].as_str().unwrap()));
    assert_eq!(line.unwrap()["circuit"], "open", "{pending}");
    // The circuit stays open over a crash, and a restart does not flood the endpoint.
    daemon.kill();
    let _daemon = office.scene.daemon(1);
    office.one("kind-again", &kind.url("/"));
    wait_for("the others", || kind.count() == 2);
    assert_eq!(tried(&office), before + 1);
}

/// A receiver like a machine that is switched off: what is sent to it vanishes, because its queue of
/// connections is full.
struct Silent {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Silent {
    fn at(address: SocketAddr) -> Silent {
        let listener = TcpListener::bind(address).unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queue: Vec<TcpStream> = std::iter::from_fn(connect).take(10_000).collect();
        assert!(queue.len() < 10_000, "the queue is never full");
        Silent { _listener: listener, _queue: queue }
    }
}

#[test]
fn name_whose_first_address_is_silent_is_reached_at_its_second_within_one_attempt() {
    if !rustix::process::geteuid().is_root() {
        return skipped("mounting needs root");
    }
    // That one is asked first whose address is nearer to our own, 127.0.0.1 (RFC 6724, rule 9).
    let (near, far) = ("127.0.0.2", "127.0.0.9");
    let answers = Receiver::on(far.parse().unwrap(), None, |_| Reply::Status(200)).unwrap();
    let port = answers.address.port();
    let silent = Silent::at(SocketAddr::new(near.parse().unwrap(), port));
    let office = Office::new("retry = []\ntimeout = '8s'");
    let hosts = office.scene.place.write("hosts", &format!("{near} two.test\n{far} two.test\n"));
    let url = format!("http://two.test:{port}/");
    let with_hosts = |words: &[&str]| office.with_mounts("mount --bind \"$1\" /etc/hosts", &hosts, words);
    let test = with_hosts(&["webhooks", "test", &url]);
    if test.status == 77 {
        return skipped("no mounts here");
    }
    let report = test.ends_with(0).json();
    let took = report["duration_ms"].as_u64().unwrap();
    // Less would mean that the silent one was not asked first, and nothing was tried.
    assert!((500..8000).contains(&took), "{report}");
    office.one("job", &url);
    assert_eq!(with_hosts(&["webhooks", "deliver", "--once"]).ends_with(0).json()["delivered"], 1);
    drop(silent);
}
