//! What a program of ours keeps of what it was started with, and what its jobs get: nothing by chance.
//!
//! Signals and timers are set right before anything else, for every word. A daemon, and what else starts
//! supervisors, keeps inherited descriptors to itself, and lets go of mask and session keyring.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use recovery::state::config::JobSettings;
use recovery::system::{base_environment, inherited};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// For a word that people type: an ignored SIGHUP stays, for that is what nohup asks for.
pub(crate) fn begin() {
    inherited::reset_signals(&[SIGHUP]);
    inherited::cancel_timers();
    survive_file_limit();
}

/// For a word that only this program says to itself.
pub(crate) fn begin_hidden() {
    inherited::reset_signals(&[]);
    inherited::cancel_timers();
    inherited::close_descriptors();
    survive_file_limit();
}

/// A write beyond the limit of file sizes is refused, as on a full disk, and does not end this process. The signal gets
/// a handler instead of being ignored: what this process executes would inherit that it is ignored, and a handler is
/// reset to the default then.
fn survive_file_limit() {
    // Refused only for signals that cannot be handled, which this is not.
    let _ = signal_hook::flag::register(Signal::XFSZ.as_raw(), Arc::default());
}

/// SIGTERM, SIGINT, SIGQUIT and SIGHUP do nothing to this process.
pub(crate) fn ignore_requests_to_end() {
    for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP] {
        // Refused only for signals that cannot be handled, which these are not.
        let _ = signal_hook::flag::register(signal, Arc::default());
    }
}

/// For every command but `lock`, once that is known: what runs under a lock inherits all that `lock` was given, as
/// with flock(1).
pub(crate) fn enter() {
    inherited::keep_descriptors_from_children();
    raise_file_limit();
}

/// For a command that starts jobs.
pub(crate) fn enter_server() {
    enter();
    own_files_only();
    inherited::leave_session_keyring();
}

/// A soft limit of file sizes is about the programs of the one who set it, not about logs.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Fsize);
    if limit.current != limit.maximum {
        // Up to the hard limit: it cannot be refused.
        let _ = setrlimit(Resource::Fsize, Rlimit { current: limit.maximum, ..limit });
    }
}

/// Whatever this process makes is for its user alone, unless it says otherwise itself.
pub(crate) fn own_files_only() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// All variables that supervisors and jobs inherit: the plain base, then what is configured. `ours` looks up a
/// variable of this process.
pub(crate) fn environment_of_jobs(
    jobs: &JobSettings,
    ours: impl Fn(&OsStr) -> Option<OsString>,
) -> Vec<(OsString, OsString)> {
    let mut variables = base_environment();
    for item in &jobs.environment {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (item.as_str(), ours(item.as_ref())),
        };
        // A variable that is requested and not set must not keep its usual value: nobody asked for that.
        variables.retain(|(known, _)| known != name);
        variables.extend(value.map(|value| (name.into(), value)));
    }
    variables
}

#[cfg(test)]
mod tests {
    use recovery::state::config::Settings;
    use recovery::system::USUAL_PATH;

    use super::*;

    fn environment(items: &[&str]) -> Vec<(OsString, OsString)> {
        let mut jobs = Settings::with_defaults(None, 1).jobs;
        jobs.environment = items.iter().map(|&item| item.to_owned()).collect();
        environment_of_jobs(&jobs, |name| (name == "TZ" || name == "PATH").then(|| "ours".into()))
    }

    #[test]
    fn environment_of_jobs_is_the_base_and_what_is_configured() {
        let value = |items: &[&str], name: &str| {
            environment(items).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
        };
        assert_eq!(value(&[], "PATH"), Some(USUAL_PATH.into()));
        assert_eq!(value(&[], "TZ"), None);
        assert_eq!(value(&["TZ", "PATH"], "TZ"), Some("ours".into()));
        assert_eq!(value(&["TZ", "PATH"], "PATH"), Some("ours".into()));
        assert_eq!(value(&["PATH=/bin", "A=b=c"], "PATH"), Some("/bin".into()));
        assert_eq!(value(&["PATH=/bin", "A=b=c"], "A"), Some("b=c".into()));
        assert_eq!(value(&["SHELL"], "SHELL"), None);
    }
}
