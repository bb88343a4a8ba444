//! Clocks that jump, a reboot, reused PIDs, other hosts: verdicts never rest on a time of day, and files of
//! another machine are left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use recovery::durable::Disk;
use recovery::queue::{JobStatus, Queue};
use recovery::state::{Clock, StateDir, Timestamp};
use serde_json::Value;

use crate::kill;
use crate::recovering::{sequence, with_causes};
use crate::{Sandbox, Tally};

/// A change of the evidence about the job that ran when its server was killed, and the job's status after it.
struct Case {
    name: &'static str,
    change: fn(&mut Value),
    lost: JobStatus,
}

const CASES: &[Case] = &[
    Case { name: "nothing", change: |_| (), lost: JobStatus::Queued },
    Case {
        name: "a reboot",
        change: |v| set(v, "boot_id", &"00000000-1111-4222-8333-444444444444".into()),
        lost: JobStatus::Queued,
    },
    Case {
        name: "another name of this host",
        change: |v| set(v, "host", &"renamed".into()),
        lost: JobStatus::Queued,
    },
    Case {
        name: "a sentinel of another host",
        change: |v| {
            set(v, "boot_id", &"00000000-1111-4222-8333-444444444444".into());
            set(v, "machine_id", &"ffffffffffffffffffffffffffffffff".into());
        },
        lost: JobStatus::Running,
    },
    Case {
        name: "PIDs that belong to another process",
        change: |v| set(v, "pid", &std::process::id().into()),
        lost: JobStatus::Queued,
    },
];

/// Days that the clocks show.
const TIMES: [&str; 4] = [
    "1970-01-01T00:00:00.000Z",
    "2100-01-01T00:00:00.000Z",
    "2026-03-01T09:30:00.000Z",
    "9998-12-31T23:59:59.000Z",
];

/// Tries each case with each clock, and clocks that change from run to run.
pub fn try_clocks(binary: &Path) -> io::Result<Tally> {
    let mut tally = Tally::new("clocks, reboots, PIDs, hosts");
    let place = Sandbox::new(binary)?;
    kill::base_with_everything(&place)?;
    for case in CASES {
        for (number, time) in TIMES.iter().enumerate() {
            place.back_to_base()?;
            change_evidence(&place, case.change)?;
            tally.faults += 1;
            let outcome = recover_at(&place, time, case.lost)
                // The clock jumps between two recoveries, and nothing changes.
                .and_then(|()| recover_at(&place, TIMES[(number + 1) % TIMES.len()], case.lost));
            tally.note(&format!("{} at {time}", case.name), outcome);
        }
    }
    Ok(tally)
}

fn recover_at(place: &Sandbox, time: &str, lost: JobStatus) -> Result<(), String> {
    let at: Timestamp = time.parse().map_err(|_| format!("no time: {time}"))?;
    let dir = StateDir::open(&place.state(), Disk::real(), Clock::fixed(at)).map_err(|e| with_causes(&e))?;
    let queue = match sequence(&dir)? {
        (_, Some(queue)) => queue,
        _ => Queue::open(&dir).map_err(|e| with_causes(&e))?,
    };
    let wanted = [
        ("done", JobStatus::Succeeded),
        ("held", JobStatus::Crashed),
        ("lost", lost),
        ("first", JobStatus::Queued),
        ("second", JobStatus::Queued),
    ];
    let found: Vec<(String, JobStatus)> =
        queue.state().jobs().map(|j| (j.id.to_string(), j.status)).collect();
    let is_as_wanted = found.iter().map(|(id, s)| (id.as_str(), *s)).eq(wanted);
    if is_as_wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
}

/// Changes every file about the lost job's processes and the holders of locks.
fn change_evidence(place: &Sandbox, change: fn(&mut Value)) -> io::Result<()> {
    let attempts = place.state().join("attempts/lost");
    let mut files: Vec<PathBuf> = ["sentinel.json", "command.json"].map(|name| attempts.join(name)).into();
    let locks = fs::read_dir(place.state().join("locks"))?.flatten().map(|e| e.path());
    files.extend(locks.filter(|p| p.to_string_lossy().ends_with(".lock.json")));
    for file in files {
        let Ok(bytes) = fs::read(&file) else { continue };
        let mut value: Value = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        change(&mut value);
        fs::write(&file, value.to_string())?;
    }
    Ok(())
}

/// Sets every member with this name, at any depth.
fn set(value: &mut Value, name: &str, to: &Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                // A member with the same name may hold a whole object.
                if key == name && std::mem::discriminant(member) == std::mem::discriminant(to) {
                    *member = to.clone();
                } else {
                    set(member, name, to);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| set(item, name, to)),
        _ => {}
    }
}
