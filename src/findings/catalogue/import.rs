//! Codes about the import of another server's workspace.

use super::Entry;
use crate::findings::Severity;

/// A job file of the other server is damaged.
pub const IMPORT_JOB_FILE_DAMAGED: Entry = Entry {
    code: "import-job-file-damaged",
    severity: Severity::Error,
    title: "A job file of the imported workspace is damaged",
    meaning: "The other server's job file is empty, cut or no JSON.",
    done: "A copy is in quarantine, the original is untouched. What its folder tells was taken over.",
    advice: "Restore the file from a backup and import again; what was imported already is not changed.",
    next: None,
};

/// A job folder of the other server has no job file.
pub const IMPORT_JOB_DIRECTORY_WITHOUT_RECORD: Entry = Entry {
    code: "import-job-directory-without-record",
    severity: Severity::Warning,
    title: "A job folder of the imported workspace has no job file",
    meaning: "The other server left the folder of a job whose file is gone.",
    done: "The folder is untouched; no job was made of it, since nothing says what was to be run.",
    advice: "Look into the folder for work that is worth keeping.",
    next: None,
};

/// A job of the other server was being prepared.
pub const IMPORT_STAGING_LEFT: Entry = Entry {
    code: "import-staging-left",
    severity: Severity::Info,
    title: "The imported workspace holds staged files",
    meaning: "The other server was preparing files for a job when it crashed.",
    done: "They are untouched.",
    advice: "Upload them again with the job if it is resumed.",
    next: None,
};

/// A PID of the other server belongs to another process now.
pub const IMPORT_PID_REUSED: Entry = Entry {
    code: "import-pid-reused",
    severity: Severity::Info,
    title: "The PID of an imported job belongs to another process",
    meaning: "The job's process is gone and its number was given to a process that has nothing to do with \
              it: it started later, or runs something else.",
    done: "The job counts as crashed; the other process was not touched.",
    advice: "Resume the job if it is wanted.",
    next: Some("recoveryctl resume {name}"),
};

/// A job of the other server was not imported, because what it needs could not be seen.
pub const IMPORT_JOB_LEFT_OUT: Entry = Entry {
    code: "import-job-left-out",
    severity: Severity::Error,
    title: "A job of the imported workspace was left out",
    meaning: "Its job file, its output or its process may not be looked at by this user, so nobody can tell \
              whether it runs.",
    done: "Nothing was taken over for it and nothing was changed.",
    advice: "Import again as the user that owns the workspace, or as root: the other jobs are not changed.",
    next: None,
};

/// Job files of the other server contradict each other about an id.
pub const IMPORT_JOB_ID_DIFFERS: Entry = Entry {
    code: "import-job-id-differs",
    severity: Severity::Warning,
    title: "A job file of the imported workspace has another id than its name",
    meaning: "The file was renamed or copied: the id inside is not the one in its name, its name cannot be an \
              id, or two names differ only in upper and lower case.",
    done: "The name of the file counts as the id. Of two files with one id the one in lower case was taken \
           over; a copy of the other is in quarantine.",
    advice: "Compare the files and submit again what is missing.",
    next: None,
};

/// A process of the other server lives although its job is over or has no record.
pub const IMPORT_PROCESS_ALIVE: Entry = Entry {
    code: "import-process-alive",
    severity: Severity::Error,
    title: "A process of the imported workspace still lives",
    meaning: "The script of a job runs although its job file says that it is over, or is missing, or the \
              process could not be ended.",
    done: "The process was not touched, or withstood; the sentence tells which.",
    advice: "Look at the process, and end it or let it finish.",
    next: None,
};
