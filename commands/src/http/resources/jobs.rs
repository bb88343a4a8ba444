//! Jobs.

use recovery::report::failed::FailedJobs;
use recovery::report::job_metrics::JobMetrics;
use recovery::report::jobs::JobDetail;
use recovery::report::reattachment::JobsStatus;
use recovery::report::sentinels::Sentinels;

use crate::command::jobs::cancel::CancelReport;
use crate::command::jobs::output::OutputReport;
use crate::command::resume::ResumeAnswer;
use crate::command::submit::SubmitReport;
use crate::http::endpoint::{Act, Endpoint, Shape, To, get, member, part, post, query, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get::<JobsStatus>(
        "/api/admin/recovery/jobs/status",
        &["jobs", "status"],
        "The running jobs, and what the last recovery made of those that were running",
    )
    .in_pages(),
    get::<Sentinels>(
        "/api/admin/recovery/jobs/sentinels",
        &["jobs", "sentinels"],
        "Every sentinel, and whether it is true",
    )
    .in_pages(),
    get::<JobMetrics>(
        "/api/admin/recovery/jobs/metrics",
        &["jobs", "metrics"],
        "Figures about re-attachment",
    ),
    get::<FailedJobs>(
        "/api/admin/recovery/jobs/failed",
        &["jobs", "failed"],
        "The jobs that failed, timed out or crashed",
    )
    .in_pages(),
    post::<ResumeAnswer>(
        "/api/admin/recovery/jobs/resume",
        &["resume"],
        "Queues the next attempt of jobs that are over",
    )
    .with(&[
        required(member("job_ids", Shape::Texts, To::Words, "Which jobs")),
        member("fresh", Shape::Flag, To::Switch("--fresh"), "Begin anew, without the checkpoint"),
    ]),
    Endpoint {
        act: Act::Submit,
        ..post::<SubmitReport>("/api/jobs", &[], "A job enters the queue, durably")
    },
    get::<JobDetail>("/api/jobs/{id}", &["jobs", "show"], "Everything about a job")
        .with(&[part("id", "The job's id")]),
    get::<OutputReport>("/api/jobs/{id}/output", &["jobs", "output"], "What a job printed")
        .with(&[
            part("id", "The job's id"),
            query("attempt", Shape::Count, To::Option("--attempt"), "Of an earlier attempt"),
            query(
                "tail",
                Shape::Like("^[0-9]{1,9}(B|KiB|MiB)?$"),
                To::Option("--tail"),
                "Only the last bytes, such as 64KiB",
            ),
        ])
        .of_output(),
    post::<CancelReport>("/api/jobs/{id}/cancel", &["jobs", "cancel"], "Cancels a job")
        .with(&[part("id", "The job's id")]),
];
