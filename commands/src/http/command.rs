//! `POST /api/admin/command`: an operation for a command line elsewhere (`--url`, `--socket`), with its input, and with
//! what it tells while it works. See `wire.rs`; the other end is `remote/`.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts as Head;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Bytes;
use recovery::daemon::Role;
use recovery::operations::{self, Answered, Call, FrontEnd, Interrupt, Requested, Row, TABLE, Ticker};
use recovery::recovery::{Observer, Snapshot};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;

use super::answer::{Answer, guard};
use super::auth::Principal;
use super::body::Input;
use super::events::{RaisedAtTheEnd, Received, dismissed};
use super::problem::Problem;
use super::serving::admitted;
use super::shared::Shared;
use crate::error::{CliError, ErrorKind};
use crate::wire::{Asked, Ended, Told};

/// How many frames may wait for a slow client before the operation waits for it.
const FRAMES: usize = 16;
/// What is printed waits until it is so much, bytes, or is to be handed on.
const PART: usize = 64 << 10;
/// How often a client without patience is told that the daemon lives.
const ALIVE_EVERY: Duration = Duration::from_millis(20);
/// How long an answer waits for its first frame before it begins.
const SOON: Duration = Duration::from_millis(100);

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
    let asked: Asked = serde_json::from_slice(&line)
        .map_err(|e| Problem::malformed(format!("the first line is not a request: {e}")))?;
    let row = TABLE.iter().find(|row| row.entry.name() == asked.operation).ok_or_else(|| {
        Problem::invalid(format!("'{}' is not an operation of this version", asked.operation))
            .next("compare its version: recoveryctl --version there and here")
    })?;
    if let Some(nearby) = &asked.nearby
        && !shared.is_nearby(nearby)
    {
        let detail = "this daemon has other settings, another directory or another version";
        return Err(Problem::new(409, "not-the-same", "not the same", detail));
    }
    let tells_often = asked.nearby.is_some();
    let keeps_all = asked.request["all_or_nothing"] == true;
    let input = shared.bodies.input(rest, keeps_all).await?;
    let (tell, mut frames) = mpsc::channel(FRAMES);
    let alive = tell.downgrade();
    let gone = Arc::new(AtomicBool::new(false));
    let at_the_end = RaisedAtTheEnd(gone.clone());
    let (with, of_client, by) = (shared.clone(), gone.clone(), principal.clone());
    let carried = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let far = Far {
            is_agreed: asked.is_agreed,
            agreed: asked.agreed.clone(),
            shows_progress: asked.shows_progress,
            tell: tell.clone(),
            gone: of_client,
            input: Some(input),
            printed: Vec::new(),
        };
        let ended = ended(carry_out(&with, &by, row, &asked, far));
        // Nobody is told when the client has left.
        let _ = tell.blocking_send(Told::Ended(Box::new(ended)).frame().into());
    });
    if tells_often {
        tokio::spawn(tell_often(alive));
    }
    let (shared, head) = (shared.clone(), head.clone());
    tokio::spawn(async move {
        // A client that may not ask any more is treated as one that has left.
        tokio::select! {
            _ = carried => {}
            () = dismissed(&shared, &head, &principal) => gone.store(true, Ordering::SeqCst),
        }
    });
    // Proxies made with Go's server (Caddy) end an answer that begins while they still check whether the
    // request goes on, so the first frame of an operation is awaited briefly.
    let first = tokio::time::timeout(SOON, frames.recv()).await.ok().flatten();
    Ok(Received { first, frames, _gone: Some(at_the_end) })
}

/// Tells that the daemon lives, as long as the operation goes on.
async fn tell_often(tell: mpsc::WeakSender<Bytes>) {
    loop {
        tokio::time::sleep(ALIVE_EVERY).await;
        let Some(tell) = tell.upgrade() else { return };
        // A frame that waits says the same.
        let _ = tell.try_send(Told::Other.frame().into());
    }
}

fn carry_out(shared: &Shared, principal: &Principal, row: &Row, asked: &Asked, far: Far) -> Answered {
    let refused = |error| Answered { ended: Err(error), document: Vec::new() };
    if principal.role == Role::Viewer && row.entry.method.changes() {
        let message = format!("the viewer's token is for looking, not for '{}'", asked.operation);
        let error = CliError::new(ErrorKind::NotAuthorised, message);
        return refused(error.hint("show the token in daemon/admin.token"));
    }
    let mut site = shared.site();
    if let Some(wait) = &asked.lock_wait
        && let Err(e) =
            Arc::make_mut(&mut site.configuration).apply_flag("lock_wait", "--lock-wait", wait.as_ref())
    {
        return refused(e.into());
    }
    let words: Vec<_> = asked.words.iter().map(Into::into).collect();
    let word = row.entry.words.first().copied().unwrap_or_default();
    let call = Call {
        actor: principal.invoker(&words).actor(word, asked.reason.as_deref()),
        dry_run: asked.dry_run,
        sees_output: principal.sees_output,
        is_streamed: asked.is_streamed,
        inside: None,
        folder: asked.folder.clone(),
    };
    let mut context = operations::Context::new(site, call, far);
    let answered = (row.run)(&mut context, Requested::Members(&asked.request));
    context.front().flush();
    answered
}

fn ended(Answered { ended, document }: Answered) -> Ended {
    match ended {
        Ok(ending) => {
            let report = String::from_utf8(document).ok().and_then(|text| RawValue::from_string(text).ok());
            Ended { ending: Some(ending), report, failure: None }
        }
        Err(error) => {
            let report = error.report_json().and_then(|report| to_raw_value(&report).ok());
            Ended { ending: None, report, failure: Some(error.document()) }
        }
    }
}

/// A client, as an operation sees it.
struct Far {
    is_agreed: bool,
    agreed: Vec<String>,
    shows_progress: bool,
    tell: mpsc::Sender<Bytes>,
    /// The client has left, or may not ask any more.
    gone: Arc<AtomicBool>,
    input: Option<Input>,
    printed: Vec<u8>,
}

impl Far {
    /// To a client that has left nothing is told.
    fn tell(&mut self, told: &Told) {
        self.flush();
        let _ = self.tell.blocking_send(told.frame().into());
    }
}

impl FrontEnd for Far {
    fn warn(&mut self, sentence: &str) {
        self.tell(&Told::Warning(sentence.to_owned()));
    }

    fn note(&mut self, sentence: &str) {
        self.tell(&Told::Note(sentence.to_owned()));
    }

    fn agrees(&mut self, question: &str) -> Option<bool> {
        if self.is_agreed || self.agreed.iter().any(|agreed| agreed == question) {
            return Some(true);
        }
        // The client asks, and sends the request again when the answer is yes.
        self.tell(&Told::Question(question.to_owned()));
        None
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Gone(self.gone.clone()))
    }

    fn sent_away(&self) -> Option<CliError> {
        self.interrupt().requested()
    }

    fn print(&mut self, text: &[u8]) {
        self.printed.extend_from_slice(text);
        if self.printed.len() > PART {
            self.flush();
        }
    }

    fn print_foreign(&mut self, bytes: &[u8]) {
        self.tell(&Told::Foreign(bytes.to_vec()));
    }

    fn flush(&mut self) -> bool {
        if !self.printed.is_empty() {
            let printed = Told::Printed(std::mem::take(&mut self.printed));
            let _ = self.tell.blocking_send(printed.frame().into());
        }
        !self.tell.is_closed()
    }

    fn fail(&mut self, error: &CliError) {
        self.tell(&Told::Failed(error.document()));
    }

    fn ticker(&mut self) -> Option<Ticker> {
        let tell = self.shows_progress.then(|| self.tell.clone())?;
        Some(Box::new(move |line| drop(tell.blocking_send(Told::Tick(line.to_owned()).frame().into()))))
    }

    fn observer(&self) -> Option<Observer> {
        let tell = self.shows_progress.then(|| self.tell.clone())?;
        Some(Arc::new(move |snapshot: &Snapshot| {
            drop(tell.blocking_send(Told::Progress(Box::new(snapshot.clone())).frame().into()));
        }))
    }

    fn input(&mut self) -> Result<Box<dyn BufRead + Send>, CliError> {
        Ok(self
            .input
            .take()
            .map_or_else(|| Box::new(io::empty()) as Box<dyn BufRead + Send>, |i| Box::new(i)))
    }
}

/// The client has left, or may not ask any more.
struct Gone(Arc<AtomicBool>);

impl Interrupt for Gone {
    fn requested(&self) -> Option<CliError> {
        self.0.load(Ordering::SeqCst).then(|| CliError::new(ErrorKind::Interrupted, "interrupted"))
    }
}
