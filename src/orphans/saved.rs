//! The saved plan, `orphans/candidates.json`: one line of JSON with a checksum of its own
//! ([`crate::durable::sealed`]).
//!
//! ```json
//! {"version":2,"checksum":"5f1c09aa","plan_id":"…","taken_at":"…","scanned":{"job_directory":2},"damage":[],
//!  "candidates":[{"id":"…","kind":"job_directory","object":"job_directory:ghost","path":"…","bytes":8192,
//!   "age_ms":900000,"safe":true,"checks":[{"check":"not-a-job","passed":true,"evidence":"…"}],"what":{…}}]}
//! ```
//!
//! `damage` holds findings beside the candidates; those about candidates are derived. `told` is present only
//! when the plan's findings were not reported. Version 1 had `"format":1` instead of version and checksum,
//! and all findings, under that name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, OrphanKind, OrphanPlan};
use crate::durable::sealed::{self, Proof};
use crate::durable::{DiskError, IoContext, read_optional, replace};
use crate::findings::{Finding, Object};
use crate::state::{StateDir, Timestamp};
use crate::system::parallel_map;

/// A plan older than this is out of date.
pub(super) const PLAN_LASTS_MS: i64 = 24 * 3600 * 1000;

/// How many candidates one thread writes at a time.
const SHARE: usize = 256;

/// A plan without its candidates.
#[derive(Serialize)]
struct Head<'a> {
    plan_id: &'a str,
    taken_at: Timestamp,
    scanned: &'a BTreeMap<OrphanKind, u64>,
    damage: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<&'a BTreeSet<(String, Object)>>,
}

/// A plan as stored, in both versions.
#[derive(Deserialize)]
struct Stored {
    /// Only in version 1.
    #[serde(default)]
    format: u32,
    plan_id: String,
    taken_at: Timestamp,
    scanned: BTreeMap<OrphanKind, u64>,
    candidates: Vec<Candidate>,
    #[serde(default)]
    damage: Vec<Finding>,
    /// Only in version 1.
    #[serde(default)]
    findings: Vec<Finding>,
    #[serde(default)]
    told: Option<BTreeSet<(String, Object)>>,
}

/// Saves a plan. A file that this version cannot parse is not replaced but kept in quarantine.
pub(super) fn save(dir: &StateDir, plan: &OrphanPlan) -> Result<(), DiskError> {
    let path = dir.paths.orphans_plan();
    let text = text_of(plan).map_err(io::Error::from).context("write", &path)?;
    if read_optional(&path)?.is_some_and(|text| !is_known(&text)) {
        let why = "it is no plan that this version understands";
        dir.quarantine().keep_file(&path, why, &dir.clock.now().to_string())?;
    }
    replace(&dir.disk, &path, &text)
}

/// Returns the saved plan; `None` when it is absent, damaged or of a later version: then scan again.
pub(crate) fn plan(dir: &StateDir) -> Result<Option<OrphanPlan>, DiskError> {
    let text = read_optional(&dir.paths.orphans_plan())?;
    Ok(text.and_then(|text| OrphanPlan::of_text(&text)))
}

/// Whether a new plan may replace this text. A large plan takes longer to parse than to make, so only its
/// checksum is verified.
fn is_known(text: &[u8]) -> bool {
    match sealed::check(text) {
        Ok(Proof::Checksum) => true,
        Ok(Proof::None) => OrphanPlan::of_text(text).is_some(),
        Err(_) => false, // Damaged: the new plan replaces nothing of use.
    }
}

/// Writes a plan as text. Fails for a path that is not UTF-8, which JSON cannot hold.
fn text_of(plan: &OrphanPlan) -> serde_json::Result<Vec<u8>> {
    let OrphanPlan { plan_id, taken_at, scanned, candidates, damage, told } = plan;
    let head = Head { plan_id, taken_at: *taken_at, scanned, damage, told: told.as_ref() };
    let mut text = serde_json::to_vec(&head)?;
    text.truncate(text.len().saturating_sub(1));
    text.extend_from_slice(b",\"candidates\":[");
    let shares = parallel_map(candidates.chunks(SHARE).collect(), |share: &[Candidate]| {
        let list = serde_json::to_vec(share)?;
        Ok(list.get(1..list.len().saturating_sub(1)).unwrap_or_default().to_vec())
    });
    text.extend_from_slice(&shares.into_iter().collect::<serde_json::Result<Vec<_>>>()?.join(&b','));
    text.extend_from_slice(b"]}");
    Ok(sealed::seal(&text))
}

impl OrphanPlan {
    /// Parses a saved plan; `None` when it is damaged or of a later version.
    pub fn of_text(text: &[u8]) -> Option<OrphanPlan> {
        sealed::check(text).ok()?;
        let Stored { format, plan_id, taken_at, scanned, candidates, mut damage, findings, told } =
            serde_json::from_slice(text).ok()?;
        damage.extend(findings.into_iter().filter(|f| !matches!(f.object, Object::Orphan(_))));
        (format <= 1).then_some(OrphanPlan { plan_id, taken_at, scanned, candidates, damage, told })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::candidate::{Check, OrphanTarget};
    use super::*;
    use crate::findings::catalogue;

    fn candidate(number: usize) -> Candidate {
        let path = PathBuf::from(format!("/state/orphans/.tmp-{number}"));
        let made = Candidate::new(
            OrphanKind::TemporaryFile,
            &number.to_string(),
            Some(path),
            OrphanTarget::Temporary,
        );
        let passed = [None, Some(true), Some(false)][number % 3];
        made.judged(vec![Check::new("not-written", passed, format!("seen: \"{number}\""))])
    }

    fn made(candidates: usize) -> OrphanPlan {
        OrphanPlan {
            plan_id: "p".to_owned(),
            taken_at: Timestamp::from_millis(1_772_357_400_000),
            scanned: BTreeMap::from([(OrphanKind::TemporaryFile, candidates as u64)]),
            candidates: (0..candidates).map(candidate).collect(),
            damage: vec![Finding::new(&catalogue::DOCKER_UNREACHABLE, Object::Docker, "no answer")],
            told: Some(BTreeSet::from([("orphan-found".to_owned(), Object::from("orphan:1"))])),
        }
    }

    #[test]
    fn plan_round_trip_any_size() {
        for candidates in [0, 1, SHARE - 1, SHARE, SHARE + 1, 70 * SHARE + 1] {
            let plan = made(candidates);
            assert!(
                OrphanPlan::of_text(&text_of(&plan).unwrap()).is_some_and(|read| read == plan),
                "{candidates}"
            );
        }
    }

    #[test]
    fn plan_with_non_utf8_path_is_error() {
        let mut plan = made(3);
        let path = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/state/\xff");
        plan.candidates[1].path = Some(path.into());
        assert!(text_of(&plan).is_err());
    }

    #[test]
    fn plan_version_1_is_read() {
        let text = br#"{"format":1,"plan_id":"p","taken_at":"2026-03-01T09:30:00.000Z",
            "scanned":{"temporary_file":1},
            "candidates":[{"id":"b7d2","kind":"temporary_file","object":"temporary_file:orphans/.tmp-1",
                "path":"/state/orphans/.tmp-1","bytes":4096,"age_ms":900000,"safe":true,
                "checks":[{"check":"not-written","passed":true,"evidence":"it is not locked"}],
                "what":{"target":"temporary"}}],
            "findings":[
                {"code":"docker-unreachable","severity":"warning","object":"docker","sentence":"no","next":null},
                {"code":"orphan-found","severity":"info","object":"orphan:b7d2","sentence":"old","next":null}]}"#;
        let plan = OrphanPlan::of_text(text).unwrap();
        let told: Vec<_> =
            plan.findings().into_iter().map(|f| (f.code.into_owned(), f.object.to_string())).collect();
        let expected = [("docker-unreachable", "docker"), ("orphan-found", "orphan:b7d2")];
        assert_eq!(told, expected.map(|(code, object)| (code.to_owned(), object.to_owned())));
        assert!(is_known(text));
        assert!(!is_known(&String::from_utf8_lossy(text).replace("plan_id", "plan_ix").into_bytes()));
        assert!(!is_known(br#"{"format":2,"plan_id":"p","taken_at":"2026-03-01T09:30:00.000Z","scanned":{},"candidates":[],"findings":[]}"#));
    }
}
