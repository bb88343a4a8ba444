//! Which part of a list: fields that every request for a list has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::page::Page;

/// Which part of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct PageRequest {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
    /// Where the page before ended: what its next_cursor said
    #[arg(long, value_name = "CURSOR")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,12}\.[0-9]{1,9}$"))]
    pub cursor: Option<String>,
    /// In the opposite order
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
}

impl PageRequest {
    /// The part.
    pub(crate) fn page(&self) -> Page {
        let limit = self.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Page { limit, cursor: self.cursor.clone(), reverse: self.reverse }
    }
}
