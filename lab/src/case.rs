//! One disk to try, with the conditions that must hold on it. When they do not, the disk is kept in a folder,
//! so that it can be tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::check::check;
use crate::event::Event;
use crate::facts::Fact;
use crate::record::Recorder;
use crate::tree::Tree;

/// One disk to try.
pub(crate) struct Case {
    pub(crate) tree: Tree,
    pub(crate) moment: String,
    pub(crate) facts: BTreeMap<String, Fact>,
    /// The results that recovery may show; `None` for anything that fits the facts.
    pub(crate) shown: Option<Arc<Shown>>,
    /// Whether nothing is lost: other disks are compared with such a disk.
    pub(crate) is_kill: bool,
}

pub(crate) type Objects = BTreeMap<String, String>;

/// The states that each thing may be in, by what kills left at the moments in question.
#[derive(Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(crate) struct Shown(BTreeMap<String, BTreeSet<Option<String>>>);

impl Shown {
    pub(crate) fn of(views: &[&Objects]) -> Shown {
        let mut shown = Shown::default();
        for name in views.iter().flat_map(|view| view.keys()) {
            if !shown.0.contains_key(name) {
                let states = views.iter().map(|view| view.get(name).cloned()).collect();
                shown.0.insert(name.clone(), states);
            }
        }
        shown
    }

    fn allows(&self, objects: &Objects) -> Result<(), String> {
        let names: BTreeSet<&String> = self.0.keys().chain(objects.keys()).collect();
        for name in names {
            let (found, allowed) = (objects.get(name), self.0.get(name));
            let fits = match allowed {
                Some(states) => states.contains(&found.cloned()),
                None => found.is_none(),
            };
            if !fits {
                return Err(format!(
                    "{name} is {found:?}; since the last acknowledgement it can only have been {allowed:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Case {
    /// Identifies the disk and its conditions.
    pub(crate) fn key(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        self.tree.hash(&mut hasher);
        format!("{:?}", self.facts).hash(&mut hasher);
        self.shown.hash(&mut hasher);
        hasher.finish()
    }
}

/// The disk before the operation, without and with a reboot since.
pub(crate) type Base = [Tree; 2];

/// The result of recovering a disk.
pub(crate) struct Judged {
    /// The visible objects.
    pub(crate) objects: Objects,
    /// The effects of its first recovery.
    pub(crate) recovery: Vec<Event>,
}

/// Recovers a disk in the folder `world`, with a recorder of the effects, and checks the conditions.
pub(crate) fn judge(world: &Path, base: &Base, case: &Case, recorder: Recorder) -> Result<Judged, String> {
    let (view, recovery) = check(world, base, &case.tree, &case.facts, !case.is_kill, recorder)?;
    let objects = view.objects();
    case.shown.as_ref().map_or(Ok(()), |shown| shown.allows(&objects))?;
    Ok(Judged { objects, recovery })
}

/// The note beside a kept disk.
#[derive(Serialize, Deserialize)]
struct Note {
    operation: String,
    moment: String,
    why: String,
    facts: BTreeMap<String, Fact>,
    shown: Option<Shown>,
    boot_id: String,
}

const NOTE: &str = "case.json";

/// Keeps a disk that failed: `disk` and `base` below the folder, and in `case.json` what must hold on it.
pub(crate) fn keep(
    folder: &Path,
    operation: &str,
    base: &Base,
    case: &Case,
    why: &str,
) -> Result<PathBuf, Error> {
    let kept = folder.join(format!("{operation}-{:016x}", case.key()));
    case.tree.restore(&kept.join("disk"))?;
    base[0].restore(&kept.join("base"))?;
    let note = Note {
        operation: operation.to_owned(),
        moment: case.moment.clone(),
        why: why.to_owned(),
        facts: case.facts.clone(),
        shown: case.shown.as_deref().map(|shown| Shown(shown.0.clone())),
        boot_id: recovery::system::Host::this().boot_id,
    };
    std::fs::write(kept.join(NOTE), serde_json::to_vec_pretty(&note)?)?;
    Ok(kept)
}

/// A disk that was kept, tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// The operation that it came from.
    pub operation: String,
    /// How the disk came about.
    pub moment: String,
    /// The condition that did not hold then.
    pub then: String,
    /// The condition that does not hold now, if any.
    pub now: Option<String>,
}

/// Tries a disk again that was kept in this folder after a failure.
pub fn try_kept(folder: &Path) -> Result<Again, Error> {
    let text = std::fs::read(folder.join(NOTE)).map_err(|e| format!("{}: {e}", folder.display()))?;
    let note: Note = serde_json::from_slice(&text)?;
    let mut base = Tree::read(&folder.join("base"))?;
    let mut tree = Tree::read(&folder.join("disk"))?;
    // Identifiers of that boot must become this boot's, or a kill would look like a reboot.
    let boot_id = recovery::system::Host::this().boot_id;
    for tree in [&mut base, &mut tree] {
        *tree = tree.with_boot(&note.boot_id, &boot_id);
    }
    let base = [base.clone(), base.after_reboot(&boot_id)];
    let shown = note.shown.map(Arc::new);
    let case = Case { tree, moment: note.moment, facts: note.facts, shown, is_kill: false };
    let world = crate::run::scratch()?;
    let now = judge(world.path(), &base, &case, Recorder::of_effects(world.path())).err();
    Ok(Again { operation: note.operation, moment: case.moment, then: note.why, now })
}
