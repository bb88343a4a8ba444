//! Work that was added to a folder after it was looked at, or whose archive is gone.

use std::process::Command;

use serde_json::Value;

use super::{Scene, has, has_program};
use crate::common::until;

impl Scene {
    /// Moves a workspace into the trash as a cleanup does that is killed right after, or once it has begun to delete.
    fn take(&self, id: &str, is_begun: bool) {
        let cleanup = self.place.state().join("cleanup");
        std::fs::create_dir_all(cleanup.join("trash")).unwrap();
        std::fs::rename(self.workspace(id), cleanup.join(format!("trash/{id}.1"))).unwrap();
        let path = cleanup.join(format!("{id}.1.json"));
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let at = record["created_at"].clone();
        let phases = record["phases"].as_array_mut().unwrap();
        let phase = phases.iter_mut().find(|phase| phase["phase"] == "filesystem").unwrap();
        let steps = phase["steps"].as_array_mut().unwrap();
        steps.iter_mut().find(|step| step["step"] == "take").unwrap()["done_at"] = at.clone();
        if is_begun {
            steps.iter_mut().find(|step| step["step"] == "delete").unwrap()["begun_at"] = at;
        }
        std::fs::write(&path, record.to_string()).unwrap();
    }

    fn again(&self, id: &str) {
        self.run(&mut self.command(), &["retry", "cleanup", &format!("{id}.1")]);
        self.run(&mut self.command(), &["cleanup", "run"]).ends_with(0);
    }
}

/// A failed try leaves no note about what it saw.
#[test]
fn work_is_kept_by_the_try_after_one_that_could_not() {
    if !has_program("git") {
        return;
    }
    let mut scene = Scene::new(&[]);
    let id = scene.next();
    let archives = scene.place.write("state/cleanup/archive", "no folder");
    scene.run(&mut scene.command(), &["cleanup", "run"]).ends_with(3);
    assert!(scene.has_all(&id, "the archive cannot be written"));
    std::fs::remove_file(archives).unwrap();
    scene.take(&id, false);
    scene.again(&id);
    assert!(!scene.has_all(&id, "in the trash"));
    assert!(!scene.place.state().join(format!("cleanup/trash/{id}.1")).exists());
}

/// Archives are removed by a rule or by hand while what they were made of waits in a trash.
#[test]
fn work_is_kept_again_when_its_archive_is_gone_before_the_trash() {
    if !has_program("git") {
        return;
    }
    for is_begun in [false, true] {
        let mut scene = Scene::new(&[]);
        let id = scene.next();
        let prune = ["cleanup", "archive", "prune", "--keep-bytes", "0", "--yes"];
        let trash = scene.place.write("state/cleanup/trash", "no folder");
        scene.run(&mut scene.command(), &["cleanup", "run"]).ends_with(3);
        std::fs::remove_file(trash).unwrap();
        assert!(scene.archive(&id).exists());
        scene.run(&mut scene.command(), &prune).ends_with(0);
        assert!(!scene.archive(&id).exists());
        scene.take(&id, is_begun);
        scene.again(&id);
        assert!(!scene.has_all(&id, "its archive was gone"));
        scene.run(&mut scene.command(), &prune).ends_with(0);

        let orphan = scene.place.state().join("jobs/ghost");
        std::fs::create_dir_all(&orphan).unwrap();
        let work = "git init -q repo; echo precious-work >repo/n";
        assert!(Command::new("sh").args(["-ec", work]).current_dir(&orphan).status().unwrap().success());
        let run = |arguments: &[&str]| {
            scene.run(scene.command().env("RECOVERYCTL_ORPHANS_GRACE", "0s"), arguments).ends_with(0)
        };
        run(&["scan"]);
        run(&["orphans", "cleanup", "--yes"]);
        run(&prune);
        let trash = scene.place.state().join("orphans/trash");
        if is_begun {
            let slot = std::fs::read_dir(&trash).unwrap().next().unwrap().unwrap().path();
            std::fs::rename(slot.join("what"), slot.join("going")).unwrap();
        }
        run(&["orphans", "empty-trash", "--yes"]);
        assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 0);
        let list = scene.run(scene.command().arg("--json"), &["cleanup", "archive", "list"]).json();
        assert_eq!((&list["total"], &list["archives"][0]["source"]), (&1.into(), &"orphan".into()), "{list}");
    }
}

/// A workspace that is a working tree in which the code index lies, with files of it that are not committed.
const INDEXED: &str = "set -e; export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b \
    GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; \
    git init -q --bare $UP; git init -q .; mkdir .code-indexer; echo 1 >.code-indexer/set; \
    echo 'cache' >.gitignore; git add .code-indexer .gitignore; git commit -qm one; git remote add origin $UP; \
    git push -q origin HEAD:main; git fetch -q; echo x >.code-indexer/cache; eval \"$THEN\"";

#[test]
fn work_in_a_code_index_is_kept_before_the_index_goes() {
    if !has_program("git") {
        return;
    }
    for (number, (then, kept)) in [
        ("echo precious-work >.code-indexer/set", Some("set")),
        ("echo precious-work >.code-indexer/new", Some("new")),
        ("git init -q .code-indexer; echo precious-work >.code-indexer/cache", Some("cache")),
        ("echo precious-work >new; rm .code-indexer/set", None),
    ]
    .into_iter()
    .enumerate()
    {
        let scene = Scene::new(&[]);
        let (up, then) = (format!("UP={}", scene.place.path("up.git").display()), format!("THEN={then}"));
        let submit = ["submit", "-q", "--id", "j", "--env", &up, "--env", &then, "--", "sh", "-c", INDEXED];
        scene.run(&mut scene.command(), &submit).ends_with(0);
        scene.run(&mut scene.command(), &["work", "--once"]).ends_with(0);
        let index = scene.workspace("j").join(".code-indexer");
        assert!(index.join("cache").exists(), "{number}");
        // As an orphan it waits for its workspace.
        let grace = |arguments: &[&str]| {
            scene.run(scene.command().env("RECOVERYCTL_ORPHANS_GRACE", "0s").arg("--json"), arguments).json()
        };
        let plan = {
            grace(&["scan"]);
            grace(&["orphans", "candidates"])
        };
        let candidates = plan["candidates"].as_array().unwrap();
        let candidate = candidates.iter().find(|c| c["kind"] == "index").unwrap();
        let check = candidate["checks"].as_array().unwrap().iter().find(|c| c["check"] == "no-work").unwrap();
        assert_eq!(check["passed"], kept.is_none(), "{check}");
        assert_eq!(candidate["safe"], kept.is_none(), "{candidate}");
        // The tool fails once, when half of the index is gone.
        scene.run(&mut scene.command(), &["cleanup", "start", "j"]).ends_with(0);
        let run_with = |tool: &str| {
            let mut run = scene.command();
            run.env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", tool);
            scene.run(&mut run, &["cleanup", "run"]);
        };
        run_with("sh -c 'rm -rf .code-indexer; mkdir .code-indexer; exit 1'");
        until("the workspace to go", || {
            run_with("rm -rf .code-indexer");
            !scene.workspace("j").exists()
        });
        let archive = scene.place.state().join("cleanup/archive/j.1.index.tar");
        assert_eq!(archive.exists(), kept.is_some(), "{then}");
        if let Some(name) = kept {
            let to = scene.place.path("unpacked");
            std::fs::create_dir(&to).unwrap();
            assert!(
                Command::new("tar").arg("-C").arg(&to).arg("-xf").arg(archive).status().unwrap().success()
            );
            assert!(has(&to.join("workspace/.code-indexer").join(name)), "{then}");
        }
    }
}
