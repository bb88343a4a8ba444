//! What each kind of job becomes.

use serde_json::{Value, json};

use recovery::import::{CommandTemplate, ImportOptions, OrphanKind};
use recovery::queue::JobStatus;

use super::workspace::{Legacy, codes, entry, has_job, id, options, tree};

#[test]
fn interrupted_jobs_go_first_then_the_queued_by_position() {
    let legacy = Legacy::new();
    legacy.job(1, 1, &[("QueuePosition", json!(3))]);
    legacy.job(2, 1, &[("QueuePosition", json!(1))]);
    legacy.job(3, 1, &[("QueuePosition", json!(2))]);
    legacy.job(4, 1, &[("QueuePosition", json!(0))]);
    legacy.job(5, 1, &[("QueuePosition", json!(1))]); // the same position as 2, created later
    legacy.job(6, 5, &[]);
    legacy.job(7, 2, &[]);
    legacy.job(8, 4, &[("CreatedAt", json!("2026-02-01T00:00:00Z"))]);
    // Created within one millisecond: the finer digits decide.
    legacy.job(9, 1, &[("QueuePosition", json!(9)), ("CreatedAt", json!("2026-03-01T09:00:00.1234569Z"))]);
    legacy.job(10, 1, &[("QueuePosition", json!(9)), ("CreatedAt", json!("2026-03-01T09:00:00.1234568Z"))]);
    let report = legacy.import();
    let order = [8, 6, 7, 2, 5, 3, 1, 10, 9, 4];
    assert_eq!(legacy.line(), order.map(id));
    for (position, n) in (1..).zip(order) {
        assert_eq!(entry(&report, n).position, Some(position));
    }
    assert_eq!((report.imported, report.counts.queued), (10, 10));
}

#[test]
fn running_jobs_that_ended_or_vanished() {
    let legacy = Legacy::new();
    for n in 1..=7 {
        legacy.job(n, 6, &[]);
    }
    legacy.put(1, "output", "work\nExit code: 0\n");
    legacy.put(2, "output", "work\nExit code: 3\n");
    legacy.put(3, "output", "partial\nExit code: ");
    legacy.put(3, "pid", "4194001\n");
    legacy.put(4, "output", "partial\n");
    legacy.put(4, "pid", "1\n");
    legacy.put(5, "sh", "never started");
    legacy.put(6, "pid", "");
    let report = legacy.import();
    let stands = |n| (entry(&report, n).status, entry(&report, n).exit_code);
    assert_eq!(stands(1), (JobStatus::Succeeded, Some(0)));
    assert_eq!(stands(2), (JobStatus::Failed, Some(3)));
    for n in 3..=7 {
        assert_eq!(stands(n), (JobStatus::Crashed, None), "job {n}");
        assert!(!entry(&report, n).evidence.is_empty() && entry(&report, n).reason.is_some());
    }
    assert_eq!(codes(&report), ["import-pid-reused"]);
    assert_eq!(entry(&report, 5).reason.as_deref(), Some("its process was never started"));
    let record = legacy.record(2);
    assert_eq!(record["course"]["output"], json!(legacy.path(2, "output")));
    assert_eq!(record["course"]["started_at"], "2026-03-01T10:00:00.000Z");
    assert_eq!(record["course"]["attempts"][0]["exit_code"], 3);
}

#[test]
fn jobs_that_were_over_keep_their_end() {
    let legacy = Legacy::new();
    let at = "2026-03-01T11:00:00.5Z";
    let over = |output: &str| {
        vec![("ExitCode", json!(-1)), ("CompletedAt", json!(at)), ("Output", Value::from(output))]
    };
    let kinds = [
        (3, JobStatus::Failed),
        (7, JobStatus::Succeeded),
        (8, JobStatus::Failed),
        (9, JobStatus::TimedOut),
        (10, JobStatus::Failed),
        (12, JobStatus::Cancelled),
    ];
    for (status, _) in kinds {
        legacy.job(status, status, &over("only here"));
    }
    legacy.put(7, "output", "all of it\nExit code: 0\n");
    legacy.put(8, "output", "");
    let report = legacy.import();
    for (n, want) in kinds {
        assert_eq!((entry(&report, n).status, entry(&report, n).exit_code), (want, Some(-1)), "status {n}");
        let output = legacy.state_dir().paths.job(&id(n)).unwrap().output();
        let record = legacy.record(n);
        assert_eq!(record["course"]["finished_at"], "2026-03-01T11:00:00.500Z");
        if n == 7 {
            assert_eq!(record["course"]["output"], json!(legacy.path(7, "output")));
            assert!(!output.exists());
        } else {
            assert_eq!(record["course"]["output"], Value::Null);
            assert_eq!(std::fs::read_to_string(output).unwrap(), "only here\n");
        }
    }
    assert_eq!(entry(&report, 10).reason.as_deref(), Some("terminated"));
}

#[test]
fn a_job_that_was_only_created_is_crashed_and_resumable() {
    let legacy = Legacy::new();
    legacy.job(1, 0, &[]);
    std::fs::create_dir(legacy.root.join("staging").join(id(1))).unwrap();
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Crashed);
    assert!(report.orphans.is_empty(), "its uploads are wanted when it is resumed");
    assert_eq!(legacy.record(1)["course"]["attempts"], Value::Null);
}

#[test]
fn the_record_holds_what_was_asked_for() {
    let legacy = Legacy::new();
    legacy.job(1, 1, &[("Prompt", json!("say \"{title}\" & go\n"))]);
    legacy.job(2, 6, &[]);
    legacy.put(2, "output", "x");
    let template = CommandTemplate::parse("run '--in={workspace}' {repository}/{id} -- {prompt}").unwrap();
    legacy.import_with(&ImportOptions { template, ..options() }).unwrap();
    let record = legacy.record(1);
    assert_eq!(
        record["spec"],
        json!({
            "command": ["run", "--in=", format!("web/{}", id(1)), "--", "say \"{title}\" & go\n"],
            "env": {"LEVEL": "2"}, "timeout_ms": 300_000, "on_crash": "hold", "max_attempts": 3,
            "title": "title 1"
        })
    );
    assert_eq!(record["course"], json!({"source": "claude-batch-server"}));
    assert_eq!(record["submitted_at"], "2026-03-01T09:00:01.123Z");
    assert_eq!(record["repository"], "web");
    let record = legacy.record(2);
    assert_eq!(record["spec"]["cwd"], json!(legacy.path(2, "")));
    assert_eq!(record["spec"]["command"][1], format!("--in={}", legacy.path(2, "").display()));
}

#[test]
fn a_damaged_file_costs_itself_at_most() {
    let legacy = Legacy::new();
    let text = legacy.members(1, 6).to_string();
    legacy.write(&legacy.file(1), &text[..text.find("\"UploadedFiles\"").unwrap_or(text.len() / 2)]);
    legacy.put(1, "output", "old\n");
    legacy.put(1, "pid", "4194002\n");
    legacy.write(&legacy.file(2), "");
    legacy.put(2, "output", "old\nExit code: 4\n");
    legacy.write(&legacy.file(3), "");
    legacy.job(4, 99, &[]);
    legacy.put(4, "sh", "true");
    legacy.job(5, 1, &[]);
    let before = std::fs::read(legacy.file(1)).unwrap();
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Crashed);
    assert_eq!((entry(&report, 2).status, entry(&report, 2).exit_code), (JobStatus::Failed, Some(4)));
    assert!(!has_job(&report, 3));
    assert_eq!(entry(&report, 4).status, JobStatus::Crashed);
    assert_eq!(entry(&report, 5).reconstructed, None);
    let sources = entry(&report, 1).reconstructed.clone().unwrap();
    assert_eq!(sources[..3], ["directory", "pid file", "output"]);
    assert_eq!(
        entry(&report, 1).reconstructed,
        serde_json::from_value(legacy.record(1)["course"]["reconstructed"].clone()).unwrap()
    );
    assert_eq!(report.quarantined.len(), 4);
    let kept = report.quarantined[0].kept_as.clone().unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), before);
    assert!(report.findings.iter().filter(|f| f.code == "import-job-file-damaged").count() == 4);
}

#[test]
fn folders_without_a_job_are_candidates_and_stay() {
    let legacy = Legacy::new();
    legacy.put(1, "output", "old\n"); // no job file
    std::fs::create_dir(legacy.root.join("jobs/lost+found")).unwrap();
    let staging = |n| legacy.root.join("staging").join(id(n));
    for n in [2, 3, 4, 5] {
        std::fs::create_dir(staging(n)).unwrap();
    }
    legacy.job(2, 1, &[]);
    legacy.job(3, 7, &[]);
    legacy.write(&legacy.file(4), "{"); // damaged: nobody knows whether it is over
    let report = legacy.import();
    let mut found: Vec<_> = report.orphans.iter().map(|o| (o.kind, o.id.clone())).collect();
    found.sort_by_key(|(_, id)| id.clone());
    let (job, staged) = (OrphanKind::JobDirectory, OrphanKind::StagingDirectory);
    assert_eq!(found, [(job, id(1)), (staged, id(3)), (staged, id(5))]);
    assert!(!has_job(&report, 1));
    assert_eq!(entry(&report, 2).staging.as_deref(), staging(2).to_str());
    assert_eq!(
        codes(&report),
        ["import-job-directory-without-record", "import-job-file-damaged", "import-staging-left"]
    );
}

#[test]
fn a_second_run_changes_nothing() {
    let legacy = Legacy::new();
    legacy.job(1, 1, &[("QueuePosition", json!(2))]);
    legacy.job(2, 1, &[("QueuePosition", json!(1))]);
    legacy.job(3, 8, &[("Output", json!("only here"))]);
    legacy.write(&legacy.file(4), "{\"Prompt\":\"x\",");
    legacy.put(4, "output", "x");
    legacy.write(&legacy.file(5), "");
    let first = legacy.import();
    let look = || {
        let mut files = tree(&legacy.state);
        files.retain(|path, _| !path.ends_with("import.lock"));
        (files, legacy.queue())
    };
    let before = look();
    let second = legacy.import();
    assert_eq!(look(), before);
    assert_eq!((first.imported, first.unchanged), (4, 0));
    assert_eq!((second.imported, second.unchanged), (0, 4));
    assert_eq!(second.counts, first.counts);
    for n in 1..=4 {
        let (a, b) = (entry(&first, n), entry(&second, n));
        assert_eq!((a.status, a.position, a.exit_code), (b.status, b.position, b.exit_code));
    }
}

#[test]
fn a_dry_run_tells_the_same_and_does_nothing() {
    let legacy = Legacy::new();
    legacy.job(1, 4, &[]);
    legacy.job(2, 1, &[("QueuePosition", json!(1))]);
    legacy.job(3, 8, &[("Output", json!("only here"))]);
    legacy.write(&legacy.file(4), "");
    legacy.state_dir();
    drop(legacy.queue());
    let before = tree(&legacy.state);
    let dry = legacy.import_with(&ImportOptions { dry_run: true, ..options() }).unwrap();
    assert_eq!(tree(&legacy.state), before);
    assert!(dry.dry_run && dry.quarantined[0].kept_as.is_none());
    let real = legacy.import();
    assert_eq!(dry.jobs, real.jobs);
    assert_eq!(dry.imported, real.imported);
}
