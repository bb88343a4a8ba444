//! Explains why something is an orphan or is not: makes every check again. Changes nothing.

use super::candidate::{Candidate, Check, OrphanKind, OrphanTarget};
use super::execute::{checks_again, size_of};
use super::saved::plan;
use super::scan_context::ScanContext;
use crate::durable::DiskError;
use crate::locks::JobLivenessOf;
use crate::state::Timestamp;
use crate::system::docker::{DockerKind, DockerObject};

/// How many characters of an engine's id name an object, as the engine's own tool prints them.
const SHORT_ID: usize = 12;

/// The thing in question.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// A candidate of the last scan, by its id.
    Candidate(&'a str),
    /// Something of a kind: as in [`Candidate::object`], or an object of the engine by its id or name.
    Object(OrphanKind, &'a str),
}

/// Why no explanation can be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ExplainError {
    /// The last scan does not name it, and the engine, which would know it, does not answer.
    #[error("whether there is such an object is not known: {0}")]
    Engine(String),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// An explanation.
#[derive(Debug, Clone)]
pub(crate) struct Explained {
    /// The thing with its present checks; without checks when it is gone.
    pub candidate: Candidate,
    /// Whether it exists.
    pub is_there: bool,
    /// The scan that made it a candidate, and when; `None` when the last one did not.
    pub plan: Option<(String, Timestamp)>,
}

/// Searches the last scan's candidates and the engine's objects, and judges what it finds by `world`. Returns
/// `None` when there is no such thing.
pub(crate) fn explain(
    world: &ScanContext<'_>,
    job_liveness: &JobLivenessOf<'_>,
    asked: Asked<'_>,
) -> Result<Option<Explained>, ExplainError> {
    let saved = plan(world.dir)?;
    let planned = saved.as_ref().and_then(|plan| {
        let candidate = plan.candidates.iter().find(|c| is_meant(c, asked))?;
        Some((candidate.clone(), (plan.plan_id.clone(), plan.taken_at)))
    });
    let (candidate, plan) = match (planned, asked) {
        (Some((candidate, plan)), _) => (candidate, Some(plan)),
        (None, Asked::Object(kind, name)) => match world.unplanned(kind, name)? {
            Some(candidate) => (candidate, None),
            None => return Ok(None),
        },
        (None, Asked::Candidate(_)) => return Ok(None),
    };
    let checks = match &candidate.what {
        OrphanTarget::Docker { object } => world.object_again(object).map(|(_, checks)| checks),
        _ => checks_again(world, job_liveness, &candidate, size_of(&candidate), false)?,
    };
    let is_there = checks.is_some();
    Ok(Some(Explained { candidate: candidate.judged(checks.unwrap_or_default()), is_there, plan }))
}

fn is_meant(candidate: &Candidate, asked: Asked<'_>) -> bool {
    match asked {
        Asked::Candidate(id) => candidate.id == id,
        Asked::Object(kind, _) if candidate.kind != kind => false,
        Asked::Object(_, name) => match &candidate.what {
            OrphanTarget::Docker { object } => is_named(object, name),
            _ => candidate.object.split_once(':').is_some_and(|(_, own)| own == name),
        },
    }
}

/// Whether an object has this name, or this id, whole or short.
fn is_named(object: &DockerObject, name: &str) -> bool {
    object.id == name || object.name == name || (name.len() >= SHORT_ID && object.id.starts_with(name))
}

impl ScanContext<'_> {
    /// Finds an object of the engine that the last scan did not make a candidate: it is in use, or belongs to
    /// somebody else.
    fn unplanned(&self, kind: OrphanKind, name: &str) -> Result<Option<Candidate>, ExplainError> {
        let wanted = match kind {
            OrphanKind::Container => DockerKind::Container,
            OrphanKind::Network => DockerKind::Network,
            OrphanKind::Volume => DockerKind::Volume,
            _ => return Ok(None),
        };
        let objects = self.objects().map_err(|e| ExplainError::Engine(e.to_string()))?;
        let found = objects.iter().find(|o| o.kind == wanted && is_named(o, name));
        let Some(object) = found.cloned() else { return Ok(None) };
        let age_ms = self.job_named_by(&object).and_then(|id| self.age_of_object(&object, &id));
        let id = object.id.clone();
        let candidate = Candidate::new(kind, &id, None, OrphanTarget::Docker { object });
        Ok(Some(Candidate { age_ms, ..candidate }))
    }
}

/// The conclusion from the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrphanVerdict {
    /// Every check passed: executing a plan would remove it.
    Orphan,
    /// A check protects it.
    Protected,
    /// A check could not be made, and none protects it. It is not removed.
    Unknown,
    /// It does not exist any more.
    Gone,
}

impl OrphanVerdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            OrphanVerdict::Orphan => "orphan",
            OrphanVerdict::Protected => "protected",
            OrphanVerdict::Unknown => "unknown",
            OrphanVerdict::Gone => "gone",
        }
    }
}

impl Explained {
    /// The conclusion from the checks.
    pub(crate) fn verdict(&self) -> OrphanVerdict {
        let is = |answer| move |check: &Check| check.passed == answer;
        let checks = &self.candidate.checks;
        match () {
            () if !self.is_there => OrphanVerdict::Gone,
            () if self.candidate.safe => OrphanVerdict::Orphan,
            () if checks.iter().any(is(Some(false))) => OrphanVerdict::Protected,
            () => OrphanVerdict::Unknown,
        }
    }

    /// Returns the reason against its removal: a check that protects it, or else one that could not be made.
    pub(crate) fn objection(&self) -> Option<&Check> {
        let checks = &self.candidate.checks;
        checks.iter().find(|c| c.passed == Some(false)).or_else(|| self.candidate.objection())
    }
}
