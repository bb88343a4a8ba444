//! Figures of a scan in the form that Prometheus' textfile collector reads.

use std::fmt::Write as _;
use std::path::Path;

use recovery::durable::{Disk, replace};
use recovery::report::orphans::{KindTotals, ScanReport};

use crate::error::CliError;

/// Replaces the file and makes it readable for everybody: another user's collector reads it.
pub(crate) fn write_textfile(report: &ScanReport, file: &Path) -> Result<(), CliError> {
    let disk = Disk::real();
    replace(&disk, file, figures(report).as_bytes())?;
    disk.set_mode(file, 0o644)?;
    Ok(())
}

fn figures(report: &ScanReport) -> String {
    let mut text = String::new();
    type Figure = fn(&KindTotals) -> u64;
    let gauges: [(&str, &str, Figure); 3] = [
        ("recoveryctl_orphans", "Orphans that can be removed.", |f| f.removable),
        ("recoveryctl_orphans_protected", "Candidates that a safety check protects.", |f| f.protected),
        ("recoveryctl_orphan_bytes", "Disk space of the orphans that can be removed.", |f| f.bytes),
    ];
    for (name, help, figure) in gauges {
        head(&mut text, name, help);
        for (kind, totals) in &report.kinds {
            let _ = writeln!(text, "{name}{{kind=\"{}\"}} {}", kind.as_str(), figure(totals));
        }
    }
    head(&mut text, "recoveryctl_scan_findings", "Findings of the last scan.");
    for (severity, n) in &report.severities {
        let _ = writeln!(text, "recoveryctl_scan_findings{{severity=\"{severity}\"}} {n}");
    }
    head(&mut text, "recoveryctl_last_scan_timestamp_seconds", "When the last scan began.");
    let seconds = report.taken_at.as_millis() / 1000;
    let _ = writeln!(text, "recoveryctl_last_scan_timestamp_seconds {seconds}");
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}
