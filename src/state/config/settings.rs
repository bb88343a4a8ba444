//! The settings, typed, with their defaults.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::webhooks::WebhookSettings;
use crate::state::SEGMENT_BYTES;
use crate::system::{Limit, SearchPath};

/// All settings, after every layer was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The state directory; `None` when nothing names one.
    pub state_dir: Option<PathBuf>,
    /// How long a lock is waited for.
    pub lock_wait: Duration,
    /// `[daemon]`
    pub daemon: DaemonSettings,
    /// `[jobs]`
    pub jobs: JobSettings,
    /// `[queue]`
    pub queue: QueueSettings,
    /// `[recovery]`
    pub recovery: RecoverySettings,
    /// `[webhooks]`
    pub webhooks: WebhookSettings,
    /// `[cleanup]`
    pub cleanup: CleanupConfig,
    /// `[tools]`
    pub tools: ToolsConfig,
    /// `[docker]`
    pub docker: DockerConfig,
    /// `[orphans]`
    pub orphans: OrphansConfig,
    /// `[import.claude_batch_server]`
    pub import: ImportSettings,
}

impl Settings {
    /// A digest, in hexadecimal, of the settings that reports depend on. The path of the state directory and the
    /// wait for locks are left out, because each process has its own; so are secrets.
    pub fn digest(&self) -> String {
        let own = Settings { state_dir: None, lock_wait: Duration::ZERO, ..self.clone() };
        let digest = Sha256::digest(format!("{own:?}"));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `[cleanup]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupConfig {
    /// How many cleanups are worked on at a time.
    pub parallel: usize,
    /// How often a phase may fail in a row before it is parked.
    pub tries: u32,
    /// The pause before the second try; it doubles with each further one.
    pub pause: Duration,
    /// The command that removes a workspace's index.
    pub index_command: Vec<String>,
    /// The folder that marks a workspace with an index.
    pub index_folder: PathBuf,
    /// How long that command may take.
    pub index_timeout: Duration,
    /// For how long a commit that only a reflog has counts as work.
    pub reflog_keep: Duration,
    /// Ignored files that are kept with other git work: names with `*`.
    pub keep_ignored: Vec<String>,
    /// How long archives of git work are kept; zero: until they are removed by hand.
    pub archive_keep: Duration,
    /// How many bytes of archives are kept; zero: all.
    pub archive_bytes: u64,
}

/// `[tools]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolsConfig {
    /// Where git and the index tool are looked for.
    pub path: SearchPath,
}

/// `[docker]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerConfig {
    /// Where the engine is.
    pub host: String,
    /// How long one answer may take.
    pub timeout: Duration,
    /// The time between a container's signal to end and its kill.
    pub stop_timeout: Duration,
    /// Names of a job's objects; words with `{job_id}` and `*`.
    pub names: Vec<String>,
}

/// Where an engine is on most machines.
const DEFAULT_DOCKER_HOST: &str = "unix:///var/run/docker.sock";
/// The value that says that jobs use no engine.
pub const NO_DOCKER: &str = "none";

/// `[orphans]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphansConfig {
    /// The age below which a resource is left alone.
    pub grace: Duration,
    /// How long removed folders can be restored.
    pub trash_keep: Duration,
    /// How many bytes of removed folders are kept.
    pub trash_bytes: u64,
    /// How often a daemon scans for orphans and empties the trash; zero: only when it recovers.
    pub scan_every: Duration,
}

/// The default address of a daemon.
pub const USUAL_ADDRESS: &str = "127.0.0.1:9797";

/// `[daemon]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// How many jobs run at a time.
    pub workers: usize,
    /// The longest time until a change is noticed.
    pub poll: Duration,
    /// How long a daemon that is told to end waits for running jobs; they then continue without it.
    pub drain_timeout: Duration,
    /// The address that it listens on; `None` for the usual one, which another daemon may have.
    pub listen: Option<String>,
    /// Host names by which clients may reach this machine, in addition to `localhost` and addresses.
    pub hosts: Vec<String>,
    /// The path below which a proxy offers it: begins with `/` and does not end with one.
    pub base_path: Option<String>,
    /// Whether the viewer's token shows what jobs print: they may print what only their owners should know.
    pub viewer_output: bool,
}

/// `[jobs]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettings {
    /// How often a supervisor touches its sentinel.
    pub heartbeat: Duration,
    /// From this age on a heartbeat is stale.
    pub stale_after: Duration,
    /// From this age on a heartbeat is dead.
    pub dead_after: Duration,
    /// The time between the request to end and SIGKILL.
    pub kill_grace: Duration,
    /// What happens to a crashed job that does not say so itself.
    pub on_crash: OnCrash,
    /// What happens to a job when only its supervisor was killed.
    pub on_orphan: OnUnsupervised,
    /// After so many failed starts in a row a job is not started any more.
    pub start_tries: u32,
    /// The most output that is kept of an attempt, in bytes.
    pub output_limit: u64,
    /// Whether each job gets a control group of its own, where one can be made.
    pub cgroup: bool,
    /// Additions to the base environment: names of variables that are copied from the daemon's environment, and
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Which of the submitter's variables are recorded with a job.
    pub export: Export,
    /// The mode bits that files made by a job do not get.
    pub umask: u32,
    /// Limits that differ from the usual ones.
    pub limits: Vec<Limit>,
    /// How many attempts `requeue` makes in all, for a job that does not say so itself.
    pub max_attempts: u32,
    /// How long `requeue` waits after the second attempt; doubles with each further one.
    pub requeue_pause: Duration,
    /// The longest such pause.
    pub requeue_pause_max: Duration,
    /// Jobs that ended within so many days are kept.
    pub keep_days: u32,
    /// The number of jobs kept, of those that ended last.
    pub keep_last: u64,
}

/// Which of the submitter's variables are recorded with a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Export {
    /// All but those of the session, and those that look like secrets; see [`crate::queue::exported`].
    #[default]
    All,
    /// None.
    None,
    /// Those with these names.
    Names(Vec<String>),
    /// As all, and those with these names, whatever they look like.
    AllAnd(Vec<String>),
}

impl Export {
    /// The accepted forms, for messages.
    pub(super) const FORMS: &'static str = "all, none, names of variables, such as \"LANG,EDITOR\", or all and names, such as \"all,DEPLOY_TOKEN\"";

    /// The variables that are named; none when only `all` or `none` was given.
    pub(crate) fn named(&self) -> &[String] {
        match self {
            Export::All | Export::None => &[],
            Export::Names(names) | Export::AllAnd(names) => names,
        }
    }

    /// Whether that variable is named.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.named().iter().any(|named| named == name)
    }

    /// Whether other variables than the named ones are recorded too.
    pub(crate) fn takes_all(&self) -> bool {
        matches!(self, Export::All | Export::AllAnd(_))
    }
}

impl FromStr for Export {
    type Err = &'static str;

    /// `all`, `none`, or names separated by commas, which may include `all`.
    fn from_str(text: &str) -> Result<Export, &'static str> {
        match text {
            "all" => Ok(Export::All),
            "none" => Ok(Export::None),
            names => {
                let mut names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
                let fits = |name: &String| !name.is_empty() && name != "none" && !name.contains(['=', '\0']);
                if !names.iter().all(fits) {
                    return Err(Export::FORMS);
                }
                let count = names.len();
                names.retain(|name| name != "all");
                Ok(if names.len() < count { Export::AllAnd(names) } else { Export::Names(names) })
            }
        }
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Export::All => f.write_str("all"),
            Export::None => f.write_str("none"),
            Export::Names(names) => f.write_str(&names.join(",")),
            Export::AllAnd(names) => write!(f, "all,{}", names.join(",")),
        }
    }
}

/// What happens to a crashed job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCrash {
    /// It waits for an operator.
    Hold,
    /// It is queued again.
    Requeue,
    /// It is failed.
    Fail,
}

impl OnCrash {
    /// All of them, with their words.
    pub(super) const WORDS: [(&'static str, OnCrash); 3] =
        [("hold", OnCrash::Hold), ("requeue", OnCrash::Requeue), ("fail", OnCrash::Fail)];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            OnCrash::Hold => "hold",
            OnCrash::Requeue => "requeue",
            OnCrash::Fail => "fail",
        }
    }
}

/// What happens to a job that lives on without its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnsupervised {
    /// It is watched until it ends.
    Adopt,
    /// Its processes are ended.
    End,
}

impl OnUnsupervised {
    /// All of them, with their words.
    pub(super) const WORDS: [(&'static str, OnUnsupervised); 2] =
        [("adopt", OnUnsupervised::Adopt), ("end", OnUnsupervised::End)];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            OnUnsupervised::Adopt => "adopt",
            OnUnsupervised::End => "end",
        }
    }
}

/// `[queue]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// Size of a log segment, in bytes.
    pub segment_bytes: u64,
    /// A checkpoint is due after so many records.
    pub checkpoint_records: u64,
    /// A checkpoint is due after this time.
    pub checkpoint_interval: Duration,
}

/// `[recovery]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverySettings {
    /// How often a phase is tried in all.
    pub tries: u32,
    /// The pause before the second try; it doubles with each further one.
    pub pause: Duration,
}

/// `[import.claude_batch_server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSettings {
    /// The command that runs an imported job again, as words; `{prompt}` is replaced by its prompt.
    pub command: Vec<String>,
}

impl Settings {
    /// The defaults.
    ///
    /// `state_dir` and `workers` depend on user and machine, which the edge knows.
    pub fn with_defaults(state_dir: Option<PathBuf>, workers: usize) -> Settings {
        Settings {
            state_dir,
            lock_wait: Duration::from_secs(10),
            daemon: DaemonSettings {
                workers,
                poll: Duration::from_secs(1),
                drain_timeout: Duration::ZERO,
                listen: None,
                hosts: Vec::new(),
                base_path: None,
                viewer_output: false,
            },
            jobs: JobSettings {
                heartbeat: Duration::from_secs(10),
                stale_after: Duration::from_secs(2 * 60),
                dead_after: Duration::from_secs(10 * 60),
                kill_grace: Duration::from_secs(10),
                on_crash: OnCrash::Hold,
                on_orphan: OnUnsupervised::Adopt,
                start_tries: 10,
                output_limit: 1 << 30,
                cgroup: true,
                environment: Vec::new(),
                export: Export::All,
                umask: 0o022,
                limits: Vec::new(),
                max_attempts: 3,
                requeue_pause: Duration::from_secs(10),
                requeue_pause_max: Duration::from_secs(10 * 60),
                keep_days: 90,
                keep_last: 1000,
            },
            queue: QueueSettings {
                segment_bytes: SEGMENT_BYTES,
                checkpoint_records: 10_000,
                checkpoint_interval: Duration::from_secs(10 * 60),
            },
            recovery: RecoverySettings { tries: 3, pause: Duration::from_secs(1) },
            webhooks: WebhookSettings::default(),
            cleanup: CleanupConfig {
                parallel: 4,
                tries: 6,
                pause: Duration::from_secs(2),
                index_command: ["cidx", "uninstall", "--force-docker"].map(str::to_owned).to_vec(),
                index_folder: ".code-indexer".into(),
                index_timeout: Duration::from_secs(5 * 60),
                reflog_keep: Duration::from_secs(90 * 24 * 3600),
                keep_ignored: Vec::new(),
                archive_keep: Duration::ZERO,
                archive_bytes: 0,
            },
            tools: ToolsConfig::default(),
            docker: DockerConfig {
                host: DEFAULT_DOCKER_HOST.to_owned(),
                timeout: Duration::from_secs(30),
                stop_timeout: Duration::from_secs(10),
                names: vec!["cidx-{job_id}-*".to_owned()],
            },
            orphans: OrphansConfig {
                grace: Duration::from_secs(10 * 60),
                trash_keep: Duration::from_secs(7 * 24 * 3600),
                trash_bytes: 10 << 30,
                scan_every: Duration::from_secs(3600),
            },
            import: ImportSettings { command: ["claude", "--print", "{prompt}"].map(str::to_owned).to_vec() },
        }
    }

    /// The key whose value contradicts another, and why; `None` when all fit together.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        if self.jobs.heartbeat >= self.jobs.stale_after {
            Some(("jobs.stale_after", "it must be longer than jobs.heartbeat"))
        } else if self.jobs.stale_after > self.jobs.dead_after {
            Some(("jobs.dead_after", "it must not be shorter than jobs.stale_after"))
        } else if self.webhooks.breaker_pause > self.webhooks.breaker_pause_max {
            Some(("webhooks.breaker_pause_max", "it must not be shorter than webhooks.breaker_pause"))
        } else if self.jobs.requeue_pause > self.jobs.requeue_pause_max {
            Some(("jobs.requeue_pause_max", "it must not be shorter than jobs.requeue_pause"))
        } else {
            None
        }
    }
}
