//! Clients that listen to events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::scene::Served;

pub struct Listeners(Vec<BufReader<TcpStream>>);

impl Listeners {
    /// Each has heard where the numbers begin.
    pub fn start(served: &Served, number: usize) -> Listeners {
        let listen = |_| {
            let mut stream = served.connect();
            stream.write_all(served.head("GET", "/api/admin/events", 0).as_bytes()).expect("a request");
            let mut reader = BufReader::new(stream);
            until(&mut reader, "event: begin");
            reader
        };
        Listeners((0..number).map(listen).collect())
    }

    /// How long until the last one has heard of this job.
    pub fn hear(&mut self, job: &str) -> Duration {
        let begun = Instant::now();
        self.0.iter_mut().for_each(|listener| until(listener, job));
        begun.elapsed()
    }
}

fn until(reader: &mut BufReader<TcpStream>, what: &str) {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert!(reader.read_line(&mut line).expect("an event") > 0, "the stream ended");
    }
}
