//! `findings mute` and `findings unmute`: findings that do not count for a while.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::{Object, catalogue};
use crate::losses::{Losses, Mute, mute, unmute};
use crate::operations::prelude::*;
use crate::state::{StateDir, parse_duration};

/// Keep findings from counting for a while: they are shown, and are no reason for a state
///
/// Losses and damage cannot be muted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct MuteFindings {
    /// Findings of this code, or only those about this object, such as webhook-parked:webhook:7f3a91c2
    #[arg(value_name = "CODE[:OBJECT]", required = true)]
    pub findings: Vec<String>,
    /// For so long, such as 2h or 7d
    #[arg(id = "for", long = "for", value_name = "DURATION", value_parser = checked)]
    #[serde(rename = "for")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,3}(s|m|h|d)$"))]
    pub duration: String,
}

fn checked(text: &str) -> Result<String, crate::state::BadUnit> {
    parse_duration(text).map(|_| text.to_owned())
}

/// Let findings count again
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct UnmuteFindings {
    /// As they were muted
    #[arg(value_name = "CODE[:OBJECT]", required = true)]
    pub findings: Vec<String>,
}

/// What does not count for a while, or counts again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FindingsMute")]
#[allow(missing_docs)] // The members are the published form.
pub struct MuteReport {
    pub muted: Vec<Mute>,
    pub dry_run: bool,
}

/// A code, and the object when it is about one.
type Meant = (String, Option<Object>);

impl Operation for MuteFindings {
    type Report = MuteReport;

    const ENTRY: Entry = Entry::post(
        &["findings", "mute"],
        "/api/admin/findings/mute",
        "Keeps findings from counting for a while",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<MuteReport>, OperationError> {
        let findings = meant(&self.findings)?;
        if let Some((code, _)) = findings.iter().find(|(code, _)| catalogue::is_loss(code)) {
            let message = format!("{code} tells of a loss: it cannot be muted, only acknowledged");
            let error = OperationError::new(ErrorKind::Refused, message).code("not-to-be-muted");
            return Err(error.hint("recoveryctl findings ack ID --reason TEXT"));
        }
        let duration = parse_duration(&self.duration)
            .map_err(|e| OperationError::new(ErrorKind::Usage, e).code("bad-request"))?;
        if duration.is_zero() {
            let message = "--for needs a duration above zero, such as 2h or 7d";
            return Err(OperationError::new(ErrorKind::Usage, message).code("duration-zero"));
        }
        let dir = context.state_dir()?;
        let actor = context.actor();
        let until = dir.clock.now().plus_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        let of = |(code, object): Meant| {
            let (by, reason) = (actor.by.clone(), actor.why.clone());
            Mute { code, object, until, by, reason }
        };
        let muted: Vec<Mute> = findings.into_iter().map(of).collect();
        let dry_run = context.is_dry_run();
        if !dry_run {
            let trail = Trail::open(&dir)?;
            mute(&dir, &muted)?;
            trail.record_all(&entries(context, &dir, "mute", &muted))?;
        }
        Ok(Done::all(MuteReport { muted, dry_run }))
    }
}

impl Operation for UnmuteFindings {
    type Report = MuteReport;

    const ENTRY: Entry =
        Entry::post(&["findings", "unmute"], "/api/admin/findings/unmute", "Lets findings count again");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<MuteReport>, OperationError> {
        let findings = meant(&self.findings)?;
        let dir = context.state_dir()?;
        let dry_run = context.is_dry_run();
        let muted = if dry_run {
            let known = Losses::read(&dir)?.mutes.into_iter();
            known.filter(|m| findings.contains(&(m.code.clone(), m.object.clone()))).collect()
        } else {
            let trail = Trail::open(&dir)?;
            let gone = unmute(&dir, &context.actor().by, &findings)?;
            trail.record_all(&entries(context, &dir, "unmute", &gone))?;
            gone
        };
        if muted.is_empty() {
            let error = OperationError::new(ErrorKind::NotFound, "nothing of this is muted");
            return Err(error.code("no-such-finding"));
        }
        Ok(Done::all(MuteReport { muted, dry_run }))
    }
}

/// Codes that exist, and objects that are something.
fn meant(texts: &[String]) -> Result<Vec<Meant>, OperationError> {
    let one = |text: &String| {
        let (code, object) = match text.split_once(':') {
            Some((code, object)) => (code.to_owned(), Some(Object::from(object))),
            None => (text.clone(), None),
        };
        if catalogue::find(&code).is_none() {
            let error = OperationError::new(ErrorKind::NotFound, format!("there is no code '{code}'"));
            let hint = match catalogue::suggest(&code) {
                Some(known) => format!("did you mean '{known}'?"),
                None => "recoveryctl explain".to_owned(),
            };
            return Err(error.code("unknown-code").hint(hint));
        }
        if object.as_ref().is_some_and(|object| *object == "") {
            let message = format!("behind the colon of '{code}:' stands no object");
            return Err(OperationError::new(ErrorKind::NotFound, message).code("unknown-object"));
        }
        Ok((code, object))
    };
    texts.iter().map(one).collect()
}

/// As a mute is written: `CODE` or `CODE:OBJECT`.
pub fn named(mute: &Mute) -> String {
    match &mute.object {
        Some(object) => format!("{}:{object}", mute.code),
        None => mute.code.clone(),
    }
}

fn entries(context: &Context<'_>, dir: &StateDir, action: &str, mutes: &[Mute]) -> Vec<AuditEntry> {
    let actor = context.actor();
    let entry = |mute: &Mute| {
        let detail = format!("until {}", mute.until);
        AuditEntry::done(dir.clock.now(), &actor, action, Object::Muted(named(mute)), detail)
    };
    mutes.iter().map(entry).collect()
}
