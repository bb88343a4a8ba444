//! The table of keys.

use super::key::Key;
use super::settings::USUAL_ADDRESS;
use super::value::Expected;
use super::webhook_keys;
use crate::state::units::{format_duration, format_size};

const HOSTS: Expected = "a list of names, such as [\"batch.example\"]";
const COUNT: Expected = "a whole number from 1 to 1000000";
const WORKERS: Expected = "a whole number from 1 to 4096";
const TRIES: Expected = "a whole number from 1 to 1000";
const OUTPUT: Expected = "a size from 64KiB to 1024TiB, such as \"1GiB\"";
const DAYS: Expected = "a whole number from 0 to 36500";
const KEPT: Expected = "a whole number from 0 to 1000000000";
const SEGMENT: Expected = "a size from 4KiB to 1GiB, such as \"4MiB\"";
const PARALLEL: Expected = "a whole number from 1 to 64";
const TRASH: Expected = "a size, such as \"10GiB\"";
const ARCHIVES: Expected = "a size, such as \"50GiB\", or 0";
const IGNORED: Expected = "a list of names, such as [\".env*\", \"*.sqlite\"]";

fn joined(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// Every key, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key {
        name: "state_dir",
        about: "the state directory",
        set: |s, v| v.folder().map(|p| s.state_dir = Some(p)),
        show: |s| s.state_dir.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        name: "lock_wait",
        about: "how long a lock is waited for",
        set: |s, v| v.wait().map(|d| s.lock_wait = d),
        show: |s| format_duration(s.lock_wait),
    },
    Key {
        name: "daemon.workers",
        about: "how many jobs run at a time",
        set: |s, v| v.count(1..=4096, WORKERS).map(|n| s.daemon.workers = usize::try_from(n).unwrap_or(1)),
        show: |s| s.daemon.workers.to_string(),
    },
    Key {
        name: "daemon.poll",
        about: "the longest time until a change is noticed",
        set: |s, v| v.interval().map(|d| s.daemon.poll = d),
        show: |s| format_duration(s.daemon.poll),
    },
    Key {
        name: "daemon.drain_timeout",
        about: "how long a daemon that is told to end waits for running jobs",
        set: |s, v| v.wait().map(|d| s.daemon.drain_timeout = d),
        show: |s| format_duration(s.daemon.drain_timeout),
    },
    Key {
        name: "daemon.listen",
        about: "the address that the daemon listens on, or none",
        set: |s, v| v.listen().map(|address| s.daemon.listen = Some(address)),
        show: |s| s.daemon.listen.clone().unwrap_or_else(|| USUAL_ADDRESS.to_owned()),
    },
    Key {
        name: "daemon.hosts",
        about: "names of this machine by which clients may call the daemon",
        set: |s, v| v.items().map(|hosts| s.daemon.hosts = hosts).ok_or(HOSTS),
        show: |s| if s.daemon.hosts.is_empty() { "none".to_owned() } else { s.daemon.hosts.join(",") },
    },
    Key {
        name: "daemon.base_path",
        about: "the path below which a proxy offers the daemon, or none",
        set: |s, v| v.base_path().map(|path| s.daemon.base_path = path),
        show: |s| s.daemon.base_path.clone().unwrap_or_else(|| "none".to_owned()),
    },
    Key {
        name: "daemon.viewer_output",
        about: "whether those who show the viewer's token see what jobs print",
        set: |s, v| v.switch().map(|yes| s.daemon.viewer_output = yes),
        show: |s| s.daemon.viewer_output.to_string(),
    },
    Key {
        name: "jobs.heartbeat",
        about: "how often a running job's sentinel is touched",
        set: |s, v| v.interval().map(|d| s.jobs.heartbeat = d),
        show: |s| format_duration(s.jobs.heartbeat),
    },
    Key {
        name: "jobs.stale_after",
        about: "the age from which a heartbeat is stale",
        set: |s, v| v.interval().map(|d| s.jobs.stale_after = d),
        show: |s| format_duration(s.jobs.stale_after),
    },
    Key {
        name: "jobs.dead_after",
        about: "the age from which a heartbeat is dead",
        set: |s, v| v.interval().map(|d| s.jobs.dead_after = d),
        show: |s| format_duration(s.jobs.dead_after),
    },
    Key {
        name: "jobs.kill_grace",
        about: "the time between the request to end and SIGKILL",
        set: |s, v| v.wait().map(|d| s.jobs.kill_grace = d),
        show: |s| format_duration(s.jobs.kill_grace),
    },
    Key {
        name: "jobs.on_crash",
        about: "what happens to a crashed job: hold, requeue or fail",
        set: |s, v| v.on_crash().map(|p| s.jobs.on_crash = p),
        show: |s| s.jobs.on_crash.as_str().to_owned(),
    },
    Key {
        name: "jobs.on_orphan",
        about: "what happens to a job whose supervisor was killed: adopt or end",
        set: |s, v| v.on_orphan().map(|p| s.jobs.on_orphan = p),
        show: |s| s.jobs.on_orphan.as_str().to_owned(),
    },
    Key {
        name: "jobs.start_tries",
        about: "how often a supervisor that cannot come up is started in a row",
        set: |s, v| v.count(1..=1000, TRIES).map(|n| s.jobs.start_tries = u32::try_from(n).unwrap_or(1)),
        show: |s| s.jobs.start_tries.to_string(),
    },
    Key {
        name: "jobs.output_limit",
        about: "the most output that is kept of an attempt; the oldest goes first",
        set: |s, v| v.size(64 << 10..=1 << 50, OUTPUT).map(|n| s.jobs.output_limit = n),
        show: |s| format_size(s.jobs.output_limit),
    },
    Key {
        name: "jobs.cgroup",
        about: "whether each job gets a control group of its own, where that may be made",
        set: |s, v| v.switch().map(|yes| s.jobs.cgroup = yes),
        show: |s| s.jobs.cgroup.to_string(),
    },
    Key {
        name: "jobs.environment",
        about: "variables of jobs beside PATH, LANG, HOME, USER, LOGNAME, SHELL: names of the daemon's, and NAME=VALUE",
        set: |s, v| v.variables().map(|variables| s.jobs.environment = variables),
        show: |s| if s.jobs.environment.is_empty() { "none".to_owned() } else { joined(&s.jobs.environment) },
    },
    Key {
        name: "jobs.export",
        about: "which variables of the one who submits a job go with it: all (but the session's and secrets), none, or names",
        set: |s, v| v.export().map(|export| s.jobs.export = export),
        show: |s| s.jobs.export.to_string(),
    },
    Key {
        name: "jobs.umask",
        about: "the bits that are taken from the mode of a file that a job makes, in octal",
        set: |s, v| v.octal().map(|mask| s.jobs.umask = mask),
        show: |s| format!("{:04o}", s.jobs.umask),
    },
    Key {
        name: "jobs.limits",
        about: "resource limits of jobs, NAME=SOFT or NAME=SOFT:HARD, such as nofile=4096; others are the usual ones",
        set: |s, v| v.limits().map(|limits| s.jobs.limits = limits),
        show: |s| match s.jobs.limits.as_slice() {
            [] => "none".to_owned(),
            limits => limits.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        },
    },
    Key {
        name: "jobs.max_attempts",
        about: "how many attempts requeue makes in all",
        set: |s, v| v.count(1..=1000, TRIES).map(|n| s.jobs.max_attempts = u32::try_from(n).unwrap_or(1)),
        show: |s| s.jobs.max_attempts.to_string(),
    },
    Key {
        name: "jobs.requeue_pause",
        about: "the pause before requeue's third attempt; doubles with each",
        set: |s, v| v.wait().map(|d| s.jobs.requeue_pause = d),
        show: |s| format_duration(s.jobs.requeue_pause),
    },
    Key {
        name: "jobs.requeue_pause_max",
        about: "the longest pause before an attempt of requeue",
        set: |s, v| v.wait().map(|d| s.jobs.requeue_pause_max = d),
        show: |s| format_duration(s.jobs.requeue_pause_max),
    },
    Key {
        name: "jobs.keep_days",
        about: "jobs that ended within so many days are kept",
        set: |s, v| v.count(0..=36_500, DAYS).map(|n| s.jobs.keep_days = u32::try_from(n).unwrap_or(0)),
        show: |s| s.jobs.keep_days.to_string(),
    },
    Key {
        name: "jobs.keep_last",
        about: "so many of the jobs that ended last are kept",
        set: |s, v| v.count(0..=1_000_000_000, KEPT).map(|n| s.jobs.keep_last = n),
        show: |s| s.jobs.keep_last.to_string(),
    },
    Key {
        name: "queue.segment_bytes",
        about: "the size of a log segment",
        set: |s, v| v.size(4 << 10..=1 << 30, SEGMENT).map(|n| s.queue.segment_bytes = n),
        show: |s| format_size(s.queue.segment_bytes),
    },
    Key {
        name: "queue.checkpoint_records",
        about: "a checkpoint is due after so many records",
        set: |s, v| v.count(1..=1_000_000, COUNT).map(|n| s.queue.checkpoint_records = n),
        show: |s| s.queue.checkpoint_records.to_string(),
    },
    Key {
        name: "queue.checkpoint_interval",
        about: "a checkpoint is due after this time",
        set: |s, v| v.interval().map(|d| s.queue.checkpoint_interval = d),
        show: |s| format_duration(s.queue.checkpoint_interval),
    },
    Key {
        name: "recovery.tries",
        about: "how often a phase is tried in all",
        set: |s, v| v.count(1..=1000, TRIES).map(|n| s.recovery.tries = u32::try_from(n).unwrap_or(1)),
        show: |s| s.recovery.tries.to_string(),
    },
    Key {
        name: "recovery.pause",
        about: "the pause before a phase's second try; doubles with each",
        set: |s, v| v.wait().map(|d| s.recovery.pause = d),
        show: |s| format_duration(s.recovery.pause),
    },
    webhook_keys::RETRY,
    webhook_keys::TIMEOUT,
    webhook_keys::RETRY_AFTER_MAX,
    webhook_keys::CONCURRENCY,
    webhook_keys::PER_ENDPOINT,
    webhook_keys::STRICT_ORDER,
    webhook_keys::BREAKER_FAILURES,
    webhook_keys::BREAKER_PAUSE,
    webhook_keys::BREAKER_PAUSE_MAX,
    webhook_keys::ALLOW,
    webhook_keys::DENY,
    webhook_keys::SECRETS_KEY,
    webhook_keys::CA_FILE,
    webhook_keys::KEEP,
    webhook_keys::KEEP_ENTRIES,
    webhook_keys::ENDPOINTS_KEY,
    Key {
        name: "cleanup.parallel",
        about: "how many cleanups are worked on at a time",
        set: |s, v| v.count(1..=64, PARALLEL).map(|n| s.cleanup.parallel = usize::try_from(n).unwrap_or(1)),
        show: |s| s.cleanup.parallel.to_string(),
    },
    Key {
        name: "cleanup.tries",
        about: "how often a phase of a cleanup may fail before it is parked",
        set: |s, v| v.count(1..=1000, TRIES).map(|n| s.cleanup.tries = u32::try_from(n).unwrap_or(1)),
        show: |s| s.cleanup.tries.to_string(),
    },
    Key {
        name: "cleanup.pause",
        about: "the pause before a cleanup's second try; doubles with each",
        set: |s, v| v.wait().map(|d| s.cleanup.pause = d),
        show: |s| format_duration(s.cleanup.pause),
    },
    Key {
        name: "cleanup.index_command",
        about: "removes the code index of a workspace, run in it",
        set: |s, v| v.tool().map(|c| s.cleanup.index_command = c),
        show: |s| joined(&s.cleanup.index_command),
    },
    Key {
        name: "cleanup.index_folder",
        about: "the folder by which a workspace's index is known",
        set: |s, v| v.file_name().map(|n| s.cleanup.index_folder = n),
        show: |s| s.cleanup.index_folder.display().to_string(),
    },
    Key {
        name: "cleanup.index_timeout",
        about: "how long the removal of an index may take",
        set: |s, v| v.interval().map(|d| s.cleanup.index_timeout = d),
        show: |s| format_duration(s.cleanup.index_timeout),
    },
    Key {
        name: "tools.path",
        about: "folders in which git and the index tool are looked for",
        set: |s, v| v.search_path().map(|path| s.tools.path = path),
        show: |s| {
            let folders = s.tools.path.folders().iter().map(|folder| folder.display().to_string());
            folders.collect::<Vec<_>>().join(":")
        },
    },
    Key {
        name: "cleanup.reflog_keep",
        about: "for how long a commit that only a reflog has counts as work",
        set: |s, v| v.wait().map(|d| s.cleanup.reflog_keep = d),
        show: |s| format_duration(s.cleanup.reflog_keep),
    },
    Key {
        name: "cleanup.keep_ignored",
        about: "files that a repository ignores and that are kept all the same; names with *",
        set: |s, v| v.items().map(|w| s.cleanup.keep_ignored = w).ok_or(IGNORED),
        show: |s| {
            if s.cleanup.keep_ignored.is_empty() {
                "none".to_owned()
            } else {
                s.cleanup.keep_ignored.join(",")
            }
        },
    },
    Key {
        name: "cleanup.archive_keep",
        about: "how long archives of git work are kept; 0s: until they are removed by hand",
        set: |s, v| v.wait().map(|d| s.cleanup.archive_keep = d),
        show: |s| format_duration(s.cleanup.archive_keep),
    },
    Key {
        name: "cleanup.archive_bytes",
        about: "how much room archives of git work may take; 0: any",
        set: |s, v| v.size(0..=1 << 50, ARCHIVES).map(|n| s.cleanup.archive_bytes = n),
        show: |s| format_size(s.cleanup.archive_bytes),
    },
    Key {
        name: "docker.host",
        about: "where the Docker engine is; \"none\" when jobs use none",
        set: |s, v| v.docker_host().map(|h| s.docker.host = h),
        show: |s| s.docker.host.clone(),
    },
    Key {
        name: "docker.timeout",
        about: "how long the Docker engine may take for an answer",
        set: |s, v| v.interval().map(|d| s.docker.timeout = d),
        show: |s| format_duration(s.docker.timeout),
    },
    Key {
        name: "docker.stop_timeout",
        about: "the time between a container's request to end and its kill",
        set: |s, v| v.wait().map(|d| s.docker.stop_timeout = d),
        show: |s| format_duration(s.docker.stop_timeout),
    },
    Key {
        name: "docker.names",
        about: "names of a job's containers, networks and volumes; * is anything",
        set: |s, v| v.patterns().map(|p| s.docker.names = p),
        show: |s| joined(&s.docker.names),
    },
    Key {
        name: "orphans.grace",
        about: "orphans younger than this are left alone",
        set: |s, v| v.wait().map(|d| s.orphans.grace = d),
        show: |s| format_duration(s.orphans.grace),
    },
    Key {
        name: "orphans.trash_keep",
        about: "how long removed orphans can be restored",
        set: |s, v| v.wait().map(|d| s.orphans.trash_keep = d),
        show: |s| format_duration(s.orphans.trash_keep),
    },
    Key {
        name: "orphans.trash_bytes",
        about: "how much of removed orphans is kept for a restore",
        set: |s, v| v.size(0..=1 << 50, TRASH).map(|n| s.orphans.trash_bytes = n),
        show: |s| format_size(s.orphans.trash_bytes),
    },
    Key {
        name: "orphans.scan_every",
        about: "how often a daemon looks for orphans and empties the trash; 0s: only when it recovers",
        set: |s, v| v.wait().map(|d| s.orphans.scan_every = d),
        show: |s| format_duration(s.orphans.scan_every),
    },
    Key {
        name: "import.claude_batch_server.command",
        about: "runs an imported job again; {prompt} is its prompt",
        set: |s, v| v.command().map(|c| s.import.command = c),
        show: |s| joined(&s.import.command),
    },
];
