//! Remotes on this machine: a remote counts by what it will have tomorrow, with all the objects that this
//! consists of.

use recovery::archive::KeepOutcome;

use super::{Scene, has_git_program};

/// Puts work onto the remote's branch `x`.
const PUSHED: &str = "git checkout -qb x; echo precious-work >>f; git commit -qam two; git push -q origin x";
/// The same with a commit before that one, and a remote of which copies can be had that lack something.
const MORE: &str = "git checkout -qb x; for i in 1 2; do echo precious-work $i >f; git commit -qam $i; done; \
    git push -q origin x; git -C $TOP/up.git config uploadpack.allowFilter true";

/// What happens to the remote, so that the work must be kept.
const LACKING: &[(&str, &str, &str)] = &[
    ("branch was deleted", PUSHED, "git -C $TOP/up.git branch -qD x"),
    ("branch was overwritten", PUSHED, "git -C $TOP/first push -qf origin HEAD:x"),
    (
        "no blobs",
        MORE,
        "git clone -q --bare --filter=blob:none file://$TOP/up.git $TOP/m.git; git remote set-url origin $TOP/m.git",
    ),
    (
        "shallow",
        MORE,
        "git clone -q --bare --depth 1 -b x file://$TOP/up.git $TOP/m.git; git remote set-url origin $TOP/m.git",
    ),
    ("marked as shallow", MORE, "git rev-parse v1 >$TOP/up.git/shallow"),
    ("a blob is missing", PUSHED, "lose HEAD:f"),
    ("a tree is missing", PUSHED, "lose HEAD^{tree}"),
    ("an earlier blob is missing", MORE, "lose HEAD~1:f"),
    (
        "packs are links into what goes",
        PUSHED,
        "git repack -qad; rm -rf $TOP/up.git/objects/*; mkdir $TOP/up.git/objects/pack; \
         ln -s $PWD/.git/objects/pack/* $TOP/up.git/objects/pack",
    ),
    (
        "its folder of packs is a link into what goes",
        PUSHED,
        "git repack -qad; rm -rf $TOP/up.git/objects/*; ln -s $PWD/.git/objects/pack $TOP/up.git/objects/pack",
    ),
    (
        "an object is a link into what goes",
        PUSHED,
        "o=$(git rev-parse HEAD:f | sed s:..:\\&/:); ln -sf $PWD/.git/objects/$o $TOP/up.git/objects/$o",
    ),
    ("names cannot be understood", PUSHED, "echo strange >$TOP/up.git/refs/heads/y"),
];

#[test]
fn work_is_kept_when_a_remote_here_has_no_name_or_not_all_of_it() {
    if !has_git_program() {
        return;
    }
    let untouched = Scene::new();
    let lose = "lose() { o=$(git rev-parse $1 | sed s:..:\\&/:); rm -f $TOP/up.git/objects/$o; }";
    for (what, before, script) in LACKING {
        let scene = Scene::like(&untouched, before);
        assert!(matches!(scene.keep(), Ok(KeepOutcome::Proven)), "{what}: before: {:?}", scene.keep());
        let scene = scene.then(&format!("{lose}; {script}"));
        assert!(scene.has_kept_the_work(), "{what}: {:?}", scene.keep());
    }
}
