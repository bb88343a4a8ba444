//! Workspaces whose users mean harm: each of their files may be anything, and none leads elsewhere.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use recovery::queue::JobStatus;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use super::workspace::{Legacy, codes, entry, has_job, id};
use crate::common::{is_root, skipped_by_the_machine, within};

const SECRET: &str = "top-secret";
/// The number of a user that nobody has.
const OTHER: u32 = 61_000;

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Everything that the state directory has, and that the import said.
fn has_secret(legacy: &Legacy, report: &impl serde::Serialize) -> bool {
    let all = super::workspace::tree(&legacy.state);
    let is_in = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    all.values().any(|bytes| is_in(bytes)) || is_in(&serde_json::to_vec(report).unwrap())
}

/// A pipe, a folder, a link to a pipe, a device or itself, in the place of each file of a job.
#[test]
fn nothing_in_the_place_of_a_file_is_waited_for() {
    let legacy = Legacy::new();
    let outside = legacy.folder.path().join("pipe");
    pipe(&outside);
    let mut number = 0;
    for kind in ["pid", "output", "sh", "job", "folder"] {
        for what in 0..5 {
            number += 1;
            legacy.job(number, 6, &[]);
            legacy.put(number, "pid", "4194001");
            legacy.put(number, "output", "Exit code: 0\n");
            legacy.put(number, "sh", "true");
            let path = match kind {
                "job" => legacy.file(number),
                "folder" => legacy.path(number, ""),
                kind => legacy.path(number, kind),
            };
            if kind == "folder" {
                std::fs::remove_dir_all(&path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            match what {
                0 => pipe(&path),
                1 => std::fs::create_dir(&path).unwrap(),
                2 => legacy.link(&outside, &path),
                3 => legacy.link(Path::new("/dev/zero"), &path),
                _ => legacy.link(&path, &path),
            }
        }
    }
    let (legacy, report) = within(60, move || {
        let report = legacy.import();
        (legacy, report)
    });
    for n in 1..=10 {
        let status = if n <= 5 { JobStatus::Succeeded } else { JobStatus::Crashed };
        assert_eq!(entry(&report, n).status, status, "{n}");
    }
    for n in 11..=15 {
        assert_eq!(entry(&report, n).status, JobStatus::Succeeded, "{n}");
    }
    assert!(codes(&report).contains(&"import-job-file-damaged"));
    drop(legacy);
}

#[test]
fn huge_files_take_no_memory() {
    let legacy = Legacy::new();
    let huge = |path: &Path| std::fs::File::create(path).unwrap().set_len(6 << 30).unwrap();
    huge(&legacy.file(1));
    legacy.job(2, 6, &[]);
    legacy.put(2, "output", "");
    legacy.put(2, "pid", "");
    huge(&legacy.path(2, "pid"));
    // Not larger than a job file may be, but with nothing in it.
    std::fs::File::create(legacy.file(3)).unwrap().set_len(200 << 20).unwrap();
    let report = within(60, move || legacy.import_with(&super::workspace::options()).unwrap());
    assert!(!has_job(&report, 1) && !has_job(&report, 3));
    assert_eq!(entry(&report, 2).status, JobStatus::Crashed);
    assert!(report.quarantined.iter().all(|q| q.kept_as.is_none()), "{:?}", report.quarantined);
}

/// Each user of the former server could write its own folder only.
#[test]
fn files_of_others_are_not_taken_for_a_job_s() {
    let legacy = Legacy::new();
    let secret = legacy.folder.path().join("secret");
    legacy.write(&secret, format!("{SECRET}\nExit code: 0\n"));
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    legacy.job(1, 6, &[]);
    legacy.put(1, "output", &format!("{SECRET}\nExit code: 0\n"));
    for n in 2..=4 {
        legacy.job(n, 6, &[]);
        legacy.put(n, "pid", "4194001");
    }
    // Another job's output, by a link to the file and by one to the folder; a secret.
    legacy.link(&legacy.path(1, "output"), &legacy.path(2, "output"));
    std::fs::remove_dir_all(legacy.path(3, "")).unwrap();
    legacy.link(&legacy.path(1, ""), &legacy.path(3, ""));
    legacy.link(&secret, &legacy.path(4, "output"));
    // A job file that is a secret: it would be copied into the quarantine.
    legacy.link(&secret, &legacy.file(5));
    let report = legacy.import();
    for n in 2..=4 {
        assert_eq!(entry(&report, n).status, JobStatus::Crashed, "{n}");
        assert_eq!(legacy.record(n)["course"]["output"], json!(null), "{n}");
    }
    assert!(!has_job(&report, 5) && !has_secret(&legacy, &report));
}

/// As with protected_hardlinks=0.
#[test]
fn further_name_of_a_secret_is_not_taken_for_a_job_s() {
    if !is_root() {
        return skipped_by_the_machine("it needs root");
    }
    let legacy = Legacy::new();
    let secret = legacy.folder.path().join("secret");
    legacy.write(&secret, format!("{SECRET}\nExit code: 0\n"));
    legacy.job(1, 6, &[]);
    legacy.put(1, "pid", "4194001");
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(OTHER), Some(OTHER)).unwrap();
    own(&legacy.path(1, ""));
    own(&legacy.root.join("jobs"));
    std::fs::hard_link(&secret, legacy.path(1, "output")).unwrap();
    std::fs::hard_link(&secret, legacy.file(2)).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Crashed);
    assert!(!has_job(&report, 2) && !has_secret(&legacy, &report));
    let about = report.quarantined.iter().find(|q| q.job_id == Some(id(2))).unwrap();
    assert!(about.reason.contains("may not read") && about.kept_as.is_none(), "{about:?}");
    // What everybody may read is no secret.
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_dir_all(&legacy.state).unwrap();
    assert_eq!(entry(&legacy.import(), 1).status, JobStatus::Succeeded);
}
