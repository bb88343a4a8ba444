//! The number of a claim, and the boots in which claims were made.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::system::Host;

/// A claim, named by the sequence number of its record. A later claim is greater than every earlier one. The
/// default, 0, is no record's number.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Claim(u64);

impl Claim {
    /// The claim that the record of this number made.
    pub const fn of_record(seq: u64) -> Claim {
        Claim(seq)
    }

    /// The sequence number of its record.
    pub const fn seq(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Claim {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Claim, ParseIntError> {
        text.parse().map(Claim)
    }
}

/// The boots in which claims were made, each of them once in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct ClaimHosts(Vec<Arc<Host>>);

impl ClaimHosts {
    /// The same host, shared with the jobs that name it already.
    pub(super) fn share(&mut self, host: Arc<Host>) -> Arc<Host> {
        if let Some(known) = self.0.iter().rev().find(|known| **known == host) {
            return known.clone();
        }
        self.0.push(host.clone());
        host
    }
}
