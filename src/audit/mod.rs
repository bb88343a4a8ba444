//! The audit trail of what is done outside the queue: who, when, what, why, and how it ended.
//!
//! (Operations on the queue have `by` and `why` in the queue's own log.)
//!
//! **Format**: `audit/log/`, an append-only log ([`crate::durable::log`]) in segments of 1 MiB that are not
//! preallocated; one record an act, a JSON object ([`Entry`]):
//!
//! ```json
//! {"at":"2026-03-01T09:30:00.000Z","by":"uid:0 root release","why":"host was replaced",
//!  "action":"release","object":"lock:web","result":"done","detail":"…"}
//! ```
//!
//! **Guarantees**: one append is one sync; an act is acknowledged only after its entry is on disk. Damage to a
//! record costs that record only. Nothing is ever removed.
//!
//! **Order**: [`Trail::open`] before the act, so that a trail that cannot be written stops it; then the act; then
//! [`Trail::record`]. A kill between the last two leaves an act without an entry, which its own files still
//! explain: a lock's metadata and a request to skip have `by` and `why` themselves.

mod actor;
mod entry;
mod findings;
mod trail;

pub use actor::Actor;
pub use entry::{Entry, Outcome};
pub(crate) use findings::{damage_findings, findings, unreadable};
pub use trail::{AuditError, Trail, TrailRead, read, record};
pub(crate) use trail::{TrailCheck, check};
