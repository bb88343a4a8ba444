//! Cleanups.

use recovery::report::cleanup::{CleanupList, CleanupState, CompletedList};

use crate::command::cleanup::StartReport;
use crate::command::retry_cleanup::RetryCleanupReport;
use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<CleanupState>(
        "/api/admin/cleanup/state",
        &["cleanup", "state"],
        "The cleanups that are not over, phase by phase",
    )
    .in_pages(),
    get::<CleanupList>(
        "/api/admin/cleanup/queue",
        &["cleanup", "queue"],
        "The cleanups that were not begun, in order",
    )
    .in_pages(),
    get::<CleanupList>(
        "/api/admin/cleanup/resuming",
        &["cleanup", "resuming"],
        "The cleanups that a crash interrupted",
    )
    .in_pages(),
    get::<CompletedList>(
        "/api/admin/cleanup/completed",
        &["cleanup", "completed"],
        "The cleanups that are over",
    )
    .in_pages(),
    post::<StartReport>(
        "/api/admin/cleanup/start",
        &["cleanup", "start"],
        "Asks for the cleanup of jobs that are over",
    )
    .with(&[required(member("job_ids", Shape::Texts, To::Words, "Which jobs"))]),
    post::<RetryCleanupReport>(
        "/api/admin/cleanup/retry",
        &["retry", "cleanup"],
        "Tries the failed phases of a cleanup again",
    )
    .with(&[required(member("cleanup_id", Shape::Name, To::Words, "Which cleanup"))]),
];
