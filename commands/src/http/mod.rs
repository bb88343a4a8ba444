//! The daemon's HTTP side: an endpoint is an operation of the library.
//!
//! What a request says (path, query, JSON body) is checked by what the operation's request takes ([`from_operation`],
//! [`endpoint`], [`request`]) and becomes that request; its report is the answer, the same that `--json` prints
//! ([`execute`]). So there is one check of what is given, one report and one code for each error; HTTP adds status,
//! headers and who asked. [`resources`] lists them.
//!
//! To add an endpoint: an operation in `src/operations/`, see CONTRIBUTING.md.
//!
//! - [`listen`]: where it listens; [`connections`]: each served one request after the other; [`places`]: whose place is
//!   whose, and when it is over; [`server`]: from its start to its end; [`shared`]: what all requests share; [`pool`]: the
//!   threads for what touches the disk.
//! - [`auth`]: who asks, and what they may; [`authority`]: for whom a request is, and which site made it.
//! - [`serving`]: one request from its head to its answer; [`body`]: how much of its body is read; [`single_flight`]: requests
//!   that ask the same share an answer that was begun after each of them came; [`response_cache`]: an answer is given again while
//!   nothing has changed; [`idempotency`]: requests that are sent again.
//! - [`command`]: an operation for a command line elsewhere (`--url`, `--socket`); its other end is `remote/`.
//! - [`page`]: the web dashboard; it asks the same endpoints as everybody else.
//!
//! Nothing that touches a disk runs on the threads that serve connections: it runs on a bounded pool.

mod answer;
mod auth;
mod authority;
mod base_path;
mod body;
mod command;
mod connections;
mod endpoint;
mod events;
mod execute;
mod feed;
mod from_operation;
mod idempotency;
mod listen;
mod metrics;
mod openapi;
mod page;
mod places;
mod pool;
mod probe_report;
mod probes;
mod problem;
mod request;
mod resources;
mod response_cache;
mod server;
mod serving;
mod shared;
mod single_flight;
mod stage;
mod watched_stream;

/// The description of all endpoints, as `/openapi.json` has it.
pub(crate) fn description() -> serde_json::Value {
    openapi::description()
}

pub(crate) use listen::{Listeners, SocketRefused, Why as WhyNoSocket};
pub(crate) use server::{HttpSettings, Server};
pub(crate) use shared::RequestLog;
pub(crate) use stage::Stage;
