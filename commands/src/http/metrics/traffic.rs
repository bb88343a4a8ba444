//! The figures of HTTP itself: requests and the time spent on them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::text::{Kind, Text};

/// Method, path, status.
type Asked = (String, &'static str, u16);

/// How often was asked for what, and how it ended.
#[derive(Debug, Default)]
pub(in crate::http) struct Traffic {
    counts: Mutex<BTreeMap<Asked, (u64, Duration)>>,
}

impl Traffic {
    pub(in crate::http) fn count(&self, method: &str, path: &'static str, status: u16, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, time) = counts.entry((method.to_owned(), path, status)).or_default();
        *number += 1;
        *time += took;
    }

    pub(super) fn write(&self, text: &mut Text) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        text.metric("http_requests_total", Kind::Counter, "Requests by method, path and status");
        for ((method, path, status), (number, _)) in counts.iter() {
            let labels = [("method", method.as_str()), ("path", path), ("status", &status.to_string())];
            text.sample("http_requests_total", &labels, &number.to_string());
        }
        text.metric("http_request_seconds_total", Kind::Counter, "Time spent on requests");
        for ((method, path, status), (_, time)) in counts.iter() {
            let labels = [("method", method.as_str()), ("path", path), ("status", &status.to_string())];
            text.sample("http_request_seconds_total", &labels, &time.as_secs_f64().to_string());
        }
    }
}
