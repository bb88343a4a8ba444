//! A candidate, its checks, and the plan that holds them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::durable::tree::TreeIdentity;
use crate::findings::{Finding, Object, catalogue};
use crate::queue::JobId;
use crate::state::{Timestamp, human};
use crate::system::ProcessIdentity;
use crate::system::docker::DockerObject;

/// The kind of an orphan.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, VariantArray,
)]
#[serde(rename_all = "snake_case")]
pub enum OrphanKind {
    /// A workspace whose job the queue does not know.
    JobDirectory,
    /// A half-made folder.
    StagingDirectory,
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A repository lock whose holder is gone.
    Lock,
    /// A sentinel of a job other than the one whose folder it is in.
    Sentinel,
    /// A code index of a job that succeeded.
    Index,
    /// A temporary file that no process is writing.
    TemporaryFile,
    /// A process that bears the mark of a job that the queue does not know.
    Process,
}

impl OrphanKind {
    /// All kinds, in the order in which they are scanned. When a plan is executed, processes go first.
    pub const ALL: &[OrphanKind] = <OrphanKind as VariantArray>::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        match self {
            OrphanKind::JobDirectory => "job_directory",
            OrphanKind::StagingDirectory => "staging_directory",
            OrphanKind::Container => "container",
            OrphanKind::Network => "network",
            OrphanKind::Volume => "volume",
            OrphanKind::Lock => "lock",
            OrphanKind::Sentinel => "sentinel",
            OrphanKind::Index => "index",
            OrphanKind::TemporaryFile => "temporary_file",
            OrphanKind::Process => "process",
        }
    }

    /// Returns the kind for a word.
    pub(crate) fn of(word: &str) -> Option<OrphanKind> {
        OrphanKind::ALL.iter().copied().find(|k| k.as_str() == word)
    }

    /// Returns the place of the kind in a plan's execution: things that use others come first.
    pub(super) const fn rank(self) -> u8 {
        match self {
            OrphanKind::Process => 0,
            OrphanKind::Container => 1,
            OrphanKind::Network => 2,
            OrphanKind::Volume => 3,
            _ => 4,
        }
    }
}

/// A safety check: the question, the result, and its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrphanCheck")]
pub struct Check {
    /// Its stable name.
    pub check: Cow<'static, str>,
    /// `null` when it could not be made.
    pub passed: Option<bool>,
    /// The observation.
    pub evidence: Cow<'static, str>,
}

impl Check {
    pub(super) fn new(
        check: &'static str,
        passed: Option<bool>,
        evidence: impl Into<Cow<'static, str>>,
    ) -> Check {
        Check { check: check.into(), passed, evidence: evidence.into() }
    }

    pub(super) fn is(check: &'static str, passed: bool, evidence: impl Into<Cow<'static, str>>) -> Check {
        Check::new(check, Some(passed), evidence)
    }
}

/// The candidate, by its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "target")]
#[allow(clippy::large_enum_variant)] // A plan has few of them, and most are objects of the engine.
pub enum OrphanTarget {
    /// A folder or file in the state directory.
    Tree {
        /// The identity of the folder or file.
        identity: TreeIdentity,
        /// The job that its name refers to.
        job: Option<JobId>,
    },
    /// An object of the container engine.
    Docker {
        /// The object as the engine listed it.
        object: DockerObject,
    },
    /// A repository lock.
    Lock {
        /// The locked repository.
        repository: String,
        /// The id of the grant.
        lock_id: Option<String>,
    },
    /// A temporary file; its lock says whether a process is writing it.
    Temporary,
    /// A process.
    Process {
        process: ProcessIdentity,
        /// The job whose mark the process bears.
        job: String,
    },
}

/// Something that may be an orphan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its id in plans: the same thing has the same id in every scan.
    pub id: String,
    /// Its kind.
    pub kind: OrphanKind,
    /// `job_directory:NAME`, `container:ID`, …
    pub object: String,
    /// Its path, if it is a file or folder.
    pub path: Option<PathBuf>,
    /// Its disk space in bytes, as far as is known.
    pub bytes: u64,
    /// How long ago it last changed, in milliseconds.
    pub age_ms: Option<i64>,
    /// Whether every check passed.
    pub safe: bool,
    /// The checks made.
    pub checks: Vec<Check>,
    /// What it is, by its identity.
    pub what: OrphanTarget,
}

impl Candidate {
    pub(super) fn new(kind: OrphanKind, name: &str, path: Option<PathBuf>, what: OrphanTarget) -> Candidate {
        let object = format!("{}:{name}", kind.as_str());
        let identity = serde_json::to_string(&*what_it_is(&what)).unwrap_or_default();
        let id =
            format!("{:08x}{:08x}", crc32fast::hash(object.as_bytes()), crc32fast::hash(identity.as_bytes()));
        Candidate { id, kind, object, path, bytes: 0, age_ms: None, safe: false, checks: Vec::new(), what }
    }

    /// Returns every check that was made, with its result and observation.
    pub(crate) fn evidence(&self) -> Vec<String> {
        let answer = |passed| match passed {
            Some(true) => "passed",
            Some(false) => "failed",
            None => "unknown",
        };
        self.checks.iter().map(|c| format!("{} {}: {}", c.check, answer(c.passed), c.evidence)).collect()
    }

    pub(super) fn judged(mut self, checks: Vec<Check>) -> Candidate {
        self.safe = checks.iter().all(|c| c.passed == Some(true));
        self.checks = checks;
        self
    }

    /// Returns the first check that did not pass.
    pub(crate) fn objection(&self) -> Option<&Check> {
        self.checks.iter().find(|c| c.passed != Some(true))
    }

    /// Returns the finding about the candidate: a safe one should be looked at; a protected one only if an
    /// operator must find out why.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let object = Object::Orphan(self.id.clone());
        let name = &self.object;
        match self.objection() {
            None => {
                let sentence = format!("{name} belongs to no job any more ({})", human::size(self.bytes));
                Some(Finding::new(&catalogue::ORPHAN_FOUND, object, sentence))
            }
            Some(check) if check.passed.is_none() => {
                let sentence = format!("{name}: {} cannot be told: {}", check.check, check.evidence);
                Some(Finding::new(&catalogue::ORPHAN_UNKNOWN, object, sentence))
            }
            Some(check) if check.check == "no-mount" => {
                let sentence = format!("{name}: {}", check.evidence);
                let finding = Finding::new(&catalogue::MOUNT_IN_WORKSPACE, object, sentence);
                Some(finding.with_next("recoveryctl scan"))
            }
            Some(_) => None,
        }
    }
}

/// Returns what names the candidate. For an object of the engine, that is only what does not change with its
/// state.
fn what_it_is(what: &OrphanTarget) -> Cow<'_, OrphanTarget> {
    match what {
        OrphanTarget::Docker { object } => {
            let object = DockerObject { state: None, mounts: Vec::new(), ..object.clone() };
            Cow::Owned(OrphanTarget::Docker { object })
        }
        other => Cow::Borrowed(other),
    }
}

/// The result of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanPlan {
    /// The id of this plan.
    pub plan_id: String,
    /// When the scan began.
    pub taken_at: Timestamp,
    /// How many things of each kind were examined.
    pub scanned: BTreeMap<OrphanKind, u64>,
    /// The candidates, the largest first.
    pub candidates: Vec<Candidate>,
    /// Other findings. The findings about candidates are derived from the candidates.
    pub damage: Vec<Finding>,
    /// The findings that earlier scans reported, by code and object. Present when this plan's findings were
    /// not reported, because a recovery or a daemon made it; `None` when they were reported.
    pub told: Option<BTreeSet<(String, Object)>>,
}

impl OrphanPlan {
    /// Returns all findings: the other ones, and those about the candidates.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.damage.iter().cloned().chain(self.candidates.iter().filter_map(Candidate::finding)).collect()
    }

    /// Returns the findings that the last scan reported to an operator or cron, by code and object.
    pub(crate) fn told(&self) -> BTreeSet<(String, Object)> {
        let own = || self.findings().into_iter().map(|f| (f.code.into_owned(), f.object)).collect();
        self.told.clone().unwrap_or_else(own)
    }

    /// Whether another scan, at another time, found the same.
    pub(super) fn says_the_same(&self, other: &OrphanPlan) -> bool {
        let timeless = |plan: &OrphanPlan| {
            let what = |c: &Candidate| {
                let checks: Vec<_> = c.checks.iter().map(|k| (k.check.clone(), k.passed)).collect();
                (c.id.clone(), c.bytes, c.safe, checks)
            };
            let codes: Vec<_> = plan.damage.iter().map(|f| (f.code.clone(), f.object.clone())).collect();
            (plan.candidates.iter().map(what).collect::<Vec<_>>(), codes)
        };
        timeless(self) == timeless(other)
    }

    /// Returns the disk space of the safe candidates, in bytes.
    pub(crate) fn bytes_total(&self) -> u64 {
        self.candidates.iter().filter(|c| c.safe).map(|c| c.bytes).sum()
    }

    /// Returns the number of candidates that a check protects.
    pub(crate) fn protected_total(&self) -> u64 {
        self.candidates.iter().filter(|c| !c.safe).count() as u64
    }
}
