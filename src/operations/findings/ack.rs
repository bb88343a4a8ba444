//! `findings ack`: that something is lost is told no more.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::Finding;
use crate::losses::{LossCheck, Losses, acknowledged};
use crate::operations::jobs::ids::{NotUnique, unique};
use crate::operations::prelude::*;
use crate::operations::status::status_of;
use crate::state::Word;

/// Acknowledge that something is lost: it is told no more
///
/// What is lost is told over restarts, recoveries and checkpoints until it is acknowledged. A reason must be given; it
/// stays in the list (`recoveryctl findings --acknowledged`) and in the audit trail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct AckFindings {
    /// The findings, by their ids
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// All losses that are told now
    #[arg(long, conflicts_with = "ids")]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(skip)]
    pub all: bool,
}

/// What was acknowledged.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FindingsAck")]
#[allow(missing_docs)] // The members are the published form.
pub struct AckReport {
    pub acknowledged: Vec<Finding>,
    pub refused: Vec<RefusedFinding>,
    pub dry_run: bool,
}

/// A finding that was not.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RefusedFinding {
    pub id: String,
    pub code: Word,
    pub detail: String,
}

const NO_SUCH: &str = "no-such-finding";

impl Operation for AckFindings {
    type Report = AckReport;

    const ENTRY: Entry = Entry::post(
        &["findings", "ack"],
        "/api/admin/findings/ack",
        "Acknowledges that something is lost: it is told no more",
    )
    .with_reason();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<AckReport>, OperationError> {
        let Some(reason) = context.reason().map(str::to_owned).filter(|reason| !reason.trim().is_empty())
        else {
            let error = OperationError::new(ErrorKind::Usage, "a loss is acknowledged with a reason");
            return Err(error.code("reason-missing").hint("recoveryctl findings ack ID --reason TEXT"));
        };
        let status = status_of(context)?;
        let dir = context.state_dir()?;
        let before = acknowledged(&Losses::read(&dir)?);
        let look = LossCheck::take(&dir, &Losses::read(&dir)?).with(&status.findings);
        let dry_run = context.is_dry_run();
        let (meant, refused) = match self.all {
            true => (status.findings.iter().filter(|f| f.tells_of_loss()).collect(), Vec::new()),
            false => sorted(&self.ids, &status.findings, &before),
        };
        if self.all && !dry_run && !meant.is_empty() {
            context.confirm(&match meant.len() {
                1 => "1 loss will not be reported any more; acknowledge it?".to_owned(),
                n => format!("{n} losses will not be reported any more; acknowledge them all?"),
            })?;
        }
        let acknowledged = if dry_run || meant.is_empty() {
            meant.into_iter().cloned().collect()
        } else {
            let (trail, actor) = (Trail::open(&dir)?, context.actor());
            let ids: Vec<String> = meant.iter().map(|finding| finding.id.clone()).collect();
            let done = look.acknowledge(&dir, &ids, (&actor.by, &reason))?;
            let entry = |f: &Finding| {
                let detail = format!("{} ({}): {}", f.id, f.code, f.sentence);
                AuditEntry::done(dir.clock.now(), &actor, "acknowledge", f.object.clone(), detail)
            };
            trail.record_all(&done.iter().map(entry).collect::<Vec<_>>())?;
            done
        };
        if let (Some(first), true) = (refused.first(), acknowledged.is_empty()) {
            let kind = if first.code == NO_SUCH { ErrorKind::NotFound } else { ErrorKind::Refused };
            let message = format!("{}: {}", first.id, first.detail);
            return Err(OperationError::new(kind, message)
                .code(first.code.to_string())
                .hint("recoveryctl findings"));
        }
        let is_whole = refused.is_empty();
        Ok(Done::complete_if(is_whole, AckReport { acknowledged, refused, dry_run }))
    }
}

/// Those that can be acknowledged, and why the others cannot.
fn sorted<'a>(
    ids: &[String],
    findings: &'a [Finding],
    acknowledged: &[Finding],
) -> (Vec<&'a Finding>, Vec<RefusedFinding>) {
    let (mut meant, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        let refuse = |code, detail: String| RefusedFinding { id: id.clone(), code: Word::from(code), detail };
        let known = findings.iter().map(|finding| finding.id.as_str());
        let found = match unique(known, id) {
            Ok(whole) => findings.iter().find(|finding| finding.id == whole),
            Err(NotUnique::Several(ids)) => {
                let detail = format!("it begins several ids: {}", ids.join(", "));
                refused.push(refuse("ambiguous-finding", detail));
                continue;
            }
            Err(NotUnique::Nothing) => None,
        };
        match found {
            Some(finding) if finding.tells_of_loss() => meant.push(finding),
            Some(finding) => {
                let detail = format!(
                    "this is no loss, and is told as long as it is so; to silence it: recoveryctl findings mute {} \
                     --for 1d",
                    finding.code
                );
                refused.push(refuse("not-a-loss", detail));
            }
            None if acknowledged.iter().any(|finding| finding.id == *id) => {
                refused.push(refuse("acknowledged-before", "it has already been acknowledged".to_owned()));
            }
            None => refused.push(refuse(NO_SUCH, "there is no finding with this id".to_owned())),
        }
    }
    (meant, refused)
}
