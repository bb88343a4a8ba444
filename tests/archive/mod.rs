//! Git work of folders that are removed: everything that only one repository has is kept, and what others
//! have is not.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

mod content;
mod elsewhere;
mod hostile;
mod lenders;
mod remotes;
mod trash;
mod unpacked;
mod works;
mod written;

use std::path::{Path, PathBuf};
use std::process::Command;

use recovery::archive::{
    ArchiveSource, CannotKeep, KeepOutcome, KeepRequest, KeepRules, archive, keep, restore,
};
use recovery::durable::Disk;
use recovery::state::{Clock, StateDir};

const WORK: &str = "precious-work";

/// A state directory, an origin with one commit, and a folder `w` that is to be removed.
struct Scene {
    w: PathBuf,
    place: tempfile::TempDir,
    dir: StateDir,
    rules: KeepRules,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene::empty();
        scene.sh("mkdir w; git init -q --bare up.git; git clone -q up.git first 2>/dev/null; cd first; \
             echo 1 >f; seq 100 >g; echo '*.ignored' >.gitignore; git add .; git commit -qm one; git tag v1; \
             git push -q origin HEAD:main v1; git -C ../up.git symbolic-ref HEAD refs/heads/main; \
             git clone -q $TOP/up.git $TOP/w/repo");
        scene
    }

    fn empty() -> Scene {
        let place = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&place.path().join("state"), Disk::real(), Clock::system()).unwrap();
        Scene { w: place.path().join("w"), place, dir, rules: KeepRules::default() }
    }

    /// A clone in `w/repo` that has nothing of its own, and then what a script does in it.
    fn with(script: &str) -> Scene {
        Scene::new().then(script)
    }

    /// The same, made from another scene in which nothing was done.
    fn like(other: &Scene, script: &str) -> Scene {
        let scene = Scene::empty();
        let from = other.place.path().display();
        scene.sh(&format!("cp -a {from}/up.git {from}/first {from}/w .; for r in first w/repo; do sed -i s,{from},$TOP, $r/.git/config; done"));
        scene.then(script)
    }

    fn then(self, script: &str) -> Scene {
        self.sh(&format!("cd w/repo; {script}"));
        self
    }

    fn sh(&self, script: &str) {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]).current_dir(self.place.path());
        sh.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("TOP", self.place.path());
        let who = [("AUTHOR", "a"), ("COMMITTER", "c")];
        for (role, name) in who {
            sh.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), "a@b");
        }
        sh.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "protocol.file.allow");
        let ran = sh.env("GIT_CONFIG_VALUE_0", "always").output().unwrap();
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn request(&self) -> KeepRequest<'_> {
        KeepRequest {
            folder: &self.w,
            was: None,
            archive_id: "w.1",
            source: ArchiveSource::Cleanup,
            object: "job:w".to_owned(),
            rules: &self.rules,
            stop: &|| false,
        }
    }

    fn keep(&self) -> Result<KeepOutcome, CannotKeep> {
        keep(&self.dir, &self.request())
    }

    /// Keeps, unpacks what was kept, and looks for the work in files and in every store of objects.
    fn has_kept_the_work(&self) -> bool {
        let kept = self.keep().unwrap();
        let KeepOutcome::Archived { archive_id, bytes } = kept else { return false };
        let found = archive(&self.dir, &archive_id).unwrap().unwrap();
        assert_eq!((found.bytes, found.object.as_deref()), (bytes, Some("job:w")));
        assert!(!found.repositories.is_empty() && found.entries > 0);
        let to = self.place.path().join("restored");
        let _ = std::fs::remove_dir_all(&to);
        restore(&Disk::real(), &found, &to).unwrap();
        let mut open = vec![to];
        while let Some(folder) = open.pop() {
            if folder.join("objects").is_dir() && has_object_with(&folder, WORK) {
                return true;
            }
            let is_pool = folder.join("pack").is_dir() || folder.join("info").is_dir();
            if is_pool && pool_has_object_with(&self.place.path().join("up.git"), &folder, WORK) {
                return true;
            }
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file()
                    && std::fs::read(entry.path()).unwrap().windows(WORK.len()).any(|w| w == WORK.as_bytes())
                {
                    return true;
                }
            }
        }
        false
    }
}

fn has_object_with(store: &Path, text: &str) -> bool {
    pool_has_object_with(store, &store.join("objects"), text)
}

fn pool_has_object_with(store: &Path, objects: &Path, text: &str) -> bool {
    let mut git = Command::new("git");
    git.env("GIT_DIR", store).env("GIT_OBJECT_DIRECTORY", objects).args([
        "-c",
        "safe.directory=*",
        "cat-file",
        "--batch-all-objects",
        "--batch",
    ]);
    let out = git.output().unwrap().stdout;
    out.windows(text.len()).any(|window| window == text.as_bytes())
}

fn has_git_program() -> bool {
    let has = Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success());
    if !has {
        crate::common::skipped("it needs git");
    }
    has
}
