//! `findings`: what an operator should know, as a list; `findings ack`, `findings mute`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use recovery::audit::{Entry, Trail};
use recovery::findings::{Finding, Object, Severity, catalogue};
use recovery::losses::{LossCheck, acknowledged};
use recovery::losses::{Losses, Mute, mute, unmute};
use recovery::report::findings::{FindingFilter, FindingGroup, FindingList};
use recovery::state::{StateDir, parse_duration};
use schemars::JsonSchema;
use serde::Serialize;

use crate::command::page::PageArgs;
use crate::command::status::status_of;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use recovery::operations::jobs::ids::{NotUnique, unique};

/// Show what an operator should know, the worst first
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct FindingsArgs {
    #[command(subcommand)]
    word: Option<FindingsWord>,
    /// At least so bad
    #[arg(long, value_name = "SEVERITY", value_parser = PossibleValuesParser::new(
        ["info", "warning", "error", "critical"]
    ))]
    severity: Option<String>,
    /// Only of this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only about this object, such as lock:web, or about objects of this kind, such as job
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// By code, with how many there are of each
    #[arg(long)]
    group: bool,
    /// The losses that were acknowledged, the newest first
    #[arg(long)]
    acknowledged: bool,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Subcommand)]
enum FindingsWord {
    /// Acknowledge that something is lost: it is told no more
    Ack(AckArgs),
    /// Keep findings from counting for a while: they are shown, and are no reason for a state
    Mute(MuteArgs),
    /// Let findings count again
    Unmute(UnmuteArgs),
}

/// What is lost is told over restarts, recoveries and checkpoints until it is acknowledged. A reason must be given; it
/// stays in the list (`recoveryctl findings --acknowledged`) and in the audit trail.
#[derive(Debug, Args)]
struct AckArgs {
    /// The findings, by their ids
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All losses that are told now
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

/// Losses and damage cannot be muted.
#[derive(Debug, Args)]
struct MuteArgs {
    /// Findings of this code, or only those about this object, such as webhook-parked:webhook:7f3a91c2
    #[arg(value_name = "CODE[:OBJECT]", required = true, value_parser = meant)]
    findings: Vec<Meant>,
    /// For so long, such as 2h or 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Duration,
}

#[derive(Debug, Args)]
struct UnmuteArgs {
    /// As they were muted
    #[arg(value_name = "CODE[:OBJECT]", required = true, value_parser = meant)]
    findings: Vec<Meant>,
}

/// A code, and the object when it is about one.
type Meant = (String, Option<Object>);

fn meant(text: &str) -> Result<Meant, String> {
    Ok(match text.split_once(':') {
        Some((code, object)) => (code.to_owned(), Some(object.into())),
        None => (text.to_owned(), None),
    })
}

/// That all of these are codes, and the objects something.
fn check(findings: &[Meant]) -> Result<(), CliError> {
    for (code, object) in findings {
        if catalogue::find(code).is_none() {
            let error = CliError::new(ErrorKind::NotFound, format!("there is no code '{code}'"));
            let error = error.code("unknown-code");
            return Err(match catalogue::suggest(code) {
                Some(known) => error.hint(format!("did you mean '{known}'?")),
                None => error.hint("recoveryctl explain"),
            });
        }
        if object.as_ref().is_some_and(|object| *object == "") {
            let message = format!("behind the colon of '{code}:' stands no object");
            return Err(CliError::new(ErrorKind::NotFound, message).code("unknown-object"));
        }
    }
    Ok(())
}

impl FindingsArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        self.word.is_some()
    }
}

pub(crate) fn cmd_findings(context: &mut Context, args: &FindingsArgs) -> Result<Ending, CliError> {
    match &args.word {
        Some(FindingsWord::Ack(args)) => acknowledge(context, args),
        Some(FindingsWord::Mute(args)) => cmd_mute(context, args),
        Some(FindingsWord::Unmute(args)) => cmd_unmute(context, args),
        None => list(context, args),
    }
}

fn list(context: &mut Context, args: &FindingsArgs) -> Result<Ending, CliError> {
    let all = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
    let severity = all.into_iter().find(|s| args.severity.as_deref() == Some(s.as_str()));
    let (code, object) = (args.code.clone(), args.object.clone());
    let filter = FindingFilter { severity, code, object, is_grouped: args.group };
    let findings = match args.acknowledged {
        true => acknowledged(&Losses::read(&context.state_dir()?)?),
        false => status_of(context)?.findings,
    };
    let report = FindingList::new(findings, &filter, &args.page.page())?;
    context.output.report(&report, |text| match &report.groups {
        Some(groups) => {
            for FindingGroup { code, severity, count, sample, next } in groups {
                text.line(format!("{severity}: {count} × {code}, such as {sample}"));
                next.iter().for_each(|next| text.line(format!("  next: {next}")));
            }
        }
        None => text.findings(&report.findings),
    });
    if report.total == 0 {
        context.output.note("nothing was found");
    }
    Ok(Ending::Done)
}

/// What was acknowledged.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FindingsAck")]
pub(crate) struct AckReport {
    acknowledged: Vec<Finding>,
    refused: Vec<RefusedFinding>,
    dry_run: bool,
}

/// A finding that was not.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RefusedFinding {
    id: String,
    code: &'static str,
    detail: String,
}

fn acknowledge(context: &mut Context, args: &AckArgs) -> Result<Ending, CliError> {
    let Some(reason) = context.globals().reason.clone().filter(|reason| !reason.trim().is_empty()) else {
        let error = CliError::new(ErrorKind::Usage, "a loss is acknowledged with a reason");
        return Err(error.code("reason-missing").hint("recoveryctl findings ack ID --reason TEXT"));
    };
    let status = status_of(context)?;
    let dir = context.state_dir()?;
    let before = acknowledged(&Losses::read(&dir)?);
    let look = LossCheck::take(&dir, &Losses::read(&dir)?).with(&status.findings);
    let dry_run = context.is_dry_run();
    let (meant, refused) = match args.all {
        true => (status.findings.iter().filter(|f| f.tells_of_loss()).collect(), Vec::new()),
        false => sorted(&args.ids, &status.findings, &before),
    };
    if args.all && !dry_run && !meant.is_empty() {
        context.confirm(&format!("{} losses are told no more; acknowledge them all?", meant.len()))?;
    }
    let acknowledged = if dry_run || meant.is_empty() {
        meant.into_iter().cloned().collect()
    } else {
        let trail = Trail::open(&dir)?;
        let actor = context.actor();
        let ids: Vec<String> = meant.iter().map(|finding| finding.id.clone()).collect();
        let done = look.acknowledge(&dir, &ids, (&actor.by, &reason))?;
        let entries: Vec<Entry> = done
            .iter()
            .map(|f| {
                let detail = format!("{} ({}): {}", f.id, f.code, f.sentence);
                Entry::done(dir.clock.now(), &actor, "acknowledge", f.object.clone(), detail)
            })
            .collect();
        trail.record_all(&entries)?;
        done
    };
    if let (Some(first), true) = (refused.first(), acknowledged.is_empty()) {
        let kind = if first.code == NO_SUCH { ErrorKind::NotFound } else { ErrorKind::Refused };
        let error = CliError::new(kind, format!("{}: {}", first.id, first.detail)).code(first.code);
        return Err(error.hint("recoveryctl findings"));
    }
    let report = AckReport { acknowledged, refused, dry_run };
    context.output.report(&report, |text| {
        let would = if report.dry_run { "would be acknowledged" } else { "acknowledged" };
        for f in &report.acknowledged {
            text.line(format!("{} {would}: {}: {}", f.id, f.object, f.sentence));
        }
        for refused in &report.refused {
            text.line(format!("{}: {}", refused.id, refused.detail));
        }
    });
    Ok(if report.refused.is_empty() { Ending::Done } else { Ending::Degraded })
}

const NO_SUCH: &str = "no-such-finding";

/// Those that can be acknowledged, and why the others cannot.
fn sorted<'a>(
    ids: &[String],
    findings: &'a [Finding],
    acknowledged: &[Finding],
) -> (Vec<&'a Finding>, Vec<RefusedFinding>) {
    let (mut meant, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        let refuse = |code, detail: String| RefusedFinding { id: id.clone(), code, detail };
        let known = findings.iter().map(|finding| finding.id.as_str());
        let found = match unique(known, id) {
            Ok(whole) => findings.iter().find(|finding| finding.id == whole),
            Err(NotUnique::Several(ids)) => {
                refused
                    .push(refuse("ambiguous-finding", format!("it begins several ids: {}", ids.join(", "))));
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

/// What does not count for a while, or counts again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FindingsMute")]
pub(crate) struct MuteReport {
    muted: Vec<Mute>,
    dry_run: bool,
}

fn cmd_mute(context: &mut Context, args: &MuteArgs) -> Result<Ending, CliError> {
    check(&args.findings)?;
    if let Some((code, _)) = args.findings.iter().find(|(code, _)| catalogue::is_loss(code)) {
        let message = format!("{code} tells of a loss: it cannot be muted, only acknowledged");
        let error = CliError::new(ErrorKind::Refused, message).code("not-to-be-muted");
        return Err(error.hint("recoveryctl findings ack ID --reason TEXT"));
    }
    if args.duration.is_zero() {
        let error = CliError::new(ErrorKind::Usage, "--for needs a duration above zero, such as 2h or 7d");
        return Err(error.code("duration-zero"));
    }
    let dir = context.state_dir()?;
    let actor = context.actor();
    let ms = i64::try_from(args.duration.as_millis()).unwrap_or(i64::MAX);
    let until = dir.clock.now().plus_millis(ms);
    let of = |(code, object): &Meant| Mute {
        code: code.clone(),
        object: object.clone(),
        until,
        by: actor.by.clone(),
        reason: actor.why.clone(),
    };
    let muted: Vec<Mute> = args.findings.iter().map(of).collect();
    let dry_run = context.is_dry_run();
    if !dry_run {
        let trail = Trail::open(&dir)?;
        mute(&dir, &muted)?;
        trail.record_all(&entries(context, &dir, "mute", &muted))?;
    }
    let report = MuteReport { muted, dry_run };
    context.output.report(&report, |text| {
        for mute in &report.muted {
            let would = if report.dry_run { "would not count" } else { "does not count" };
            text.line(format!("{} {would} until {}", named(mute), mute.until));
        }
    });
    Ok(Ending::Done)
}

fn cmd_unmute(context: &mut Context, args: &UnmuteArgs) -> Result<Ending, CliError> {
    check(&args.findings)?;
    let dir = context.state_dir()?;
    let actor = context.actor();
    let dry_run = context.is_dry_run();
    let muted = if dry_run {
        let known = Losses::read(&dir)?.mutes.into_iter();
        known.filter(|m| args.findings.contains(&(m.code.clone(), m.object.clone()))).collect()
    } else {
        let trail = Trail::open(&dir)?;
        let gone = unmute(&dir, &actor.by, &args.findings)?;
        trail.record_all(&entries(context, &dir, "unmute", &gone))?;
        gone
    };
    if muted.is_empty() {
        return Err(CliError::new(ErrorKind::NotFound, "nothing of this is muted").code(NO_SUCH));
    }
    let report = MuteReport { muted, dry_run };
    context.output.report(&report, |text| {
        for mute in &report.muted {
            let would = if report.dry_run { "would count" } else { "counts" };
            text.line(format!("{} {would} again", named(mute)));
        }
    });
    Ok(Ending::Done)
}

fn named(mute: &Mute) -> String {
    match &mute.object {
        Some(object) => format!("{}:{object}", mute.code),
        None => mute.code.clone(),
    }
}

fn entries(context: &Context, dir: &StateDir, action: &str, mutes: &[Mute]) -> Vec<Entry> {
    let actor = context.actor();
    let entry = |mute: &Mute| {
        let detail = format!("until {}", mute.until);
        Entry::done(dir.clock.now(), &actor, action, Object::Muted(named(mute)), detail)
    };
    mutes.iter().map(entry).collect()
}
