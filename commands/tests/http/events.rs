//! Server-Sent Events: in order, none twice, none missed, resumed by number, for many clients.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::client::Served;

/// A client that listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn new(served: &Served, last: Option<u64>) -> Listener {
        Listener::of(served, "viewer", last)
    }

    fn of(served: &Served, role: &str, last: Option<u64>) -> Listener {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        let from = last.map_or_else(String::new, |n| format!("Last-Event-ID: {n}\r\n"));
        let ask = format!(
            "GET /api/admin/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{from}\r\n",
            served.token(role)
        );
        stream.write_all(ask.as_bytes()).unwrap();
        Listener(BufReader::new(stream))
    }

    /// What comes until the server ends the answer.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        // The chunk without anything in it is the last.
        while !rest.ends_with("\n0\r\n") {
            assert!(self.0.read_line(&mut rest).unwrap() > 0, "the connection broke off: {rest}");
        }
        rest
    }

    /// The next event: its number, its kind, its data.
    fn next(&mut self) -> (u64, String, Value) {
        let (mut id, mut event) = (0, String::new());
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => id = value.parse().unwrap(),
                Some(("event", value)) => event = value.to_owned(),
                // The end of the recovery may still be sent.
                Some(("data", _)) if event == "recovery" => event.clear(),
                Some(("data", value)) => return (id, event, serde_json::from_str(value).unwrap()),
                _ => {}
            }
        }
    }
}

#[test]
fn events_come_in_order_and_go_on_where_a_client_left() {
    let served = Served::new();
    let mut live = Listener::new(&served, None);
    let (begin, kind, _) = live.next();
    assert_eq!(kind, "begin");
    served.submit(&json!({ "id": "one", "command": ["false"], "env": { "PASSWORD": "hunter2" } }));
    served.wait_for("one", "failed");
    let mut seen = Vec::new();
    while !seen.iter().any(|(_, action): &(u64, String)| action == "end") {
        let (id, kind, data) = live.next();
        assert_eq!((kind.as_str(), &data["seq"]), ("queue", &json!(id)));
        assert!(!data.to_string().contains("hunter2"));
        assert_eq!(data["changes"][0]["object"], "job:one");
        seen.push((id, data["changes"][0]["action"].as_str().unwrap().to_owned()));
    }
    let actions: Vec<&str> = seen.iter().map(|(_, action)| action.as_str()).collect();
    assert_eq!((actions[0], actions[1]), ("submit", "claim"), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "{seen:?}");
    // This client was away since the first of them.
    let mut back = Listener::new(&served, Some(seen[0].0));
    for (number, _) in &seen[1..] {
        assert_eq!(back.next().0, *number);
    }
    let mut from_the_start = Listener::new(&served, Some(begin));
    assert_eq!(from_the_start.next().0, seen[0].0);
    // And after the daemon died.
    let last = seen.last().unwrap().0;
    let Served { daemon, scene, .. } = served;
    daemon.kill();
    let served = Served::with(scene, 1);
    let mut after = Listener::new(&served, Some(last));
    served.submit(&json!({ "id": "two", "command": ["true"] }));
    let (id, _, data) = after.next();
    assert!(id > last, "{data}");
    served
        .ask_with(
            "GET",
            "/api/admin/events?after=nonsense",
            None,
            &[("Authorization", &format!("Bearer {}", served.token("viewer")))],
        )
        .problem(422, "bad-request");
}

#[test]
fn a_number_that_the_log_has_not_reached_is_reset_to_its_end() {
    let served = Served::new();
    served.submit(&json!({ "id": "one", "command": ["true"] }));
    served.wait_for("one", "succeeded");
    let mut lost = Listener::new(&served, Some(u64::MAX));
    let (begin, kind, data) = lost.next();
    assert_eq!((kind.as_str(), &data["seq"]), ("reset", &json!(begin)));
    let submitted = served.post("/api/jobs", &json!({ "id": "two", "command": ["true"] })).is(201).json();
    // The supervisor of the first job may still write records.
    let next = std::iter::repeat_with(|| lost.next()).find(|(_, _, data)| data["seq"] == submitted["seq"]);
    let (number, kind, _) = next.unwrap();
    assert!(number > begin, "{number}");
    assert_eq!(kind, "queue");
    // A number that was just given is not one of those, although the daemon may not have read it yet.
    let submitted = served.post("/api/jobs", &json!({ "id": "three", "command": ["true"] })).is(201).json();
    let mut right = Listener::new(&served, submitted["seq"].as_u64());
    assert_eq!(right.next().1, "queue");
}

#[test]
fn a_stream_ends_when_its_token_counts_no_more() {
    let served = Served::new();
    let mut stays = Listener::of(&served, "admin", None);
    let mut goes = Listener::new(&served, None);
    assert_eq!((stays.next().1.as_str(), goes.next().1.as_str()), ("begin", "begin"));
    served.scene.json(&["token", "rotate", "viewer"], 0);
    let begun = Instant::now();
    let rest = goes.rest();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    served.submit(&json!({ "id": "it", "command": ["true"] }));
    assert_eq!(stays.next().2["changes"][0]["object"], "job:it");
    assert!(!rest.contains("job:it"), "{rest}");
    Listener::new(&served, None).next();
}

#[test]
fn five_hundred_clients_listen() {
    let served = Served::new();
    let mut listeners: Vec<Listener> = (0..500).map(|_| Listener::new(&served, None)).collect();
    listeners.iter_mut().for_each(|listener| assert_eq!(listener.next().1, "begin"));
    served.submit(&json!({ "id": "it", "command": ["true"] }));
    for listener in &mut listeners {
        assert_eq!(listener.next().2["changes"][0]["action"], "submit");
    }
    served.wait_for("it", "succeeded");
}
