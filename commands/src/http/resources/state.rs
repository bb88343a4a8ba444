//! The state directory itself.

use recovery::report::state::StateReport;

use crate::http::endpoint::{Endpoint, get};

pub(super) const ENDPOINTS: &[Endpoint] = &[get::<StateReport>(
    "/api/admin/state",
    &["state", "show"],
    "Which state directory this is, and whether it is a copy or went back in time",
)];
