//! Hostile trees: nothing of them is run, nothing is waited for, and memory and time are limited.

use std::process::Command;
use std::time::Instant;

use super::{Scene, has_program};
use crate::common::{Ran, skipped};

/// The number of a user that does not exist.
const OTHER: u32 = 61_000;

impl Scene {
    /// A job that left what a script makes, and whose cleanup was asked for.
    fn left(&self, id: &str, script: &str) {
        let home = format!("HOME={}", self.place.path("").display());
        let top = format!("TOP={}", self.place.path("").display());
        let script = format!("set -e; exec 2>&1; export GIT_CONFIG_GLOBAL=/dev/null; {script}");
        let words = ["submit", "-q", "--id", id, "--env", &home, "--env", &top, "--", "sh", "-c", &script];
        self.run(&mut self.command(), &words).ends_with(0);
        self.run(&mut self.command(), &["work", "--once"]).ends_with(0);
        let shown = self.run(self.command().arg("--json"), &["jobs", "show", id]).ends_with(0).json();
        assert_eq!(shown["status"], "succeeded", "{script}: {shown}");
        self.run(&mut self.command(), &["cleanup", "start", id]).ends_with(0);
    }
}

const MADE: &str = "git init -q -b main r; cd r; \
    g() { git -c user.name=a -c user.email=a@b -c core.fsmonitor=false \"$@\"; }; \
    echo a >f; echo b >g; g add .; g commit -qm one; echo more >>f; echo new >n";

/// A limit of the address space shows when this program takes too much memory.
#[test]
fn huge_files_in_a_tree_take_neither_memory_nor_time() {
    if !has_program("git") {
        return;
    }
    let scene = Scene::new(&[]);
    let packed = "g gc -q; chmod -R u+w .git/objects/pack; cd .git/objects/pack";
    let trees = [
        ("index", "truncate -s 6G .git/index".to_owned()),
        ("packed-refs", "truncate -s 3G .git/packed-refs".to_owned()),
        ("name", "truncate -s 6G .git/refs/heads/huge".to_owned()),
        ("reflog", "truncate -s 6G .git/logs/HEAD".to_owned()),
        ("settings", "truncate -s 6G .git/config".to_owned()),
        ("lenders", "truncate -s 6G .git/objects/info/alternates".to_owned()),
        ("exclude", "truncate -s 6G .git/info/exclude".to_owned()),
        ("ignore", "truncate -s 6G .gitignore".to_owned()),
        ("file", "truncate -s 6G huge".to_owned()),
        ("pack", format!("{packed}; truncate -s 6G *.pack")),
        ("packs-index", format!("{packed}; truncate -s 6G *.idx")),
        // It says that it has a hundred million objects.
        (
            "made-up",
            format!(
                "{packed}; i=$(ls *.idx); {{ printf '\\377tOc\\000\\000\\000\\002'; head -c 1020 /dev/zero; \
                 printf '\\005\\365\\341\\000'; }} >$i; truncate -s 6G $i"
            ),
        ),
        ("names", "head -c 1000000 /dev/urandom >big; for i in $(seq 90); do ln big big$i; done".to_owned()),
    ];
    for (id, script) in &trees {
        scene.left(id, &format!("{MADE}; {script}"));
    }
    let own = scene.command();
    let mut limited = Command::new("sh");
    limited.arg("-c").arg("ulimit -v 2000000; exec \"$0\" \"$@\"").arg(own.get_program());
    for (name, value) in own.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    let begun = Instant::now();
    scene.run(&mut limited, &["cleanup", "run"]);
    let took = begun.elapsed().as_secs();
    assert!(took < 60 * trees.len() as u64, "{took} s");
    for (id, _) in &trees {
        let is_kept = scene.archive(id).exists();
        assert!(is_kept || scene.workspace(id).exists(), "{id}: the work is gone");
        let room = scene.archive(id).metadata().map_or(0, |found| found.len());
        assert!(room < 64 << 20, "{id}: the archive has {room} bytes");
    }
    let gone = trees.iter().filter(|(id, _)| !scene.workspace(id).exists()).count();
    let state = scene.run(scene.command().arg("--json"), &["cleanup", "state"]).json();
    assert!(gone >= trees.len() - 1, "{gone} went: {state}");
}

/// git also looks at a folder whose record was lost.
#[test]
fn nothing_of_a_tree_is_run_when_its_job_is_reconstructed() {
    if !has_program("git") {
        return;
    }
    let scene = Scene::new(&[]);
    let evil = scene.place.path("evil");
    let ran = scene.place.path("ran");
    scene.place.write("evil", &format!("#!/bin/sh\necho $0 >>{}\ncat\n", ran.display()));
    std::fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!(
        "{MADE}; E={}; echo '* filter=evil diff=evil' >.git/info/attributes; for k in core.fsmonitor filter.evil.clean \
         filter.evil.process diff.evil.textconv diff.external core.sshCommand gpg.program; do g config $k $E; done; \
         cp $E .git/hooks/post-index-change; g config core.worktree /; printf '[include]\\n\\tpath = %s\\n' $PWD/more \
         >>.git/config; printf '[core]\\n\\tfsmonitor = %s\\n' $E >more; touch -d 2001-01-01 f g",
        evil.display()
    );
    scene.left("j", &script);
    let _ = std::fs::remove_file(&ran);
    std::fs::remove_file(scene.place.state().join("jobs/j.job.json")).unwrap();
    std::fs::remove_dir_all(scene.place.state().join("queue")).unwrap();
    scene.run(&mut scene.command(), &["recover"]);
    let shown = scene.run(scene.command().arg("--json"), &["jobs", "show", "j"]).json();
    assert!(shown["reconstructed"].to_string().contains("git repository r: HEAD "), "{shown}");
    assert!(!ran.exists(), "{}", std::fs::read_to_string(&ran).unwrap_or_default());
}

/// From the workspace of another user, root's daemon keeps what that user could have read, and nothing else.
#[test]
fn workspace_of_another_user_waits_with_a_finding_for_a_name_of_a_secret() {
    if !has_program("git") || !rustix::process::geteuid().is_root() {
        return skipped("it needs root and git");
    }
    let scene = Scene::new(&[]);
    let secret = scene.place.write("secret", "top-secret");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // As with protected_hardlinks=0; the user of the tree could do the same then.
    scene.left("j", &format!("{MADE}; chown -R {OTHER}:{OTHER} ..; ln $TOP/secret stolen"));
    scene.run(&mut scene.command(), &["cleanup", "run"]).ends_with(3);
    assert!(scene.workspace("j").join("r/stolen").exists() && !scene.archive("j").exists());
    let findings = scene.run(scene.command().arg("--json"), &["status"]).json()["findings"].clone();
    let parked = findings.as_array().unwrap().iter().find(|f| f["code"] == "cleanup-parked").unwrap();
    let sentence = parked["sentence"].as_str().unwrap();
    assert!(sentence.contains("r/stolen") && sentence.contains("may not read it"), "{parked}");
    // The name that the finding tells is removed, and the rest goes.
    std::fs::remove_file(scene.workspace("j").join("r/stolen")).unwrap();
    scene.run(&mut scene.command(), &["retry", "cleanup", "j.1"]).ends_with(0);
    scene.run(&mut scene.command(), &["cleanup", "run"]).ends_with(0);
    assert!(!scene.workspace("j").exists());
    let archive = std::fs::read(scene.archive("j")).unwrap();
    let has = |text: &str| archive.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("workspace/r/n") && !has("top-secret"));
    // Nobody but root reads archives.
    use std::os::unix::fs::MetadataExt;
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&scene.archive("j")), mode(&scene.place.state())), (0o600, 0o700));
}

/// The configuration names the folders in which git is looked for.
#[test]
fn git_is_never_taken_from_a_folder_that_others_write() {
    if !has_program("git") {
        return;
    }
    let scene = Scene::new(&[]);
    scene.left("j", MADE);
    let run =
        |path: &str| Ran::of(scene.command().env("RECOVERYCTL_TOOLS_PATH", path).args(["config", "check"]));
    for wrong in [".", "/usr/bin:", "/usr/bin:bin", "/usr/../bin"] {
        let refused = run(wrong).ends_with(2);
        assert!(refused.stderr.contains("absolute folders"), "{wrong}: {}", refused.stderr);
    }
    let ran = scene.place.path("ran");
    let git = scene.place.write("open/git", &format!("#!/bin/sh\necho $0 >>{}\nexit 1\n", ran.display()));
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(&git, 0o755);
    mode(git.parent().unwrap(), 0o777);
    // The folder comes first in the daemon's own path, too.
    let open = git.parent().unwrap().display().to_string();
    let mut command = scene.command();
    command
        .env("RECOVERYCTL_TOOLS_PATH", format!("{open}:/usr/bin:/bin"))
        .env("PATH", format!("{open}::/usr/bin:/bin"));
    scene.run(&mut command, &["cleanup", "run"]).ends_with(0);
    assert!(!ran.exists() && scene.archive("j").exists());
}
