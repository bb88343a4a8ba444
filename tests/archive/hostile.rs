//! Hostile trees: whatever stands in the place of git's files, nothing is waited for, nothing of the tree is
//! run, and nothing is read that its author could not have read.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use recovery::archive::{CannotKeep, KeepOutcome, KeepRequest, git_states, keep};
use recovery::system::SearchPath;

use super::{Scene, has_git_program};
use crate::common::{is_root, skipped_by_the_machine};

const SECRET: &str = "top-secret-of-root";
/// The number of a user that does not exist.
const OTHER: u32 = 61_000;
/// Less than the time limit of git.
const SOON: Duration = Duration::from_secs(25);

/// What lies in the place of a file that git, or this program, would open.
const PLACES: &[(&str, &str)] = &[
    ("index", "rm .git/index; PUT .git/index"),
    ("HEAD", "rm .git/HEAD; PUT .git/HEAD"),
    ("config", "rm .git/config; PUT .git/config"),
    ("packed-refs", "rm -f .git/packed-refs; PUT .git/packed-refs"),
    ("name", "PUT .git/refs/heads/x"),
    ("shallow", "PUT .git/shallow"),
    ("commondir", "PUT .git/commondir"),
    ("reflog", "rm .git/logs/HEAD; PUT .git/logs/HEAD"),
    ("exclude", "rm -f .git/info/exclude; PUT .git/info/exclude"),
    (".gitignore", "rm .gitignore; PUT .gitignore"),
    (".gitattributes", "PUT .gitattributes"),
    (".gitmodules", "PUT .gitmodules"),
    (
        "submodule's HEAD",
        "git init -q sub; echo x >sub/x; git -C sub add x; git -C sub commit -qm x; \
      git add sub 2>/dev/null; git commit -qm sub; rm sub/.git/HEAD; PUT sub/.git/HEAD",
    ),
    ("file", "rm f; PUT f"),
    ("lenders", "PUT .git/objects/info/alternates"),
    ("lender", "PUT $TOP/lender; echo $TOP/lender >.git/objects/info/alternates"),
    ("HTTP lenders", "PUT .git/objects/info/http-alternates"),
    ("objects", "rm -rf .git/objects; PUT .git/objects"),
    ("folder of packs", "rm -rf .git/objects/pack; PUT .git/objects/pack"),
    ("fan", "D=.git/objects/$(ls .git/objects | grep -m1 ^..$); rm -rf $D; PUT $D"),
    (
        "object",
        "echo work >w; O=$(git hash-object -w w | sed s,^..,\\&/,); rm -f .git/objects/$O; PUT .git/objects/$O",
    ),
    ("pack", "git gc -q; P=$(echo .git/objects/pack/*.pack); rm -f $P; PUT $P"),
    ("index of a pack", "git gc -q; P=$(echo .git/objects/pack/*.idx); rm -f $P; PUT $P"),
    ("commit graph", "PUT .git/objects/info/commit-graph"),
    (".git", "rm -rf .git; PUT .git"),
    ("named by .git", "rm -rf .git; PUT $TOP/named; echo gitdir: $TOP/named >.git"),
    (
        "linked tree's HEAD",
        "git worktree add -q --detach ../t; D=$(echo .git/worktrees/*); rm $D/HEAD; PUT $D/HEAD",
    ),
    (
        "remote",
        "echo x >>f; git commit -qam x; git push -q origin HEAD:x; PUT $TOP/r; git remote set-url origin $TOP/r",
    ),
    (
        "remote's HEAD",
        "echo x >>f; git commit -qam x; git push -q origin HEAD:x; rm $TOP/up.git/HEAD; PUT $TOP/up.git/HEAD",
    ),
    ("remote's lenders", "PUT $TOP/up.git/objects/info/alternates"),
    ("remote's pack", "PUT $TOP/up.git/objects/pack/pack-1.idx; : >$TOP/up.git/objects/pack/pack-1.pack"),
];

/// What is put there.
const KINDS: &[(&str, &str)] = &[
    ("a pipe", "PUT() { mkfifo $1; }"),
    ("a folder", "PUT() { mkdir $1; }"),
    ("a link to itself", "PUT() { ln -s $(basename $1) $1; }"),
    ("a link to a pipe", "PUT() { test -e $TOP/pipe || mkfifo $TOP/pipe; ln -s $TOP/pipe $1; }"),
    ("a link to a secret", "PUT() { ln -s $TOP/secret $1; }"),
];

/// Looks for a text in all archives.
fn archives_have(scene: &Scene, text: &str) -> bool {
    let entries = std::fs::read_dir(scene.dir.paths.cleanup_archive()).into_iter().flatten();
    entries
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// What goes wrong when something lies in each of the places.
fn wrong_with(untouched: &Scene, (kind, put): &(&str, &str)) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, script) in PLACES {
        // An empty folder is no repository.
        if (*place, *kind) == (".git", "a folder") {
            continue;
        }
        let what = format!("{kind} in place of {place}");
        let put = format!("echo {SECRET} >$TOP/secret; echo work >new; {put}; {script}");
        let scene = Scene::like(untouched, &put);
        let begun = Instant::now();
        let kept = scene.keep();
        if begun.elapsed() > SOON {
            wrong.push(format!("{what}: it took {} s", begun.elapsed().as_secs()));
        }
        if archives_have(&scene, SECRET) {
            wrong.push(format!("{what}: the secret is in the archive"));
        }
        let is_kept =
            matches!(kept, Ok(KeepOutcome::Archived { .. })) && archives_have(&scene, "workspace/repo/new");
        if !is_kept && kept.is_ok() {
            wrong.push(format!("{what}: the work is lost: {kept:?}"));
        }
    }
    wrong
}

#[test]
fn nothing_in_the_place_of_a_file_of_git_s_is_waited_for_or_followed() {
    if !has_git_program() {
        return;
    }
    let untouched = Scene::new();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let of_kind = |kind: &'static (&str, &str)| scope.spawn(|| wrong_with(&untouched, kind));
        let threads: Vec<_> = KINDS.iter().map(of_kind).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A tree of another user, in a place of root's that the user can reach.
fn of_another(script: &str) -> Option<Scene> {
    if !is_root() {
        skipped_by_the_machine("it needs root");
        return None;
    }
    if !has_git_program() {
        return None;
    }
    let scene = Scene::new();
    std::fs::set_permissions(scene.place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    scene.sh(&format!(
        "mkdir -m 700 $TOP/private; echo {SECRET} >$TOP/private/secret; cp $TOP/private/secret $TOP/secret; \
         chmod 600 $TOP/secret; git clone -q up.git private/repo; cd private/repo; echo {SECRET} >s; git add s; \
         git commit -qm {SECRET}; mkdir -p .git/objects/info; echo {SECRET} >.git/objects/info/note"
    ));
    let scene = scene.then(script);
    scene.sh(&format!("chown -hR {OTHER} w"));
    Some(scene)
}

#[test]
fn tree_of_another_user_is_judged_and_kept_with_that_user_s_rights() {
    let Some(scene) = of_another(":") else { return };
    assert!(matches!(scene.keep(), Ok(KeepOutcome::Proven)), "{:?}", scene.keep());
    for work in [
        "echo precious-work >>f",
        "echo precious-work >>f; git commit -qam two",
        "git tag -am precious-work v2",
        "git worktree add -q --detach ../t; echo precious-work >../t/new",
        "git remote set-url origin ssh://host/x.git; git stash -q; echo precious-work >>f; git stash -q",
    ] {
        let Some(scene) = of_another(work) else { return };
        assert!(scene.has_kept_the_work(), "{work}");
    }
    // A linked tree has the whole path of its repository, and that leads through folders that are closed to its user.
    let Some(scene) = of_another(":") else { return };
    scene.sh(&format!(
        "mkdir -p state/jobs/w; git clone -q up.git state/jobs/w/repo; git -C state/jobs/w/repo worktree add -q --detach \
         ../t; chown -hR {OTHER} state/jobs/w"
    ));
    let folder = scene.dir.paths.jobs().join("w");
    let kept = keep(&scene.dir, &KeepRequest { folder: &folder, ..scene.request() });
    assert!(matches!(kept, Ok(KeepOutcome::Proven)), "{kept:?}");
}

#[test]
fn tree_of_another_user_leads_to_nothing_that_the_user_could_not_read() {
    for (lead, is_work) in [
        ("rm -rf .git; echo gitdir: $TOP/private/repo/.git >.git", false),
        ("rm -rf .git; ln -s $TOP/private/repo/.git .git", false),
        (
            "git worktree add -q --detach ../t; echo $TOP/private/repo/.git >$(echo .git/worktrees/*)/commondir",
            true,
        ),
        ("echo $TOP/private/repo/.git/objects >.git/objects/info/alternates", true),
        ("echo ../../../../private/repo/.git/objects >.git/objects/info/alternates", true),
        ("rm -rf .git/objects; ln -s $TOP/private/repo/.git/objects .git/objects", true),
        ("git config core.worktree $TOP/private", false),
        ("git config lfs.storage $TOP/private", true),
        ("ln -s $TOP/private .git/lfs", true),
        (
            "ln -s $TOP/secret .git/refs/heads/s; ln -s $TOP/secret s; ln -sf $TOP/secret .git/packed-refs",
            true,
        ),
        // The private repository has the work, but what the user may not read proves nothing.
        (
            "echo w >>f; git commit -qam w; git push -q $TOP/private/repo HEAD:w; git remote add p $TOP/private/repo; \
          git fetch -q p; rm .git/FETCH_HEAD",
            true,
        ),
    ] {
        let Some(scene) = of_another(&format!("echo precious-work >new; {lead}")) else { return };
        let begun = Instant::now();
        let kept = scene.keep();
        assert!(matches!(kept, Ok(KeepOutcome::Archived { .. })), "{lead}: {kept:?}");
        assert!(begun.elapsed() < SOON, "{lead}");
        assert!(!archives_have(&scene, SECRET), "{lead}: the secret is in the archive");
        assert!(archives_have(&scene, "workspace/repo/new"), "{lead}: the work is lost");
        let whole = archives_have(&scene, "workspace/repo/.git");
        assert!(whole || !is_work, "{lead}: the repository is not kept");
    }
}

#[test]
fn further_name_of_a_secret_in_a_tree_of_another_user_is_not_copied() {
    for link in ["ln $TOP/secret new/s", "ln $TOP/secret .git/refs/heads/s", "ln $TOP/secret .git/lfs"] {
        let Some(scene) = of_another(&format!("mkdir new; {link}")) else { return };
        // `chown` followed the name, so the file belongs to root again.
        scene.sh("chown 0 secret");
        let why = scene.keep().unwrap_err();
        assert!(matches!(why, CannotKeep::Unread { .. }) && !why.may_pass(), "{link}: {why}");
        assert!(
            why.to_string().contains("may not read it") && !archives_have(&scene, SECRET),
            "{link}: {why}"
        );
        scene.sh("chmod 644 secret");
        assert!(scene.keep().is_ok(), "{link}: what everybody may read is no secret");
    }
}

/// A program in place of git reports as which user and with which environment it runs.
#[test]
fn git_runs_as_the_author_with_nothing_but_what_it_is_handed() {
    let Some(mut scene) = of_another("echo precious-work >>f") else { return };
    let told = scene.place.path().join("told");
    std::fs::write(&told, "").unwrap();
    std::fs::set_permissions(&told, std::fs::Permissions::from_mode(0o666)).unwrap();
    let real =
        ["/usr/bin/git", "/usr/local/bin/git", "/bin/git"].into_iter().find(|git| Path::new(git).exists());
    let Some(real) = real else { return skipped_by_the_machine("git is elsewhere") };
    let script = format!(
        "#!/bin/sh\n{{ /usr/bin/id -u; /usr/bin/id -G; /usr/bin/env | /usr/bin/cut -d= -f1 | /usr/bin/tr '\\n' ' '; echo; \
         /bin/grep NoNewPrivs /proc/self/status; ulimit -c; }} >>{}\nexec {real} \"$@\"\n",
        told.display()
    );
    scene.sh("mkdir bin");
    let bin = scene.place.path().join("bin");
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    scene.rules.tools = SearchPath::new(vec![bin]).unwrap();
    assert!(scene.has_kept_the_work());
    let text = std::fs::read_to_string(&told).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() >= 5, "{text}");
    for told in lines.chunks(5) {
        assert_eq!((told[0], told[1]), ("61000", "65534"), "{text}");
        let strange = told[2].split_whitespace().find(|name| {
            !name.starts_with("GIT_")
                && !matches!(*name, "HOME" | "PATH" | "LC_ALL" | "PWD" | "_" | "SHLVL" | "OLDPWD")
        });
        assert_eq!(strange, None, "{text}");
        assert!(told[3].ends_with('1') && told[4] == "0", "{text}");
    }
}

/// The state of a repository is reported, and nothing that the tree could have run by the usual git commands
/// is run.
#[test]
fn state_of_a_repository_is_told_and_nothing_of_it_is_run() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("cd ..; rm -rf repo; git init -q -b fix/one repo");
    let told = || {
        let all = git_states(&scene.dir, &scene.w, &scene.rules);
        let [(path, state)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(path, Path::new("repo"));
        state.clone().map(|state| state.to_string()).unwrap_or_else(|why| why)
    };
    assert_eq!(told(), "no commit yet, branch fix/one, nothing uncommitted");
    scene.sh("cd w/repo; seq 9 >kept; seq 9 >moved; git add .");
    assert_eq!(told(), "no commit yet, branch fix/one, 2 uncommitted changes");
    scene.sh("cd w/repo; git commit -qm first; echo x >>kept; echo new >new; mv moved '? moved'");
    assert!(
        told().starts_with("HEAD ") && told().ends_with(", branch fix/one, 4 uncommitted changes"),
        "{}",
        told()
    );
    scene.sh(
        "mkdir ran; for p in clean process hook monitor transport; do printf '#!/bin/sh\\n: >%s\\ncat\\n' $TOP/ran/$p >$p; \
         chmod 755 $p; done; cd w/repo; echo 'kept filter=one\nnew filter=two.x' >.gitattributes; \
         git config --file $TOP/more filter.one.clean $TOP/clean; git config --file $TOP/more filter.two.x.process $TOP/process; \
         git config filter.one.required true; git config include.path $TOP/more; git config core.fsmonitor $TOP/monitor; \
         cp $TOP/hook .git/hooks/post-index-change; git config extensions.partialClone origin; \
         git config remote.origin.promisor true; git config remote.origin.url ext::$TOP/transport; \
         git config protocol.ext.allow always; git config core.repositoryFormatVersion 1; touch -d 2001-01-01 kept",
    );
    let ran = || std::fs::read_dir(scene.place.path().join("ran")).unwrap().count();
    assert!(told().ends_with(", branch fix/one, 5 uncommitted changes"), "{}", told());
    assert_eq!(ran(), 0, "nothing was run");
    scene.sh("cd w/repo; git status --porcelain >$TOP/status 2>&1 || true; test $(ls $TOP/ran | wc -l) -ge 2; rm -f $TOP/ran/*");
    // git would fetch the objects that a partial clone lacks, and would look into another tree.
    scene.sh("rm -rf w/repo/.git/objects/??; git -C w/repo config core.worktree /");
    assert!(told().contains("not known") || told().contains("uncommitted"), "{}", told());
    assert_eq!(ran(), 0, "nothing was run, nor fetched");
    // Without git, HEAD is reported all the same.
    let without = recovery::archive::KeepRules {
        tools: SearchPath::new(vec![scene.place.path().to_owned()]).unwrap(),
        ..scene.rules.clone()
    };
    let (_, state) = git_states(&scene.dir, &scene.w, &without).remove(0);
    let state = state.unwrap();
    assert!(state.head.is_some() && state.changes.unwrap_err().contains("git cannot be run"));
    assert_eq!(scene.w.metadata().unwrap().uid(), rustix::process::geteuid().as_raw());
}
