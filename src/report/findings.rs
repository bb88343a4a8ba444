//! Lists the findings of the status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{BadCursor, Page, cut_counted};
use crate::findings::{Finding, Severity};

/// Selects findings.
#[derive(Debug, Clone, Default)]
pub(crate) struct FindingFilter {
    /// Only findings with at least this severity.
    pub severity: Option<Severity>,
    /// Only findings with this code.
    pub code: Option<String>,
    /// Only findings about this object, or about objects of this kind.
    pub object: Option<String>,
    /// Whether to group the findings by code, too.
    pub is_grouped: bool,
}

/// The findings, the worst first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct FindingList {
    pub findings: Vec<Finding>,
    /// All of them by code, the worst first; only when that is asked for.
    pub groups: Option<Vec<FindingGroup>>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// Findings of one code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct FindingGroup {
    pub code: String,
    /// The worst of them.
    pub severity: Severity,
    pub count: u64,
    /// One of them, in words.
    pub sample: String,
    /// The command that deals with it; where there are several, the one that lists them.
    pub next: Option<String>,
}

fn grouped(findings: &[Finding]) -> Vec<FindingGroup> {
    let mut groups: Vec<FindingGroup> = Vec::new();
    for finding in findings {
        match groups.iter_mut().find(|group| group.code == *finding.code) {
            Some(group) => {
                group.count += 1;
                // The command that deals with one of them does not deal with all.
                group.next = Some(format!("recoveryctl findings --code {}", group.code));
                group.severity = group.severity.max(finding.severity);
            }
            None => groups.push(FindingGroup {
                code: finding.code.to_string(),
                severity: finding.severity,
                count: 1,
                sample: format!("{}: {}", finding.object, finding.sentence),
                next: finding.next.clone(),
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.severity));
    groups
}

impl FindingList {
    /// Selects those findings that match the filter.
    pub(crate) fn new(
        all: Vec<Finding>,
        filter: &FindingFilter,
        page: &Page,
    ) -> Result<FindingList, BadCursor> {
        let fits = |f: &Finding| {
            filter.severity.is_none_or(|least| f.severity >= least)
                && filter.code.as_ref().is_none_or(|code| f.code == **code)
                && filter.object.as_deref().is_none_or(|o| f.object.is_about(o))
        };
        let wanted: Vec<Finding> = all.into_iter().filter(fits).collect();
        let total = wanted.len() as u64;
        let groups = filter.is_grouped.then(|| grouped(&wanted));
        let (findings, next_cursor) = cut_counted(wanted, page)?;
        Ok(FindingList { findings, groups, total, next_cursor })
    }
}
