//! The queue.

use recovery::report::queue::{QueueMetrics, QueueSnapshot, QueueStatus, WalStatus};

use crate::command::repair::RepairAnswer;
use crate::http::endpoint::{Endpoint, get, post};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<QueueStatus>(
        "/api/admin/recovery/queue/status",
        &["queue", "status"],
        "How long the line is, who is at its head, and how the queue came back the last time",
    ),
    get::<QueueMetrics>(
        "/api/admin/recovery/queue/metrics",
        &["queue", "metrics"],
        "Counters, and how long jobs wait and run",
    ),
    get::<QueueSnapshot>(
        "/api/admin/queue/snapshot",
        &["queue", "snapshot"],
        "Every job, in the order of the queue",
    )
    .in_pages(),
    post::<RepairAnswer>(
        "/api/admin/recovery/queue/repair",
        &["repair", "queue"],
        "Mends damage in the queue's files",
    ),
    get::<WalStatus>(
        "/api/admin/recovery/queue/wal-status",
        &["queue", "wal"],
        "The write-ahead log, segment by segment",
    ),
];
