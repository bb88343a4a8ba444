//! Jobs.

use crate::http::endpoint::{Act, Endpoint, Shape, To, get, member, part, post, query, required};

const STATUS: Shape =
    Shape::OneOf(&["queued", "running", "succeeded", "failed", "timed_out", "crashed", "cancelled"]);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(
        "/api/admin/recovery/jobs/status",
        &["jobs", "status"],
        "The running jobs, and what the last recovery made of those that were running",
    )
    .answers(&["reattachment", "jobs", "total", "next_cursor"])
    .in_pages(),
    get(
        "/api/admin/recovery/jobs/sentinels",
        &["jobs", "sentinels"],
        "Every sentinel, and whether it is true",
    )
    .answers(&["sentinels", "total", "next_cursor"])
    .in_pages(),
    get("/api/admin/recovery/jobs/metrics", &["jobs", "metrics"], "Figures about re-attachment").answers(&[
        "found_total",
        "reattached_total",
        "finished_while_away_total",
        "crashed_total",
        "died_after_reattach_total",
        "resumed_total",
        "success_rate",
        "reattach_ms",
    ]),
    get("/api/admin/recovery/jobs/failed", &["jobs", "failed"], "The jobs that failed, timed out or crashed")
        .answers(&["jobs", "total", "next_cursor"])
        .in_pages(),
    post("/api/admin/recovery/jobs/resume", &["resume"], "Queues the next attempt of jobs that are over")
        .answers(&["resumed", "refused"])
        .with(&[
            required(member("job_ids", Shape::Texts, To::Words, "Which jobs")),
            member("fresh", Shape::Flag, To::Switch("--fresh"), "Begin anew, without the checkpoint"),
        ]),
    get("/api/jobs", &["jobs", "list"], "The jobs, in the order in which they were submitted")
        .answers(&["jobs", "total", "next_cursor"])
        .in_pages()
        .with(&[
            query("status", STATUS, To::Option("--status"), "Only those of this status"),
            query("repo", Shape::Text, To::Option("--repo"), "Only those on this repository"),
        ]),
    Endpoint {
        act: Act::Submit,
        ..post("/api/jobs", &[], "A job enters the queue, durably").answers(&["job_id", "status", "command"])
    },
    get("/api/jobs/{id}", &["jobs", "show"], "Everything about a job")
        .answers(&[
            "job_id",
            "status",
            "command",
            "signal",
            "reason",
            "history",
            "attempts",
            "reconstructed",
            "lock",
            "callbacks",
            "checkpoint",
        ])
        .with(&[part("id", "The job's id")]),
    get("/api/jobs/{id}/output", &["jobs", "output"], "What a job printed")
        .answers(&["job_id", "attempt", "bytes", "truncated", "output"])
        .with(&[
            part("id", "The job's id"),
            query("attempt", Shape::Count, To::Option("--attempt"), "Of an earlier attempt"),
            query(
                "tail",
                Shape::Like("^[0-9]{1,9}(B|KiB|MiB)?$"),
                To::Option("--tail"),
                "Only the last bytes, such as 64KiB",
            ),
        ]),
    post("/api/jobs/{id}/cancel", &["jobs", "cancel"], "Cancels a job")
        .answers(&["cancelled", "refused"])
        .with(&[part("id", "The job's id")]),
];
