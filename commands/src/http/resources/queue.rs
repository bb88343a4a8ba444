//! The queue.

use crate::http::endpoint::{Endpoint, get, post};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(
        "/api/admin/recovery/queue/status",
        &["queue", "status"],
        "How long the line is, who is at its head, and how the queue came back the last time",
    )
    .answers(&["state", "depth", "counts", "head", "recovered", "last_seq", "findings"]),
    get(
        "/api/admin/recovery/queue/metrics",
        &["queue", "metrics"],
        "Counters, and how long jobs wait and run",
    )
    .answers(&[
        "enqueued_total",
        "started_total",
        "finished_total",
        "requeued_total",
        "recoveries_total",
        "records_replayed_total",
        "records_damaged_total",
        "checkpoints_total",
        "wait_ms",
        "run_ms",
    ]),
    get("/api/admin/queue/snapshot", &["queue", "snapshot"], "Every job, in the order of the queue")
        .answers(&["seq", "taken_at", "jobs", "total", "next_cursor"])
        .in_pages(),
    post("/api/admin/recovery/queue/repair", &["repair", "queue"], "Mends damage in the queue's files")
        .answers(&["actions", "quarantined", "before", "after"]),
    get("/api/admin/recovery/queue/wal-status", &["queue", "wal"], "The write-ahead log, segment by segment")
        .answers(&[
            "segments",
            "last_seq",
            "snapshot_seq",
            "records_since_checkpoint",
            "bytes",
            "torn_bytes",
            "damaged_records",
        ]),
];
