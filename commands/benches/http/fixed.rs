//! The floor: axum with a handler that returns the same bytes each time, in a process of its own, on as many threads
//! as the daemon has for connections.

use std::io::{BufRead, BufReader};
use std::process::Child;

use axum::Router;
use axum::http::header;

use crate::load::Wrk;
use crate::support::in_role;

pub struct Fixed {
    child: Child,
    address: String,
}

impl Fixed {
    pub fn start(size: usize) -> Fixed {
        let mut child = in_role("fixed", &[&size.to_string()]).spawn().expect("the floor");
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output"))
            .read_line(&mut address)
            .expect("its address");
        Fixed { child, address: address.trim().to_owned() }
    }

    pub fn load(&self, connections: u32) -> Wrk {
        Wrk { url: format!("http://{}/", self.address), token: None, connections, seconds: 5 }
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The role.
pub fn serve(size: &str) {
    let body = axum::body::Bytes::from(vec![b'x'; size.parse().expect("a size")]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], body) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        println!("{}", listener.local_addr().expect("its address"));
        axum::serve(listener, Router::new().fallback(answer)).await.expect("it serves");
    });
}
