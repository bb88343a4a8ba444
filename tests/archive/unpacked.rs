//! An unpacked archive has the former content, and works.

use std::path::Path;
use std::process::Command;

use recovery::archive::{archive, archives, restore};
use recovery::durable::Disk;

use super::{Scene, WORK, has_git_program};

/// A repository outside that some trees here belong to, and what names places in the folder that went.
#[test]
fn what_is_unpacked_works_where_it_is_and_is_there_once() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "echo 1 >>f; git commit -qam base; git clone -q -s . ../b; cd ../b; echo precious-work >n; git add n; \
         git commit -qm n; git worktree add -q -b t ../tree; echo new >../tree/new; \
         for i in 1 2; do git -C $TOP/first worktree add -q -b o$i $TOP/w/o$i; echo $i >$TOP/w/o$i/n; git -C $TOP/w/o$i add n; done",
    );
    assert!(scene.has_kept_the_work());
    scene.sh("mv w gone");
    let out = scene.place.path().join("restored");
    let outside =
        std::fs::read_dir(&out).unwrap().filter(|e| e.as_ref().unwrap().file_name() != "workspace").count();
    assert_eq!(outside, 1);
    for repository in ["b", "tree"] {
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "log", "--format=%s"])
            .current_dir(out.join("workspace").join(repository));
        let log = git.output().unwrap();
        let said = String::from_utf8_lossy(&log.stderr);
        assert_eq!(String::from_utf8_lossy(&log.stdout), "n\nbase\none\n", "{repository}: {said}");
    }
    let gitdir = std::fs::read_to_string(out.join("workspace/b/.git/worktrees/tree/gitdir")).unwrap();
    assert_eq!(Path::new(gitdir.trim()), out.join("workspace/tree/.git"));
}

/// Times that a number of the old form does not hold, and modes of folders.
#[test]
fn unpacking_gives_times_and_modes_back() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "echo >.git/HEAD; echo precious-work >f; mkdir d closed; echo x >closed/x; touch -d '1950-01-01T00:00:00Z' f; \
         touch -d '2300-01-01T00:00:00Z' g; ln -s nowhere l; touch -h -d '1999-01-01T00:00:00Z' l; \
         touch -d '2001-01-01T00:00:00Z' d; chmod 0555 closed; chmod 1777 d",
    );
    assert!(scene.has_kept_the_work());
    let [was, is] = ["w/repo", "restored/workspace/repo"].map(|at| scene.place.path().join(at));
    for name in ["f", "g", "l", "d", "closed"] {
        let [was, is] = [&was, &is].map(|at| at.join(name).symlink_metadata().unwrap());
        assert_eq!(was.mtime(), is.mtime(), "{name}");
        assert_eq!(was.mode(), is.mode(), "{name}");
    }
    for at in [was, is] {
        std::fs::set_permissions(at.join("closed"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// An archive of an earlier version may have one file twice; one that has two of one name is damaged.
#[test]
fn archive_with_a_file_twice_is_unpacked_and_a_pipe_is_no_archive() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("echo precious-work >>f");
    scene.keep().unwrap();
    let tar = scene.dir.paths.cleanup_archive().join("w.1.tar");
    let unpacked = |to: &str| {
        restore(&Disk::real(), &archive(&scene.dir, "w.1").unwrap().unwrap(), &scene.place.path().join(to))
    };
    let twice = |change: &str| {
        scene.sh(&format!(
            "rm -rf x y.tar; mkdir x; tar -C x -xf {0}; cp {0} y.tar; {change}; tar --format=posix -C x -rf y.tar workspace/repo/f; cp y.tar {0}",
            tar.display()
        ));
    };
    twice(":");
    unpacked("same").unwrap();
    assert!(
        std::fs::read_to_string(scene.place.path().join("same/workspace/repo/f")).unwrap().contains(WORK)
    );
    twice("echo other >x/workspace/repo/f");
    assert!(unpacked("other").is_err());
    scene.sh("mkfifo state/cleanup/archive/p.json state/cleanup/archive/q.tar state/cleanup/archive/p; rm state/cleanup/archive/w.1.json; \
              mkfifo state/cleanup/archive/w.1.json");
    assert_eq!(archives(&scene.dir).unwrap().len(), 1);
}
