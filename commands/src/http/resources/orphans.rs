//! Orphans.

use recovery::report::orphans::{CandidatesReport, OrphansCleanup, OrphansLog, ScanReport};

use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, query, required};

const KINDS: Shape = Shape::SomeOf(&[
    "job_directory",
    "staging_directory",
    "container",
    "network",
    "volume",
    "lock",
    "sentinel",
    "index",
    "temporary_file",
    "process",
]);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    post::<ScanReport>(
        "/api/admin/orphans/scan",
        &["scan"],
        "Looks for damage and orphans, and saves the plan",
    )
    .with(&[member("kinds", KINDS, To::Option("--kind"), "Only orphans of these kinds")]),
    get::<CandidatesReport>(
        "/api/admin/orphans/candidates",
        &["orphans", "candidates"],
        "The plan of the last scan, with its checks",
    )
    .in_pages()
    .with(&[query("kinds", KINDS, To::Option("--kind"), "Only of these kinds")]),
    post::<OrphansCleanup>(
        "/api/admin/orphans/cleanup",
        &["orphans", "cleanup"],
        "Carries a plan out, each check made anew",
    )
    .with(&[
        required(member("plan_id", Shape::Text, To::Option("--plan"), "The plan")),
        member("ids", Shape::Texts, To::Option("--id"), "Only these candidates"),
        member("kinds", KINDS, To::Option("--kind"), "Only candidates of these kinds"),
    ]),
    get::<OrphansLog>(
        "/api/admin/orphans/cleanup-log",
        &["orphans", "cleanup-log"],
        "What was removed, refused, restored",
    )
    .in_pages(),
];
