//! The number of a grant.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of a grant: higher than that of every grant of the repository before. A resource that remembers the
/// highest number that it has seen refuses a holder that lost its lock.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct FencingNumber(u64);

impl FencingNumber {
    /// As it was stored.
    pub const fn new(number: u64) -> FencingNumber {
        FencingNumber(number)
    }

    /// As it is shown and stored.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the next grant: above this one, and above `floor`.
    pub(super) fn next(self, floor: u64) -> FencingNumber {
        FencingNumber(self.0.max(floor).saturating_add(1))
    }
}

impl fmt::Display for FencingNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
