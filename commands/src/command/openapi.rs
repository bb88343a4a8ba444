//! `openapi`: the description of the daemon's HTTP side.

use clap::Args;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::http::description;

/// Print the OpenAPI description of the daemon's HTTP side, to make clients from
#[derive(Debug, Args)]
pub(crate) struct OpenapiArgs {}

pub(crate) fn cmd_openapi(context: &mut Context, _args: &OpenapiArgs) -> Result<Ending, CliError> {
    let description = description();
    if context.output.is_json() {
        context.output.report(&description, |_| {});
    } else {
        let text = serde_json::to_string_pretty(&description).unwrap_or_default();
        context.output.bytes(format!("{text}\n").as_bytes());
    }
    Ok(Ending::Done)
}
