//! `daemon`: recovers, then runs and watches jobs until it is told to end.

mod config;
mod guard;
mod reload;
mod trouble;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use clap::Args;
use recovery::audit::{self, Entry};
use recovery::daemon::{
    DaemonError, DaemonInfo, DaemonSettings, Ending as EndingOfDaemon, Listen, make_tokens, serve,
};
use recovery::durable::error_chain;
use recovery::logging::events;
use recovery::recovery::{RecoveryOutcome, RecoveryRecord};
use recovery::state::config::USUAL_ADDRESS;
use serde::Serialize;
use tracing::{error, info, warn};

use crate::command::daemon::config::config;
use crate::command::daemon::guard::Guard;
use crate::command::daemon::reload::Hangup;
use crate::command::daemon::trouble::{tell_request, trouble_to_log};
use crate::context::Context;
use crate::descriptors;
use crate::error::{CliError, Ending, of_daemon};
use crate::host_end::{end_of_host, is_last_process};
use crate::http::{HttpSettings, Listeners, RequestLog, Server, Stage};
use crate::interruption::Interruption;
use crate::leave_job::{Server as Leaving, leave_job};
use crate::log::{self, LogArgs};
use crate::notice::Notice;
use crate::progress;
use crate::settings::run_options;
use recovery::operations::interrupt::cancellable;

/// Recover, then run and watch jobs, in the foreground; SIGTERM or SIGINT ends it and leaves the jobs running
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// How many jobs run at a time [default: as configured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// The address to listen on, or none [default: as configured, else 127.0.0.1:9797 if it is free]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

fn address(text: &str) -> Result<String, &'static str> {
    let fits = text == "none" || text.parse::<SocketAddr>().is_ok();
    fits.then(|| text.to_owned()).ok_or("an address with a port, such as 127.0.0.1:9797, or none")
}

/// Returns how the daemon ends: a second signal ends this process at once; a signal of another kind ends the
/// wait for running jobs.
fn ending(interruption: &Interruption, notice: &Notice) -> EndingOfDaemon {
    let (interruption, notice) = (interruption.clone(), notice.clone());
    EndingOfDaemon {
        at_once: Box::new(move || interruption.is_repeated()),
        waits: Box::new(move |running, left| notice.draining(running, left)),
        takes_all: Box::new(|| is_last_process() || end_of_host().is_some()),
    }
}

/// The report at the daemon's end.
#[derive(Debug, Serialize)]
struct DaemonReport {
    pid: u32,
    /// How its own recovery ended.
    recovery: Option<&'static str>,
    /// The signal's name.
    stopped_by: Option<&'static str>,
}

/// Returns a function that begins to listen when this process is the daemon; it keeps the server in `server`.
fn listener(
    context: &mut Context,
    args: &DaemonArgs,
    server: Arc<OnceLock<Server>>,
) -> Result<Listen, CliError> {
    let loaded = context.configuration()?.clone();
    let asked = args.listen.clone().or_else(|| loaded.configuration.settings().daemon.listen.clone());
    let given = context.socket();
    let tells_requests = context.output.is_verbose();
    Ok(Box::new(move |dir| {
        make_tokens(dir).map_err(|e| e.source)?;
        let socket = given.clone().unwrap_or_else(|| dir.paths.admin_socket());
        let bind = |address| Listeners::bind(dir, address, &socket, given.is_some());
        let listeners = match asked.as_deref() {
            Some("none") => bind(None)?,
            Some(address) => bind(Some(address))?,
            // Another daemon of this machine may have the default address; the socket remains.
            None => match bind(Some(USUAL_ADDRESS)) {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                    warn!(event = events::LISTENING, "{e}; only the socket is served");
                    bind(None)?
                }
                bound => bound?,
            },
        };
        if let Some(why) = &listeners.without_socket {
            warn!(event = events::LISTENING, "{why}; the socket is not served");
        }
        let listening = listeners.listening.clone();
        let log = tells_requests.then(|| Box::new(tell_request) as RequestLog);
        let settings = HttpSettings { dir: dir.clone(), loaded, log };
        let started = Server::start(settings, listeners)?;
        // The value is set only once, because this is called once.
        let _ = server.set(started);
        Ok(listening)
    }))
}

pub(crate) fn cmd_daemon(context: &mut Context, args: &DaemonArgs) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    context.operation()?.refuse_to_make_one_inside_a_job()?;
    leave_job(Leaving::Daemon)?;
    descriptors::raise();
    let operation = context.operation()?;
    let dir = operation.state_dir_or_create();
    let dir = dir.or_else(|_| operation.state_dir_for_repair().map(|(dir, _)| dir))?;
    drop(operation);
    let dir = context.notice_restore(dir)?;
    if !dir.is_copy() {
        dir.check_abilities()?;
    }
    log::keep_in(&dir);
    let guard = Guard::start(&dir, &context.interruption)?;
    let notice = Notice::of_this_process().telling(Arc::new(move || guard.turned()));
    let observer = notice.observer(progress::observer_beside_a_log(&context.output));
    let run = run_options(&context.operation()?, "daemon", &[], Some(observer));
    let cancel = run.cancel.clone();
    let server = Arc::new(OnceLock::new());
    let hangup = Rc::new(Hangup::install(context, &dir, args.workers.map(usize::from))?);
    let listen = listener(context, args, server.clone())?;
    let reload = hangup.clone();
    let settings = DaemonSettings {
        config: config(context, &dir, args.workers.map(usize::from))?,
        run,
        trouble: trouble_to_log(),
        listen,
        reload: Box::new(move || reload.config()),
        ending: ending(&context.interruption, &notice),
    };
    let interruption = context.interruption.clone();
    let actor = context.actor();
    let output = &mut context.output;
    let mut recovery = None;
    let mut ready = |info: &DaemonInfo, record: Option<&RecoveryRecord>| {
        if let Some(server) = server.get() {
            server.reached(if info.safe_mode { Stage::SafeMode } else { Stage::Ready });
        }
        let Some(record) = record else {
            notice.ready("safe mode: no job is started");
            warn!(
                event = events::SAFE_MODE,
                "process {} is up in safe mode: startups before it died, so nothing is recovered and no job started",
                info.pid
            );
            output.hint("see why with: recoveryctl status; go on with: recoveryctl startup clear");
            return;
        };
        let outcome = record.snapshot.outcome.word();
        recovery = Some(outcome);
        notice.ready(&format!("takes jobs; its recovery {outcome}"));
        let detail = format!("process {}, recovery {outcome}", info.pid);
        let entry = Entry::done(dir.clock.now(), &actor, "daemon", "state".to_owned(), detail);
        if let Err(e) = audit::record(&dir, &entry) {
            warn!(event = events::TROUBLE, "{e}: {}", e.source);
        }
        let at = info.address.as_ref().map_or_else(String::new, |a| format!(", http://{a}"));
        info!(event = events::DAEMON_READY, "ready: process {}, recovery {outcome}{at}", info.pid);
    };
    interruption.catch();
    let served = cancellable(&interruption, &cancel, || {
        serve(&dir, settings, &mut ready, &|| {
            notice.turned();
            hangup.answer(server.get());
            server.get().inspect(|server| server.keep_going());
            interruption.requested().is_some()
        })
    });
    notice.stopping();
    match (&served, interruption.signal()) {
        (Err(e), None) => error!(event = events::DAEMON_ENDS, "the daemon ends: {}", error_chain(e)),
        (_, by) => {
            info!(event = events::DAEMON_ENDS, "the daemon ends, told by {}", by.unwrap_or("its caller"));
        }
    }
    match served {
        // The daemon was told to end while it recovered: the next start recovers.
        Err(DaemonError::NotRecovered { outcome: RecoveryOutcome::Cancelled, .. })
            if interruption.signal().is_some() => {}
        other => other.map_err(of_daemon)?,
    }
    let report = DaemonReport { pid: std::process::id(), recovery, stopped_by: interruption.signal() };
    context.output.report(&report, |_| {}); // As text, its end says all.
    Ok(Ending::Done)
}
