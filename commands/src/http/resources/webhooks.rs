//! Deliveries.

use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, query};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(
        "/api/admin/webhooks/pending",
        &["webhooks", "pending"],
        "What is undelivered, and how each endpoint does",
    )
    .answers(&["deliveries", "by_endpoint", "total", "next_cursor"])
    .in_pages()
    .with(&[query(
        "status",
        Shape::OneOf(&["pending", "in_flight", "waiting", "parked"]),
        To::Option("--status"),
        "Only those that stand there",
    )]),
    get(
        "/api/admin/webhooks/recovered",
        &["webhooks", "recovered"],
        "What the last recovery found undelivered",
    )
    .answers(&["deliveries", "total", "next_cursor"])
    .in_pages(),
    get("/api/admin/webhooks/delivery-log", &["webhooks", "log"], "Every attempt, the oldest first")
        .answers(&["entries", "total", "next_cursor"])
        .in_pages()
        .with(&[
            query("job_id", Shape::Text, To::Option("--job"), "Only those about this job"),
            query("delivery_id", Shape::Text, To::Option("--delivery"), "Only those of this delivery"),
        ]),
    post(
        "/api/admin/webhooks/retry",
        &["retry", "webhook"],
        "Sends deliveries again that were not delivered",
    )
    .one_of(&["delivery_ids", "all_parked"])
    .answers(&["retried", "refused"])
    .with(&[
        member("delivery_ids", Shape::Texts, To::Words, "Which"),
        member("all_parked", Shape::Flag, To::Switch("--all-parked"), "All that are parked"),
    ]),
];
