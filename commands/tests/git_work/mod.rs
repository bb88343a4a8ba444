//! Git work of workspaces that are removed: whatever fails while it is looked for, proven or kept, nothing of
//! it is lost.
#![allow(clippy::disallowed_methods)] // Tests make what is to be kept.

mod again;
mod hostile;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{Place, Ran, skipped};

const WORK: &str = "precious-work";
/// The number of a user that nobody has.
const OTHER: &str = "65534";

/// A clone that has nothing but an uncommitted file, one with a linked tree, and a repository that was never pushed.
const SCRIPT: &str = "set -e; exec 2>&1; export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b \
    GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; \
    git init -q --bare $UP; git clone -q $UP one; cd one; echo 1 >f; git add f; git commit -qm one; \
    git push -q origin HEAD:main; git fetch -q; cd ..; git clone -q -b main $UP two; cp -r two three; \
    echo precious-work >one/new; echo precious-work >>two/f; git -C three worktree add -q --detach ../tree; \
    (cd tree; echo precious-work >>f; git commit -qam work); \
    mkdir a; git init -q a/own; (cd a/own; echo precious-work >f; git add f; git commit -qm own); \
    mkdir $MADE; cp -a one two three tree a $MADE; pwd >$MADE.from";

/// The same for a second job, without any run of git.
const AGAIN: &str = "set -e; cp -a $MADE/. .; read from <$MADE.from; \
    sed -i \"s:$from/:$PWD/:\" tree/.git three/.git/worktrees/tree/gitdir";

struct Scene {
    place: Place,
    /// The words before each command that run it as the owner of the state directory, when that is another
    /// user.
    before: Vec<String>,
    jobs: usize,
}

impl Scene {
    fn new(before: &[&str]) -> Scene {
        Scene { place: Place::new(), before: before.iter().map(|&word| word.to_owned()).collect(), jobs: 0 }
    }

    fn command(&self) -> Command {
        let own = self.place.command();
        let mut words = self.before.iter();
        let Some(first) = words.next() else { return own };
        let mut command = Command::new(first);
        command.args(words).arg(self.place.program_for_all()).args(own.get_args());
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            } else {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, command: &mut Command, arguments: &[&str]) -> Ran {
        command.env("RECOVERYCTL_DOCKER_HOST", "none").env("RECOVERYCTL_CLEANUP_PAUSE", "1ms");
        Ran::of(command.args(arguments))
    }

    /// A job that left work, and whose cleanup was asked for.
    fn next(&mut self) -> String {
        self.jobs += 1;
        let id = format!("j{}", self.jobs);
        let (up, made) = (self.place.path("up.git"), self.place.path("made"));
        let script = if made.exists() { AGAIN } else { SCRIPT };
        let (up, made) = (format!("UP={}", up.display()), format!("MADE={}", made.display()));
        let submit = ["submit", "-q", "--id", &id, "--env", &up, "--env", &made, "--", "sh", "-c", script];
        self.run(&mut self.command(), &submit).ends_with(0);
        self.run(&mut self.command(), &["work", "--once"]).ends_with(0);
        self.run(&mut self.command(), &["cleanup", "start", &id]).ends_with(0);
        id
    }

    fn workspace(&self, id: &str) -> PathBuf {
        self.place.state().join("jobs").join(id)
    }

    fn archive(&self, id: &str) -> PathBuf {
        self.place.state().join(format!("cleanup/archive/{id}.1.tar"))
    }

    /// Whether the workspace is there with all its work, or the archive has all its work.
    #[track_caller]
    fn has_all(&self, id: &str, what: &str) -> bool {
        let is_there = self.workspace(id).exists();
        let top = if is_there {
            self.workspace(id)
        } else {
            let to = self.place.path(&format!("unpacked-{id}"));
            std::fs::create_dir(&to).unwrap();
            let tar =
                Command::new("tar").arg("-C").arg(&to).arg("-xf").arg(self.archive(id)).output().unwrap();
            assert!(tar.status.success(), "{what}: {}", String::from_utf8_lossy(&tar.stderr));
            to.join("workspace")
        };
        for file in ["one/new", "two/f"] {
            assert!(has(&top.join(file)), "{what}: {file} is lost");
        }
        for store in ["three/.git", "a/own/.git"] {
            let mut git = Command::new("git");
            git.env("GIT_DIR", top.join(store)).args([
                "-c",
                "safe.directory=*",
                "cat-file",
                "--batch-all-objects",
                "--batch",
            ]);
            let objects = String::from_utf8_lossy(&git.output().unwrap().stdout).into_owned();
            assert!(objects.contains(WORK), "{what}: {store} is lost");
        }
        is_there
    }
}

fn has(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(WORK))
}

fn has_program(name: &str) -> bool {
    let is_there = Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    if !is_there {
        skipped(&format!("it needs {name}"));
    }
    is_there
}

/// A folder with a `git` in place of the real one that does something else at one of its runs.
fn shim(place: &Place, act: &str) -> String {
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    // The script uses the shell alone, without further processes: it runs a thousand times.
    let script = format!(
        "#!/bin/sh\nread n <{0}; read at <{0}.at; n=$((n + 1)); echo $n >{0}\n\
         [ $n = $at ] && {{ {act}; }}\nexec {1} \"$@\"\n",
        place.path("count").display(),
        String::from_utf8(real).unwrap().trim()
    );
    let path = place.write("bin/git", &script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.parent().unwrap().display().to_string()
}

#[test]
fn workspace_stays_or_is_kept_whichever_run_of_git_fails_or_is_killed() {
    if !has_program("git") {
        return;
    }
    // Each run of git fails once: every second one exits with an error, those between are killed.
    for (act, first) in [("exit 128", 1), ("kill -KILL $$", 2)] {
        let mut scene = Scene::new(&[]);
        let path = shim(&scene.place, act);
        let mut at = first;
        loop {
            scene.place.write("count.at", &format!("{at}\n"));
            let id = scene.next();
            scene.place.write("count", "0\n");
            scene.run(scene.command().env("RECOVERYCTL_TOOLS_PATH", &path), &["cleanup", "run"]);
            scene.has_all(&id, &format!("{act} at run {at}"));
            let runs = std::fs::read_to_string(scene.place.path("count")).unwrap();
            let runs: usize = runs.trim().parse().unwrap();
            if runs < at {
                break;
            }
            at += 2;
        }
        assert!(at > 8, "{at} runs of git");
    }
}

#[test]
fn workspace_is_kept_whole_without_git() {
    if !has_program("git") {
        return;
    }
    let mut scene = Scene::new(&[]);
    let id = scene.next();
    let nowhere = scene.place.path("nowhere");
    scene.run(scene.command().env("RECOVERYCTL_TOOLS_PATH", nowhere), &["cleanup", "run"]).ends_with(0);
    assert!(!scene.has_all(&id, "no git"));
}

/// The test runs as an ordinary user, because root may read everything.
#[test]
fn workspace_stays_whichever_of_its_entries_cannot_be_read() {
    if !has_program("git") || !has_program("setpriv") || !rustix::process::geteuid().is_root() {
        return skipped("it needs root, git and setpriv");
    }
    let (uid, gid) = (format!("--reuid={OTHER}"), format!("--regid={OTHER}"));
    // The command is alone in a process namespace: processes of root that cannot be examined would delay the
    // cleanup.
    let alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"];
    let mut scene = Scene::new(&[&alone[..], &["setpriv", &uid, &gid, "--clear-groups"]].concat());
    let top = scene.place.path("");
    std::os::unix::fs::chown(&top, OTHER.parse().ok(), OTHER.parse().ok()).unwrap();
    let mut id = scene.next();
    let entries = entries_of(&scene.workspace(&id));
    assert!(entries.len() > 60, "{}", entries.len());
    let mut parked = 0;
    for entry in entries.iter().step_by(3) {
        let path = scene.workspace(&id).join(entry);
        let mode = path.metadata().unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
        scene.run(&mut scene.command(), &["retry", "cleanup", &format!("{id}.1")]);
        scene.run(&mut scene.command(), &["cleanup", "run"]);
        let what = format!("{} has no permissions", entry.display());
        if !scene.workspace(&id).exists() {
            // It is not needed for the proof, nor for the archive.
            scene.has_all(&id, &what);
            id = scene.next();
            continue;
        }
        let state = scene.run(scene.command().arg("--json"), &["cleanup", "state"]).json();
        let phase = &state["cleanups"][0]["phases"][2];
        assert_eq!(phase["status"], "parked", "{what}: {phase}");
        let name = entry.display().to_string();
        assert!(phase["error"].as_str().unwrap().contains(&name), "{what}: {phase}");
        let findings = scene.run(scene.command().arg("--json"), &["status"]).json();
        assert!(findings["findings"].to_string().contains(&name), "{what}: {findings}");
        std::fs::set_permissions(&path, mode).unwrap();
        scene.has_all(&id, &what);
        parked += 1;
    }
    assert!(parked > 10, "{parked}");
}

/// Folders and files in a workspace, but for our own, and of git's objects and samples.
fn entries_of(workspace: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    let mut open: Vec<PathBuf> =
        ["one", "two", "three", "tree", "a"].map(|name| workspace.join(name)).to_vec();
    while let Some(folder) = open.pop() {
        entries.push(folder.strip_prefix(workspace).unwrap().to_owned());
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let is_told = |word: &str| path.to_string_lossy().contains(word);
            if is_told(".sample") || is_told("/objects/") {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else {
                entries.push(path.strip_prefix(workspace).unwrap().to_owned());
            }
        }
    }
    entries
}

#[test]
fn workspace_stays_or_is_kept_with_however_few_descriptors() {
    if !has_program("git") {
        return;
    }
    let mut scene = Scene::new(&[]);
    let mut id = scene.next();
    for most in (12..48).step_by(4) {
        let own = scene.command();
        let mut limited = Command::new("sh");
        limited.arg("-c").arg(format!("ulimit -n {most}; exec \"$0\" \"$@\"")).arg(own.get_program());
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                limited.env(name, value);
            }
        }
        scene.run(&mut limited, &["cleanup", "run"]);
        if !scene.has_all(&id, &format!("{most} descriptors")) {
            id = scene.next();
        }
        scene.run(&mut scene.command(), &["retry", "cleanup", &format!("{id}.1")]);
    }
}

#[test]
fn archives_are_listed_shown_unpacked_and_removed() {
    if !has_program("git") {
        return;
    }
    let mut scene = Scene::new(&[]);
    let json = |scene: &Scene, arguments: &[&str]| -> Value {
        scene.run(scene.command().arg("--json"), arguments).ends_with(0).json()
    };
    scene.run(&mut scene.command(), &["init"]).ends_with(0);
    assert_eq!(json(&scene, &["cleanup", "archive", "list"])["total"], 0);
    let ids = [scene.next(), scene.next()];
    // Left of an archive whose writer was killed.
    let half = scene.place.write("state/cleanup/archive/.tmp-aB3dE9", "half");
    scene.run(&mut scene.command(), &["recover"]).ends_with(0);
    scene.run(&mut scene.command(), &["cleanup", "run"]);
    assert!(!half.exists());
    let list = json(&scene, &["cleanup", "archive", "list"]);
    assert_eq!((&list["total"], &list["archives"][0]["form"]), (&2.into(), &"tar".into()), "{list}");
    let sizes: u64 = ids.iter().map(|id| scene.archive(id).metadata().unwrap().len()).sum();
    assert_eq!(list["bytes_total"], sizes);
    let status = scene.run(scene.command().arg("--json"), &["status"]).json();
    assert_eq!(status["archives"], serde_json::json!({ "total": 2, "bytes": sizes }));
    let id = format!("{}.1", ids[0]);
    let shown = json(&scene, &["cleanup", "archive", "show", &id]);
    assert_eq!(shown["object"], format!("job:{}", ids[0]));
    let paths: Vec<&str> =
        shown["repositories"].as_array().unwrap().iter().map(|r| r["path"].as_str().unwrap()).collect();
    assert!(["one", "two", "three/.git", "a/own/.git"].iter().all(|path| paths.contains(path)), "{paths:?}");
    let to = scene.place.path("again");
    let unpack = |options: &[&str]| {
        let words =
            [&["cleanup", "archive", "restore", id.as_str(), "--to", to.to_str().unwrap()], options].concat();
        scene.run(&mut scene.command(), &words)
    };
    unpack(&["--dry-run"]).ends_with(0);
    assert!(!to.exists());
    unpack(&[]).ends_with(0);
    assert!(has(&to.join("workspace/one/new")) && has(&to.join("workspace/two/f")));
    unpack(&[]).ends_with(12);
    for word in ["show", "restore", "prune"] {
        scene.run(&mut scene.command(), &["cleanup", "archive", word, "gone.1"]).ends_with(5);
    }
    let prune = |options: &[&str]| {
        scene.run(&mut scene.command(), &[&["cleanup", "archive", "prune"], options].concat())
    };
    prune(&["--keep-days", "1", "--yes"]).ends_with(0);
    prune(&["--yes"]).ends_with(0);
    prune(&["--keep-bytes", "0"]).ends_with(16);
    prune(&["--keep-bytes", "0", "--dry-run"]).ends_with(0);
    assert!(scene.archive(&ids[0]).exists() && scene.archive(&ids[1]).exists());
    // Of the named ones those go that no rule keeps.
    let kept = prune(&[&id, "--keep-days", "1", "--yes", "--json"]).ends_with(0).json();
    assert_eq!(kept["removed"], serde_json::json!([]), "{kept}");
    prune(&[&id, "--yes"]).ends_with(0);
    assert!(!scene.archive(&ids[0]).exists() && scene.archive(&ids[1]).exists());
    prune(&["--keep-bytes", "0", "--yes", "--reason", "room"]).ends_with(0);
    assert_eq!(json(&scene, &["cleanup", "archive", "list"])["total"], 0);
    let audit = json(&scene, &["audit"]).to_string();
    assert!(audit.contains("cleanup archive prune") && audit.contains("cleanup archive restore"), "{audit}");
}

/// Skipping the phase says nothing about the work: the removal of the job keeps it.
#[test]
fn work_is_kept_when_a_job_goes_whose_cleanup_was_passed_over() {
    if !has_program("git") {
        return;
    }
    let mut scene = Scene::new(&[]);
    let id = scene.next();
    scene.run(&mut scene.command(), &["cleanup", "skip", &format!("{id}.1"), "filesystem"]).ends_with(0);
    scene.run(&mut scene.command(), &["cleanup", "run"]).ends_with(0);
    assert!(scene.has_all(&id, "passed over"));
    scene.run(&mut scene.command(), &["jobs", "prune", "--keep-days", "0"]).ends_with(0);
    assert!(!scene.workspace(&id).exists());
    let list = scene.run(scene.command().arg("--json"), &["cleanup", "archive", "list"]).ends_with(0).json();
    assert_eq!((&list["total"], &list["archives"][0]["source"]), (&1.into(), &"prune".into()), "{list}");
    // The folder was judged by its former place: the linked tree has nothing of its own.
    assert_eq!(list["archives"][0]["folder"], scene.workspace(&id).to_str().unwrap(), "{list}");
    let kept = list["archives"][0]["repositories"].as_array().unwrap();
    assert!(kept.iter().all(|repository| repository["path"] != "tree"), "{list}");
    let trash = std::fs::read_dir(scene.place.state().join("jobs/.trash")).unwrap();
    assert_eq!(trash.count(), 0);
}

/// The repository of one workspace borrows the objects of another one: the borrower goes first, and then the
/// lender by itself.
#[test]
fn workspace_waits_while_a_repository_in_another_one_borrows_from_it() {
    if !has_program("git") {
        return;
    }
    let mut scene = Scene::new(&[]);
    let lender = scene.next();
    let repository = scene.workspace(&lender).join("a/own");
    let script = format!("git clone -q -s {} borrower", repository.display());
    let submit = ["submit", "-q", "--id", "borrower", "--", "sh", "-c", &script];
    scene.run(&mut scene.command(), &submit).ends_with(0);
    scene.run(&mut scene.command(), &["work", "--once"]).ends_with(0);
    scene.run(&mut scene.command(), &["cleanup", "run"]);
    assert!(scene.has_all(&lender, "it is borrowed from"));
    let findings = scene.run(scene.command().arg("--json"), &["status"]).json()["findings"].clone();
    let waiting = findings.as_array().unwrap().iter().find(|f| f["code"] == "cleanup-waiting").unwrap();
    let borrower = scene.workspace("borrower").join("borrower/.git");
    assert!(waiting["sentence"].as_str().unwrap().contains(borrower.to_str().unwrap()), "{waiting}");
    scene.run(&mut scene.command(), &["cleanup", "start", "borrower"]).ends_with(0);
    scene.run(&mut scene.command(), &["cleanup", "run"]);
    assert!(!scene.workspace("borrower").exists());
    scene.run(&mut scene.command(), &["retry", "cleanup", &format!("{lender}.1")]);
    scene.run(&mut scene.command(), &["cleanup", "run"]).ends_with(0);
    assert!(!scene.has_all(&lender, "nobody borrows from it"));
}

/// Somebody goes on working in a folder that was moved to the trash.
#[test]
fn work_that_came_to_the_trash_is_kept_before_that_is_emptied() {
    if !has_program("git") {
        return;
    }
    let scene = Scene::new(&[]);
    scene.run(&mut scene.command(), &["init", "-q"]).ends_with(0);
    let orphan = scene.place.state().join("jobs/ghost");
    std::fs::create_dir_all(orphan.join("repo")).unwrap();
    scene.place.write("state/jobs/ghost/plain", "x");
    let run = |arguments: &[&str]| {
        scene.run(scene.command().env("RECOVERYCTL_ORPHANS_GRACE", "0s"), arguments).ends_with(0)
    };
    run(&["scan"]);
    run(&["orphans", "cleanup", "--yes"]);
    assert!(!orphan.exists());
    let slot = std::fs::read_dir(scene.place.state().join("orphans/trash")).unwrap().next().unwrap().unwrap();
    let work = "git init -q; echo precious-work >late; git add late; \
                git -c user.name=a -c user.email=a@b commit -qm late; rm late";
    let repo = slot.path().join("what/repo");
    assert!(Command::new("sh").args(["-ec", work]).current_dir(repo).status().unwrap().success());
    run(&["orphans", "empty-trash", "--yes"]);
    assert!(!slot.path().exists());
    let list = scene.run(scene.command().arg("--json"), &["cleanup", "archive", "list"]).ends_with(0).json();
    assert_eq!((&list["total"], &list["archives"][0]["source"]), (&1.into(), &"orphan".into()), "{list}");
    let kept = list["archives"][0]["repositories"].as_array().unwrap();
    assert!(kept.iter().any(|r| r["path"] == "repo/.git" && r["whole"] == true), "{list}");
}

/// The repository of a working tree in an orphan's folder may be gone when the trash is emptied.
#[test]
fn work_that_was_kept_of_an_orphan_is_not_judged_again_unless_somebody_changed_it() {
    if !has_program("git") {
        return;
    }
    let scene = Scene::new(&[]);
    scene.run(&mut scene.command(), &["init", "-q"]).ends_with(0);
    let run = |arguments: &[&str]| {
        scene.run(scene.command().env("RECOVERYCTL_ORPHANS_GRACE", "0s"), arguments).ends_with(0)
    };
    let sh = |script: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]).current_dir(scene.place.path("")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for name in ["GIT_AUTHOR", "GIT_COMMITTER"] {
            sh.env(format!("{name}_NAME"), "a").env(format!("{name}_EMAIL"), "a@b");
        }
        assert!(sh.status().unwrap().success(), "{script}");
    };
    sh("git init -q r; cd r; git commit -q --allow-empty -m one; mkdir ../state/jobs/ghost; \
        git worktree add -q --detach ../state/jobs/ghost/t; cd ../state/jobs/ghost/t; echo precious-work >f; \
        git add f; git commit -qm two");
    run(&["scan"]);
    run(&["orphans", "cleanup", "--yes"]);
    assert!(!scene.place.state().join("jobs/ghost").exists());
    sh("rm -rf r/.git/worktrees r/.git/logs; git -C r gc -q --prune=now");
    run(&["orphans", "empty-trash", "--yes"]);
    assert_eq!(std::fs::read_dir(scene.place.state().join("orphans/trash")).unwrap().count(), 0);
    let list = scene.run(scene.command().arg("--json"), &["cleanup", "archive", "list"]).ends_with(0).json();
    assert_eq!(list["total"], 1, "{list}");
    sh(&format!(
        "mkdir out; tar -C out -xf {}; git --git-dir=$(echo out/outside-*) -c safe.directory='*' cat-file \
         --batch-all-objects --batch | grep -q precious-work",
        list["archives"][0]["path"].as_str().unwrap()
    ));
}
