//! What users and file systems leave: links, odd names, odd files, other importers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use recovery::import::{ImportError, ScanError, take_over};
use recovery::queue::{JobStatus, Operation, Queue};
use serde_json::{Value, json};

use super::workspace::{Legacy, codes, entry, has_job, id, options};

#[test]
fn what_is_no_workspace_is_refused() {
    let legacy = Legacy::new();
    let dir = legacy.state_dir();
    let import = |path: &Path| take_over(&dir, path, &options());
    let missing = legacy.folder.path().join("nothing");
    assert!(matches!(import(&missing), Err(ImportError::Scan(ScanError::Missing { .. }))));
    let file = legacy.folder.path().join("file");
    legacy.write(&file, "x");
    assert!(matches!(import(&file), Err(ImportError::Scan(ScanError::NotAWorkspace { .. }))));
    let empty = legacy.folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(import(&empty), Err(ImportError::Scan(ScanError::NotAWorkspace { .. }))));
    legacy.link(&legacy.root.join("repos"), &empty.join("jobs"));
    assert!(matches!(import(&empty), Err(ImportError::Scan(ScanError::NotAWorkspace { .. }))));
    assert!(matches!(import(&legacy.state), Err(ImportError::OwnStateDirectory { .. })));
    let linked = legacy.folder.path().join("linked");
    legacy.link(&legacy.root, &linked);
    assert_eq!(import(&linked).unwrap().workspace, legacy.root.to_str().unwrap());
}

#[test]
fn no_link_is_followed() {
    let legacy = Legacy::new();
    let outside = legacy.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    legacy.write(&outside.join("job"), legacy.members(1, 1).to_string());
    legacy.link(&outside.join("job"), &legacy.file(1)); // a job file
    legacy.job(2, 6, &[]);
    legacy.write(&outside.join(format!(".claude-job-{}.output", id(2))), "Exit code: 0\n");
    legacy.link(&outside, &legacy.path(2, "")); // a job's folder
    legacy.job(3, 6, &[]);
    legacy.put(3, "pid", "4194001");
    legacy.link(&outside.join(format!(".claude-job-{}.output", id(2))), &legacy.path(3, "output"));
    legacy.write(&legacy.root.join("inside"), legacy.members(4, 1).to_string());
    legacy.link(&legacy.root.join("inside"), &legacy.file(4)); // inside: another user's, perhaps
    legacy.link(Path::new("/nowhere"), &legacy.file(5));
    let report = legacy.import();
    assert!(!has_job(&report, 1) && !has_job(&report, 4) && !has_job(&report, 5));
    assert_eq!(entry(&report, 2).status, JobStatus::Crashed);
    assert_eq!(entry(&report, 3).status, JobStatus::Crashed);
    let about = report.quarantined.iter().find(|q| q.job_id == Some(id(1))).unwrap();
    assert!(about.kept_as.is_none() && about.reason.contains("it is a link"));
    assert!(report.quarantined.iter().any(|q| q.job_id == Some(id(5))));
}

#[test]
fn what_is_no_file_is_not_read() {
    let legacy = Legacy::new();
    std::fs::create_dir(legacy.file(1)).unwrap(); // a folder with the name of a job file
    legacy.put(2, "sh", "true");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        legacy.file(2),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let report = legacy.import();
    assert!(!has_job(&report, 1));
    assert_eq!(entry(&report, 2).status, JobStatus::Crashed);
    assert_eq!(report.quarantined.len(), 2);
    assert_eq!(codes(&report), ["import-job-file-damaged"]);
}

#[test]
fn names_of_every_kind() {
    let legacy = Legacy::new();
    let write = |name: &OsStr, n: u32| {
        legacy.write(&legacy.root.join("jobs").join(name), legacy.members(n, 1).to_string());
    };
    let upper = |n: u32, c: &str| format!("ABCDEF00-0000-4000-8000-{n:011}{c}");
    write(OsStr::from_bytes(b"\xff\xfe.job.json"), 1);
    write(OsStr::new(".job.json"), 2);
    write(OsStr::new("..job.json"), 3);
    write(OsStr::new("a\nb.job.json"), 4);
    write(OsStr::new("nightly run ü.job.json"), 5);
    write(OsStr::new(&format!("{}.job.json", upper(6, "A"))), 6);
    write(OsStr::new(&format!("{}.job.json", upper(7, "A"))), 7);
    write(OsStr::new(&format!("{}.job.json", upper(7, "A").to_lowercase())), 7);
    let report = legacy.import();
    let ids: Vec<String> = report.jobs.iter().map(|j| j.job_id.to_string()).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    for id in [".", "nightly run ü", &upper(6, "A").to_lowercase(), &upper(7, "A").to_lowercase()] {
        assert!(ids.iter().any(|known| known == id), "{id} in {ids:?}");
    }
    // Three names that are no id, the second spelling of one id; each copied.
    assert_eq!(report.quarantined.len(), 4);
    assert!(report.quarantined.iter().all(|q| q.kept_as.is_some()));
    assert!(codes(&report).contains(&"import-job-id-differs"));
    serde_json::to_string(&report).unwrap();
}

#[test]
fn ids_that_contradict_each_other() {
    let legacy = Legacy::new();
    legacy.job(1, 1, &[("Id", json!(id(1).to_uppercase()))]);
    legacy.job(2, 1, &[("Id", json!(id(3)))]);
    legacy.job(4, 1, &[]);
    let copy = legacy.root.join("jobs/Copy of 4.job.json");
    std::fs::copy(legacy.file(4), &copy).unwrap();
    let report = legacy.import();
    assert_eq!(report.imported, 3);
    assert_eq!(report.findings.iter().filter(|f| f.code == "import-job-id-differs").count(), 2);
    assert_eq!(report.quarantined[0].path, copy.to_str().unwrap());
    assert_eq!(legacy.line(), [id(1), id(2), id(4)]);
}

#[test]
fn a_file_with_bytes_behind_its_job_is_taken_and_kept() {
    let legacy = Legacy::new();
    legacy.write(&legacy.file(1), format!("\u{feff}{}ll}}", legacy.members(1, 1)));
    let report = legacy.import();
    assert_eq!((entry(&report, 1).status, report.quarantined.len()), (JobStatus::Queued, 1));
    assert_eq!(entry(&report, 1).reconstructed, None);
}

#[test]
fn large_outputs_in_files_and_in_records() {
    let legacy = Legacy::new();
    let text = "0123456789abcdef\n".repeat(1 << 20);
    legacy.job(1, 8, &[("Output", Value::from(text.clone()))]);
    legacy.job(2, 6, &[]);
    legacy.put(2, "output", "");
    let file = std::fs::OpenOptions::new().write(true).open(legacy.path(2, "output")).unwrap();
    file.set_len(5 << 30).unwrap(); // sparse
    std::os::unix::fs::FileExt::write_at(&file, b"\nExit code: 9\n", 5 << 30).unwrap();
    let report = legacy.import_with(&options()).unwrap();
    assert_eq!(entry(&report, 2).exit_code, Some(9));
    let output = legacy.state_dir().paths.job(&id(1)).unwrap().output();
    assert_eq!(std::fs::read_to_string(output).unwrap(), text);
}

#[test]
fn a_moved_workspace_keeps_its_folders() {
    let legacy = Legacy::new();
    legacy.job(1, 6, &[("CowPath", json!("/srv/old/jobs/1"))]);
    legacy.put(1, "output", "x\nExit code: 0\n");
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Succeeded);
    assert_eq!(legacy.record(1)["spec"]["cwd"], json!(legacy.path(1, "")));
}

#[test]
fn jobs_without_times_or_prompt_are_taken_all_the_same() {
    let legacy = Legacy::new();
    legacy.write(&legacy.file(1), r#"{"Status":1}"#);
    legacy.write(&legacy.file(2), r#"{"Status":"Completed","CreatedAt":"0001-01-01T00:00:00"}"#);
    legacy.write(&legacy.file(3), r#"{"Stat"#);
    legacy.put(3, "sh", "true");
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Queued);
    assert_eq!(entry(&report, 2).status, JobStatus::Succeeded);
    assert_eq!(legacy.record(1)["spec"]["command"], json!(["claude", "--print", ""]));
    assert_eq!(legacy.record(3)["spec"]["command"], json!(["/bin/sh", legacy.path(3, "sh")]));
}

#[test]
fn jobs_that_were_there_before_are_left_alone() {
    let legacy = Legacy::new();
    legacy.job(1, 1, &[]);
    legacy.import();
    let dir = legacy.state_dir();
    let mut queue = Queue::open(&dir).unwrap();
    let cancel = Operation::Cancel { job: id(1).parse().unwrap() };
    queue.transact(&options().actor, |_| (vec![cancel], ())).unwrap();
    legacy.job(1, 7, &[]);
    legacy.job(2, 1, &[]);
    let report = legacy.import();
    assert_eq!((report.imported, report.unchanged), (1, 1));
    assert_eq!(entry(&report, 1).status, JobStatus::Cancelled);
    assert_eq!(legacy.line(), [id(2)]);
}

#[test]
fn imports_at_the_same_time_take_each_job_once() {
    let legacy = Legacy::new();
    for n in 1..=40 {
        legacy.job(n, 1, &[("QueuePosition", json!(n))]);
    }
    legacy.state_dir();
    let imported: usize = std::thread::scope(|scope| {
        let import = || legacy.import_with(&options()).unwrap().imported;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(import)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(imported, 40);
    assert_eq!(legacy.line(), (1..=40).map(id).collect::<Vec<_>>());
    assert!(Queue::open(&legacy.state_dir()).unwrap().replayed().is_clean());
}
