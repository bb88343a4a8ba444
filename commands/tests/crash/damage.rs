//! Damaged files of a state directory where nothing runs: recovery names the damage, keeps the bytes,
//! loses nothing that another copy holds, and leaves files that read clean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use recovery::queue::JobStatus;

use crate::crash::scene::Scene;

/// The jobs of the state before it is damaged, in their order, with their status.
///
/// `early` and `bad` are in both snapshots, `middle` in the newer one, `later` only in the log; `first` and
/// `second` wait.
const JOBS: [(&str, JobStatus); 6] = [
    ("early", JobStatus::Succeeded),
    ("bad", JobStatus::Failed),
    ("middle", JobStatus::Succeeded),
    ("later", JobStatus::Succeeded),
    ("first", JobStatus::Queued),
    ("second", JobStatus::Queued),
];

fn undamaged() -> Scene {
    let scene = Scene::new();
    let ran = "echo ran >> $W/$RECOVERYCTL_JOB_ID";
    scene.submit("early", &["--repo", "web"], ran);
    scene.submit("bad", &[], &format!("{ran}; exit 3"));
    scene.work();
    scene.queue().checkpoint().unwrap();
    scene.submit("middle", &[], ran);
    scene.work();
    scene.queue().checkpoint().unwrap();
    scene.submit("later", &["--repo", "web"], ran);
    scene.work();
    scene.submit("first", &[], ran);
    scene.submit("second", &["--repo", "web"], ran);
    scene
}

/// Damages a state directory, and returns bytes that must be in quarantine afterwards; empty when there is
/// nothing to keep.
type Damage = Box<dyn Fn(&Path) -> Vec<u8>>;

/// A damage, and the expected report.
struct Case {
    name: &'static str,
    damage: Damage,
    codes: &'static [&'static str],
    /// Jobs that no other copy knows.
    lost: &'static [&'static str],
}

fn case(
    name: &'static str,
    codes: &'static [&'static str],
    damage: impl Fn(&Path) -> Vec<u8> + 'static,
) -> Case {
    Case { name, damage: Box::new(damage), codes, lost: &[] }
}

impl Case {
    fn losing(self, lost: &'static [&'static str]) -> Case {
        Case { lost, ..self }
    }

    /// Damages, recovers twice, and runs what is queued.
    fn play(&self, scene: &Scene) {
        let kept = (self.damage)(&scene.place.state());
        println!("case: {}", self.name);
        let recovered = scene.recover();
        for code in self.codes {
            recovered.names(code);
        }
        if !kept.is_empty() {
            let is_kept = scene.quarantined().iter().any(|f| f.windows(kept.len()).any(|w| w == kept));
            assert!(is_kept, "{}: the damaged bytes are not in quarantine", self.name);
        }
        self.assert_jobs(scene);
        let again = scene.recover();
        let new: Vec<String> = again.codes();
        assert!(new.is_empty(), "{}: the second recovery finds {new:?}", self.name);
        assert_eq!(again.status, 0, "{}", self.name);
        let wal = scene.json(&["queue", "wal"], 0);
        assert_eq!((&wal["damaged_records"], &wal["torn_bytes"]), (&0.into(), &0.into()), "{wal}");
        self.assert_it_runs_on(scene);
    }

    fn assert_jobs(&self, scene: &Scene) {
        let queue = scene.queue();
        let found: BTreeMap<String, JobStatus> =
            queue.state().jobs().map(|j| (j.id.to_string(), j.status)).collect();
        let wanted = JOBS.iter().filter(|(id, _)| !self.lost.contains(id));
        let wanted: BTreeMap<String, JobStatus> = wanted.map(|(id, s)| ((*id).to_owned(), *s)).collect();
        assert_eq!(found, wanted, "{}", self.name);
        if !self.lost.contains(&"bad") {
            assert_eq!(scene.job("bad").run_state().exit_code, Some(3), "{}", self.name);
        }
        let waiting: Vec<String> = queue.state().queued().map(|j| j.id.to_string()).collect();
        let in_order: Vec<&str> =
            ["first", "second"].into_iter().filter(|j| !self.lost.contains(j)).collect();
        assert_eq!(waiting, in_order, "{}", self.name);
    }

    fn assert_it_runs_on(&self, scene: &Scene) {
        scene.submit("new", &["--repo", "web"], "echo ran >> $W/new");
        scene.work();
        let ran = ["early", "bad", "middle", "later", "first", "second", "new"];
        for id in ran.into_iter().filter(|id| !self.lost.contains(id)) {
            assert_eq!(scene.witnessed(id), ["ran"], "{}: {id}", self.name);
        }
        self.assert_losses_are_told_until_acknowledged(scene);
        assert_eq!(scene.run(&["status"]).status, 0, "{}", self.name);
    }

    fn assert_losses_are_told_until_acknowledged(&self, scene: &Scene) {
        let status = scene.run(&["--json", "status"]).json();
        let is_loss = |f: &&serde_json::Value| f["severity"] == "critical";
        let losses = status["findings"].as_array().unwrap().iter().filter(is_loss);
        let ids: Vec<&str> = losses.map(|f| f["id"].as_str().unwrap()).collect();
        assert!(self.lost.is_empty() || !ids.is_empty(), "{}: {status:#}", self.name);
        if !ids.is_empty() {
            assert_eq!(status["state"], "data_loss", "{}: {status:#}", self.name);
            scene.run(&[&["findings", "ack", "--reason", "seen"], &ids[..]].concat()).ends_with(0);
        }
    }
}

/// Each case gets a copy of one state.
fn play_all(cases: &[Case]) {
    let original = undamaged();
    let (named, kept) = (original.place.path("witness"), original.place.path("witness.kept"));
    std::fs::rename(&named, &kept).unwrap();
    for case in cases {
        let scene = Scene::new();
        let own = scene.place.path("witness");
        std::fs::remove_dir_all(scene.place.state()).unwrap();
        std::fs::remove_dir(&own).unwrap();
        copy(&original.place.state(), &scene.place.state());
        // Each copy must pass for the original.
        std::fs::remove_file(scene.place.state().join("place.json")).unwrap();
        copy(&kept, &own);
        // The queued jobs write where the original's folder was.
        let _ = std::fs::remove_file(&named);
        std::os::unix::fs::symlink(&own, &named).unwrap();
        case.play(&scene);
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

const GARBAGE: &[u8] = b"\x00\xffthis is no file of ours {]";

fn overwrite(path: impl AsRef<Path>, content: &[u8]) -> Vec<u8> {
    std::fs::write(path, content).unwrap();
    content.to_vec()
}

fn files(folder: impl AsRef<Path>, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.to_str().unwrap().ends_with(ending));
    found.sort();
    found
}

/// The older one, then the newest.
fn snapshots(root: &Path) -> Vec<PathBuf> {
    let found = all_snapshots(root);
    assert_eq!(found.len(), 2, "{found:?}");
    found
}

fn all_snapshots(root: &Path) -> Vec<PathBuf> {
    let mut found = files(root.join("queue"), "");
    found.retain(|p| p.is_file() && p.file_name().unwrap().to_str().unwrap().starts_with("snapshot-"));
    found
}

fn newest_snapshot(root: &Path) -> PathBuf {
    snapshots(root).pop().unwrap()
}

fn newest_of(root: &Path) -> PathBuf {
    all_snapshots(root).pop().unwrap()
}

fn segments(root: &Path) -> Vec<PathBuf> {
    files(root.join("queue/log"), ".log")
}

/// The segment that has it and where the line lies that bears all these words.
fn line_with(root: &Path, words: &[&str]) -> (PathBuf, usize, usize) {
    for segment in segments(root) {
        let content = std::fs::read(&segment).unwrap();
        let mut start = 0;
        for line in content.split_inclusive(|b| *b == b'\n') {
            let text = String::from_utf8_lossy(line);
            if words.iter().all(|w| text.contains(w)) {
                return (segment, start, line.len());
            }
            start += line.len();
        }
    }
    panic!("no record with {words:?}");
}

/// One byte of a record's content, another one; gives the damaged line without what may be cut from it.
fn flip(root: &Path, words: &[&str]) -> Vec<u8> {
    let (segment, start, length) = line_with(root, words);
    let mut content = std::fs::read(&segment).unwrap();
    content[start + length - 5] ^= 0x04;
    std::fs::write(&segment, &content).unwrap();
    content[start..start + length - 1].to_vec()
}

/// The segment ends so many bytes into the record.
fn cut(root: &Path, words: &[&str], keep: usize) -> Vec<u8> {
    let (segment, start, length) = line_with(root, words);
    assert!(keep < length);
    let content = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &content[..start + keep]).unwrap();
    content[start..start + keep].to_vec()
}

#[test]
fn damaged_snapshots() {
    play_all(&[
        case("the newest is garbage", &["snapshot-damaged"], |root| {
            overwrite(newest_snapshot(root), GARBAGE)
        }),
        case("the newest is empty", &["snapshot-damaged"], |root| overwrite(newest_snapshot(root), b"")),
        case("the newest is half", &["snapshot-damaged"], |root| {
            let content = std::fs::read(newest_snapshot(root)).unwrap();
            overwrite(newest_snapshot(root), &content[..content.len() / 2])
        }),
        case("one byte of the newest", &["snapshot-damaged"], |root| {
            let mut content = std::fs::read(newest_snapshot(root)).unwrap();
            let at = content.len() * 3 / 4;
            content[at] ^= 1;
            overwrite(newest_snapshot(root), &content)
        }),
        case("the older is garbage", &["snapshot-damaged"], |root| {
            overwrite(snapshots(root).swap_remove(0), GARBAGE)
        }),
        case("one byte of the older", &["snapshot-damaged"], |root| {
            let older = snapshots(root).swap_remove(0);
            let mut content = std::fs::read(&older).unwrap();
            let at = content.len() * 3 / 4;
            content[at] ^= 1;
            overwrite(older, &content)
        }),
        case("both are garbage", &["snapshot-damaged"], |root| {
            snapshots(root).into_iter().for_each(|s| drop(overwrite(s, GARBAGE)));
            GARBAGE.to_vec()
        }),
        case("both are gone", &[], |root| {
            snapshots(root).into_iter().for_each(|s| std::fs::remove_file(s).unwrap());
            Vec::new()
        }),
    ]);
}

/// After a recovery from a damaged snapshot the next damage finds a fallback again.
#[test]
fn one_snapshot_after_another() {
    let scene = undamaged();
    let damage = || {
        let newest = newest_of(&scene.place.state());
        let mut content = std::fs::read(&newest).unwrap();
        let at = content.len() * 3 / 4;
        content[at] ^= 1;
        std::fs::write(newest, content).unwrap();
    };
    for _ in 0..3 {
        damage();
        scene.recover().names("snapshot-damaged");
        let queue = scene.queue();
        let found: Vec<_> = queue.state().jobs().map(|j| (j.id.to_string(), j.status)).collect();
        let wanted: Vec<_> = JOBS.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect();
        assert_eq!(found, wanted);
        assert!(queue.state().jobs().all(|j| j.run_state().reconstructed.is_none()));
    }
}

#[test]
fn cut_logs() {
    let second = ["\"op\":\"submit\"", "\"job\":\"second\""];
    let end_of_later = ["\"op\":\"end\"", "\"job\":\"later\""];
    let claim_of_later = ["\"op\":\"claim\"", "\"job\":\"later\""];
    play_all(&[
        case("3 bytes of the last record", &["log-torn-tail"], move |root| cut(root, &second, 3))
            .losing(&["second"]),
        case("the head of the last record", &["log-torn-tail"], move |root| cut(root, &second, 35))
            .losing(&["second"]),
        case("half of the last record", &["log-torn-tail"], move |root| cut(root, &second, 100))
            .losing(&["second"]),
        case("in the record of an end", &["log-torn-tail"], move |root| cut(root, &end_of_later, 50))
            .losing(&["first", "second"]),
        case("in the record of a claim", &["log-torn-tail"], move |root| cut(root, &claim_of_later, 50))
            .losing(&["first", "second"]),
        case("zeros after half of the last record", &["log-torn-tail"], move |root| {
            let torn = cut(root, &second, 100);
            let (segment, _, _) = line_with(root, &["\"job\":\"first\""]);
            let file = std::fs::OpenOptions::new().write(true).open(segment).unwrap();
            file.set_len(4 << 20).unwrap();
            torn
        })
        .losing(&["second"]),
    ]);
}

#[test]
fn damaged_records() {
    const DAMAGED: &[&str] = &["log-record-damaged"];
    play_all(&[
        case("the submission of a job that has run", DAMAGED, |root| {
            flip(root, &["\"op\":\"submit\"", "\"job\":\"later\""])
        }),
        case("the submission of a job that waits", DAMAGED, |root| {
            flip(root, &["\"op\":\"submit\"", "\"job\":\"first\""])
        })
        .losing(&["first"]),
        case("a claim", DAMAGED, |root| flip(root, &["\"op\":\"claim\"", "\"job\":\"later\""])),
        case("an end", DAMAGED, |root| flip(root, &["\"op\":\"end\"", "\"job\":\"later\""])),
        case("all about a job that has run", DAMAGED, |root| {
            for operation in ["submit", "claim", "end"] {
                flip(root, &[&format!("\"op\":\"{operation}\""), "\"job\":\"later\""]);
            }
            Vec::new()
        }),
        case("claim and end", DAMAGED, |root| {
            flip(root, &["\"op\":\"claim\"", "\"job\":\"later\""]);
            flip(root, &["\"op\":\"end\"", "\"job\":\"later\""])
        }),
        case("a segment's first line", DAMAGED, |root| {
            let segment = segments(root).pop().unwrap();
            let mut content = std::fs::read(&segment).unwrap();
            content[40] ^= 1;
            std::fs::write(&segment, &content).unwrap();
            content[..60].to_vec()
        }),
    ]);
}

#[test]
fn lost_segments() {
    const MISSING: &[&str] = &["queue-rebuilt-from-job-records"];
    let waiting: &[&str] = &["first", "second"];
    play_all(&[
        case("the present one is empty", MISSING, |root| overwrite(segments(root).pop().unwrap(), b""))
            .losing(waiting),
        case("the present one is garbage", MISSING, |root| overwrite(segments(root).pop().unwrap(), GARBAGE))
            .losing(waiting),
        case("all are gone", MISSING, |root| {
            segments(root).into_iter().for_each(|s| std::fs::remove_file(s).unwrap());
            Vec::new()
        })
        .losing(waiting),
        case("all are gone with the snapshots", MISSING, |root| {
            segments(root).into_iter().for_each(|s| std::fs::remove_file(s).unwrap());
            snapshots(root).into_iter().for_each(|s| std::fs::remove_file(s).unwrap());
            Vec::new()
        })
        .losing(waiting),
    ]);
}

#[test]
fn damaged_files_beside_the_queue() {
    play_all(&[
        case("all records of jobs are gone", &["job-record-missing"], |root| {
            let records = files(root.join("jobs"), ".job.json");
            assert_eq!(records.len(), 4);
            records.into_iter().for_each(|r| std::fs::remove_file(r).unwrap());
            Vec::new()
        }),
        case("a record of a job is garbage", &["job-record-damaged"], |root| {
            overwrite(root.join("jobs/later.job.json"), GARBAGE)
        }),
        case("a record of a job is empty", &["job-record-damaged"], |root| {
            overwrite(root.join("jobs/later.job.json"), b"")
        }),
        case("files of an attempt that is over", &["job-file-damaged"], |root| {
            for file in ["sentinel.json", "exit.json", "command.json"] {
                overwrite(root.join("attempts/later").join(file), b"");
            }
            Vec::new()
        }),
        case("state.json is gone", &["state-identity-rebuilt"], |root| {
            std::fs::remove_file(root.join("state.json")).unwrap();
            Vec::new()
        }),
        case("state.json is empty", &["state-identity-rebuilt"], |root| {
            overwrite(root.join("state.json"), b"")
        }),
        case("state.json is garbage", &["state-identity-rebuilt"], |root| {
            overwrite(root.join("state.json"), GARBAGE)
        }),
        case("what the daemon and recoveries say of themselves", &[], |root| {
            overwrite(root.join("daemon/daemon.json"), GARBAGE);
            let recoveries = files(root.join("recovery"), ".json");
            assert!(!recoveries.is_empty());
            recoveries.into_iter().for_each(|r| drop(overwrite(r, GARBAGE)));
            overwrite(root.join("startup/marker.json"), GARBAGE)
        }),
        case("the page that writers share is garbage", &[], |root| {
            overwrite(root.join("queue/log/commit.page"), &[0xa5; 4096]);
            Vec::new()
        }),
        case("the page that writers share is empty", &[], |root| {
            overwrite(root.join("queue/log/commit.page"), b"");
            Vec::new()
        }),
        case("the page that writers share is gone", &[], |root| {
            std::fs::remove_file(root.join("queue/log/commit.page")).unwrap();
            Vec::new()
        }),
    ]);
}

#[test]
fn several_damages_at_once() {
    play_all(&[
        case("snapshot, submission and records", &["snapshot-damaged", "log-record-damaged"], |root| {
            flip(root, &["\"op\":\"end\"", "\"job\":\"later\""]);
            std::fs::remove_file(root.join("jobs/later.job.json")).unwrap();
            overwrite(newest_snapshot(root), GARBAGE)
        }),
        case("identity, snapshot and page", &["state-identity-rebuilt", "snapshot-damaged"], |root| {
            std::fs::remove_file(root.join("state.json")).unwrap();
            overwrite(root.join("queue/log/commit.page"), &[0xff; 4096]);
            overwrite(newest_snapshot(root), GARBAGE)
        }),
        case("torn end and damaged middle", &["log-torn-tail", "log-record-damaged"], |root| {
            flip(root, &["\"op\":\"claim\"", "\"job\":\"later\""]);
            cut(root, &["\"op\":\"submit\"", "\"job\":\"second\""], 80)
        })
        .losing(&["second"]),
    ]);
}
