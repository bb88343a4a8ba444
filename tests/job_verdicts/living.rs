//! Something of an attempt lives without its supervisor: its command, a descendant, what was called for it.

use std::path::Path;
use std::process::{Command, Stdio};

use recovery::jobs::{CommandRecord, Reconciliation, Verdict};
use recovery::queue::JobStatus;
use recovery::system::ProcessIdentity;

use super::{Living, World, gone, is_orphan_of, said};

#[test]
fn free_with_a_living_command_is_an_orphan_and_stays_running() {
    let mut world = World::new();
    let job = world.claimed("a");
    let command = Living::unmarked();
    world.sentinel(&job, |s| s.command = Some(command.identity()));
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
    // Recorded by the command itself, before its supervisor could name it.
    let paths = world.sentinel(&job, |_| {});
    let mut record = CommandRecord::of_this_process(job.id.clone(), 1, job.run_state().claim.unwrap());
    record.command = command.identity();
    record.write(&world.dir.disk, &paths.command()).unwrap();
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    // The same PID with another start time is another process.
    record.command.start_time += 1;
    record.write(&world.dir.disk, &paths.command()).unwrap();
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed);
}

#[test]
fn free_with_a_marked_descendant_is_an_orphan() {
    let mut world = World::new();
    let job = world.claimed("a");
    world.sentinel(&job, |s| s.command = Some(gone()));
    let elsewhere = tempfile::tempdir().unwrap();
    let _foreign = Living::marked(&job, elsewhere.path());
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed, "of another state directory");
    let descendant = Living::marked(&job, world.dir.paths.root());
    assert!(is_orphan_of(&world.judge(&job).verdict, descendant.identity()));
    drop(descendant);
    let link = elsewhere.path().join("another-name");
    std::os::unix::fs::symlink(world.dir.paths.root(), &link).unwrap();
    let descendant = Living::marked(&job, &link);
    assert!(is_orphan_of(&world.judge(&job).verdict, descendant.identity()), "by another name");
}

#[test]
fn free_with_a_process_in_the_supervisors_session_is_an_orphan() {
    let mut world = World::new();
    let job = world.claimed("a");
    // The leader of a session leaves, a member without any mark stays.
    let script = "sleep 600 & echo $$ $!; read line";
    let mut leader = Command::new("setsid")
        .args(["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(leader.stdout.take().unwrap()), &mut line)
        .unwrap();
    let pids: Vec<u32> = line.split_whitespace().map(|p| p.parse().unwrap()).collect();
    let (supervisor, member) = (ProcessIdentity::of(pids[0]).unwrap(), ProcessIdentity::of(pids[1]).unwrap());
    drop(leader.stdin.take());
    leader.wait().unwrap();
    world.sentinel(&job, |s| s.supervisor = supervisor);
    assert!(is_orphan_of(&world.judge(&job).verdict, member));
    assert!(recovery::system::end_process(member, 5_000).unwrap());
    assert_eq!(world.judge(&job).verdict, Verdict::Crashed);
}

/// A process whose arguments are these and which bears no mark: a script of the name of the first.
fn called(folder: &Path, arguments: &[&str]) -> Living {
    std::fs::write(folder.join(arguments[0]), "read line").unwrap();
    let mut command = Command::new("sh");
    Living(command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::piped()).spawn().unwrap())
}

#[test]
fn free_without_a_file_and_with_a_process_called_for_the_claim_is_alive() {
    let mut world = World::new();
    let job = world.claimed("a");
    let scripts = tempfile::tempdir().unwrap();
    let root = world.dir.paths.root().to_owned();
    let (own, other) = (job.run_state().claim.unwrap().to_string(), "77");
    let call = |word: &str, root: &Path, id: &str, claim: &str| {
        let root = root.to_str().unwrap();
        let arguments = [word, "--state-dir", root, "--heartbeat-ms", "9", "--job", id, "--claim", claim];
        called(scripts.path(), &arguments)
    };
    let elsewhere = tempfile::tempdir().unwrap();
    for (word, root, id, claim) in [
        ("supervise", elsewhere.path(), "a", own.as_str()),
        ("supervise", &root, "b", &own),
        ("supervise", &root, "a", other),
        ("submit", &root, "a", &own),
    ] {
        let _stranger = call(word, root, id, claim);
        assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted, "{word} {root:?} {id} {claim}");
    }
    let link = elsewhere.path().join("another-name");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    for (word, root) in [("supervise", &root), ("exec-command", &root), ("supervise", &link)] {
        let ours = call(word, root, "a", &own);
        let judgement = world.judge(&job);
        assert_eq!(judgement.verdict, Verdict::Unidentified, "{word} {root:?}");
        assert!(said(&judgement, &ours.identity().pid.to_string()), "{judgement:?}");
        assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
        assert_eq!(world.job("a").run_state().claim, job.run_state().claim);
    }
    assert_eq!(world.reattach()[0].reconciliation, Reconciliation::GivenBack);
}

#[test]
fn free_with_a_process_that_writes_the_removed_output_is_an_orphan() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.paths(&job);
    let output = std::fs::File::create(paths.output()).unwrap();
    let mut command = Command::new("sleep");
    let command = Living(command.arg("60").env_clear().stdout(output).spawn().unwrap());
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()));
    std::fs::remove_dir_all(world.dir.paths.attempts()).unwrap();
    assert!(is_orphan_of(&world.judge(&job).verdict, command.identity()), "its files were removed");
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
    assert_eq!(world.job("a").status, JobStatus::Running);
    drop(command);
    assert_eq!(world.judge(&job).verdict, Verdict::NeverStarted);
}
