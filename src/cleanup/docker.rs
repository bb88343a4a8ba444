//! Phase `docker`: the job's objects in the engine.

use super::named::{JobTime, NamedByWorkspace, workspace_of};
use super::record::{CONTAINERS_GONE, CleanupPhaseName, Step, StepWhat};
use super::work::{Halt, StepResult, Work};
use crate::queue::QueueState;
use crate::system::docker::{DockerKind, DockerObject, EngineChoice, EngineError, Engines, Removal};

const PHASE: CleanupPhaseName = CleanupPhaseName::Docker;

/// Decides to which job an object belongs: by its labels, else by its name.
pub(crate) struct Ownership<'a> {
    /// The id of this state directory.
    pub(crate) state_id: &'a str,
    /// Patterns, with `{job_id}`.
    pub(crate) names: &'a [String],
}

impl Ownership<'_> {
    /// Whether an object belongs to this job. A label of another job or state directory decides; without
    /// labels the name must match the job's pattern and no other job's, and the object must not be older than
    /// the job.
    pub(crate) fn is_of(
        &self,
        object: &DockerObject,
        job: &str,
        submitted_at: crate::state::Timestamp,
        state: &QueueState,
    ) -> bool {
        if object.state_id.as_deref().is_some_and(|id| id != self.state_id) {
            return false;
        }
        match (&object.job, &object.state_id) {
            (Some(named), Some(_)) => return names_job(named, job),
            (Some(named), None) if !names_job(named, job) => return false,
            _ => {}
        }
        // Only ids that this program generated are unique among state directories; engines give times in
        // whole seconds.
        let is_unique = uuid::Uuid::try_parse(job).is_ok();
        let is_newer = object.created_at.is_some_and(|at| at >= submitted_at.plus_millis(-1000));
        if !is_unique && !is_newer {
            return false;
        }
        object.job.is_some() || (self.is_named_after(object, job) && !self.fits_longer(object, job, state))
    }

    pub(crate) fn is_named_after(&self, object: &DockerObject, job: &str) -> bool {
        self.names.iter().any(|pattern| matches(pattern, job, &object.name))
    }

    /// Whether the name fits another job's longer id: `cidx-a-b-1` matches job `a` and job `a-b`, and then it
    /// belongs to the latter.
    fn fits_longer(&self, object: &DockerObject, job: &str, state: &QueueState) -> bool {
        let is_theirs = |candidate: &str| {
            let id = candidate.parse().ok();
            id.is_some_and(|id| state.get(&id).is_some()) && self.is_named_after(object, candidate)
        };
        object.name.match_indices(job).any(|(at, _)| {
            let ends = at + job.len() + 1..=object.name.len();
            ends.into_iter().filter_map(|end| object.name.get(at..end)).any(is_theirs)
        })
    }
}

/// Whether a label names a job. A label has the id in the form that the job sees; a label that cannot be
/// decoded is the id as it is. Job `a b` sees `a%20b`; a job with the id `a%20b` does not match that.
pub(crate) fn names_job(label: &str, job: &str) -> bool {
    crate::state::names::decode(label).map_or(label == job, |named| named == job)
}

/// Whether a name matches a pattern. `*` matches anything, but not inside the job's id, which may be any
/// text.
fn matches(pattern: &str, job: &str, name: &str) -> bool {
    let mut parts = pattern.split('*').map(|part| part.replace("{job_id}", job));
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first.as_str())) else {
        return false;
    };
    let mut parts: Vec<String> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(&part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(&last)
}

impl Halt {
    fn of(error: &EngineError) -> Halt {
        match error {
            EngineError::Unreachable { .. } | EngineError::Unknown { .. } => {
                Halt::Unreachable(error.to_string())
            }
            _ => Halt::Failed(error.to_string()),
        }
    }
}

impl Work<'_> {
    pub(super) fn remove_docker_objects(&mut self) -> Result<(), Halt> {
        let choice = self.engine_of_the_job();
        if choice == EngineChoice::None {
            return Err(Halt::Skip("there is no Docker engine on this machine".to_owned()));
        }
        let engine = Engines::connect(&choice).map_err(|e| Halt::of(&e))?;
        let mut failed = None;
        for kind in DockerKind::ALL {
            // Repeats until nothing new appears: an object that was being made when the job ended is found in
            // the second round.
            while self.plan_docker(&engine, kind)? > 0 {
                if let Some(why) = self.remove_planned(&engine, kind)? {
                    failed.get_or_insert(why);
                    break;
                }
            }
            if kind == DockerKind::Container && failed.is_none() {
                self.check_unmounted(&engine)?;
                let notes = &mut self.record.phase_mut(PHASE).notes;
                if !notes.iter().any(|n| n == CONTAINERS_GONE) {
                    notes.push(CONTAINERS_GONE.to_owned());
                }
            }
        }
        failed.map_or(Ok(()), |why| Err(Halt::Failed(why)))
    }

    /// Returns the engine that the job's own variables name, else the usual one.
    fn engine_of_the_job(&self) -> EngineChoice {
        let queue = self.cleaner.queue();
        let spec = queue.state().get(&self.record.job_id).and_then(|job| job.spec().ok());
        self.cleaner.settings.engine_of(&spec.map(|spec| spec.env).unwrap_or_default())
    }

    /// Checks that no living container, of any owner, mounts the workspace.
    fn check_unmounted(&self, engine: &Engines) -> Result<(), Halt> {
        let containers = engine.list(DockerKind::Container).map_err(|e| Halt::of(&e))?;
        let named = self.named(&containers);
        match containers.iter().find(|c| c.is_living() && named.mounts(c)) {
            Some(c) => {
                let why = format!(
                    "its files are in use: container {} ({}), which bears no label of the job, has them mounted; \
                     recoveryctl does not end it: docker stop {}",
                    c.name,
                    c.state.as_deref().unwrap_or("it lives"),
                    c.name
                );
                Err(Halt::InUse(why))
            }
            None => Ok(()),
        }
    }

    /// Returns the names derived from the workspace, by the present containers and those found before.
    fn named(&self, containers: &[DockerObject]) -> NamedByWorkspace {
        let job = self.record.job_id.to_string();
        let Some(workspace) = workspace_of(&self.cleaner.dir, &job) else {
            return NamedByWorkspace::default();
        };
        let steps = self.record.phase(PHASE).into_iter().flat_map(|phase| &phase.steps);
        let before = steps.filter_map(|step| match &step.what {
            StepWhat::Remove(object) if object.kind == DockerKind::Container => Some(object.clone()),
            _ => None,
        });
        let all: Vec<DockerObject> = containers.iter().cloned().chain(before).collect();
        let state_id = self.cleaner.dir.identity.state_id.to_string();
        let ownership = Ownership { state_id: &state_id, names: &self.cleaner.settings.names };
        let queue = self.cleaner.queue();
        let is_of = |c: &DockerObject| ownership.is_of(c, &job, self.record.submitted_at, queue.state());
        NamedByWorkspace::of(&workspace, &all, &is_of)
    }

    /// Finds the objects of a kind and plans a step for each; returns how many are left to do. Planned
    /// objects that are gone count as done.
    fn plan_docker(&mut self, engine: &Engines, kind: DockerKind) -> Result<usize, Halt> {
        let listed = engine.list(kind).map_err(|e| Halt::of(&e))?;
        let objects = match kind {
            DockerKind::Container => self.ours(listed.clone(), &listed),
            _ => {
                let containers = engine.list(DockerKind::Container).map_err(|e| Halt::of(&e))?;
                self.ours(listed, &containers)
            }
        };
        let now = self.cleaner.dir.clock.now();
        let phase = self.record.phase_mut(PHASE);
        for step in phase.steps.iter_mut().filter(|s| s.done_at.is_none()) {
            let StepWhat::Remove(planned) = &step.what else { continue };
            if planned.kind == kind && !objects.iter().any(|o| o.id == planned.id) {
                // This process may have removed it before it was killed.
                step.result = Some(if step.is_open() { "removed" } else { "already_gone" }.to_owned());
                (step.done_at, step.error, step.intents) = (Some(now), None, 0);
            }
        }
        let mut open = 0;
        for object in objects {
            let name = object.object();
            // The engine's list may still have an object that was just removed.
            match phase.steps.iter().find(|s| s.step == name) {
                Some(step) if step.done_at.is_some() && kind != DockerKind::Volume => {}
                Some(step) if step.done_at.is_none() => open += 1,
                _ => {
                    open += 1;
                    phase.steps.retain(|s| s.step != name);
                    phase.steps.push(Step::new(name, StepWhat::Remove(object)));
                }
            }
        }
        phase.items_total = phase.steps.len() as u64;
        phase.items_done = phase.steps.iter().filter(|s| s.done_at.is_some()).count() as u64;
        Ok(open)
    }

    fn ours(&self, objects: Vec<DockerObject>, containers: &[DockerObject]) -> Vec<DockerObject> {
        let named = self.named(containers);
        let state_id = self.cleaner.dir.identity.state_id.to_string();
        let ownership = Ownership { state_id: &state_id, names: &self.cleaner.settings.names };
        let (job, since) = (self.record.job_id.to_string(), self.record.submitted_at);
        let queue = self.cleaner.queue();
        let ended_at = queue.state().get(&self.record.job_id).and_then(|job| job.run_state().finished_at);
        let time = JobTime { submitted_at: since, ended_at };
        let is_of = |o: &DockerObject| ownership.is_of(o, &job, since, queue.state()) || named.name(o, time);
        objects.into_iter().filter(is_of).collect()
    }

    /// Removes the planned objects of a kind. Returns the first failure in words.
    fn remove_planned(&mut self, engine: &Engines, kind: DockerKind) -> Result<Option<String>, Halt> {
        let phase = self.record.phase_mut(PHASE);
        let open = phase.steps.iter().filter(|s| s.done_at.is_none());
        let objects: Vec<DockerObject> = open
            .filter_map(|s| match &s.what {
                StepWhat::Remove(object) if object.kind == kind => Some(object.clone()),
                _ => None,
            })
            .collect();
        let names: Vec<String> = objects.iter().map(DockerObject::object).collect();
        self.intend(PHASE, &names)?;
        let (mut failed, mut halted) = (None, None);
        engine.remove_all(&objects, &mut |object, removal| {
            let result = match removal {
                Ok(Removal::Removed) => StepResult::Done("removed"),
                Ok(Removal::AlreadyGone) => StepResult::Done("already_gone"),
                Err(error) => {
                    let why = format!("{}: {error}", object.object());
                    match Halt::of(&error) {
                        Halt::Unreachable(_) => halted = Some(Halt::Unreachable(why.clone())),
                        _ => drop(failed.get_or_insert(why.clone())),
                    }
                    StepResult::Failed(why)
                }
            };
            let is_done = matches!(result, StepResult::Done(_));
            self.record.phase_mut(PHASE).items_done += u64::from(is_done);
            if let Err(e) = self.record_result(PHASE, &object.object(), result) {
                halted = Some(e);
            }
            self.show();
        });
        halted.map_or(Ok(failed), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Timestamp;

    fn object(name: &str) -> DockerObject {
        DockerObject {
            kind: DockerKind::Container,
            id: "id".to_owned(),
            name: name.to_owned(),
            job: None,
            state_id: None,
            created_at: Some(Timestamp::from_millis(10_000)),
            state: None,
            engine: None,
            folder: None,
            project: None,
            session: None,
            mounts: Vec::new(),
        }
    }

    #[test]
    fn name_pattern_matches_whole_name() {
        for (pattern, name, fits) in [
            ("cidx-a-*", "cidx-a-x", true),
            ("cidx-a-*", "cidx-a-", true),
            ("cidx-a-*", "xcidx-a-x", false),
            ("cidx-a-*", "cidx-a10-x", false),
            ("cidx-a", "cidx-a", true),
            ("cidx-a", "cidx-ab", false),
            ("*-a-*-z", "p-a-q-z", true),
            ("*-a-*-z", "p-a-q-zz", false),
        ] {
            assert_eq!(matches(pattern, "a", name), fits, "{pattern} {name}");
            assert_eq!(matches(&pattern.replacen("a", "{job_id}", 1), "a", name), fits, "{pattern} {name}");
        }
        assert!(!matches("cidx-{job_id}-*", "*", "cidx-web-1"), "an id is no pattern");
        assert!(!matches("cidx-{job_id}-*", "{job_id}", "cidx-web-1"));
    }

    #[test]
    fn label_names_one_job() {
        for (label, job, names) in [
            ("web.1", "web.1", true),
            ("a%20b", "a b", true),
            ("a%20b", "a%20b", false),
            ("a%2520b", "a%20b", true),
            ("a b", "a b", true),
            ("a%2", "a%2", true),
            ("", "a", false),
        ] {
            assert_eq!(names_job(label, job), names, "{label} {job}");
        }
    }

    #[test]
    fn labels_take_precedence_over_names_and_age() {
        let names = vec!["cidx-{job_id}-*".to_owned()];
        let ownership = Ownership { state_id: "ours", names: &names };
        let (state, since) = (QueueState::default(), Timestamp::from_millis(9_000));
        let is_of = |o: &DockerObject, since| ownership.is_of(o, "a", since, &state);
        let with = |job: Option<&str>, id: Option<&str>| DockerObject {
            job: job.map(str::to_owned),
            state_id: id.map(str::to_owned),
            ..object("cidx-a-1")
        };
        assert!(is_of(&with(Some("a"), Some("ours")), since));
        assert!(!is_of(&with(Some("a"), Some("theirs")), since));
        assert!(!is_of(&with(Some("b"), Some("ours")), since));
        assert!(!is_of(&with(None, Some("theirs")), since));
        assert!(is_of(&with(None, None), since));
        assert!(is_of(&with(Some("a"), None), since));
        // An object older than the job with nothing but a name, which anybody may give, is not the job's.
        assert!(!is_of(&with(None, None), Timestamp::from_millis(12_000)));
        assert!(!is_of(&object("other"), since));
    }
}
