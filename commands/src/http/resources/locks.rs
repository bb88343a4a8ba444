//! Repository locks.

use crate::http::endpoint::{Endpoint, Shape, To, delete, get, member, part, post, query};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/admin/locks/active", &["locks", "active"], "The locks that are not free")
        .answers(&["locks", "total", "next_cursor"])
        .in_pages(),
    get("/api/admin/locks/recovered", &["locks", "recovered"], "What the last recovery did with locks")
        .answers(&["locks", "total", "next_cursor"])
        .in_pages(),
    get("/api/admin/locks/inspect", &["locks", "inspect"], "All that is known of locks, with the evidence")
        .answers(&["locks", "total", "next_cursor"])
        .in_pages()
        .with(&[query("repo", Shape::Name, To::Words, "Only the lock of this repository")]),
    post("/api/admin/locks/detect-stale", &["locks", "detect-stale"], "The locks whose holders are gone")
        .answers(&["stale", "live", "unknown"])
        .with(&[member("release", Shape::Flag, To::Switch("--release"), "Give them back")]),
    delete("/api/admin/locks/{repo}", &["release"], "Gives a repository's lock back")
        .answers(&["repository", "lock_id", "released", "was"])
        .with(&[
            part("repo", "The repository, percent-encoded"),
            query("id", Shape::Text, To::Option("--id"), "Only this grant, never a successor's"),
            query(
                "force",
                Shape::Flag,
                To::Switch("--force"),
                "Also when its holder is alive, or cannot be judged",
            ),
        ]),
];
