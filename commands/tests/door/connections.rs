//! Connections that have shown nothing take nothing from clients that may ask.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::common::skipped_by_the_machine;
use crate::http::client::Served;

/// 100 connections in all: 56 for those who have shown nothing, 25 and 12 for the viewer's and the admin's token.
const FEW: &str = "ulimit -n 200";

fn connect(served: &Served) -> TcpStream {
    let stream = TcpStream::connect(&served.address).unwrap();
    stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
    stream
}

/// So many connections, each with the beginning of a request.
fn half_open(served: &Served, number: usize) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = connect(served);
        // The connection may be closed already, to make room.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc");
        stream
    };
    (0..number).map(one).collect()
}

#[test]
fn socket_and_tokens_find_a_place_beside_any_number_of_half_open_connections() {
    let served = Served::limited(FEW, "");
    let mut held = half_open(&served, 300);
    for _ in 0..10 {
        served.over_socket("GET", "/healthz").is(200);
        served.get("/api/jobs").is(200);
        // More connections come all the time.
        held.extend(half_open(&served, 60));
        let viewer = format!("Bearer {}", served.token("viewer"));
        served.ask_with("GET", "/api/jobs", None, &[("Authorization", &viewer)]).is(200);
    }
    drop(held);
}

/// A connection that has shown a token stays, whatever comes after it.
#[test]
fn connection_that_has_shown_a_token_gives_way_to_none_that_has_not() {
    let served = Served::limited(FEW, "");
    let ask = format!(
        "GET /api/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        served.token("admin")
    );
    let mut known = connect(&served);
    let mut answer = [0; 15];
    for _ in 0..3 {
        known.write_all(ask.as_bytes()).unwrap();
        known.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        while known.read(&mut [0; 4096]).unwrap() == 4096 {}
        drop(half_open(&served, 150));
    }
}

/// Over IPv4 and IPv6 this machine has two addresses.
#[test]
fn one_address_does_not_keep_another_one_out() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skipped_by_the_machine("it has no IPv6");
    }
    let served = Served::limited(&format!("{FEW}; export RECOVERYCTL_DAEMON_LISTEN='[::]:0'"), "");
    let port = served.address.parse::<SocketAddr>().unwrap().port();
    let ask = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    };
    let mut one = TcpStream::connect(("::1", port)).unwrap();
    let mut many: Vec<TcpStream> = Vec::new();
    for _ in 0..4 {
        ask(&mut one);
        many.extend((0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()));
        ask(many.last_mut().unwrap());
    }
    ask(&mut one);
}

#[test]
fn half_open_request_is_let_go_in_seconds_and_an_idle_connection_is_not() {
    let served = Served::new();
    let mut idle = connect(&served);
    let mut half = half_open(&served, 1).remove(0);
    let mut trickling = connect(&served);
    trickling.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    // One byte now and then is no complete head.
    trickling.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let trickled = loop {
        if trickling.write_all(b"X").is_err() || matches!(trickling.read(&mut [0; 8]), Ok(0)) {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not let go");
    };
    let _ = half.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30) && trickled >= Duration::from_secs(3), "{took:?} {trickled:?}");
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

/// When the daemon has no free descriptors, it does not spin, and goes on when some are free again.
#[test]
fn daemon_without_descriptors_rests_and_goes_on() {
    // The daemon itself has 28 of them.
    let served = Served::limited("ulimit -n 40", "");
    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.pid())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // utime and stime, without the state's letter before them.
        fields[10] + fields[11]
    };
    // There are so many connections that even those that wait to be accepted are more than it may have.
    let mut held = half_open(&served, 200);
    let mut sockets: Vec<UnixStream> = Vec::new();
    for _ in 0..100 {
        if let Ok(stream) = UnixStream::connect(served.scene.place.state().join("daemon/admin.sock")) {
            sockets.push(stream);
        }
    }
    let (before, begun) = (cpu(), Instant::now());
    while begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ticks = cpu() - before;
    assert!(ticks < 100, "{ticks} ticks of a processor in 2 s");
    held.clear();
    sockets.clear();
    crate::crash::scene::wait_for("it to answer", || {
        crate::http::client::exchange(&served.address, "GET", "/livez", None, &[])
            .is_some_and(|r| r.status == 200)
    });
}

#[test]
fn heads_are_bounded_in_size_and_number() {
    let served = Served::new();
    let ask = |headers: &[(&str, &str)]| {
        crate::http::client::exchange(&served.address, "GET", "/livez", None, headers)
    };
    assert_eq!(ask(&[("X-Long", &"x".repeat(8 << 10))]).unwrap().status, 200);
    for length in [17 << 10, 60 << 10, 300 << 10] {
        assert_eq!(ask(&[("X-Long", &"x".repeat(length))]).expect("an answer").status, 431, "{length}");
    }
    let many: Vec<String> = (0..100).map(|n| format!("X-{n}")).collect();
    let fields: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(ask(&fields[..50]).unwrap().status, 200);
    assert_eq!(ask(&fields).unwrap().status, 431);
}

#[test]
fn request_for_another_host_or_from_another_site_is_refused() {
    let served = Served::new();
    let token = format!("Bearer {}", served.token("admin"));
    let ask = |headers: &[(&str, &str)]| {
        let all: Vec<_> = headers.iter().copied().chain([("Authorization", token.as_str())]).collect();
        served.ask_with("GET", "/api/jobs", None, &all)
    };
    ask(&[("Host", "localhost"), ("Host", "localhost")]).problem(400, "malformed");
    ask(&[("Host", "evil@localhost")]).problem(400, "malformed");
    ask(&[("Host", "localhost:x")]).problem(400, "malformed");
    ask(&[("Host", "LOCALHOST.")]).is(200);
    ask(&[("Host", "[::1]:80")]).is(200);
    for origin in ["null", "http://localhost:7/path", "http://localhost:8", "http://x@localhost:7", "\u{e9}"]
    {
        ask(&[("Host", "localhost:7"), ("Origin", origin)]).problem(403, "wrong-origin");
    }
    ask(&[("Host", "localhost"), ("Authorization", "Bearer x")]).problem(401, "not-authorised");
    // The simplest health check there is.
    let mut stream = connect(&served);
    stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}
