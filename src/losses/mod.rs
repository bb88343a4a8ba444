//! What was acknowledged and cannot be brought back: the losses are kept by name until somebody acknowledges
//! them.
//!
//! **Format**: `recovery/losses.json`, one line of JSON with a checksum (as every sealed file), replaced as a whole by
//! the holder of `recovery/losses.lock`:
//!
//! ```json
//! {"version":2,"checksum":"5f1c09aa","losses":[{"id":"7f3a91c2","code":"job-lost","object":"job:payroll",
//!  "sentence":"…","first_seen":"2026-03-01T09:30:00.000Z","last_seen":"2026-03-01T09:30:00.000Z",
//!  "found_by":"daemon","acknowledged":{"at":"…","by":"uid:0 root findings","reason":"submitted again"}}],
//!  "marks":{"audit":12,"webhooks":40},
//!  "mutes":[{"code":"webhook-parked","object":null,"until":"…","by":"…","reason":null}]}
//! ```
//!
//! `marks` are the numbers of the last records that logs had when somebody looked: a log that ends before its mark has
//! lost records, even where nothing is left of it.
//!
//! **Guarantees**: A loss is on disk before the evidence of it leaves its place. It is reported over
//! restarts, recoveries, checkpoints and prunes until it is acknowledged. The newest `KEPT` acknowledged
//! losses stay known. A file that cannot be understood goes to quarantine and is itself a loss.

mod check;
mod ledger;

pub use check::LossCheck;
pub(crate) use check::{acknowledged, as_known, is_known, open};
pub use ledger::{Found, Loss, Losses, LossesError, Mute, acknowledge, mute, record, unmute};
