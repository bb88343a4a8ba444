//! What every operation is written with.

pub(super) use schemars::JsonSchema;
pub(super) use serde::{Deserialize, Serialize};

pub(super) use super::context::Context;
pub(super) use super::entry::{Done, Entry, Method, Offer, Operation};
pub(super) use super::error::{Ending, ErrorKind, OperationError};
pub(super) use super::page::PageRequest;

/// Requests that say nothing, or only which part of a list is wanted.
macro_rules! plain_requests {
    ($($(#[$about:meta])* $name:ident $(in $pages:ident)?;)*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema, clap::Args)]
        pub struct $name {
            $(
                /// Which part of the list
                #[command(flatten)]
                #[serde(flatten)]
                pub $pages: $crate::operations::PageRequest,
            )?
        }
    )*};
}
pub(super) use plain_requests;
