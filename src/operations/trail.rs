//! `audit`: who changed what, when and why.

use super::prelude::*;
use crate::report::audit::{AuditFilter, AuditReport};
use crate::state::{Timestamp, parse_duration};

/// Show who changed what, when and why
///
/// The newest first, out of the audit trail and the queue's own log. Ends with 3 when the trail is damaged.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct AuditRequest {
    /// Not before this time, such as 2026-03-01T09:30:00Z, or so long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = checked)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = SINCE))]
    pub since: Option<String>,
    /// Only what was done by somebody or something of which this is a part
    #[arg(long, value_name = "TEXT")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Only what was done to this object, such as lock:web, or to objects of this kind, such as job
    #[arg(long, value_name = "OBJECT")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Only this action, such as release
    #[arg(long, value_name = "ACTION")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Also what daemons and supervisors record about jobs
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

/// A duration, or a time of RFC 3339.
const SINCE: &str = "^(0|[0-9]{1,5}(ms|s|m|h|d)|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$";

fn checked(text: &str) -> Result<String, &'static str> {
    since(text, Timestamp::default()).map(|_| text.to_owned()).ok_or("neither a time nor a duration")
}

fn since(text: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = |ago: std::time::Duration| now.plus_millis(-i64::try_from(ago.as_millis()).unwrap_or(i64::MAX));
    text.parse().ok().or_else(|| parse_duration(text).ok().map(ago))
}

impl Operation for AuditRequest {
    type Report = AuditReport;

    const ENTRY: Entry = Entry::get(&["audit"], "/api/admin/audit", "Who changed what, when and why");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<AuditReport>, OperationError> {
        let dir = context.state_dir()?;
        let not_before = |text: &String| {
            since(text, dir.clock.now()).ok_or_else(|| {
                let message = format!("'{text}' is neither a time nor a duration");
                OperationError::new(ErrorKind::Usage, message).hint("such as 2h, or 2026-03-01T09:30:00Z")
            })
        };
        let filter = AuditFilter {
            since: self.since.as_ref().map(not_before).transpose()?,
            by: self.by.clone(),
            object: self.object.clone(),
            action: self.action.clone(),
            all: self.all,
        };
        let report = AuditReport::read(&dir, &filter, &self.page.page())?;
        Ok(Done::complete_if(report.findings.is_empty(), report))
    }
}
