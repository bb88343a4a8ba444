//! Startups.

use recovery::report::recovery::RetryReport;

use crate::http::endpoint::{Endpoint, Shape, To, member, post, required};

pub(super) const ENDPOINTS: &[Endpoint] = &[post::<RetryReport>(
    "/api/admin/startup/retry",
    &["retry", "phase"],
    "Tries a component again, and what waits for it",
)
.with(&[required(member("component", Shape::Text, To::Words, "The phase"))])
.while_recovering()];
