//! An operation that a daemon carries out: the request goes there, and its report comes back.

use std::io;
use std::time::Duration;

use hyper::{Method, StatusCode};
use recovery::operations::{Done, Operation};
use recovery::recovery::Observer;
use recovery::state::human;
use serde_json::Value;
use serde_json::value::RawValue;

use super::connect::{Target, next_part};
use crate::context::Context;
use crate::error::{CliError, ErrorKind};
use crate::output::Output;
use crate::progress;
use crate::wire::{Ended, PATH, Told};

/// How long a daemon may take to say how it is.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// Has an operation carried out; `None` when the reader of its results has seen enough.
///
/// # Errors
/// Those of the operation, as the daemon tells of them, and when no daemon takes it.
pub(crate) fn carry_out<O: Operation>(
    context: &mut Context,
    target: &Target,
    request: &O,
) -> Result<Option<Done<O::Report>>, CliError> {
    let failed = |e: serde_json::Error| CliError::new(ErrorKind::Usage, format!("it cannot be sent: {e}"));
    let request = serde_json::to_value(request).map_err(failed)?;
    let mut asked = context.asked(O::ENTRY.name(), request);
    let input = context.whole_input()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|e| CliError::new(ErrorKind::Failed, e))?;
    loop {
        let mut body = serde_json::to_vec(&asked).map_err(failed)?;
        body.push(b'\n');
        body.extend_from_slice(&input);
        let mut shown = Shown::new(&mut context.output, asked.shows_progress);
        let answer = exchange(target, body, None, |told| shown.show(told));
        let answered = runtime.block_on(in_time::<O, _>(target, answer))?;
        let question = shown.question.take();
        let Answered::Ended(ended) = answered else { return Ok(None) };
        match question.filter(|_| !asked.is_agreed) {
            None => return outcome::<O>(target, ended).map(Some),
            Some(question) => match context.output.ask(&question).as_deref() {
                Some("y" | "yes") => asked.agreed.push(question),
                Some(_) => {
                    let message = "not confirmed; nothing was changed";
                    return Err(CliError::new(ErrorKind::Failed, message).code("declined"));
                }
                None => return outcome::<O>(target, ended).map(Some),
            },
        }
    }
}

/// How an operation came to its end.
pub(super) enum Answered {
    Ended(Ended),
    /// The reader of the results has seen enough.
    Unread,
}

/// Sends a request; `show` gets what is told, and says whether somebody reads it. With `patience` a daemon that is silent
/// for longer cannot be asked.
pub(super) async fn exchange(
    target: &Target,
    body: Vec<u8>,
    patience: Option<Duration>,
    mut show: impl FnMut(Told) -> bool,
) -> Result<Answered, CliError> {
    let response = patient(target, patience, target.ask(Method::POST, PATH, body)).await?;
    let status = response.status();
    let (mut body, mut waiting) = (response.into_body(), Vec::new());
    while let Some(part) = patient(target, patience, next_part(target, &mut body)).await? {
        waiting.extend_from_slice(&part);
        while status == StatusCode::OK
            && let Some(told) = Told::take(&mut waiting)
        {
            match told.map_err(|e| target.unreachable(&e))? {
                Told::Ended(ended) => return Ok(Answered::Ended(*ended)),
                told => {
                    if !show(told) {
                        return Ok(Answered::Unread);
                    }
                }
            }
        }
    }
    if status != StatusCode::OK {
        return Err(refused(target, status, &waiting));
    }
    let message = format!("the daemon at {} went away before the command ended", target.name());
    Err(CliError::new(ErrorKind::DaemonUnreachable, message)
        .hint("whether it was done, the audit trail says"))
}

async fn patient<T>(
    target: &Target,
    patience: Option<Duration>,
    answer: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let Some(patience) = patience else { return answer.await };
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|e| Err(target.unreachable(&e)))
}

/// The report, as the operation's own type.
pub(super) fn outcome<O: Operation>(target: &Target, ended: Ended) -> Result<Done<O::Report>, CliError> {
    let unread = |e: serde_json::Error| {
        let message = format!(
            "the daemon at {} answered with a report that this version does not know: {e}",
            target.name()
        );
        CliError::new(ErrorKind::Failed, message)
            .code("other-version")
            .hint("compare its version: recoveryctl --version there and here")
    };
    let report = |report: Box<RawValue>| serde_json::from_str::<O::Report>(report.get()).map_err(unread);
    match ended {
        Ended { failure: Some(failure), report: None, .. } => Err(CliError::told(failure)),
        Ended { failure: Some(failure), report: Some(partial), .. } => {
            Err(CliError::told(failure).with_report(report(partial)?))
        }
        Ended { ending: Some(ending), report: Some(whole), .. } => {
            Ok(Done { report: report(whole)?, ending })
        }
        Ended { .. } => Err(CliError::internal("the daemon answered without saying how the operation ended")),
    }
}

/// A look is made in a moment: where none comes, the daemon does not turn. Other operations may take their time.
async fn in_time<O: Operation, T>(
    target: &Target,
    answer: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    if !matches!(O::ENTRY.words, ["status"] | ["health"]) {
        return answer.await;
    }
    match tokio::time::timeout(LOOK_TIME, answer).await {
        Ok(answered) => answered,
        Err(_) => Err(target.unreachable(&io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {}", human::span(LOOK_TIME)),
        ))),
    }
}

/// Shows what an operation tells.
struct Shown<'a> {
    output: &'a mut Output,
    observer: Option<Observer>,
    ticker: Option<indicatif::ProgressBar>,
    question: Option<String>,
}

impl Shown<'_> {
    fn new(output: &mut Output, shows_progress: bool) -> Shown<'_> {
        let observer = progress::observer(output).filter(|_| shows_progress);
        Shown { output, observer, ticker: None, question: None }
    }

    /// Whether somebody reads it.
    fn show(&mut self, told: Told) -> bool {
        if !matches!(told, Told::Tick(_))
            && let Some(ticker) = self.ticker.take()
        {
            ticker.finish_and_clear();
        }
        match told {
            Told::Warning(sentence) => self.output.warning(&sentence),
            Told::Note(sentence) => self.output.note(&sentence),
            Told::Question(question) => self.question = Some(question),
            Told::Printed(bytes) => self.output.bytes(&bytes),
            Told::Foreign(bytes) => self.output.foreign_bytes(&bytes),
            Told::Failed(failure) => self.output.error(&CliError::told(failure)),
            Told::Progress(snapshot) => {
                if let Some(observer) = &self.observer {
                    observer(&snapshot);
                }
            }
            Told::Tick(line) => {
                self.ticker = self.ticker.take().or_else(|| progress::ticker(self.output));
                if let Some(ticker) = &self.ticker {
                    ticker.set_message(line);
                    ticker.tick();
                }
            }
            Told::Ended(_) | Told::Other => {}
        }
        self.output.flush()
    }
}

/// The daemon took no request.
pub(super) fn refused(target: &Target, status: StatusCode, body: &[u8]) -> CliError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it says no more");
    let message = format!("the daemon at {} refused ({}): {detail}", target.name(), status.as_u16());
    let kind = match status.as_u16() {
        401 | 403 => ErrorKind::NotAuthorised,
        502..=504 => ErrorKind::DaemonUnreachable,
        _ => ErrorKind::Failed,
    };
    let error = CliError::new(kind, message);
    match problem["next"].as_str() {
        Some(next) => next.lines().map(str::to_owned).fold(error, CliError::hint),
        None => error,
    }
}
