//! `POST /api/admin/command`: a whole command line, carried out here in the client's name, for `--url` and
//! `--socket`: the client writes what comes back to its own streams and ends with the same status.
//!
//! The body is a line of JSON ([`CommandRequest`]) and behind it the command's input, which is read as the command
//! reads it. The answer is a row of
//! frames, each a byte that says what it is, four bytes of length (the first the highest) and the content:
//! `o` for stdout, `e` for stderr, `q` a question that the client is to ask, and at the end `x` with the exit
//! status in one byte.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts as Head;
use axum::http::{HeaderValue, Request, Response, header};
use clap::error::ErrorKind as ClapKind;
use hyper::body::Bytes;
use recovery::daemon::Role;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::answer::{Answer, guard};
use super::auth::Principal;
use super::body::Input;
use super::events::{RaisedAtTheEnd, Received, dismissed};
use super::problem::Problem;
use super::server::Shared;
use super::serving::admitted;
use crate::cli::{self, Command};
use crate::context::{Client, Context};
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;
use crate::interruption::Interruption;
use crate::output::{Output, RemoteStreams, Streams};

/// Frames that may wait for a slow client before the command waits for it.
const FRAMES: usize = 16;

/// How long an answer waits for its first frame before it begins.
const SOON: Duration = Duration::from_millis(100);

/// What a client asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommandRequest {
    /// The words behind the program's name, without those that say which daemon is asked.
    pub(crate) arguments: Vec<String>,
    /// Where its relative paths begin.
    pub(crate) folder: Option<PathBuf>,
    /// Which of stdin, stdout and stderr are terminals.
    pub(crate) terminals: [bool; 3],
    /// Whether stdout and stderr are painted.
    pub(crate) colors: [bool; 2],
}

/// The frames of an answer.
pub(crate) const STDOUT: u8 = b'o';
pub(crate) const STDERR: u8 = b'e';
pub(crate) const QUESTION: u8 = b'q';
pub(crate) const STATUS: u8 = b'x';

pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let id = shared.next_request_id();
    let started = match admitted(&shared, &head).await {
        Ok(principal) => start(&shared, &head, principal, body).await,
        Err(problem) => Err(problem),
    };
    let mut response = match started {
        Err(problem) => Answer::from(problem).respond(&head.headers, false),
        Ok(frames) => {
            let mut response = Response::new(Body::new(frames));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
    };
    guard(response.headers_mut(), &id);
    response
}

async fn start(
    shared: &Arc<Shared>,
    head: &Head,
    principal: Principal,
    body: Body,
) -> Result<Received, Problem> {
    let slot = shared.pool.follow(principal.role).ok_or_else(|| {
        Problem::new(503, "busy", "too many commands", "other clients' commands go on").retry_after(1)
    })?;
    let (line, rest) = shared.bodies.command(body, principal.role).await?;
    let asked: CommandRequest = serde_json::from_slice(&line)
        .map_err(|e| Problem::malformed(format!("the first line is no command: {e}")))?;
    let keeps_all = asked.arguments.iter().any(|word| word == "--all-or-nothing");
    let input = shared.bodies.input(rest, keeps_all).await?;
    let (tell, mut frames) = mpsc::channel(FRAMES);
    let gone = Arc::new(AtomicBool::new(false));
    let at_the_end = RaisedAtTheEnd(gone.clone());
    let (with, of_client, by) = (shared.clone(), gone.clone(), principal.clone());
    let carried = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let status = carry_out(&with, &by, &asked, input, &tell, of_client);
        // Nobody is told when the client has left.
        let _ = tell.blocking_send(frame(STATUS, &[status]));
    });
    let (shared, head) = (shared.clone(), head.clone());
    tokio::spawn(async move {
        // Who may not ask any more is as one who has left.
        tokio::select! {
            _ = carried => {}
            () = dismissed(&shared, &head, &principal) => gone.store(true, Ordering::SeqCst),
        }
    });
    // Proxies made with Go's server (Caddy) end an answer that begins while they still look whether the request goes on:
    // a command that has something to say soon is waited for.
    let first = tokio::time::timeout(SOON, frames.recv()).await.ok().flatten();
    Ok(Received { first, frames, _gone: Some(at_the_end) })
}

/// The exit status.
fn carry_out(
    shared: &Shared,
    principal: &Principal,
    asked: &CommandRequest,
    input: Input,
    tell: &mpsc::Sender<Bytes>,
    gone: Arc<AtomicBool>,
) -> u8 {
    let arguments: Vec<_> =
        std::iter::once("recoveryctl".into()).chain(asked.arguments.iter().map(Into::into)).collect();
    let parsed = cli::parse(&arguments);
    let (json, quiet, verbose) =
        parsed.as_ref().map_or((false, false, 0), |(g, _)| (g.json, g.quiet, g.verbose));
    let mut output = output(asked, (json, quiet, verbose), tell);
    let (globals, command) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let kind = match error.kind() {
                ClapKind::DisplayHelp | ClapKind::DisplayVersion => ErrorKind::Failed,
                _ => ErrorKind::Usage,
            };
            return cli::status_of(&mut output, Err(CliError::new(kind, error.render().to_string())));
        }
    };
    if let Err(refused) = may(principal, &globals, &command) {
        return cli::status_of(&mut output, Err(refused));
    }
    let mut loaded = shared.loaded();
    if let Some(wait) = &globals.lock_wait
        && let Err(e) =
            Arc::make_mut(&mut loaded.configuration).apply_flag("lock_wait", "--lock-wait", wait.as_ref())
    {
        return cli::status_of(&mut output, Err(e.into()));
    }
    let invoker = principal.invoker(&arguments[1..]);
    let sees_output = principal.sees_output;
    let client = Client { input: Box::new(input), folder: asked.folder.clone(), sees_output };
    let interruption = Interruption::remote(gone);
    let mut context =
        Context::remote(output, interruption, globals, command.word(), invoker, (loaded, client));
    let outcome = cli::dispatch(&mut context, command);
    cli::status_of(&mut context.output, outcome)
}

/// Whether this client may give this command here.
fn may(principal: &Principal, globals: &Globals, command: &Command) -> Result<(), CliError> {
    if globals.state_dir.is_some() || globals.config.is_some() || globals.url.is_some() {
        let message = "a daemon has one state directory and one configuration: its own";
        return Err(CliError::new(ErrorKind::Usage, message));
    }
    if !command.is_for_a_daemon() {
        let message = format!("'{}' works where it is given, not through a daemon", command.word());
        return Err(CliError::new(ErrorKind::Usage, message).code("not-through-a-daemon"));
    }
    if principal.role == Role::Viewer && command.changes() {
        let message = format!("the viewer's token is for looking, not for '{}'", command.word());
        return Err(
            CliError::new(ErrorKind::NotAuthorised, message).hint("show the token in daemon/admin.token")
        );
    }
    Ok(())
}

fn output(asked: &CommandRequest, how: (bool, bool, u8), tell: &mpsc::Sender<Bytes>) -> Output {
    let stream = |kind| Box::new(Frames { kind, tell: tell.clone() });
    let mut questions = Frames { kind: QUESTION, tell: tell.clone() };
    let to = RemoteStreams {
        stdout: stream(STDOUT),
        stderr: stream(STDERR),
        question: Box::new(move |question| {
            // A client that has left answers nothing.
            let _ = questions.write_all(question.as_bytes());
        }),
    };
    let [stdin_is_terminal, stdout_is_terminal, stderr_is_terminal] = asked.terminals;
    let streams = Streams { stdin_is_terminal, stdout_is_terminal, stderr_is_terminal, are_remote: true };
    Output::remote(how, streams, (asked.colors[0], asked.colors[1]), to)
}

/// Writes frames of one kind.
struct Frames {
    kind: u8,
    tell: mpsc::Sender<Bytes>,
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tell
            .blocking_send(frame(self.kind, bytes))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn frame(kind: u8, content: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(content.len() + 5);
    frame.push(kind);
    frame.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(content);
    frame.into()
}
