//! The recovery, and the whole.

use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, query, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(
        "/api/admin/recovery/status",
        &["status"],
        "Health on one screen: state, what is the matter, what to do",
    )
    .answers(&["state", "status", "action", "recovery", "degraded_resources", "counts", "findings"]),
    get("/api/admin/recovery/phases", &["recovery", "phases"], "Every phase with its progress")
        .answers(&["phases"]),
    get(
        "/api/admin/recovery/dashboard-data",
        &["recovery", "dashboard"],
        "Everything at once, of one moment",
    )
    .answers(&["status", "phases", "queue", "jobs", "locks", "cleanup", "orphans", "webhooks", "startup"]),
    get("/api/admin/recovery/metrics", &["recovery", "metrics"], "Figures about all recoveries").answers(&[
        "recoveries_total",
        "last_duration_ms",
        "mean_duration_ms",
        "phase_duration_ms",
        "degraded_total",
        "skipped_total",
        "retried_total",
    ]),
    get("/api/admin/recovery/history", &["recovery", "history"], "Past recoveries, the newest first")
        .answers(&["recoveries", "total", "next_cursor"])
        .in_pages(),
    post("/api/admin/recovery/skip-phase", &["skip"], "Passes a phase over, before or while it runs")
        .answers(&["phase", "accepted", "was"])
        .with(&[required(member("phase", Shape::Text, To::Words, "The phase"))])
        .while_recovering(),
    get("/api/admin/findings", &["findings"], "What an operator should know, the worst first")
        .answers(&["findings", "total", "next_cursor"])
        .in_pages()
        .with(&[
            query(
                "severity",
                Shape::OneOf(&["info", "warning", "error", "critical"]),
                To::Option("--severity"),
                "At least so bad",
            ),
            query("code", Shape::Text, To::Option("--code"), "Only of this code"),
            query(
                "object",
                Shape::Text,
                To::Option("--object"),
                "Only about this object, or objects of this kind",
            ),
        ]),
    get("/api/admin/health", &["health"], "Whether all is well, in a few members")
        .answers(&["healthy", "state", "status", "action"]),
];
