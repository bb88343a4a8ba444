//! Repository locks.

use recovery::report::locks::{ActiveLocks, InspectedLocks, RecoveredLocks, ReleaseReport, StaleReport};

use crate::http::endpoint::{Endpoint, Shape, To, delete, get, member, part, post, query};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<ActiveLocks>("/api/admin/locks/active", &["locks", "active"], "The locks that are not free")
        .in_pages(),
    get::<RecoveredLocks>(
        "/api/admin/locks/recovered",
        &["locks", "recovered"],
        "What the last recovery did with locks",
    )
    .in_pages(),
    get::<InspectedLocks>(
        "/api/admin/locks/inspect",
        &["locks", "inspect"],
        "All that is known of locks, with the evidence",
    )
    .in_pages()
    .with(&[query("repo", Shape::Name, To::Words, "Only the lock of this repository")]),
    post::<StaleReport>(
        "/api/admin/locks/detect-stale",
        &["locks", "detect-stale"],
        "The locks whose holders are gone",
    )
    .with(&[member("release", Shape::Flag, To::Switch("--release"), "Give them back")]),
    delete::<ReleaseReport>("/api/admin/locks/{repo}", &["release"], "Gives a repository's lock back").with(
        &[
            part("repo", "The repository, percent-encoded"),
            query("id", Shape::Text, To::Option("--id"), "Only this grant, never a successor's"),
            query(
                "force",
                Shape::Flag,
                To::Switch("--force"),
                "Also when its holder is alive, or cannot be judged",
            ),
        ],
    ),
];
