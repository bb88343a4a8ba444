//! Deliveries.

use recovery::report::webhooks::{DeliveryLogReport, PendingDeliveries, RecoveredDeliveries, RetryReport};

use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, query};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<PendingDeliveries>(
        "/api/admin/webhooks/pending",
        &["webhooks", "pending"],
        "What is undelivered, and how each endpoint does",
    )
    .in_pages()
    .with(&[query(
        "status",
        Shape::OneOf(&["pending", "in_flight", "waiting", "parked"]),
        To::Option("--status"),
        "Only those that stand there",
    )]),
    get::<RecoveredDeliveries>(
        "/api/admin/webhooks/recovered",
        &["webhooks", "recovered"],
        "What the last recovery found undelivered",
    )
    .in_pages(),
    get::<DeliveryLogReport>(
        "/api/admin/webhooks/delivery-log",
        &["webhooks", "log"],
        "Every attempt, the newest first",
    )
    .in_pages()
    .with(&[
        query("job_id", Shape::Text, To::Option("--job"), "Only those about this job"),
        query("delivery_id", Shape::Text, To::Option("--delivery"), "Only those of this delivery"),
    ]),
    post::<RetryReport>(
        "/api/admin/webhooks/retry",
        &["retry", "webhook"],
        "Sends deliveries again that were not delivered",
    )
    .one_of(&["delivery_ids", "all_parked"])
    .with(&[
        member("delivery_ids", Shape::Texts, To::Words, "Which"),
        member("all_parked", Shape::Flag, To::Switch("--all-parked"), "All that are parked"),
    ]),
];
