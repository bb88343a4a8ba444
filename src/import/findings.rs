//! The findings that an import raises.

use std::path::Path;

use super::report::shown;
use crate::findings::{Finding, Object, catalogue};
use crate::queue::JobId;

pub(super) fn damaged(path: &Path, reason: &str, is_rebuilt: bool) -> Finding {
    let then =
        if is_rebuilt { "its record was rebuilt from its folder" } else { "nothing was taken over for it" };
    let sentence = format!("The job file {} cannot be used: {reason}; {then}.", shown(path));
    Finding::new(&catalogue::IMPORT_JOB_FILE_DAMAGED, object(path), sentence)
}

pub(super) fn trailing(path: &Path) -> Finding {
    let sentence =
        format!("The job file {} has bytes behind its job; the job was taken as it is.", shown(path));
    Finding::new(&catalogue::IMPORT_JOB_FILE_DAMAGED, object(path), sentence)
        .with_severity(crate::findings::Severity::Warning)
}

pub(super) fn left_out(id: &JobId, why: &str) -> Finding {
    let sentence = format!("Job {id} was not taken over: {why}.");
    Finding::new(&catalogue::IMPORT_JOB_LEFT_OUT, Object::job(id), sentence)
}

pub(super) fn id_differs(path: &Path, sentence: String) -> Finding {
    Finding::new(&catalogue::IMPORT_JOB_ID_DIFFERS, object(path), sentence)
}

pub(super) fn pid_reused(id: &JobId, pid: u32, command: &str) -> Finding {
    let sentence = format!("Process {pid}, which job {id} had, is {command} now and was not touched.");
    Finding::new(&catalogue::IMPORT_PID_REUSED, Object::job(id), sentence)
}

pub(super) fn process_alive(object: Object, pid: u32, but: &str) -> Finding {
    let sentence = format!("Process {pid} runs the script of {object}, {but}.");
    Finding::new(&catalogue::IMPORT_PROCESS_ALIVE, object, sentence).with_next(format!("ps -fp {pid}"))
}

pub(super) fn without_record(path: &Path) -> Finding {
    let sentence = format!("The job folder {} has no job file.", shown(path));
    Finding::new(&catalogue::IMPORT_JOB_DIRECTORY_WITHOUT_RECORD, object(path), sentence)
}

pub(super) fn staging_left(path: &Path, why: &str) -> Finding {
    let sentence = format!("The staged uploads in {} belong to {why}.", shown(path));
    Finding::new(&catalogue::IMPORT_STAGING_LEFT, object(path), sentence)
}

fn object(path: &Path) -> Object {
    Object::File(shown(path))
}
