//! Gives damaged text to each parser, as fuzzing does: none may panic, whatever the input.

use std::path::Path;

use recovery::cleanup::CleanupRecord;
use recovery::durable::log::{Scan, SegmentHeader, decode, encode};
use recovery::import;
use recovery::jobs::{CommandRecord, ExitRecord, Sentinel};
use recovery::locks::LockMetadata;
use recovery::orphans::{OrphanPlan, Trashed};
use recovery::queue::{JobDocument, Record};
use recovery::state::config::Configuration;
use recovery::webhooks::record::Record as Delivery;

use super::damage::random;
use crate::{Seed, Tally};

/// A parser, with texts that it accepts.
struct Parser {
    name: &'static str,
    texts: &'static [&'static str],
    parse: fn(&[u8]) -> bool,
}

const SUBMIT: &str = r#"{"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"uid:0 root","job":"a","repository":"web","priority":3,"spec":{"command":["sh","-c","true \"x\""],"env":{"K":"v"},"timeout_ms":5000,"on_crash":"requeue","max_attempts":3,"callbacks":[{"url":"https://example.org/x"}]}}"#;
const END: &str = r#"{"at":"2026-03-01T09:30:00.000Z","op":"end","by":"supervisor","job":"a","attempt":1,"claim":2,"outcome":"exited","exit_code":3}"#;
const SENTINEL: &str = r#"{"version":1,"job_id":"a","attempt":1,"claim":2,"supervisor":{"pid":10,"start_time":20},"command":{"pid":11,"start_time":21},"host":{"boot_id":"8d41d05e-6f53-4b8f-91f0-9f06f2d28761","machine_id":"3d12","host":"vm","pid_namespace":4026531836},"uid":0,"command_line":["true"],"repository":null,"lock_id":null,"started_at":"2026-03-01T09:30:00.000Z"}"#;
const COMMAND: &str = r#"{"version":1,"job_id":"a","attempt":1,"claim":2,"command":{"pid":11,"start_time":21},"host":{"boot_id":"8d41d05e-6f53-4b8f-91f0-9f06f2d28761","machine_id":"3d12","host":"vm","pid_namespace":4026531836},"uid":0}"#;
const EXIT: &str = r#"{"version":1,"job_id":"a","attempt":1,"claim":2,"outcome":"exited","exit_code":3,"signal":null,"reason":null,"started_at":"2026-03-01T09:30:00.000Z","finished_at":"2026-03-01T09:31:00.000Z","tree_empty":true,"leftovers_ended":0,"cpu_ms":5,"cpu_user_ms":5,"cpu_system_ms":0,"memory_peak_bytes":19877888}"#;
const LOCK: &str = r#"{"version":2,"repository":"web","lock_id":"01a220b8-fea5-7534-9c5e-b8ec697cf988","token":3,"state":"held","holder":{"kind":"job","job_id":"a","attempt":1,"claim":5},"process":{"pid":10,"start_time":20},"host":{"boot_id":"8d41d05e-6f53-4b8f-91f0-9f06f2d28761","machine_id":"3d12","host":"vm","pid_namespace":4026531836},"uid":0,"operation":"job","acquired_at":"2026-03-01T09:30:00.000Z","recovered":false,"boot_id":"8d41d05e-6f53-4b8f-91f0-9f06f2d28761","checksum":"37fb8bdc"}"#;
const LEGACY: &str = r#"{"Id":"0d9c7a52-6f5e-4a39-9d53-1d2f8f0b7c11","Username":"ana","Prompt":"p","Title":"t","Repository":"web","UploadedFiles":[],"Status":6,"Output":"","ExitCode":null,"CowPath":"/x","QueuePosition":1,"CreatedAt":"2026-03-01T09:30:00.1234561Z","StartedAt":null,"CompletedAt":null,"Options":{"TimeoutSeconds":300,"Environment":{"A":"b"}},"ClaudeProcessId":4}"#;
const CLEANUP: &str = r#"{"format":1,"cleanup_id":"c","job_id":"a","attempt":1,"source":"asked","by":"uid:0 root","created_at":"2026-03-01T09:30:00.000Z","submitted_at":"2026-03-01T09:30:00.000Z","under_way":true,"phases":[{"phase":"cidx","status":"pending"},{"phase":"docker","status":"skipped","notes":["no engine"]}]}"#;
const PLAN: &str = r#"{"format":1,"plan_id":"p","taken_at":"2026-03-01T09:30:00.000Z","scanned":{"job_directory":1},"candidates":[],"findings":[]}"#;
const PLAN_2: &str = r#"{"version":2,"checksum":"852aa62e","plan_id":"p","taken_at":"2026-03-01T09:30:00.000Z","scanned":{"job_directory":1},"damage":[],"candidates":[]}"#;
const TRASHED: &str = r#"{"id":"o","kind":"job_directory","object":"job_directory:stray","from":"/s/jobs/stray","identity":{"device":1,"inode":2},"removed_at":"2026-03-01T09:30:00.000Z","plan_id":"p","bytes":12}"#;
const DELIVERY: &str =
    r#"{"v":1,"at":"2026-03-01T09:30:00.000Z","op":"retry","deliveries":[],"by":"uid:0 root"}"#;
const JOB: &str = r#"{"job_id":"a","status":"succeeded","attempt":1,"place":{"seq":2},"priority":3,"repository":"web","submitted_at":"2026-03-01T09:30:00.000Z","spec":{"command":["true"]}}"#;
const SNAPSHOT: &str = r#"{"version":1,"state_id":"5b3c","seq":7,"taken_at":"2026-03-01T09:30:00.000Z","jobs":1,"totals":{"enqueued":1,"started":1}}"#;
const CONFIGURATION: &str = "lock_wait = \"10s\"\n[daemon]\nworkers = 4\npoll = \"1s\"\n[jobs]\non_crash = \"hold\"\nmax_attempts = 3\n[queue]\nsegment_bytes = \"4MiB\"\ncheckpoint_records = 1000\n[recovery]\ntries = 3\npause = \"1s\"\n";

const PARSERS: &[Parser] = &[
    Parser { name: "log", texts: &[SUBMIT, END], parse: log },
    Parser { name: "queue record", texts: &[SUBMIT, END], parse: |bytes| Record::from_line(bytes).is_ok() },
    Parser { name: "snapshot", texts: &[SNAPSHOT, JOB, r#"{"end":true}"#], parse: snapshot },
    Parser { name: "job record", texts: &[JOB], parse: is_a::<JobDocument> },
    Parser { name: "sentinel", texts: &[SENTINEL], parse: is_a::<Sentinel> },
    Parser { name: "command record", texts: &[COMMAND], parse: is_a::<CommandRecord> },
    Parser { name: "exit record", texts: &[EXIT], parse: is_a::<ExitRecord> },
    Parser { name: "lock metadata", texts: &[LOCK], parse: is_a::<LockMetadata> },
    Parser { name: "cleanup", texts: &[CLEANUP], parse: is_a::<CleanupRecord> },
    Parser {
        name: "plan of orphans",
        texts: &[PLAN, PLAN_2],
        parse: |bytes| OrphanPlan::of_text(bytes).is_some(),
    },
    Parser { name: "note in the trash", texts: &[TRASHED], parse: is_a::<Trashed> },
    Parser { name: "delivery record", texts: &[DELIVERY], parse: is_a::<Delivery> },
    Parser { name: "configuration", texts: &[CONFIGURATION], parse: configuration },
    Parser {
        name: "legacy job file",
        texts: &[LEGACY],
        parse: |bytes| matches!(import::parse(bytes), import::Reading::Whole(_)),
    },
];

fn is_a<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> bool {
    serde_json::from_slice::<T>(bytes).is_ok()
}

fn log(bytes: &[u8]) -> bool {
    let _ = SegmentHeader::parse(bytes);
    let items = Scan::new(bytes, 0).count();
    assert!(items <= bytes.len() + 1, "more items than bytes");
    decode(bytes).is_some()
}

/// Parses a snapshot through a file, as it is read.
fn snapshot(bytes: &[u8]) -> bool {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()) else { return false };
    let path = folder.path().join("snapshot");
    if std::fs::write(&path, bytes).is_err() {
        return false;
    }
    let file = recovery::queue::SnapshotFile { seq: 7, path };
    file.header().is_ok() & file.read("5b3c").is_ok()
}

fn configuration(bytes: &[u8]) -> bool {
    let mut configuration = Configuration::with_defaults(None, 2);
    let text = String::from_utf8_lossy(bytes);
    configuration.apply_file(Path::new("config.toml"), &text).is_ok() & configuration.check().is_ok()
}

/// Gives each parser this many texts, each damaged one to four times.
pub fn try_parsers(seed: u64, texts: usize) -> Vec<Tally> {
    PARSERS.iter().map(|parser| try_parser(parser, seed, texts)).collect()
}

impl Parser {
    /// One of its texts; a log or a snapshot consists of all.
    fn text(&self, seed: &mut Seed) -> Vec<u8> {
        if !matches!(self.name, "log" | "snapshot") {
            return self.texts[seed.below(self.texts.len())].as_bytes().to_vec();
        }
        let mut bytes = Vec::new();
        (0..).zip(self.texts).for_each(|(seq, text)| encode(&mut bytes, seq, text.as_bytes()));
        bytes
    }
}

fn try_parser(parser: &Parser, seed: u64, texts: usize) -> Tally {
    let mut tally = Tally::new(format!("parser: {}", parser.name));
    let mut seed = Seed::new(seed);
    for number in 0..texts {
        let mut bytes = parser.text(&mut seed);
        for _ in 0..=seed.below(4) {
            bytes = random(&bytes, &mut seed).of(&bytes);
        }
        let parse = parser.parse;
        let given = bytes.clone();
        let outcome = std::panic::catch_unwind(move || parse(&given)).map(|_| ());
        tally.faults += 1;
        let panicked = |_| format!("it panicked on {:?}", String::from_utf8_lossy(&bytes));
        tally.note(&format!("text {number}"), outcome.map_err(panicked));
    }
    tally
}

/// Peak memory of this process, in bytes; 0 where the system does not report it.
pub fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If a parser refused an undamaged text, damaging that text would prove little.
    #[test]
    fn every_parser_takes_its_texts_as_they_are() {
        let mut seed = Seed::new(1);
        for parser in PARSERS {
            for _ in 0..20 {
                let text = parser.text(&mut seed);
                let said = String::from_utf8_lossy(&text).into_owned();
                assert!((parser.parse)(&text), "{} refuses {said}", parser.name);
            }
        }
    }
}
