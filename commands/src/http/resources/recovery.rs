//! The recovery, and the whole.

use recovery::report::dashboard::Dashboard;
use recovery::report::findings::FindingList;
use recovery::report::health::Health;
use recovery::report::recovery::{Phases, RecoveryHistory, RecoveryMetrics};
use recovery::report::status::Status;

use crate::command::findings::{AckReport, MuteReport};
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
    .cached(),
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
            query("group", Shape::Flag, To::Switch("--group"), "Also by code, with how many of each"),
            query(
                "acknowledged",
                Shape::Flag,
                To::Switch("--acknowledged"),
                "The losses that were acknowledged",
            ),
        ]),
    post::<AckReport>(
        "/api/admin/findings/ack",
        &["findings", "ack"],
        "Acknowledges that something is lost: it is told no more",
    )
    .with(&[
        required(member("ids", Shape::Texts, To::Words, "The findings, by their ids")),
        required(member(
            "reason",
            Shape::Like("^[^\\u0000]*[^\\s\\u0000\\u0085][^\\u0000]*$"),
            To::Option("--reason"),
            "Why, for the audit trail",
        )),
    ]),
    post::<MuteReport>(
        "/api/admin/findings/mute",
        &["findings", "mute"],
        "Keeps findings from counting for a while",
    )
    .with(&[
        required(member(
            "findings",
            Shape::Texts,
            To::Words,
            "Codes, each with :OBJECT where only that is meant",
        )),
        required(member(
            "for",
            Shape::Like("^[1-9][0-9]{0,3}(s|m|h|d)$"),
            To::Option("--for"),
            "For so long, such as 2h",
        )),
    ]),
    post::<MuteReport>("/api/admin/findings/unmute", &["findings", "unmute"], "Lets findings count again")
        .with(&[required(member("findings", Shape::Texts, To::Words, "As they were muted"))]),
    get::<Health>("/api/admin/health", &["health"], "Whether all is well, in a few members"),
];
