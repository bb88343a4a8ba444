//! Cleanups.

use recovery::archive::Archive;
use recovery::report::cleanup::{ArchiveList, CleanupList, CleanupState, CompletedList};

use crate::command::cleanup::StartReport;
use crate::command::cleanup::archive::{PrunedReport, RestoredReport};
use crate::command::retry::cleanup::RetryCleanupReport;
use crate::http::endpoint::{Endpoint, Shape, To, get, member, part, post, required};

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
    get::<ArchiveList>(
        "/api/admin/cleanup/archive",
        &["cleanup", "archive", "list"],
        "The git work that was kept of workspaces that went",
    )
    .in_pages(),
    get::<Archive>(
        "/api/admin/cleanup/archive/{archive_id}",
        &["cleanup", "archive", "show"],
        "What is in an archive, and why",
    )
    .with(&[part("archive_id", "Which archive")]),
    post::<RestoredReport>(
        "/api/admin/cleanup/archive/restore",
        &["cleanup", "archive", "restore"],
        "Unpacks an archive into a new folder of the daemon's machine",
    )
    .with(&[
        required(member("archive_id", Shape::Name, To::Words, "Which archive")),
        required(member(
            "to",
            Shape::Text,
            To::Option("--to"),
            "The folder: an absolute path, not there yet",
        )),
    ]),
    post::<PrunedReport>(
        "/api/admin/cleanup/archive/prune",
        &["cleanup", "archive", "prune"],
        "Removes archives for good",
    )
    .with(&[
        member("archive_ids", Shape::Texts, To::Words, "These archives"),
        member("keep_days", Shape::Count, To::Option("--keep-days"), "Keep those of so many days"),
        member(
            "keep_bytes",
            // Of what `parse_size` takes, what fits into 64 bits.
            Shape::Like("^([0-9]{1,7}(\\.[0-9]{1,3})?\\s?[KMGT](i?[Bb])?|[0-9]{1,18}\\s?[Bb]?)$"),
            To::Option("--keep-bytes"),
            "Keep so much of the newest: a size, such as \"10GiB\"",
        ),
    ]),
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
