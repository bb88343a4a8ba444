//! `/openapi.json`: OpenAPI 3.1, made from the very table that requests are checked against and from the very
//! structs that answers are written from.
//!
//! - [`document`]: the whole; [`operation`]: one endpoint; [`request`]: what may be given, which is described
//!   whole, since nothing else is taken; the body of a submission is the library's (`queue::job_request_schema`).
//! - [`answer`]: what comes back. The schemas of reports are made by schemars, which reads the attributes that
//!   serde writes them by, in the form that OpenAPI 3.1 has (JSON Schema 2020-12): a member is required when it
//!   is always there, and `null` is said where it may be. Reports may get more members.
//! - [`beside`]: what is beside the table.
//!
//! `docs/openapi.json` is the snapshot; `tests/http/described.rs` holds real answers against it.

mod answer;
mod document;
mod fixed_routes;
mod operation;
mod request;

pub(super) use document::description;
