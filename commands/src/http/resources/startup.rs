//! Startups.

use recovery::report::recovery::RetryReport;
use recovery::report::startup::{CleanupLog, StartupDetection, StartupHistory, StartupLogReport};

use crate::command::startup::ClearReport;
use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<StartupDetection>(
        "/api/admin/startup/detection",
        &["startup", "detection"],
        "Whether the startup before this one was cut short, and in which phase",
    ),
    get::<CleanupLog>(
        "/api/admin/startup/cleanup-log",
        &["startup", "cleanup-log"],
        "What was cleaned after crashes",
    )
    .in_pages(),
    post::<RetryReport>(
        "/api/admin/startup/retry",
        &["retry", "phase"],
        "Tries a component again, and what waits for it",
    )
    .with(&[required(member("component", Shape::Text, To::Words, "The phase"))])
    .while_recovering(),
    post::<ClearReport>("/api/admin/startup/clear", &["startup", "clear"], "Says that a crash loop is over")
        .while_recovering(),
    get::<StartupHistory>(
        "/api/admin/startup/history",
        &["startup", "history"],
        "Past startups, the newest first",
    )
    .in_pages(),
    get::<StartupLogReport>(
        "/api/admin/startup-log",
        &["startup", "log"],
        "What this startup did, and the ten before it",
    ),
];
