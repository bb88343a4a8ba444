//! Cleanups.

use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/admin/cleanup/state", &["cleanup", "state"], "The cleanups that are not over, phase by phase")
        .answers(&["counts", "cleanups", "total", "next_cursor"])
        .in_pages(),
    get("/api/admin/cleanup/queue", &["cleanup", "queue"], "The cleanups that were not begun, in order")
        .answers(&["cleanups", "total", "next_cursor"])
        .in_pages(),
    get("/api/admin/cleanup/resuming", &["cleanup", "resuming"], "The cleanups that a crash interrupted")
        .answers(&["cleanups", "total", "next_cursor"])
        .in_pages(),
    get("/api/admin/cleanup/completed", &["cleanup", "completed"], "The cleanups that are over")
        .answers(&["cleanups", "total", "next_cursor"])
        .in_pages(),
    post("/api/admin/cleanup/start", &["cleanup", "start"], "Asks for the cleanup of jobs that are over")
        .with(&[required(member("job_ids", Shape::Texts, To::Words, "Which jobs"))]),
    post("/api/admin/cleanup/retry", &["retry", "cleanup"], "Tries the failed phases of a cleanup again")
        .not_rehearsed()
        .with(&[required(member("cleanup_id", Shape::Name, To::Words, "Which cleanup"))]),
];
