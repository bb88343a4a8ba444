//! Containers, networks and volumes with our labels whose job is gone or over.

use super::candidate::{Candidate, Check, OrphanKind, OrphanTarget};
use super::scan::Scanned;
use super::scan_context::ScanContext;
use crate::findings::{Finding, Object, catalogue};
use crate::queue::JobId;
use crate::state::names::decode;
use crate::system::docker::{DockerKind, DockerObject};

fn kind_of(kind: DockerKind) -> OrphanKind {
    match kind {
        DockerKind::Container => OrphanKind::Container,
        DockerKind::Network => OrphanKind::Network,
        DockerKind::Volume => OrphanKind::Volume,
    }
}

impl ScanContext<'_> {
    pub(super) fn scan_docker(&self, wanted: &dyn Fn(OrphanKind) -> bool, scanned: &mut Scanned) {
        let objects = match self.objects() {
            Ok(objects) => objects,
            Err(e) => {
                let finding = Finding::new(&catalogue::DOCKER_UNREACHABLE, Object::Docker, e.to_string());
                return scanned.findings.push(finding);
            }
        };
        for object in objects.iter().filter(|o| wanted(kind_of(o.kind))) {
            scanned.count(kind_of(object.kind), 1);
            if !self.has_our_label(object) {
                continue;
            }
            let Some(id) = self.job_named_by(object) else { continue };
            let checks = self.checks_of_object(object, &id);
            // An object of a living job, or a volume that its job keeps, is simply in use.
            let is_owned = checks.iter().any(|c| c.check.contains("job") && c.passed == Some(false));
            if !is_owned {
                let what = OrphanTarget::Docker { object: object.clone() };
                let candidate = Candidate::new(kind_of(object.kind), &object.id, None, what);
                let age_ms = self.age_of_object(object, &id);
                scanned.candidates.push(Candidate { age_ms, ..candidate }.judged(checks));
            }
        }
    }

    fn has_our_label(&self, object: &DockerObject) -> bool {
        object.state_id.as_deref() == Some(self.dir.identity.state_id.to_string().as_str())
    }

    /// Returns the job whose id the label holds, as it is or decoded.
    pub(super) fn job_named_by(&self, object: &DockerObject) -> Option<JobId> {
        // A job sees its id in the form of a file name; for most ids, both forms are the same.
        let label = object.job.as_deref()?;
        decode(label).and_then(|id| id.parse().ok()).or_else(|| label.parse().ok())
    }

    /// Returns how long ago the object was made or its job was over, whichever is later, in milliseconds; `None`
    /// when neither time is known.
    pub(super) fn age_of_object(&self, object: &DockerObject, id: &JobId) -> Option<i64> {
        let over = self.job(id).and_then(|j| j.run_state().finished_at);
        let since = over.into_iter().chain(object.created_at).max()?;
        // The engine gives times in whole seconds of its own clock.
        Some(self.now.millis_since(since).max(0))
    }

    /// Makes the checks of an object before its removal.
    pub(super) fn checks_of_object(&self, object: &DockerObject, id: &JobId) -> Vec<Check> {
        let label = format!("label {}={}", crate::system::docker::LABEL_STATE, self.dir.identity.state_id);
        let mut checks = vec![Check::is("our-label", self.has_our_label(object), label)];
        checks.push(self.queue_complete());
        checks.push(match object.kind {
            DockerKind::Volume => self.not_a_job(id),
            _ => self.job_over(id),
        });
        checks.push(self.lock_free(id, false));
        checks.extend([self.no_process(id), self.no_cleanup(id)]);
        if object.kind == DockerKind::Volume {
            checks.push(self.unused(object));
        }
        checks.push(self.grace(self.age_of_object(object, id)));
        checks
    }

    /// Checks that only containers with our label, of the same job, use the volume.
    fn unused(&self, volume: &DockerObject) -> Check {
        let containers =
            self.objects().unwrap_or_default().iter().filter(|o| o.kind == DockerKind::Container);
        let mut users = containers.filter(|c| c.mounts.contains(&volume.name));
        match users.find(|c| !(self.has_our_label(c) && c.job == volume.job)) {
            None => Check::is("unused", true, "no container of anybody else uses it"),
            Some(c) => Check::is("unused", false, format!("container {} uses it", c.name)),
        }
    }

    /// Returns an object as it is now, with its checks; `None` when it is gone.
    pub(super) fn object_again(&self, planned: &DockerObject) -> Option<(DockerObject, Vec<Check>)> {
        let objects = match self.objects() {
            Ok(objects) => objects,
            Err(e) => {
                let check = Check::new("engine-answers", None, e.to_string());
                return Some((planned.clone(), vec![check]));
            }
        };
        let now = objects.iter().find(|o| o.kind == planned.kind && o.id == planned.id)?;
        let same = (&now.job, &now.state_id, now.created_at)
            == (&planned.job, &planned.state_id, planned.created_at);
        let mut checks = vec![super::execute::identity_check(same, "labels and time of creation")];
        match self.job_named_by(now) {
            Some(id) => checks.extend(self.checks_of_object(now, &id)),
            None => checks.push(Check::new("our-label", None, "its label names no job")),
        }
        Some((now.clone(), checks))
    }
}
