//! Checks what is in an archive: all of the work, once, and nothing else.

use std::process::Command;

use recovery::archive::archive;

use super::{Scene, has_git_program};

/// Remarks of git that have nothing to do with the question do not cause all files to be kept; each file is
/// counted once.
#[test]
fn files_alone_are_kept_whatever_git_remarks() {
    if !has_git_program() {
        return;
    }
    for script in [
        "echo '* text=auto' >.gitattributes; git add .; git commit -qm a; git push -q origin HEAD:main; \
         printf 'precious-work\\r\\n' >>f; printf '1\\r\\n' >>g; git add g; git reset -q; git checkout -q g",
        "echo precious-work >f; git stash -q; echo other >f; git commit -qam b; git push -q origin HEAD:main; \
         git stash pop >/dev/null || true; git stash drop -q; rm -rf .git/logs; git gc -q --prune=now; grep -q '<<<' f",
    ] {
        let scene = Scene::with(script);
        assert!(scene.has_kept_the_work(), "{script}");
        let found = archive(&scene.dir, "w.1").unwrap().unwrap().repositories;
        let tree = found.iter().find(|r| r.path == "repo").unwrap();
        assert_eq!((tree.whole, tree.files, tree.deleted_total), (false, 1, 0), "{script}: {found:#?}");
    }
}

/// Only the messages of tags are kept, with the tags that they point to.
#[test]
fn tags_of_a_clone_are_kept_alone() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "git fetch -q --tags; git tag -am precious-work in; git tag -am outer out in; git tag -d in",
    );
    assert!(scene.has_kept_the_work());
    let found = archive(&scene.dir, "w.1").unwrap().unwrap();
    assert_eq!((found.entries, found.repositories[0].whole), (1, false), "{found:#?}");
    // The script is the one in the manual.
    scene.sh("git clone -q up.git again; cd again; while read -r id kind size; do head -c \"$size\" | git hash-object -t tag -w --stdin; \
              read -r end; done <$TOP/restored/workspace/repo/.git.tags >$TOP/ids; \
              for id in $(cat $TOP/ids); do git tag $(git cat-file tag $id | sed -n 's/^tag //p') $id; done; \
              git cat-file tag in | grep -q precious-work; git cat-file tag out | grep -q outer");
}

/// Two names with the same checksum.
#[test]
fn files_are_told_apart_by_their_whole_names() {
    if !has_git_program() {
        return;
    }
    // "plumless" and "buckeroo" have the same CRC-32.
    let names = ["plumless", "buckeroo"];
    assert_eq!(crc32fast::hash(names[0].as_bytes()), crc32fast::hash(names[1].as_bytes()));
    let scene = Scene::with(
        "echo 1 >plumless; echo 1 >buckeroo; git add .; git commit -qm x; git push -q origin main; \
         echo other-work >plumless; echo precious-work >buckeroo",
    );
    assert!(scene.has_kept_the_work());
    let repo = scene.place.path().join("restored/workspace/repo");
    let kept = names.map(|name| std::fs::read_to_string(repo.join(name)).unwrap());
    assert_eq!(kept, ["other-work\n", "precious-work\n"]);
}

#[test]
fn file_that_two_trees_have_is_in_an_archive_once() {
    if !has_git_program() {
        return;
    }
    // Without its names, the outer tree takes the inner one for files of its own.
    let scene = Scene::with(
        "git clone -q $TOP/up.git in; cd in; git gc -q; rm -rf .git/refs; echo precious-work >n; \
         cd ..; echo x >.git.tags; git tag -am other v2",
    );
    assert!(scene.has_kept_the_work());
    let list = Command::new("tar")
        .arg("-tf")
        .arg(scene.dir.paths.cleanup_archive().join("w.1.tar"))
        .output()
        .unwrap();
    let mut names: Vec<String> = String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    assert!(
        names.contains(&"workspace/repo/.git.tags".to_owned())
            && names.contains(&"workspace/repo/.git.tags~".to_owned())
    );
}
