//! A scene with a configuration for deliveries, jobs that ended with callbacks, and ways to ask about them.

use std::path::Path;
use std::process::Command;

use recovery::queue::{Actor, Callback, JobSpec, Operation, Submission, append};
use serde_json::Value;

use crate::common::Ran;
use crate::crash::scene::{Scene, wait_for};

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const OLD_SECRET: &str = "whsec_T2xkU2VjcmV0T2xkU2VjcmV0T2xkU2VjcmV0";

/// Deliveries of one state directory.
pub struct Office {
    pub scene: Scene,
}

impl Office {
    /// With these lines in `[webhooks]` besides a secret.
    pub fn new(lines: &str) -> Office {
        let scene = Scene::new();
        scene.place.write("config.toml", &format!("[webhooks]\nsecrets = ['{SECRET}']\n{lines}\n"));
        Office { scene }
    }

    /// Jobs that have come to an end (somebody cancelled them), each with this callback.
    pub fn ended(&self, names: impl Iterator<Item = String>, callback: &dyn Fn(&str) -> Callback) {
        let jobs: Vec<String> = names.collect();
        let submission = |name: &String| Submission {
            job: name.parse().unwrap(),
            priority: 0,
            repository: None,
            spec: JobSpec {
                command: vec!["true".to_owned()],
                callbacks: vec![callback(name)],
                ..JobSpec::default()
            },
        };
        let (dir, actor) = (self.scene.dir(), Actor { by: "test".to_owned(), why: None });
        let submits = jobs.iter().map(|name| Operation::Submit(submission(name)));
        let cancels = jobs.iter().map(|name| Operation::Cancel { job: name.parse().unwrap() });
        let all: Vec<Operation> = submits.chain(cancels).collect();
        append(&dir, &actor, &all).unwrap();
    }

    /// One such job.
    pub fn one(&self, name: &str, url: &str) {
        self.ended(std::iter::once(name.to_owned()), &|_| Callback::to(url));
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.scene.json(arguments, 0)
    }

    /// `webhooks deliver --once`.
    pub fn deliver(&self) -> Value {
        let ran = self.scene.run(&["--json", "webhooks", "deliver", "--once"]);
        assert!(matches!(ran.status, 0 | 3), "{ran:?}");
        ran.json()
    }

    /// A command in a mount namespace of its own, which a script makes out of `$1`; it ends with 77 where there can
    /// be none.
    pub fn with_mounts(&self, script: &str, at: &Path, arguments: &[&str]) -> Ran {
        let plain = self.scene.place.command();
        let script = format!("{script} || exit 77; shift; exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"]).arg(at);
        command.arg(plain.get_program()).arg("--json").args(arguments).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::of(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
    }

    pub fn pending(&self) -> Vec<Value> {
        self.json(&["webhooks", "pending"])["deliveries"].as_array().unwrap().clone()
    }

    /// The undelivered delivery of a job.
    #[track_caller]
    pub fn delivery(&self, job: &str) -> Value {
        let all = self.pending();
        all.iter().find(|d| d["job_id"] == job).unwrap_or_else(|| panic!("none of {job}: {all:?}")).clone()
    }

    pub fn log(&self, job: &str) -> Vec<Value> {
        self.json(&["webhooks", "log", "--reverse", "--job", job])["entries"].as_array().unwrap().clone()
    }

    /// What the log says of the attempts of a job's delivery, in order.
    pub fn outcomes(&self, job: &str) -> Vec<String> {
        self.log(job).iter().map(|e| e["outcome"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub fn wait_for_outcomes(&self, job: &str, wanted: &[&str]) {
        wait_for(&format!("the outcomes {wanted:?} of {job}"), || self.outcomes(job) == wanted);
    }

    /// The findings of `status`, by code and object.
    pub fn findings(&self) -> Vec<(String, String)> {
        let status = self.scene.run(&["--json", "status"]).json();
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let findings = status["findings"].as_array().unwrap();
        findings.iter().map(|f| (text(&f["code"]), text(&f["object"]))).collect()
    }

    #[track_caller]
    pub fn finds(&self, code: &str) {
        let found = self.findings();
        assert!(found.iter().any(|(c, _)| c == code), "{code} is missing: {found:?}");
    }
}
