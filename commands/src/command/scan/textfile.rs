//! Figures of a scan in the form that Prometheus' textfile collector reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use recovery::durable::replace;
use recovery::findings::Severity;
use recovery::orphans::{OrphanKind, OrphanPlan};
use recovery::state::StateDir;

use crate::error::CliError;

/// Replaces the file, readable by everybody: another user's collector reads it.
pub(crate) fn write_textfile(dir: &StateDir, plan: &OrphanPlan, file: &Path) -> Result<(), CliError> {
    replace(&dir.disk, file, figures(plan).as_bytes())?;
    dir.disk.set_mode(file, 0o644)?;
    Ok(())
}

fn figures(plan: &OrphanPlan) -> String {
    let mut text = String::new();
    let mut of_kind: BTreeMap<OrphanKind, (u64, u64, u64)> = BTreeMap::new();
    for kind in plan.scanned.keys() {
        of_kind.entry(*kind).or_default();
    }
    for candidate in &plan.candidates {
        let (safe, protected, bytes) = of_kind.entry(candidate.kind).or_default();
        if candidate.safe {
            (*safe, *bytes) = (*safe + 1, *bytes + candidate.bytes);
        } else {
            *protected += 1;
        }
    }
    type Figure = fn(&(u64, u64, u64)) -> u64;
    let gauges: [(&str, &str, Figure); 3] = [
        ("recoveryctl_orphans", "Orphans that can be removed.", |f| f.0),
        ("recoveryctl_orphans_protected", "Candidates that a safety check protects.", |f| f.1),
        ("recoveryctl_orphan_bytes", "Disk space of the orphans that can be removed.", |f| f.2),
    ];
    for (name, help, figure) in gauges {
        head(&mut text, name, help);
        for (kind, figures) in &of_kind {
            let _ = writeln!(text, "{name}{{kind=\"{}\"}} {}", kind.as_str(), figure(figures));
        }
    }
    head(&mut text, "recoveryctl_scan_findings", "Findings of the last scan.");
    let findings = plan.findings();
    for severity in [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical] {
        let n = findings.iter().filter(|f| f.severity == severity).count();
        let _ = writeln!(text, "recoveryctl_scan_findings{{severity=\"{severity}\"}} {n}");
    }
    head(&mut text, "recoveryctl_last_scan_timestamp_seconds", "When the last scan began.");
    let seconds = plan.taken_at.as_millis() / 1000;
    let _ = writeln!(text, "recoveryctl_last_scan_timestamp_seconds {seconds}");
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}
