//! Damaged text straight into each parser, as fuzzing does: none may panic, whatever it is given.

use std::path::Path;

use recovery::cleanup::CleanupRecord;
use recovery::durable::Disk;
use recovery::durable::log::{Scan, SegmentHeader, decode, encode};
use recovery::import;
use recovery::jobs::{CommandRecord, ExitRecord, Sentinel};
use recovery::locks::LockMetadata;
use recovery::orphans::{Plan, Trashed};
use recovery::queue::{JobDocument, Record};
use recovery::state::config::Configuration;
use recovery::webhooks::record::Record as Delivery;

use super::damage::random;
use crate::{Seed, Tally};

/// A parser and texts that it takes.
struct Parser {
    name: &'static str,
    texts: &'static [&'static str],
    parse: fn(&[u8]),
}

const SUBMIT: &str = r#"{"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"uid:0 root","job":"a","repository":"web","priority":3,"spec":{"command":["sh","-c","true \"x\""],"env":{"K":"v"},"timeout_ms":5000,"on_crash":"requeue","max_attempts":3,"callbacks":[{"url":"https://example.org/x"}]}}"#;
const END: &str = r#"{"at":"2026-03-01T09:30:00.000Z","op":"end","by":"supervisor","job":"a","attempt":1,"claim":2,"outcome":"exited","exit_code":3}"#;
const SENTINEL: &str = r#"{"version":1,"job_id":"a","attempt":1,"claim":2,"supervisor":{"pid":10,"start_time":20},"host":{"boot_id":"b","machine_id":"m","name":"n","pid_namespace":1},"uid":0,"command":["true"],"repository":null,"lock_id":null,"started_at":"2026-03-01T09:30:00.000Z"}"#;
const LOCK: &str = r#"{"version":1,"repository":"web","lock_id":"x","token":3,"state":"held","holder":{"kind":"process"},"operation":"lock","process":{"pid":10,"start_time":20},"host":{"boot_id":"b","machine_id":"m","name":"n","pid_namespace":1},"acquired_at":"2026-03-01T09:30:00.000Z"}"#;
const LEGACY: &str = r#"{"Id":"0d9c7a52-6f5e-4a39-9d53-1d2f8f0b7c11","Username":"ana","Prompt":"p","Title":"t","Repository":"web","UploadedFiles":[],"Status":6,"Output":"","ExitCode":null,"CowPath":"/x","QueuePosition":1,"CreatedAt":"2026-03-01T09:30:00.1234561Z","StartedAt":null,"CompletedAt":null,"Options":{"TimeoutSeconds":300,"Environment":{"A":"b"}},"ClaudeProcessId":4}"#;
const CLEANUP: &str = r#"{"format":1,"cleanup_id":"c","job_id":"a","attempt":1,"source":"asked","by":"uid:0 root","created_at":"2026-03-01T09:30:00.000Z","submitted_at":"2026-03-01T09:30:00.000Z","under_way":true,"phases":[{"phase":"cidx","status":"pending"},{"phase":"docker","status":"skipped","notes":["no engine"]}]}"#;
const PLAN: &str = r#"{"format":1,"plan_id":"p","taken_at":"2026-03-01T09:30:00.000Z","scanned":{"job_directory":1},"candidates":[],"findings":[]}"#;
const TRASHED: &str = r#"{"id":"o","kind":"job_directory","object":"job_directory:stray","from":"/s/jobs/stray","identity":{"device":1,"inode":2},"removed_at":"2026-03-01T09:30:00.000Z","plan_id":"p","bytes":12}"#;
const DELIVERY: &str =
    r#"{"v":1,"at":"2026-03-01T09:30:00.000Z","op":"retry","deliveries":[],"by":"uid:0 root"}"#;
const CONFIGURATION: &str = "lock_wait = \"10s\"\n[daemon]\nworkers = 4\npoll = \"1s\"\n[jobs]\non_crash = \"hold\"\nmax_attempts = 3\n[queue]\nsegment_bytes = \"4MiB\"\ncheckpoint_records = 1000\n[recovery]\ntries = 3\npause = \"1s\"\n";

const PARSERS: &[Parser] = &[
    Parser { name: "log", texts: &[SUBMIT, END], parse: log },
    Parser { name: "queue record", texts: &[SUBMIT, END], parse: |bytes| drop(Record::from_line(bytes)) },
    Parser { name: "snapshot", texts: &[SUBMIT, END], parse: snapshot },
    Parser {
        name: "job record",
        texts: &[SUBMIT],
        parse: |bytes| drop(serde_json::from_slice::<JobDocument>(bytes)),
    },
    Parser {
        name: "sentinel",
        texts: &[SENTINEL],
        parse: |bytes| {
            drop(serde_json::from_slice::<Sentinel>(bytes));
            drop(serde_json::from_slice::<CommandRecord>(bytes));
            drop(serde_json::from_slice::<ExitRecord>(bytes));
        },
    },
    Parser {
        name: "lock metadata",
        texts: &[LOCK],
        parse: |bytes| drop(serde_json::from_slice::<LockMetadata>(bytes)),
    },
    Parser { name: "cleanup", texts: &[CLEANUP], parse: |bytes| drop(read::<CleanupRecord>(bytes)) },
    Parser { name: "plan of orphans", texts: &[PLAN], parse: |bytes| drop(read::<Plan>(bytes)) },
    Parser { name: "note in the trash", texts: &[TRASHED], parse: |bytes| drop(read::<Trashed>(bytes)) },
    Parser { name: "delivery record", texts: &[DELIVERY], parse: |bytes| drop(read::<Delivery>(bytes)) },
    Parser { name: "configuration", texts: &[CONFIGURATION], parse: configuration },
    Parser { name: "legacy job file", texts: &[LEGACY], parse: |bytes| drop(import::parse(bytes)) },
];

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

fn log(bytes: &[u8]) {
    let _ = decode(bytes);
    drop(SegmentHeader::parse(bytes));
    let items = Scan::new(bytes, 0).count();
    assert!(items <= bytes.len() + 1, "more items than bytes");
}

/// Through the file, as it is read.
fn snapshot(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()) else { return };
    let path = folder.path().join("snapshot");
    if std::fs::write(&path, bytes).is_ok() {
        let file = recovery::queue::SnapshotFile { seq: 7, path };
        drop(file.header());
        drop(file.read("5b3c"));
    }
}

fn configuration(bytes: &[u8]) {
    let mut configuration = Configuration::with_defaults(None, 2);
    let text = String::from_utf8_lossy(bytes);
    let _ = configuration.apply_file(Path::new("config.toml"), &text);
    let _ = configuration.check();
}

/// Gives each parser so many texts, each damaged one to four times.
#[must_use]
pub fn try_parsers(seed: u64, texts: usize) -> Vec<Tally> {
    let _ = Disk::real();
    PARSERS.iter().map(|parser| try_parser(parser, seed, texts)).collect()
}

fn try_parser(parser: &Parser, seed: u64, texts: usize) -> Tally {
    let mut tally = Tally::new(format!("parser: {}", parser.name));
    let mut seed = Seed::new(seed);
    for number in 0..texts {
        let mut bytes = Vec::new();
        for (seq, text) in parser.texts.iter().enumerate() {
            match parser.name {
                "log" | "snapshot" => encode(&mut bytes, seq as u64, text.as_bytes()),
                _ if bytes.is_empty() || seed.once_in(2) => bytes = text.as_bytes().to_vec(),
                _ => {}
            }
        }
        for _ in 0..=seed.below(4) {
            bytes = random(&bytes, &mut seed).of(&bytes);
        }
        let parse = parser.parse;
        let given = bytes.clone();
        let outcome = std::panic::catch_unwind(move || parse(&given));
        tally.faults += 1;
        let panicked = |_| format!("it panicked on {:?}", String::from_utf8_lossy(&bytes));
        tally.note(&format!("text {number}"), outcome.map_err(panicked));
    }
    tally
}

/// The most memory that this process ever had, bytes; 0 where the system does not tell.
#[must_use]
pub fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damage to a text that is refused as it is would prove little.
    #[test]
    fn the_texts_of_the_newer_formats_are_taken() {
        read::<CleanupRecord>(CLEANUP.as_bytes()).unwrap();
        read::<Plan>(PLAN.as_bytes()).unwrap();
        read::<Trashed>(TRASHED.as_bytes()).unwrap();
        read::<Delivery>(DELIVERY.as_bytes()).unwrap();
    }
}
