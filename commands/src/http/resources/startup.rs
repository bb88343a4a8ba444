//! Startups.

use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(
        "/api/admin/startup/detection",
        &["startup", "detection"],
        "Whether the startup before this one was cut short, and in which phase",
    )
    .answers(&["aborted", "previous", "current", "consecutive_aborts", "safe_mode"]),
    get("/api/admin/startup/cleanup-log", &["startup", "cleanup-log"], "What was cleaned after crashes")
        .answers(&["entries", "total", "next_cursor"])
        .in_pages(),
    post("/api/admin/startup/retry", &["retry", "phase"], "Tries a component again, and what waits for it")
        .answers(&["component", "status", "attempts", "duration_ms", "findings"])
        .with(&[required(member("component", Shape::Text, To::Words, "The phase"))])
        .while_recovering(),
    post("/api/admin/startup/clear", &["startup", "clear"], "Says that a crash loop is over")
        .answers(&["was_safe_mode", "because", "cleared", "dry_run"])
        .while_recovering(),
    get("/api/admin/startup/history", &["startup", "history"], "Past startups, the newest first")
        .answers(&["startups", "total", "next_cursor"])
        .in_pages(),
    get("/api/admin/startup-log", &["startup", "log"], "What this startup did, and the ten before it")
        .answers(&["startup", "before"]),
];
