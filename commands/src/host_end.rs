//! Whether this machine, or this user's session, is going down, as far as systemd tells.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use recovery::system::{SearchPath, Tool, run_tool};

/// This folder exists when systemd is the first process.
const SYSTEMD: &str = "/run/systemd/system";
/// How long to wait for systemd, which may not answer when it is busy with its end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns what is ending everything here just now, in words; `None` when nothing is known to. Where systemd
/// is not the first process, there is nobody to ask: then only signals announce an end.
pub(crate) fn end_of_host() -> Option<String> {
    if !Path::new(SYSTEMD).exists() {
        return None;
    }
    if is_stopping(&["is-system-running"]) {
        return Some("the shutdown of this machine".to_owned());
    }
    let is_user = !rustix::process::getuid().is_root();
    (is_user && is_stopping(&["--user", "is-system-running"]))
        .then(|| "the end of the user's session".to_owned())
}

fn is_stopping(arguments: &[&str]) -> bool {
    let (Ok(program), Ok(folder)) =
        (SearchPath::default().find("systemctl", None), recovery::durable::plain::open("/"))
    else {
        return false;
    };
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let own = std::process::id().to_string();
    let ran = run_tool(&Tool {
        program: &program,
        arguments: &arguments,
        folder: folder.as_fd(),
        // Variables say where the user's own systemd listens.
        environment: &std::env::vars_os().collect::<Vec<_>>(),
        account: None,
        time_limit: PATIENCE,
        mark: ("RECOVERYCTL_ASKS_SYSTEMD", &own),
        stop: &|| false,
    });
    ran.is_ok_and(|ran| ran.output.lines().any(|line| line.trim() == "stopping"))
}

/// Programs that are the first process of a container only to start another, and end with it.
const INITS: [&str; 6] = ["tini", "docker-init", "dumb-init", "catatonit", "podman-init", "s6-svscan"];

/// Whether everything in this container, or process namespace, ends with this process: it is the first one, or the
/// one that a small init was started for. `docker stop` signals only that.
pub(crate) fn is_last_process() -> bool {
    if std::process::id() == 1 {
        return true;
    }
    let first = recovery::durable::plain::read_text("/proc/1/comm").unwrap_or_default();
    std::os::unix::process::parent_id() == 1 && INITS.contains(&first.trim_end())
}
