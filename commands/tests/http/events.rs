//! Server-Sent Events: in order, none twice, none missed, resumed by number, for many clients.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Served;

/// A client that listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn new(served: &Served, last: Option<u64>) -> Listener {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let from = last.map_or_else(String::new, |n| format!("Last-Event-ID: {n}\r\n"));
        let ask = format!(
            "GET /api/admin/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{from}\r\n",
            served.token("viewer")
        );
        stream.write_all(ask.as_bytes()).unwrap();
        Listener(BufReader::new(stream))
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
                // The end of its recovery may still be told.
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
    // Somebody who was away since the first of them.
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
