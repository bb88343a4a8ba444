//! The number of a claim.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
