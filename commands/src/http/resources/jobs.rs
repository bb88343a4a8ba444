//! Jobs.

use crate::command::submit::SubmitReport;
use crate::http::endpoint::{Act, Endpoint, post};

pub(super) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    act: Act::Submit,
    ..post::<SubmitReport>("/api/jobs", &[], "A job enters the queue, durably")
}];
