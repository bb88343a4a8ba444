//! The recovery, and the whole.

use recovery::report::dashboard::Dashboard;
use recovery::report::findings::FindingList;
use recovery::report::health::Health;
use recovery::report::recovery::{Phases, RecoveryHistory, RecoveryMetrics};
use recovery::report::status::Status;

use crate::command::skip::SkipReport;
use crate::http::endpoint::{Endpoint, Shape, To, get, member, post, query, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<Status>(
        "/api/admin/recovery/status",
        &["status"],
        "Health on one screen: state, what is the matter, what to do",
    ),
    get::<Phases>("/api/admin/recovery/phases", &["recovery", "phases"], "Every phase with its progress"),
    get::<Dashboard>(
        "/api/admin/recovery/dashboard-data",
        &["recovery", "dashboard"],
        "Everything at once, of one moment",
    )
    .kept(),
    get::<RecoveryMetrics>(
        "/api/admin/recovery/metrics",
        &["recovery", "metrics"],
        "Figures about all recoveries",
    ),
    get::<RecoveryHistory>(
        "/api/admin/recovery/history",
        &["recovery", "history"],
        "Past recoveries, the newest first",
    )
    .in_pages(),
    post::<SkipReport>(
        "/api/admin/recovery/skip-phase",
        &["skip"],
        "Passes a phase over, before or while it runs",
    )
    .with(&[required(member("phase", Shape::Text, To::Words, "The phase"))])
    .while_recovering(),
    get::<FindingList>("/api/admin/findings", &["findings"], "What an operator should know, the worst first")
        .in_pages()
        .with(&[
            query(
                "severity",
                Shape::OneOf(&["info", "warning", "error", "critical"]),
                To::Option("--severity"),
                "At least so bad",
            ),
            query("code", Shape::Text, To::Option("--code"), "Only of this code"),
            query(
                "object",
                Shape::Text,
                To::Option("--object"),
                "Only about this object, or objects of this kind",
            ),
        ]),
    get::<Health>("/api/admin/health", &["health"], "Whether all is well, in a few members"),
];
