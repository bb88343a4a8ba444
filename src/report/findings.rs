//! The findings of the status, as a list.

use schemars::JsonSchema;
use serde::Serialize;

use super::finding::{Finding, Severity};
use super::page::{BadCursor, Page, cut_counted};

/// Which findings.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// At least so bad.
    pub severity: Option<Severity>,
    /// Of this code.
    pub code: Option<String>,
    /// About this object, or about objects of this kind.
    pub object: Option<String>,
}

/// The findings, the worst first.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct FindingList {
    pub findings: Vec<Finding>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl FindingList {
    /// Those of these that fit.
    ///
    /// # Errors
    /// [`BadCursor`].
    pub fn new(all: Vec<Finding>, filter: &FindingFilter, page: &Page) -> Result<FindingList, BadCursor> {
        let fits = |f: &Finding| {
            let kind = f.object.split_once(':').map(|(kind, _)| kind);
            filter.severity.is_none_or(|least| f.severity >= least)
                && filter.code.as_ref().is_none_or(|code| f.code == **code)
                && filter.object.as_deref().is_none_or(|o| f.object == o || kind == Some(o))
        };
        let wanted: Vec<Finding> = all.into_iter().filter(fits).collect();
        let total = wanted.len() as u64;
        let (findings, next_cursor) = cut_counted(wanted, page)?;
        Ok(FindingList { findings, total, next_cursor })
    }
}
