//! Who did what, and why something is as it is.

use crate::http::endpoint::{Endpoint, Shape, To, get, query, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/admin/audit", &["audit"], "Who changed what, when and why")
        .answers(&["entries", "total", "next_cursor"])
        .in_pages()
        .with(&[
            query(
                "since",
                Shape::Text,
                To::Option("--since"),
                "Not before this time, or so long ago, such as 2h",
            ),
            query("by", Shape::Text, To::Option("--by"), "Only by somebody of whom this is a part"),
            query("object", Shape::Text, To::Option("--object"), "Only this object, or objects of this kind"),
            query("action", Shape::Text, To::Option("--action"), "Only this action"),
            query(
                "all",
                Shape::Flag,
                To::Switch("--all"),
                "Also what daemons and supervisors record about jobs",
            ),
        ]),
    get("/api/admin/why", &["why"], "Every piece of evidence behind a verdict")
        .answers(&["object"])
        .with(&[required(query("object", Shape::Text, To::Words, "What about: job:ID or lock:REPO"))]),
];
