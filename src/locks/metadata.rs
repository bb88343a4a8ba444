//! `locks/<repository>.lock.json`: the present or last holder of a repository's lock, and its operation.
//!
//! ```json
//! {"version":1,"repository":"web","lock_id":"0192…","token":7,"state":"held",
//!  "holder":{"kind":"job","job_id":"…","attempt":1,"claim":41},
//!  "process":{"pid":4711,"start_time":88123},"host":{…},"uid":0,"operation":"job",
//!  "acquired_at":"2026-03-01T09:30:00.000Z","recovered":false,"boot_id":"6f1f…",
//!  "checksum":"1a2b3c4d"}
//! ```
//!
//! The checksum is the CRC-32 of everything before it except the boot id, which is there twice instead. So a byte
//! that is changed or lost anywhere makes the document damaged (a flipped digit of a PID could otherwise pass for
//! a dead holder), and yet the crash laboratory can imitate a reboot by another boot id in both places. A
//! document that does not begin as ours does (`{"version":`) was rewritten by hand or by a script, with white
//! space or in another order; that is no accident, and it is read without a checksum. No single changed byte
//! turns our form into such a document. Version 1 had no checksum.
//!
//! The holder of the flock replaces it atomically; the one exception is a forced release, which may come from a
//! process without the flock. Therefore every replacement happens under the small `.<repository>.writing` lock
//! and after the grant in the file has been checked again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fencing_number::FencingNumber;
use crate::durable::seeded_bug::SeededBug;
use crate::durable::write_in_place;
use crate::durable::{Disk, DiskError, FileLock, LockError, read_optional, replace};
use crate::queue::{Claim, JobId};
use crate::state::{LockPaths, StateStamp, Timestamp};
use crate::system::{Host, ProcessIdentity};

/// The version that this code writes, and the latest that it reads.
const METADATA_VERSION: u32 = 2;

/// The beginning of a document that this program wrote.
const OUR_FORM: &[u8] = b"{\"version\":";
/// The text before the boot id's second copy.
const BOOT_ID: &[u8] = b",\"boot_id\":\"";
/// The text before the checksum's eight digits, and after them.
const CHECKSUM: (&[u8], &[u8]) = (b",\"checksum\":\"", b"\"}\n");

/// How long to wait while another process replaces the metadata.
const WRITER_WAIT: Duration = Duration::from_secs(10);

/// Whether the grant in the metadata still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// Granted and not given back.
    Held,
    /// A recovery found the holder gone and is giving it back; repeated when it is cut short.
    Recovering,
    /// Given back.
    Released,
}

impl LockState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            LockState::Held => "held",
            LockState::Recovering => "recovering",
            LockState::Released => "released",
        }
    }
}

/// The holder. A job's lock belongs to the job, whichever process takes it in the job's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LockHolder {
    /// An attempt of a job.
    Job {
        /// The job.
        job_id: JobId,
        /// Its attempt.
        attempt: u32,
        /// The claim that began the attempt.
        claim: Claim,
    },
    /// The process itself, and the command that it runs.
    Process,
}

impl LockHolder {
    /// The job that holds it.
    pub(crate) fn job_id(&self) -> Option<&JobId> {
        match self {
            LockHolder::Job { job_id, .. } => Some(job_id),
            LockHolder::Process => None,
        }
    }
}

/// Who gave a lock back in its holder's place, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseNote {
    /// Who did it.
    pub by: String,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it was done although the holder was alive, or might have been.
    pub forced: bool,
}

/// The content of the metadata file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockMetadata {
    /// Of this form.
    pub version: u32,
    /// Which repository.
    pub repository: String,
    /// Names this grant; the next grant has another.
    pub lock_id: String,
    /// The fencing number; rises with every grant of this repository.
    pub token: FencingNumber,
    /// Whether the grant still holds.
    pub state: LockState,
    /// Whose lock it is.
    pub holder: LockHolder,
    /// The process that took it and holds the flock.
    pub process: ProcessIdentity,
    /// The command that runs under it, when a process of this program runs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<ProcessIdentity>,
    /// The control group that the command is in, with all that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// Processes of the command that could not be ended on request: they have the lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<ProcessIdentity>,
    /// Whether something of the command could not be ended that is not among them, for it cannot be seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_left_unseen: bool,
    /// Where that process runs.
    pub host: Host,
    /// As which user.
    pub uid: u32,
    /// For what: `job`, or a command line.
    pub operation: String,
    /// When it was granted.
    pub acquired_at: Timestamp,
    /// When it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// Released: a recovery gave it back. Held: this grant took over the lock of a dead holder.
    #[serde(default)]
    pub recovered: bool,
    /// Why a recovery took the holder for gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The state directory that it was granted in; `None` in what versions without it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<StateStamp>,
    /// The actor that gave it back, when that was not its holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<ReleaseNote>,
}

impl LockMetadata {
    /// A new grant, or a note in its place, of this process.
    pub(super) fn of_this_process(
        repository: &str,
        token: FencingNumber,
        holder: LockHolder,
        operation: String,
        now: Timestamp,
    ) -> LockMetadata {
        LockMetadata {
            version: METADATA_VERSION,
            repository: repository.to_owned(),
            lock_id: uuid::Uuid::now_v7().to_string(),
            token,
            state: LockState::Held,
            holder,
            process: ProcessIdentity::this(),
            command: None,
            cgroup: None,
            left: Vec::new(),
            is_left_unseen: false,
            host: Host::this(),
            uid: rustix::process::geteuid().as_raw(),
            operation,
            acquired_at: now,
            released_at: None,
            recovered: false,
            evidence: Vec::new(),
            state_directory: None,
            released_by: None,
        }
    }

    /// Given back now.
    pub(super) fn given_back(mut self, now: Timestamp) -> LockMetadata {
        self.version = METADATA_VERSION;
        self.state = LockState::Released;
        self.released_at = Some(now);
        self
    }

    /// The holder in words.
    pub fn holder_text(&self) -> String {
        let process = format!("process {} on {}", self.process.pid, self.host.host);
        match &self.holder {
            LockHolder::Job { job_id, attempt, .. } => {
                format!("job {job_id} (attempt {attempt}, supervisor {process})")
            }
            LockHolder::Process => format!("{process} ({})", self.operation),
        }
    }

    /// The job whose lock it is.
    pub(crate) fn job_id(&self) -> Option<&JobId> {
        match &self.holder {
            LockHolder::Job { job_id, .. } => Some(job_id),
            LockHolder::Process => None,
        }
    }

    /// Replaces the file durably. The caller holds a [`writing`] lock.
    pub(super) fn write(&self, disk: &Disk, path: &Path) -> Result<(), DiskError> {
        let text = self.to_bytes();
        if SeededBug::LockMetadataInPlace.is_on() {
            return write_in_place(disk, path, &text);
        }
        replace(disk, path, &text)
    }

    /// The document, with its checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).unwrap_or_default(); // Text and numbers: always JSON.
        text.pop(); // The closing brace.
        let boot_id = Some(self.host.boot_id.as_str()).filter(|id| is_plain(id)).unwrap_or_default();
        text.extend_from_slice(BOOT_ID);
        text.extend_from_slice(boot_id.as_bytes());
        text.push(b'"');
        let checksum = format!("{:08x}", checksum_of(&text, boot_id.as_bytes()));
        text.extend_from_slice(CHECKSUM.0);
        text.extend_from_slice(checksum.as_bytes());
        text.extend_from_slice(CHECKSUM.1);
        text
    }
}

/// Whether it has the form of every boot id that Linux gives.
fn is_plain(boot_id: &str) -> bool {
    boot_id.len() >= 8 && boot_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The checksum of everything but the boot id, in both places.
fn checksum_of(text: &[u8], boot_id: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut rest = text;
    if !boot_id.is_empty() {
        while let Some(at) = memchr::memmem::find(rest, boot_id) {
            hasher.update(&rest[..at]);
            rest = &rest[at + boot_id.len()..];
        }
    }
    hasher.update(rest);
    hasher.finalize()
}

/// The text before the checksum, the boot id at its end, and the checksum; `None` when these are missing.
fn checked(bytes: &[u8]) -> Option<(&[u8], &[u8], u32)> {
    let rest = bytes.strip_suffix(CHECKSUM.1)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    let covered = rest.strip_suffix(CHECKSUM.0)?;
    let at = memchr::memmem::rfind(covered, BOOT_ID)? + BOOT_ID.len();
    let boot_id = covered[at..].strip_suffix(b"\"")?;
    let crc = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (format!("{crc:08x}").as_bytes() == digits).then_some((covered, boot_id, crc))
}

/// How the bytes differ from what was written; `None` when they do not differ, as far as they themselves can
/// tell.
fn changed(bytes: &[u8]) -> Option<String> {
    if !bytes.starts_with(OUR_FORM) {
        return None;
    }
    match checked(bytes) {
        Some((covered, boot_id, crc)) if checksum_of(covered, boot_id) == crc => None,
        Some(_) => Some("its checksum does not fit: bytes of it were changed".to_owned()),
        // As the first version wrote it, and our own form with its end cut off or changed.
        None if bytes.starts_with(b"{\"version\":1,") => None,
        None => Some("its end with the checksum is lost or changed".to_owned()),
    }
}

/// The result of reading a metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRead {
    /// There is no metadata file.
    Missing,
    /// The file cannot be believed.
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// The file is whole.
    Whole(Box<LockMetadata>),
}

impl MetadataRead {
    /// Its content, when it is whole.
    pub fn whole(&self) -> Option<&LockMetadata> {
        match self {
            MetadataRead::Whole(metadata) => Some(metadata),
            _ => None,
        }
    }
}

/// Reads the metadata of a repository's lock.
pub fn read_metadata(path: &Path, repository: &str) -> MetadataRead {
    let damaged = |why: String| MetadataRead::Damaged { why };
    let bytes = match read_optional(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return MetadataRead::Missing,
        Err(e) => return damaged(format!("it cannot be read: {}", e.source)),
    };
    if bytes.is_empty() {
        return damaged("it is empty".to_owned());
    }
    parse(&bytes, repository)
}

/// Parses the bytes of a metadata file.
pub(super) fn parse(bytes: &[u8], repository: &str) -> MetadataRead {
    let damaged = |why: String| MetadataRead::Damaged { why };
    if let Some(why) = changed(bytes) {
        return damaged(why);
    }
    match serde_json::from_slice::<LockMetadata>(bytes) {
        Err(e) => damaged(format!("it is no lock metadata: {e}")),
        Ok(m) if m.version > METADATA_VERSION => damaged(format!("its version {} is later", m.version)),
        Ok(m) if m.repository != repository => damaged(format!("it tells of repository '{}'", m.repository)),
        Ok(m) if m.lock_id.is_empty() => damaged("it has no lock id".to_owned()),
        Ok(m) => MetadataRead::Whole(Box::new(m)),
    }
}

/// The right to replace the metadata, for a moment.
pub(super) fn writing(disk: &Disk, paths: &LockPaths) -> Result<FileLock, LockError> {
    FileLock::acquire(disk, &paths.writing, WRITER_WAIT)
}
