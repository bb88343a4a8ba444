//! What can be asked of the product: one file an operation, the public face of the library.
//!
//! An operation is a request, a report and what leads from one to the other ([`Operation`]). It gathers, checks, acts
//! and writes the audit entry, and knows dry runs, confirmations and what a repeated request must not do twice. Front
//! ends only carry: the command line parses into a request and renders the report, HTTP deserialises and serialises,
//! the dashboards ask for the same reports.
//!
//! To add one: a file with the request (its fields are arguments, query parameters and members of the body at once),
//! the report and `impl Operation`, and a line in [`TABLE`].

mod absent;
mod arguments;
mod context;
mod entry;
mod error;
pub mod history;
pub mod jobs;
mod page;
pub mod settings;

use entry::row;

pub use context::{Call, Context, FrontEnd, Inside, Site};
pub use entry::{Answered, Done, Entry, Method, Operation, Row};
pub use error::{
    Ending, ErrorDocument, ErrorKind, OperationError, PATH_EXPOSED, exposed, quoted, remedies, status_table,
};
pub use page::PageRequest;

/// Every operation that has an endpoint.
pub static TABLE: &[Row] = &[row::<jobs::ListJobs>()];
