//! Findings about entries of the trail that cannot be read or are gone.

use super::trail::{AuditError, TrailRead};
use crate::durable::log::{Damage, DamageKind};
use crate::findings::{Finding, Object, Severity, catalogue};
use crate::state::{StateDir, human};

pub(crate) fn unreadable(error: &AuditError) -> Finding {
    let sentence = format!("it cannot be read: {}", error.source);
    Finding::new(&catalogue::AUDIT_DAMAGED, Object::file(&error.folder), sentence)
}

pub(crate) fn findings(dir: &StateDir, trail: &TrailRead) -> Vec<Finding> {
    let folder = Object::file(&dir.paths.audit_log());
    let of_unknown = trail.unknown.iter().map(|seq| {
        let sentence = format!("entry {seq} is whole, but not one that this version knows");
        Finding::new(&catalogue::AUDIT_DAMAGED, folder.clone(), sentence).with_severity(Severity::Warning)
    });
    damage_findings(dir, &trail.damage, &trail.missing).into_iter().chain(of_unknown).collect()
}

/// Findings about entries of the trail that cannot be read or are gone.
pub(crate) fn damage_findings(dir: &StateDir, damage: &[Damage], missing: &[(u64, u64)]) -> Vec<Finding> {
    let of_damage = damage.iter().map(|place| {
        let sentence = format!("{} bytes at offset {} are no record of it", place.len, place.offset);
        Finding::new(&catalogue::AUDIT_DAMAGED, Object::file(&place.path), sentence)
    });
    let folder = Object::file(&dir.paths.audit_log());
    let is_told = |gap: &(u64, u64)| damage.iter().any(|place| is_entry(place, *gap));
    let of_gaps = missing.iter().filter(|gap| !is_told(gap)).map(|(first, last)| {
        let sentence = format!("{} in no file that can be read", human::numbers("entry", *first, *last));
        Finding::new(&catalogue::AUDIT_DAMAGED, folder.clone(), sentence)
    });
    of_damage.chain(of_gaps).collect()
}

/// Whether bytes that cannot be read are the one missing entry; more entries may be gone than those bytes held.
fn is_entry(place: &Damage, (first, last): (u64, u64)) -> bool {
    place.kind == DamageKind::Record && first == last && place.after + 1 == first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_bytes_count_as_one_entry() {
        let place = |kind| Damage { path: "log".into(), offset: 0, len: 9, kind, after: 1 };
        assert!(is_entry(&place(DamageKind::Record), (2, 2)));
        assert!(!is_entry(&place(DamageKind::Record), (2, 9)), "a segment behind it is gone as well");
        assert!(!is_entry(&place(DamageKind::Record), (3, 3)));
        assert!(!is_entry(&place(DamageKind::Header), (2, 2)));
    }
}
