//! Who did what, and why something is as it is.

use recovery::report::audit::AuditReport;

use crate::command::why::Why;
use crate::http::endpoint::{Endpoint, Shape, To, get, query, required};

/// A duration, or a time of RFC 3339.
const SINCE: &str = "^(0|[0-9]{1,5}(ms|s|m|h|d)|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<AuditReport>("/api/admin/audit", &["audit"], "Who changed what, when and why").in_pages().with(&[
        query(
            "since",
            Shape::Like(SINCE),
            To::Option("--since"),
            "Not before this time, or so long ago, such as 2h",
        ),
        query("by", Shape::Text, To::Option("--by"), "Only by somebody of whom this is a part"),
        query("object", Shape::Text, To::Option("--object"), "Only this object, or objects of this kind"),
        query("action", Shape::Text, To::Option("--action"), "Only this action"),
        query("all", Shape::Flag, To::Switch("--all"), "Also what daemons and supervisors record about jobs"),
    ]),
    get::<Why>("/api/admin/why", &["why"], "Every piece of evidence behind a verdict").with(&[required(
        query(
            "object",
            Shape::Like("^(job|lock):[^/\\u0000-\\u001f\\u007f-\\u009f]+$"),
            To::Words,
            "What about: job:ID or lock:REPO",
        ),
    )]),
];
