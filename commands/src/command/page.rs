//! Which part of a list a command shows.

use clap::Args;
use recovery::report::page::{BadCursor, Page};

use crate::error::{CliError, ErrorKind};

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Where the last page ended, as it said
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// In the opposite order
    #[arg(long)]
    reverse: bool,
}

impl PageArgs {
    pub(crate) fn page(&self) -> Page {
        let limit = self.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Page { limit, cursor: self.cursor.clone(), reverse: self.reverse }
    }
}

impl From<BadCursor> for CliError {
    fn from(error: BadCursor) -> CliError {
        CliError::new(ErrorKind::Usage, error)
            .code("bad-cursor")
            .hint("take next_cursor from the page before, or leave --cursor out to begin anew")
    }
}
