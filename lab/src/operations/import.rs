//! The workspace of another server is taken over.

use recovery::import::{ImportOptions, take_over};

use super::stage::actor;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// Jobs that wait, that are over and that cannot be read.
pub(super) const IMPORT: Operation = Operation { name: "import", prepare: workspace, run: import };

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn workspace(stage: &Stage) -> Result<(), Error> {
    stage.dir()?;
    let root = stage.world().join("workspace");
    for name in ["jobs", "staging", "repos/web"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    for (n, status, output) in [(1, 1, ""), (2, 7, "done"), (3, 8, "")] {
        let document = serde_json::json!({
            "Id": id(n), "Username": "ana", "Prompt": "go", "Title": "t", "Repository": "web",
            "UploadedFiles": [], "Status": status, "Output": output,
            "ExitCode": if status > 6 { serde_json::json!(status - 7) } else { serde_json::Value::Null },
            "CowPath": "", "QueuePosition": 0, "CreatedAt": format!("2026-03-01T09:00:0{n}.0000000Z"),
            "StartedAt": null, "CompletedAt": null, "CancelledAt": null, "CancelReason": "",
            "Options": {"TimeoutSeconds": 300, "Environment": {}}, "ClaudeProcessId": null
        });
        std::fs::write(root.join("jobs").join(format!("{}.job.json", id(n))), document.to_string())?;
    }
    std::fs::write(root.join("jobs").join("a\u{7}b.job.json"), "{}")?;
    Ok(std::fs::write(root.join("jobs").join(format!("{}.job.json", id(4))), "{\"Id\": \"half")?)
}

fn import(stage: &Stage) -> Result<(), Error> {
    let options = ImportOptions { actor: actor(), ..ImportOptions::default() };
    let report = take_over(&stage.dir()?, &stage.world().join("workspace"), &options)?;
    if report.imported == 0 {
        return Err(format!("nothing was imported: {:?}", report.findings).into());
    }
    for job in &report.jobs {
        stage.acknowledge(Fact::job(&job.job_id.to_string(), 1, &[job.status.as_str()]));
    }
    Ok(())
}
